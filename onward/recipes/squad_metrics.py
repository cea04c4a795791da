"""SQuAD's exact match and F1 as statistics that sum, so that any resampling is one product.

>>> row = {"answers": ["the Normans", "Normans"]}
>>> statistics(row, {"text": "Normans.", "no_answer": False}).tolist()
[1.0, 1.0, 1.0, 0.0, 0.0]
>>> float(metrics(statistics(row, {"text": "Normans of old", "no_answer": False}))["f1"])
50.0

The rules are those of the official scripts (https://arxiv.org/abs/1606.05250 and 1806.03822) with
one addition: an answer of which normalisation leaves nothing ("The", "!") is compared as it
stands, so that "!" is not right for "?".

Where the question or a gold answer is of a script without spaces, the row is scored as MLQA does it
(https://arxiv.org/abs/1910.07475): characters of such scripts are words, those of others stand
between spaces, all punctuation is left out and no article; and full-width forms are ASCII, which
MLQA leaves. Of other questions with a letter or mark that ASCII lacks, Unicode's punctuation is
left out, too, as MLQA does: the official scripts know ASCII's alone; and composed and decomposed
letters are the same.

>>> row = {"question": "\u54ea\u4e00\u5e74\uff1f", "answers": ["\uff11\uff18\uff15\uff11\u5e74"]}
>>> statistics(row, {"text": "1851\u5e74", "no_answer": False}).tolist()
[1.0, 1.0, 1.0, 0.0, 0.0]
>>> row = {"question": "\u00bfCu\u00e1l?", "answers": ["Madrid"]}
>>> statistics(row, {"text": "\u00abMadrid\u00bb", "no_answer": False}).tolist()
[1.0, 1.0, 1.0, 0.0, 0.0]
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from onward.recipes import scripts
from onward.recipes.shapes import Prediction, Row

PRIMARY = "f1"
METRICS = ("f1", "em", "has_f1", "has_em", "no_f1", "no_em")
"""In percent, in the order in which tables show them."""

STATISTICS = ("has_n", "has_f1", "has_em", "no_n", "no_right")
"""Rows with an answer, their F1 and exact matches (0 to 1); rows without, and those found so."""

Reading = Literal["ascii", "unicode", "spaceless"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, gold: str, reading: Reading = "ascii") -> float:
    """1.0 where both normalise to the same words, else 0.0. `reading` as in `f1`."""
    return float(_comparable(prediction, reading) == _comparable(gold, reading))


def f1(prediction: str, gold: str, reading: Reading = "ascii") -> float:
    """Harmonic mean of precision and recall over normalised words, 0.0 to 1.0.

    Args:
        prediction, gold: any texts.
        reading: `ascii`, the official scripts' words; `unicode`, these without Unicode's
            punctuation; `spaceless`, in which characters of scripts without spaces are words.
    """
    found, wanted = _words(prediction, reading), _words(gold, reading)
    shared = sum((Counter(found) & Counter(wanted)).values())
    return 2.0 * shared / (len(found) + len(wanted)) if shared else 0.0


def best(row: Row, prediction: str, golds: Sequence[str]) -> tuple[float, float]:
    """F1 and exact match of a prediction, each with the gold answer that suits it best."""
    how = read_as(row.get("question") or "", golds)
    return (
        max(f1(prediction, gold, how) for gold in golds),
        max(exact_match(prediction, gold, how) for gold in golds),
    )


def read_as(question: str, golds: Sequence[str]) -> Reading:
    """How a row's answers are read: by its own texts, whatever a model answers to it."""
    if any(map(scripts.spaceless, (question, *golds))):
        return "spaceless"
    return "ascii" if question.isascii() else "unicode"


def _words(text: str, reading: Reading) -> list[str]:
    found = _comparable(text, reading)
    if reading == "spaceless":
        return scripts.words(found) or [found]
    return found.split()


def _comparable(text: str, reading: Reading) -> str:
    if reading == "spaceless":
        return " ".join(scripts.words(scripts.plain(text))) or text.strip()
    if reading == "unicode":
        # Models write composed letters whatever a reference has: Hangul, Vietnamese.
        text = unicodedata.normalize("NFC", text)
        return normalise(scripts.unmarked(text)) or text.strip()
    return normalise(text) or text.strip()


def statistics(row: Row, prediction: Prediction) -> NDArray[np.float64]:
    """What one prediction adds to the totals: float64 [len(STATISTICS)].

    With several gold answers the best of each metric counts. A row without an answer is right
    exactly where the prediction is that there is none; a row with one is then wrong.
    """
    if not row["answers"]:
        return np.array([0.0, 0.0, 0.0, 1.0, float(prediction["no_answer"])])
    if prediction["no_answer"]:
        return np.array([1.0, 0.0, 0.0, 0.0, 0.0])
    return np.array([1.0, *best(row, prediction["text"], row["answers"]), 0.0, 0.0])


def metrics(total: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Totals [..., k] -> METRICS in percent and the counts n, has_n and no_n, each [...].

    Never NaN: a metric over no rows is 0, which its count of 0 flags.
    """
    has_n, has_f1, has_em, no_n, no_right = np.moveaxis(np.asarray(total, dtype=np.float64), -1, 0)
    n = has_n + no_n
    return {
        "f1": _percent(has_f1 + no_right, n),
        "em": _percent(has_em + no_right, n),
        "has_f1": _percent(has_f1, has_n),
        "has_em": _percent(has_em, has_n),
        "no_f1": _percent(no_right, no_n),
        "no_em": _percent(no_right, no_n),
        "n": n,
        "has_n": has_n,
        "no_n": no_n,
    }


def _percent(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return 100.0 * np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
