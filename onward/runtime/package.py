"""A package: what serves. Reading one checks every byte before anything is loaded from it.

    package/
      model.onnx  [model.int8.onnx]          one file each, no external data
    [encoder.onnx  encoder.int8.onnx]      of an encoder-decoder, whose model.onnx is the decoder
      tokenizer.json  tokenizer_config.json  a fast tokenizer, no code
      package.json                           variants, encoding, decoding, labels, probes
      [router.onnx  adapter-N.onnx_adapter]  of a model of adapters; see switched.py
      [prompt.json  retriever.onnx  retriever.json]   how a question is put; see prompts.py
      [serving.json]                         the variant and provider chosen at promotion
      manifest.json                          sha256 of every file, written last

`read` opens each file once, hashes those bytes and hands the same bytes on, so a file that is
swapped after the check is not what gets loaded. What this does not cover: someone who can rewrite
the manifest too. Against that, and against an older package put in the place of a newer one, pass
`manifest`, which the registry records in the version's own manifest.

>>> variant_name({"variants": {"fp32": {}}}, None, None)
'fp32'
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onward import files
from onward.errors import IntegrityError, MissingFiles, UsageError
from onward.recipes.generative import ENCODER, Plan
from onward.runtime import graph_safety, prompts

SCHEMA = 1
SPEC = "package.json"
SERVING = "serving.json"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
MARKS = tuple(f"{mark}_token" for mark in ("unk", "sep", "pad", "cls", "mask", "bos", "eos"))
"""What of tokenizer_config.json says which tokens are marks."""
TEMPLATE = "chat_template.jinja"
"""Of a model's folder; in a package it stands in tokenizer_config.json."""
MODELS = {"fp32": "model.onnx", "int8": "model.int8.onnx"}
PARTS = {"fp32": {ENCODER: "encoder.onnx"}, "int8": {ENCODER: "encoder.int8.onnx"}}
"""Per variant, the files of further graphs by their names."""
ROUTER = "router"
"""The part that chooses among adapters; they are the parts adapter-1, adapter-2 and so on."""
_ADAPTER = re.compile(r"adapter-[1-9][0-9]{0,5}")
_GRAPHS = {*MODELS.values(), *(name for parts in PARTS.values() for name in parts.values())}
_GRAPHS |= {"router.onnx"}
NAMES = {*TOKENIZER, *_GRAPHS, *prompts.FILES, SPEC, SERVING, files.MANIFEST}
_KEPT_BYTES = {*TOKENIZER, *prompts.FILES, SPEC, SERVING}


@dataclass(frozen=True)
class Package:
    """The checked bytes of one variant: nothing is read from the disk after this."""

    variant: str
    model: bytes
    tokenizer: dict[str, bytes]
    """Its files and those of a prompt, which is a part of how a row becomes tokens."""
    spec: dict[str, Any]
    serving: dict[str, Any] | None = None
    where: str = "a package in memory"
    parts: dict[str, bytes] = field(default_factory=dict)
    """Further graphs by their names, such as the encoder beside a decoder."""

    @property
    def artifact(self) -> str:
        """sha256 over all that can change an output: graph, tokenizer, encoding, inputs, labels.

        Labels count where there are any, so that a package of a recipe without them keeps the
        name it had before there were labels.
        """
        labels = {"labels": self.spec["labels"]} if "labels" in self.spec else {}
        more = {"generation": self.spec["generation"]} if "generation" in self.spec else {}
        if self.parts:
            more["parts"] = {k: hashlib.sha256(v).hexdigest() for k, v in self.parts.items()}
        return files.digest(
            {
                **labels,
                **more,
                "model": hashlib.sha256(self.model).hexdigest(),
                "tokenizer": {k: hashlib.sha256(v).hexdigest() for k, v in self.tokenizer.items()},
                "recipe": self.spec["recipe"],
                "encoding": self.spec["encoding"],
                "inputs": self.spec["inputs"],
            }
        )


