"""BLEU and chrF from sums: n-gram counts of each row, by sacrebleu, added up over rows.

Papineni et al. 2002; Popović 2015; Post 2018. The figures are those of sacrebleu's `corpus_score`
over the same rows with its defaults: BLEU with tokenizer 13a and exponential smoothing, chrF with
characters up to 6 and beta 2. Only here they are of any totals [..., k] at once, as a gate that
resamples rows needs them. 13a knows no words of scripts without spaces: a row whose first reference
is of one is read by sacrebleu's tokenizer zh, each character of such a script a word. Composed and
decomposed letters are the same.

>>> row = counts("the cat sat on the mat", ["the cat sat on a mat"])
>>> round(float(bleu(row)), 2), round(float(chrf(row)), 2)
(53.73, 72.08)
>>> round(float(bleu(counts("\u4eca\u5929\u5929\u6c23\u597d", ["\u4eca\u5929\u5929\u6c23\u597d"]))))
100
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward.recipes import scripts

WORDS, CHARACTERS, BETA = 4, 6, 2
STATISTICS = (
    "said_words",
    "reference_words",
    *(f"right_{n}" for n in range(1, WORDS + 1)),
    *(f"said_{n}" for n in range(1, WORDS + 1)),
    *(f"{what}_letters_{n}" for n in range(1, 1 + CHARACTERS) for what in ("said", "gold", "both")),
)
"""What one row adds. Of several references BLEU counts against all and takes the length nearest to
what was said; chrF takes the one that it is nearest to."""

Numbers = NDArray[np.float64]


def counts(said: str, references: Sequence[str]) -> Numbers:
    """What one answer adds to the totals, [28]: STATISTICS in their order."""
    # Models write composed letters whatever a reference has.
    said, *references = (unicodedata.normalize("NFC", one) for one in (said, *references))
    apart = scripts.spaceless(references[0])
    texts = [" ".join(scripts.words(one)) if apart else one for one in (said, *references)]
    found = _bleu("zh" if apart else "13a").sentence_score(texts[0], texts[1:])
    words = [found.sys_len, found.ref_len, *found.counts, *found.totals]
    each = [_characters(said, reference) for reference in references]
    nearest = max(each, key=lambda one: float(_f_score(one)))
    return np.array([*words, *nearest.ravel()], dtype=np.float64)


def bleu(total: Numbers) -> Numbers:
    """Totals [..., k] -> BLEU, 0 to 100, [...]."""
    total = np.asarray(total, dtype=np.float64)
    said, wanted = total[..., 0], total[..., 1]
    right, tried = total[..., 2 : 2 + WORDS], total[..., 2 + WORDS : 2 + 2 * WORDS]
    # A length without a right n-gram is worth half of the last such one's smallest share.
    halved = 2.0 ** np.cumsum(right == 0, axis=-1)
    share = np.where(right > 0, right, 1 / halved) / np.maximum(tried, 1)
    with np.errstate(divide="ignore"):
        mean = np.exp(np.log(share).mean(axis=-1))
    short = np.exp(np.minimum(0.0, 1 - wanted / np.maximum(said, 1)))
    defined = (right.sum(axis=-1) > 0) & (tried > 0).all(axis=-1)
    found: Numbers = np.where(defined, 100 * short * mean, 0.0)
    return found


def chrf(total: Numbers) -> Numbers:
    """Totals [..., k] -> chrF, 0 to 100, [...]."""
    total = np.asarray(total, dtype=np.float64)
    counted = total[..., 2 + 2 * WORDS :]
    return _f_score(counted.reshape(*total.shape[:-1], CHARACTERS, 3))


def _f_score(counted: Numbers) -> Numbers:
    """Said, gold and both by length [..., 6, 3] -> chrF [...]."""
    said, gold, both = np.moveaxis(counted, -1, 0)
    there = (said > 0) & (gold > 0)
    lengths = np.maximum(there.sum(axis=-1), 1)
    precision = np.where(there, both / np.maximum(said, 1), 0).sum(axis=-1) / lengths
    recall = np.where(there, both / np.maximum(gold, 1), 0).sum(axis=-1) / lengths
    below = BETA**2 * precision + recall
    found: Numbers = 100 * (1 + BETA**2) * precision * recall / np.where(below > 0, below, 1)
    return found


def _characters(said: str, gold: str) -> Numbers:
    """n-grams of characters that were said, are in the reference, and are in both, [6, 3]."""
    from sacrebleu.metrics.helpers import extract_all_char_ngrams

    pairs: list[tuple[Counter[Any], Counter[Any]]] = [
        (one, other)
        for one, other in zip(
            extract_all_char_ngrams(said, CHARACTERS),
            extract_all_char_ngrams(gold, CHARACTERS),
            strict=True,
        )
    ]
    found = [
        # As sacrebleu has it: what no reference could have does not count against an answer.
        [one.total() if other else 0, other.total(), (one & other).total()]
        for one, other in pairs
    ]
    return np.array(found, dtype=np.float64)


@cache
def _bleu(tokenizer: str) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(effective_order=True, tokenize=tokenizer)
