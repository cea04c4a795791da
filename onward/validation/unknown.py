"""How much of the rows a model's own tokenizer cannot read, and how many tokens it makes of them.

A vocabulary that lacks a script reads its characters as one and the same token, and no training
mends that: MiniLM's reads 59% of Chinese so. Byte-level vocabularies know every text. A token is
4 bytes of English, 9 of Hindi for a vocabulary of many languages, 1 for one that spells it.

>>> spread(10, 4)
[0, 3, 6, 9]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from onward import files, recipes
from onward.episodes import rows as parquet

LOOKED_AT = 1_000
"""Rows of each side of an episode that are read, evenly spread."""

_AT_ONCE = 64


class Reader:
    """A tokenizer.json, loaded once; texts are read without special tokens and never cut."""

    def __init__(self, file: Path) -> None:
        from tokenizers import Tokenizer

        model = files.read_json(file)["model"]
        self.unknown = model.get("unk_id")
        self._tokens: Any = Tokenizer.from_file(str(file))
        self._tokens.no_truncation()
        self._tokens.no_padding()
        if model.get("unk_token") is not None:
            self.unknown = self._tokens.token_to_id(model["unk_token"])

    def percent(self, texts: Iterable[str]) -> float:
        """Characters in unknown tokens, of all that are no space, in percent; 0 of none."""
        return self.read(texts)[0]

    def read(self, texts: Iterable[str]) -> tuple[float, float]:
        """`percent` of the texts, and how many bytes of UTF-8 a token of them has; 0 of none."""
        unknown = shown = size = made_of = 0
        rest = iter(texts)
        while some := list(islice(rest, _AT_ONCE)):
            made = self._tokens.encode_batch(some, add_special_tokens=False)
            for text, found in zip(some, made, strict=True):
                shown += _shown(text)
                size += len(text.encode())
                made_of += len(found.ids)
                tokens = zip(found.ids, found.offsets, strict=True)
                places = {place for token, place in tokens if token == self.unknown}
                unknown += sum(_shown(text[start:end]) for start, end in places)
        percent = round(100.0 * unknown / shown, 3) if shown else 0.0
        return percent, size / made_of if made_of else 0.0


def _shown(text: str) -> int:
    return len(text) - sum(map(str.isspace, text))


def texts_of(folder: Path, recipe: str) -> Iterator[str]:
    """What a model reads of an episode's rows, and what it should write of them.

    Raises:
        MissingFiles, DataError: a file is not there or damaged.
    """
    module = recipes.get(recipe)
    for side in ("train", "heldout"):
        path = folder / f"{side}.parquet"
        wanted = set(spread(parquet.count(path), LOOKED_AT))
        for at, row in enumerate(parquet.read(path)):
            if at in wanted:
                for value in [*module.inputs(row).values(), row.get("references")]:
                    said = [value] if isinstance(value, str) else value or ()
                    yield from (text for text in said if text)  # a null has an expectation


def spread(count: int, most: int) -> Sequence[int]:
    """At most `most` places of `count`, from the first to the last, evenly."""
    if count <= most:
        return range(count)
    return [at * (count - 1) // (most - 1) for at in range(most)]
