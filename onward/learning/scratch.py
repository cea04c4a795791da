"""A small encoder-decoder that knows nothing yet: where no pretrained one is at hand.

`project.encoder: scratch:small` names one. Its vocabulary is trained on the training rows of the
project's first episode (byte-level BPE, Sennrich et al. 2016; so no text is unknown to it), its
weights are drawn. Both follow from the size and these rows alone, so the folder may be deleted and
comes out the same; it lies in the project's cache.

The model is a Transformer (Vaswani et al. 2017) as Marian has it: sinusoidal places, one embedding
for both languages and the output.

>>> sorted(SIZES)
['base', 'small', 'tiny']
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from onward import files
from onward.episodes import rows as parquet
from onward.errors import DataError, MissingFiles, SettingsError

PREFIX = "scratch:"
MODEL_TYPE = "marian"
SCHEMA = 1
SEED = 0
PLACES = 1024
"""The longest text or answer, in tokens."""

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"


@dataclass(frozen=True)
class Size:
    """Width and depth, of encoder and decoder each, and the most tokens of the vocabulary."""

    width: int
    inner: int
    layers: int
    heads: int
    tokens: int


SIZES = {
    "tiny": Size(width=64, inner=128, layers=2, heads=2, tokens=1_000),
    "small": Size(width=256, inner=512, layers=3, heads=4, tokens=8_000),
    "base": Size(width=512, inner=1024, layers=6, heads=8, tokens=16_000),
}
"""1 layer of `small` and its share of the vocabulary fit a few 10,000 sentences on a small CPU."""


def folder(root: Path, name: str) -> Path:
    """The model's folder, made where it is not there yet.

    Args:
        root: the project.
        name: `project.encoder`, which begins with PREFIX.

    Raises:
        SettingsError: there is no such size, or the recipe is not one for an encoder-decoder.
        MissingFiles: the project has no episode yet, or its rows are not on this machine.
    """
    from onward.project import Project

    project, named = Project(root), size(name)
    train = _first(project)
    if not {"text", "references"} <= set(pq.read_schema(train).names):
        raise SettingsError(
            "A model from scratch writes a text for a text, and the project's rows are others",
            where="params.yaml, project.encoder",
            fix="name a pretrained model; translation and summarization can begin from scratch",
        )
    key = files.digest([SCHEMA, name, SEED, files.sha256(train), _versions()])
    made = project.cache / "scratch" / key
    if not (made / files.MANIFEST).is_file():
        with files.building(made, replace=True) as at:
            write(at, named, _texts(train))
    files.verify(made)
    return made


def size(name: str) -> Size:
    """The size that a name asks for. Raises SettingsError: there is none of that name."""
    found = SIZES.get(name.removeprefix(PREFIX))
    if found is None:
        raise SettingsError(
            f"There is no model {name!r}",
            where="params.yaml, project.encoder",
            fix=f"sizes are {', '.join(PREFIX + one for one in SIZES)}",
        )
    return found


def _first(project: Any) -> Path:
    """The training rows of the project's first episode."""
    episodes = sorted(path.name for path in project.data.glob("[0-9]*") if path.is_dir())
    path = project.episode(episodes[0]) / "train.parquet" if episodes else None
    if path is None or not path.is_file():
        raise MissingFiles(
            "A model from scratch takes its vocabulary from the first episode, which is not here",
            where=str(path or project.data),
            fix="open an episode first, or `dvc pull`",
        )
    return Path(path)


def _versions() -> dict[str, str]:
    from importlib import metadata

    return {name: metadata.version(name) for name in ("tokenizers", "torch", "transformers")}


def _texts(train: Path) -> Iterator[str]:
    """Every text and reference of the training rows, in their order."""
    for row in parquet.read(train, ["text", "references"]):
        yield row["text"]
        yield from row["references"]


def write(at: Path, size: Size, texts: Iterator[str]) -> None:
    """Write config, drawn weights and a tokenizer trained on the texts into an empty folder.

    Raises:
        DataError: the texts hold nothing.
    """
    import torch
    from transformers import MarianConfig, MarianMTModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = _tokenizer(size, texts)
    pad, end = (tokenizer.convert_tokens_to_ids(mark) for mark in (PAD, END))
    made = MarianConfig(
        vocab_size=len(tokenizer),
        decoder_vocab_size=len(tokenizer),
        d_model=size.width,
        encoder_layers=size.layers,
        decoder_layers=size.layers,
        encoder_attention_heads=size.heads,
        decoder_attention_heads=size.heads,
        encoder_ffn_dim=size.inner,
        decoder_ffn_dim=size.inner,
        max_position_embeddings=PLACES,
        activation_function="relu",
        scale_embedding=True,
        # As wide as the products of a Transformer are commonly drawn (Glorot and Bengio 2010).
        init_std=size.width**-0.5,
        pad_token_id=pad,
        eos_token_id=end,
        bos_token_id=None,
        decoder_start_token_id=pad,
        forced_eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = MarianMTModel(made)
    files.operation("write", at)
    model.save_pretrained(at)
    (at / "model.safetensors").chmod(0o644)  # safetensors lets its owner alone read it
    tokenizer.save_pretrained(at)


def _tokenizer(size: Size, texts: Iterator[str]) -> Any:
    """Byte-level BPE, the tokens of a text followed by END."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    fast = Tokenizer(models.BPE(unk_token=UNKNOWN))
    fast.normalizer = normalizers.NFC()
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    fast.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=size.tokens,
        special_tokens=[PAD, END, UNKNOWN],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    first = next(texts, None)
    if first is None:
        raise DataError(
            "The first episode has no training rows to make a vocabulary from",
            where="params.yaml, project.encoder",
            fix="open an episode with training rows first",
        )
    fast.train_from_iterator(_and(first, texts), trainer)
    end = fast.token_to_id(END)
    fast.post_processor = processors.TemplateProcessing(
        single=f"$A:0 {END}:0", pair=f"$A:0 $B:0 {END}:0", special_tokens=[(END, end)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        model_max_length=PLACES,
    )


def _and(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest
