"""Translation: a text in one language becomes one in another, scored by BLEU and chrF.

>>> guess(["en", "de"])
{'text': 'en', 'references': 'de'}
>>> baseline({"text": "Guten Tag"}, None)["text"]
'Guten Tag'
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward.config import Evaluate, Prepare
from onward.recipes import bleu, hashing, texts, texttotext
from onward.recipes.shapes import Prediction, Row

SCHEMA, TARGETS, GENERATES = texttotext.SCHEMA, texttotext.TARGETS, texttotext.GENERATES
split_key, inputs, gold = texttotext.split_key, texttotext.inputs, texttotext.gold
slices, vocabulary, labels_of = texttotext.slices, texttotext.vocabulary, texttotext.labels_of
encode, inputs_cut, decode = texttotext.encode, texttotext.inputs_cut, texttotext.decode
common, build, graphs = texttotext.common, texttotext.build, texttotext.graphs
KIND = texttotext.KIND
report, longest = texttotext.report, texttotext.longest

PRIMARY = "bleu"
METRICS = ("bleu", "chrf")
STATISTICS = ("n", *bleu.STATISTICS)
RIGHT_OR_WRONG = False
ROW_SCORE = "chrF"
PERFECT = 100.0
PLACED = None

_REFERENCES = ("translation", "target", "targettext", "tgt", "reference", "output")
_SOURCES = ("source", "sourcetext", "src", "sentence", "original", "input")
NESTED = "translation."
"""What the columns begin with that were an object of two languages (`episodes.nested`)."""

_LANGUAGES = dict(
    pair.split(":")
    for pair in (
        "ar:arabic bg:bulgarian bn:bengali ca:catalan cs:czech da:danish de:german el:greek "
        "en:english es:spanish et:estonian fa:persian fi:finnish fr:french he:hebrew hi:hindi "
        "hr:croatian hu:hungarian it:italian ja:japanese ko:korean lt:lithuanian lv:latvian "
        "nb:norwegian nl:dutch pl:polish pt:portuguese ro:romanian ru:russian sk:slovak "
        "sl:slovenian sr:serbian sv:swedish sw:swahili ta:tamil te:telugu th:thai tr:turkish "
        "uk:ukrainian ur:urdu vi:vietnamese zh:chinese"
    ).split()
)
"""Columns named by their language: the first two that occur are text and translation. Not all of
ISO 639: columns called id, no, is or so are seldom Indonesian, Norwegian, Icelandic or Somali."""

_REGION = re.compile(r"(?<=^[A-Za-z]{2})[-_]([A-Z]{2}|Hans|Hant|Latn|Cyrl)$")
"""As in en-US and zh_Hant; in capitals, for an hr_id is no Croatian."""


def guess(columns: Sequence[str]) -> dict[str, str] | None:
    """Canonical field -> source column, or None where text or translation has none.

    Of columns named by their language, or those of an object of two, the first is the text. Rows
    that begin with an instruction ask for anything: see `chat`.
    """
    asked = texts.named(columns, {"instruction": ("instruction",), "told": ("references",)})
    if asked.keys() == {"instruction"}:
        return None
    found = texttotext.guess(columns, _REFERENCES, _SOURCES)
    nested = [column for column in columns if column.startswith(NESTED)]
    named = nested or [column for column in columns if _language(column)]
    ends = [name for name in ("text", "references") if name in columns]
    if found or len(named) + len(ends) < 2:
        return found
    first = "text" if "text" in ends else named.pop(0)
    second = "references" if "references" in ends else named.pop(0)
    told = {first: "text", second: "references"}
    about = texttotext.guess([told.get(column, column) for column in columns], (), ()) or {}
    return {**about, "text": first, "references": second}


def _language(column: str) -> bool:
    """Whether a column is named by its language: a code, one with a region or script, a name."""
    told = _REGION.sub("", column).lower()
    return told in _LANGUAGES or told in _LANGUAGES.values()


def statistics(row: Row, prediction: Prediction) -> NDArray[np.float64]:
    """What one prediction adds to the totals, [29]: 1 and the counts of `bleu.STATISTICS`."""
    return np.array([1.0, *bleu.counts(prediction["text"], row["references"])])


def metrics(total: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Totals [..., 29] -> BLEU and chrF of all their rows, 0 to 100, and n, each [...]."""
    total = np.asarray(total, dtype=np.float64)
    counted = total[..., 1:]
    return {"bleu": bleu.bleu(counted), "chrf": bleu.chrf(counted), "n": total[..., 0]}


def sizes(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many words the reference of each row [n, 29] has: BLEU counts runs of them."""
    found: NDArray[np.float64] = statistics[:, STATISTICS.index("reference_words")]
    return found


def row_scores(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each row [n, k] is worth: its chrF; BLEU means little of one sentence."""
    found: NDArray[np.float64] = metrics(statistics)["chrf"]
    return found


def baseline(row: Row, common: None) -> Prediction:
    """The trivial answer: the text as it is; names and numbers in it are right."""
    return texttotext.answered(row["text"])


def scorer(settings: Evaluate, prepare: Prepare) -> str:
    """Hash of all that can change a score but the artifact and the rows."""
    modules = ("bleu", "generated", "generative", "scripts", "shapes", "special_tokens")
    return hashing.scorer((*modules, "texttotext", "translation"), settings, prepare, writes=True)
