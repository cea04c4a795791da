"""Summarization: a long text becomes a short one, scored by ROUGE.

>>> guess(["fname", "dialogue", "summary"])
{'id': 'fname', 'text': 'dialogue', 'references': 'summary'}
>>> baseline({"text": "It rained. Ana stayed."}, None)["text"]
'It rained.'
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward.config import Evaluate, Prepare
from onward.recipes import hashing, rouge, scripts, texttotext
from onward.recipes.shapes import Prediction, Row

SCHEMA, TARGETS, GENERATES = texttotext.SCHEMA, texttotext.TARGETS, texttotext.GENERATES
split_key, inputs, gold = texttotext.split_key, texttotext.inputs, texttotext.gold
slices, vocabulary, labels_of = texttotext.slices, texttotext.vocabulary, texttotext.labels_of
encode, inputs_cut, decode = texttotext.encode, texttotext.inputs_cut, texttotext.decode
common, build, graphs = texttotext.common, texttotext.build, texttotext.graphs
KIND = texttotext.KIND
report, longest = texttotext.report, texttotext.longest

PRIMARY = "rouge_l"
METRICS = ("rouge_l", "rouge_1", "rouge_2")
STATISTICS = ("n", "rouge_1", "rouge_2", "rouge_l")
RIGHT_OR_WRONG = False
PERFECT = 100.0
PLACED = None

_REFERENCES = ("summary", "summaries", "highlights", "abstract", "headline", "reference", "target")
_SOURCES = (
    "dialogue",
    "dialog",
    "article",
    "document",
    "conversation",
    "body",
    "content",
    "source",
)
"""`source` is last: beside a text it says where that comes from."""
_OTHER_ENDS = scripts.ENDS.strip(".!?")
_SENTENCE = re.compile(rf"\s*(.+?(?:[.!?](?=\s|$)|[{_OTHER_ENDS}]+))|\s*(.+)", re.DOTALL)


def guess(columns: Sequence[str]) -> dict[str, str] | None:
    """Canonical field -> source column, or None where text or summary has none."""
    return texttotext.guess(columns, _REFERENCES, _SOURCES)


def statistics(row: Row, prediction: Prediction) -> NDArray[np.float64]:
    """What one prediction adds to the totals, [4]: 1 and the best ROUGE F over the references."""
    each = [rouge.scores(prediction["text"], one) for one in row["references"]]
    return np.array([1.0, *(max(found) for found in zip(*each, strict=True))])


def metrics(total: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Totals [..., 4] -> mean ROUGE in percent and n, each [...]; 0 over no rows."""
    n, one, two, longest = np.moveaxis(np.asarray(total, dtype=np.float64), -1, 0)
    means = {"rouge_l": longest, "rouge_1": one, "rouge_2": two}
    return {**{name: texttotext.scores(n, sums) for name, sums in means.items()}, "n": n}


def row_scores(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each row [n, k] is worth: its ROUGE-L."""
    found: NDArray[np.float64] = metrics(statistics)[PRIMARY]
    return found


def baseline(row: Row, common: None) -> Prediction:
    """The trivial answer: the first sentence of the text."""
    found = _SENTENCE.match(row["text"])
    return texttotext.answered((found[1] or found[2]).strip() if found else "")


def scorer(settings: Evaluate, prepare: Prepare) -> str:
    """Hash of all that can change a score but the artifact and the rows."""
    modules = ("generated", "generative", "rouge", "scripts", "shapes", "special_tokens")
    return hashing.scorer((*modules, "summarization", "texttotext"), settings, prepare, writes=True)
