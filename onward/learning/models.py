"""Model folders: what each holds, and the one way to load one, whatever its structure.

Every folder has config.json, model.safetensors and the tokenizer. Where structure.json lies beside
them, the model is more than one set of weights that `recipe.build` makes:

    analytic   model.safetensors holds the encoder and `head.*`; see onward/learning/closed_form.py
               (also what the structure `adapted` makes)
    adapters   model.safetensors holds the encoder, adapters/EPISODE/ the rest; see
               onward/learning/routed.py
    parts      parts.safetensors holds what a tuning added; see onward/learning/parts/named.py

Nothing is unpickled. Equal weights are written as equal bytes.

>>> import tempfile
>>> kind(Path(tempfile.mkdtemp()))
'single'

What this does not cover: whether the bytes are those that were sealed; `files.verify` does that.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from onward import files, recipes
from onward.errors import IntegrityError, SettingsError
from onward.learning import encoder
from onward.recipes import generative

SCHEMA = 1
STRUCTURE = "structure.json"
WEIGHTS = "model.safetensors"
KINDS = ("single", "analytic", "adapters", "parts")


def describe(folder: Path) -> dict[str, Any]:
    """What structure.json says; {"structure": "single"} where there is none.

    Raises:
        IntegrityError: it is of a schema or a structure that this release does not know.
    """
    path = folder / STRUCTURE
    if not path.is_file():
        return {"structure": "single"}
    found: dict[str, Any] = files.read_json(path)
    if found.get("schema") != SCHEMA or found.get("structure") not in KINDS:
        raise IntegrityError(
            f"{STRUCTURE} names structure {found.get('structure')!r} of schema "
            f"{found.get('schema')!r}; this release knows {', '.join(KINDS)} of schema {SCHEMA}",
            where=str(path),
            fix="use the release that wrote it, or start over with `onward run --fresh`",
        )
    return found


def kind(folder: Path) -> str:
    """The structure of a model's folder: one of KINDS."""
    return str(describe(folder)["structure"])


def load(recipe: ModuleType, folder: Path, spec: Mapping[str, Any]) -> Any:
    """A torch module that takes a tokenizer's inputs as keywords and returns outputs by name.

    Args:
        recipe: what the model is for.
        folder: an encoder's or a model's folder.
        spec: as of the recipe's `build`; a model of several parts is loaded as it was saved, and
            only `dropout` has no meaning for it.

    Raises:
        IntegrityError: weights are missing, or structure.json is not known.
        SettingsError: it is to generate, and cannot do so token by token.
    """
    found = kind(folder)
    if found == "analytic":
        from onward.learning.closed_form import load as load_analytic

        return load_analytic(folder)
    if found == "adapters":
        from onward.learning.routed import load as load_routed

        return load_routed(recipe, folder)
    model = recipe.build(folder, spec)
    if found == "parts":
        from onward.learning.parts import named

        named.restore(model, folder, describe(folder))
    if recipes.generates(recipe):
        generative.require(model, folder.name)
    elif model.config.pad_token_id is None:
        # A decoder under a head looks for a text's last token before the padding.
        model.config.pad_token_id = encoder.tokenizer(folder).pad_token_id or 0
    return model


def save(model: Any, source: Path, folder: Path) -> None:
    """Config, model.safetensors and the tokenizer of `source`, in an empty or missing folder.

    What a tuning added to the model lies beside it: parts.safetensors and structure.json.
    """
    from onward.learning.parts import named

    added = named.of(model)
    files.operation("write", folder)
    model.save_pretrained(folder, **({"state_dict": named.without(model)} if added else {}))
    (folder / WEIGHTS).chmod(0o644)  # safetensors lets its owner alone read it
    if added:
        write_tensors(folder / named.FILE, named.weights(model))
        files.write_json(folder / STRUCTURE, {"schema": SCHEMA, **named.describe(added)})
    copy_tokenizer(source, folder)


def copy_tokenizer(source: Path, folder: Path) -> None:
    """The files of a tokenizer, byte by byte."""
    for name in encoder.TOKENIZER_FILES:
        if (source / name).is_file():
            files.operation("write", folder / name)
            shutil.copyfile(source / name, folder / name)


def write_tensors(path: Path, tensors: Mapping[str, Any]) -> None:
    """Tensors by name as safetensors, in a folder that the caller seals."""
    from safetensors.torch import save_file

    files.operation("write", path)
    plain = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    save_file(plain, path, metadata={"format": "pt"})
    path.chmod(0o644)


def read_tensors(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        IntegrityError: it is missing, or not safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found: dict[str, Any] = load_file(path)
    except (SafetensorError, FileNotFoundError) as error:
        raise IntegrityError(
            f"{path.name} cannot be read: {error}",
            where=str(path),
            fix="`onward repair` brings the recorded files back",
        ) from error
    return found


def require_single(folder: Path) -> None:
    """Refuse to train on as one set of weights what is more. Raises SettingsError naming it."""
    found = kind(folder)
    if found not in ("single", "parts"):
        raise SettingsError(
            f"The base is of structure {found}; its encoder alone has no head to train on",
            where="params.yaml, strategy.structure: single",
            fix=f"set strategy.structure to {found}, or start over with `onward run --fresh`",
        )


def require_no_parts(folder: Path) -> None:
    """Refuse to read the encoder of a model without the parts that it was tuned by.

    Raises:
        SettingsError: naming the tuning that made the parts.
    """
    if kind(folder) == "parts":
        tuning = describe(folder)["tuning"]
        raise SettingsError(
            f"The base was tuned by {tuning}: its encoder alone is not what answered",
            where="params.yaml, strategy.structure",
            fix=f"set strategy.structure to single with finetune.tuning {tuning}, or start over "
            "with `onward run --fresh`",
        )