def read(
    folder: Path,
    variant: str | None = None,
    *,
    verify: bool = True,
    manifest: str | None = None,
) -> Package:
    """The bytes of one variant, each file opened once and checked.

    Args:
        folder: the package.
        variant: fp32 or int8; None takes serving.json's, else fp32.
        verify: compare every file with manifest.json; False only for a package being built.
        manifest: the sha256 that manifest.json itself must have.

    Raises:
        MissingFiles: the folder or its manifest is not there.
        IntegrityError: a file is changed, missing, extra or a link; the graph refers to other
            files; a tokenizer brings code; the labels are not one for each of the graph's outputs.
        UsageError: the package has no such variant.
    """
    found = _contents(folder)
    small = {name: _bytes(folder / name) for name in sorted(found & _KEPT_BYTES)}
    sealed = _sealed(folder, found, manifest) if verify else {}
    spec = _json(small.get(SPEC), folder / SPEC)
    _check_spec(spec, folder / SPEC)
    serving = _serving(small.get(SERVING), folder / SERVING)
    name = variant_name(spec, serving, variant)
    file = str(spec["variants"][name]["file"])
    if file not in found & set(MODELS.values()):
        raise _broken(folder / file, f"{file}, named by {SPEC}, is not in the package")
    model = _bytes(folder / file)
    parts = _parts(spec, name, folder, found)
    if verify:
        named = {part_file(name, part): data for part, data in parts.items()}
        _compare(folder, sealed, {**small, **named, file: model}, found)
    tokenizer = {key: small[key] for key in (*TOKENIZER, *prompts.FILES) if key in small}
    for file in {prompts.RETRIEVER[0]} & small.keys():
        graph_safety.check(small[file], where=str(folder / file))
    _check_tokenizer(tokenizer, folder)
    widths = {"": graph_safety.check(model, where=str(folder / file))}
    for part, data in parts.items():
        if not is_adapter(part):
            at = str(folder / part_file(name, part))
            widths[part] = graph_safety.check(data, where=at)
    if "generation" in spec:
        _check_generation(spec, widths, folder / SPEC)
    elif "adapters" in spec:
        _check_adapters(spec, parts, widths, folder / SPEC)
    else:
        _check_labels(spec.get("labels"), widths[""], folder / SPEC)
    package = Package(name, model, tokenizer, spec, serving, str(folder), parts)
    stated = spec["variants"][name].get("artifact")
    if verify and stated != package.artifact:
        raise _broken(folder / SPEC, f"{SPEC} names another {name} graph or tokenizer")
    return package


def variant_name(spec: dict[str, Any], serving: dict[str, Any] | None, asked: str | None) -> str:
    """The asked-for variant, else serving.json's, else fp32. Raises UsageError: not there."""
    name = asked or (serving or {}).get("variant") or "fp32"
    if name not in spec["variants"]:
        raise UsageError(
            f"The package has no variant {name!r}",
            where=SPEC,
            fix=f"variants are {', '.join(sorted(spec['variants']))}",
        )
    return str(name)


def part_file(variant: str, part: str) -> str:
    """The file of a further part of a variant; "" where there is no such part."""
    if variant == "fp32" and part == ROUTER:
        return "router.onnx"
    if variant == "fp32" and is_adapter(part):
        return f"{part}.onnx_adapter"
    return PARTS[variant].get(part, "")


def is_adapter(part: str) -> bool:
    """Whether a part is an adapter, and not a graph."""
    return bool(_ADAPTER.fullmatch(part))


def choose(folder: Path, variant: str, provider: str) -> str:
    """Write serving.json into a package (a copy, before it is published) and seal it again.

    Returns the sha256 of the new manifest.

    Raises:
        UsageError: the package has no such variant.
    """
    spec = files.read_json(folder / SPEC)
    variant_name(spec, None, variant)
    value = {"schema": SCHEMA, "variant": variant, "provider": provider}
    files.write_json(folder / SERVING, value)
    return files.seal(folder)


def _contents(folder: Path) -> set[str]:
    if not (folder / files.MANIFEST).exists() and not (folder / SPEC).exists():
        raise MissingFiles(
            f"There is no package in {folder.name}",
            where=str(folder),
            fix="`dvc pull` fetches a promoted one; nothing was changed",
        )
    found = set()
    for entry in os.scandir(folder):
        if entry.name not in NAMES and not _of_adapter(entry.name):
            raise _broken(Path(entry.path), f"{entry.name} does not belong in a package")
        if not entry.is_file(follow_symlinks=False):
            raise _broken(Path(entry.path), f"{entry.name} is not a plain file")
        found.add(entry.name)
    return found


def _of_adapter(file: str) -> bool:
    stem, _, kind = file.partition(".")
    return kind == "onnx_adapter" and is_adapter(stem)


def _bytes(path: Path) -> bytes:
    """One open, no link followed: what is hashed is what is used."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _broken(path, f"{path.name} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as source:
        if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
            raise _broken(path, f"{path.name} is not a plain file")
        return source.read()


def _sealed(folder: Path, found: set[str], manifest: str | None) -> dict[str, Any]:
    path = folder / files.MANIFEST
    if files.MANIFEST not in found:
        raise MissingFiles(
            f"{folder.name} has no manifest: it was never finished",
            where=str(folder),
            fix="export again, or `dvc pull`; nothing was changed",
        )
    data = _bytes(path)
    if manifest is not None and hashlib.sha256(data).hexdigest() != manifest:
        raise _broken(path, "This is another package than the one that was recorded")
    named = _json(data, path).get("files")
    if not isinstance(named, dict) or not all(isinstance(item, dict) for item in named.values()):
        raise _broken(path, "manifest.json names no files")
    return named


def _compare(folder: Path, sealed: dict[str, Any], held: dict[str, bytes], found: set[str]) -> None:
    for name in sorted(set(sealed) | (found - {files.MANIFEST})):
        if name not in sealed:
            raise _broken(folder / name, f"{name} is extra: the manifest does not name it")
        if name not in found:
            raise _broken(folder / name, f"{name} is missing")
        data = held.get(name)
        actual = (
            hashlib.sha256(data).hexdigest() if data is not None else files.sha256(folder / name)
        )
        if actual != sealed[name].get("sha256"):
            raise _broken(folder / name, f"{name} is changed: its bytes are not the manifest's")


def _check_spec(spec: dict[str, Any], path: Path) -> None:
    if spec.get("schema") != SCHEMA:
        raise _broken(path, f"{SPEC} has schema {spec.get('schema')!r}, not {SCHEMA}")
    for key, kind in {"recipe": str, "variants": dict, "encoding": dict, "decoding": dict}.items():
        if not isinstance(spec.get(key), kind):
            raise _broken(path, f"{SPEC} has no usable {key!r}")
    inputs = spec.get("inputs")
    if not (isinstance(inputs, list) and inputs and all(isinstance(x, str) for x in inputs)):
        raise _broken(path, f"{SPEC} has no usable 'inputs'")
    for name, value in spec["variants"].items():
        if not isinstance(value, dict) or value.get("file") != MODELS.get(name):
            raise _broken(path, f"{SPEC} names an unknown variant {name!r}")


def _parts(spec: dict[str, Any], variant: str, folder: Path, found: set[str]) -> dict[str, bytes]:
    """The bytes of a variant's further graphs."""
    named = spec["variants"][variant].get("parts", [])
    if not isinstance(named, list) or not all(part_file(variant, str(part)) for part in named):
        raise _broken(folder / SPEC, f"{SPEC} names unknown parts of the variant {variant}")
    files_of = {part: part_file(variant, part) for part in named}
    for file in files_of.values():
        if file not in found:
            raise _broken(folder / file, f"{file}, named by {SPEC}, is missing")
    return {part: _bytes(folder / file) for part, file in files_of.items()}


