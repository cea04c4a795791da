"""Arrow columns of rows as columns of numbers: blank texts, nulls, keys, words.

>>> import pyarrow as pa
>>> blank(pa.array(["so", " ?!"])).tolist()
[False, True]
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onward.episodes.rows import is_blank, normalised
from onward.recipes import scripts
from onward.validation.words import Words

SPACELESS = f"[{scripts.SPACELESS}]"
"""Finds texts of which some part has no spaces between words."""

READABLE = "[0-9A-Za-z]"
"""Finds most texts that say something at once; `is_blank` has the last word on the others."""

BYTES_PER_TOKEN = 4.0
"""A rough estimate that holds for English word pieces, where no tokenizer says better."""

MARKERS = 3
"""Tokens that a model adds around its texts."""


def numbers(values: Any) -> Any:
    """int64 or float64: Great Expectations compares other types one Python value at a time."""
    array = values if isinstance(values, np.ndarray) else values.to_numpy(zero_copy_only=False)
    return array.astype(np.float64 if array.dtype.kind == "f" else np.int64)


def blank(texts: Any) -> Any:
    """Which texts hold only spaces, controls, punctuation and characters that do not show."""
    readable = np.array(pc.match_substring_regex(texts, READABLE)).astype(bool)
    for at in np.flatnonzero(~readable):
        readable[at] = not is_blank(texts[int(at)].as_py())
    return ~readable


def filled(column: Any) -> Any:
    """One array of texts or lists, nulls as empty; `nulls` counts them."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_list(array.type):
        # Made anew, because an array that is a slice keeps its parent's values.
        plain = [value or [] for value in array.to_pylist()] if array.null_count else None
        return array if plain is None else pa.array(plain, array.type)
    return pc.fill_null(array, "")


def nulls(column: Any) -> Any:
    """How many values of each row are null, members of lists included."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    missing = np.asarray(array.is_null()).astype(np.int64)
    if pa.types.is_list(array.type):
        inside = pc.list_parent_indices(array).to_numpy(zero_copy_only=False)
        lost = np.asarray(pc.list_flatten(array).is_null())
        missing += np.bincount(inside[lost], minlength=len(array))
    return missing


def counts(texts: Any) -> Any:
    """How many words each text has; in scripts without spaces its characters."""
    words = numbers(pc.add(pc.count_substring_regex(pc.utf8_trim_whitespace(texts), r"\s+"), 1))
    for at in np.flatnonzero(np.array(pc.match_substring_regex(texts, SPACELESS)).astype(bool)):
        words[at] = scripts.count(texts[int(at)].as_py())
    return words


def tokens(*texts: Any) -> Any:
    """About how many tokens the texts of each row are together."""
    size = np.sum([numbers(pc.binary_length(column)) for column in texts], axis=0)
    return size / BYTES_PER_TOKEN + MARKERS


def retold(tokens: Any, bytes_per_token: float) -> Any:
    """`tokens` where a tokenizer makes one of so many bytes."""
    return MARKERS + (tokens - MARKERS) * BYTES_PER_TOKEN / bytes_per_token


def read(texts: Any, words: Words) -> tuple[list[bytes], Any]:
    """Of each text the 8-byte digest of its normalised form, and [rows, 2]: its words, new ones.

    Texts that come again are read once; a text that is alike is one for `words`, too.
    """
    unique = pc.dictionary_encode(texts)
    digests, counts = [], []
    for text in unique.dictionary.to_pylist():
        plain = normalised(text)
        digests.append(hashlib.blake2b(plain.encode(), digest_size=8).digest())
        counts.append(words.count(plain))
    at = unique.indices.to_numpy(zero_copy_only=False)
    return [digests[n] for n in at], np.array(counts, np.int64).reshape(-1, 2)[at]


def keys(*digests: list[bytes]) -> Any:
    """64 bits of each row's digests together: a chance match needs billions of rows."""
    rows = zip(*digests, strict=True)
    joined = (hashlib.blake2b(b"".join(row), digest_size=8).digest() for row in rows)
    return np.frombuffer(b"".join(joined), dtype="<i8").copy()