def _check_generation(
    spec: dict[str, Any], widths: dict[str, dict[str, int | None]], path: Path
) -> None:
    """The graphs are those of a model that generates, as package.json describes it."""
    try:
        plan = Plan.from_json(spec["generation"])
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path, f"{SPEC} has no usable 'generation': {error}") from error
    wanted = {"": {"logits", *plan.cache("")}}
    if plan.encoder:
        wanted[ENCODER] = set(plan.cache("cross"))
    if {part: set(outputs) for part, outputs in widths.items()} != wanted:
        raise _broken(path, f"The graphs are not those that 'generation' in {SPEC} describes")


def _check_adapters(
    spec: dict[str, Any],
    parts: dict[str, bytes],
    widths: dict[str, dict[str, int | None]],
    path: Path,
) -> None:
    """A router with one output for each adapter, and every label is some adapter's."""
    named = spec["adapters"]
    if not isinstance(named, list) or not all(
        isinstance(one, dict) and isinstance(one.get("labels"), list) for one in named
    ):
        raise _broken(path, f"{SPEC} has no usable 'adapters'")
    wanted = {ROUTER, *(f"adapter-{n}" for n in range(1, len(named) + 1))}
    if set(parts) != wanted or list(widths[ROUTER].values()) != [len(named)]:
        raise _broken(path, f"{SPEC} names {len(named)} adapters; the parts are not theirs")
    labels = spec.get("labels", [])
    known = {label for one in named for label in one["labels"]}
    if known != set(labels) or len(set(labels)) < len(labels):
        raise _broken(path, f"{SPEC} has no usable 'labels': they are not those of its adapters")


def _check_labels(labels: Any, widths: dict[str, int | None], path: Path) -> None:
    """A label for each value that a graph gives to a text, or to each token; else none."""
    if labels is None:
        missing = [width for width in widths.values() if width is not None and width > 1]
        if missing:
            raise _broken(path, f"{SPEC} names no labels for the graph's {missing[0]} outputs")
        return
    whole = isinstance(labels, list) and all(isinstance(x, str) and x.strip() for x in labels)
    if not whole or not labels or len(set(labels)) < len(labels):
        raise _broken(path, f"{SPEC} has no usable 'labels': a list of distinct names")
    for name, width in widths.items():
        if width != len(labels):
            given = "one a token" if width is None else str(width)
            raise _broken(path, f"{SPEC} names {len(labels)} labels; {name} has {given}")


def _serving(data: bytes | None, path: Path) -> dict[str, Any] | None:
    if data is None:
        return None
    value = _json(data, path)
    if not all(isinstance(value.get(key), str) for key in ("variant", "provider")):
        raise _broken(path, f"{SERVING} names no variant and provider")
    return value


def _check_tokenizer(tokenizer: dict[str, bytes], folder: Path) -> None:
    """A fast tokenizer, told by JSON alone: `auto_map` would mean code of the package's own."""
    for name in TOKENIZER:
        config = _json(tokenizer.get(name), folder / name)
        if "auto_map" in config or config.get("trust_remote_code"):
            raise _broken(folder / name, f"{name} asks for code of its own, which is never run")


def _json(data: bytes | None, path: Path) -> dict[str, Any]:
    if data is None:
        raise _broken(path, f"{path.name} is missing")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _broken(path, f"{path.name} is not readable JSON: {error}") from error
    if not isinstance(value, dict):
        raise _broken(path, f"{path.name} is not a JSON object")
    return value


def _broken(path: Path, what: str) -> IntegrityError:
    return IntegrityError(
        what, where=str(path), fix="`onward repair` brings the recorded files back; nothing was run"
    )
