"""What two entities of a text have to do with each other.

>>> row = {"text": "Smog causes asthma.", "head_start": 0, "head_end": 4, "tail_start": 12,
...        "tail_end": 18, "label": "Cause-Effect(e1,e2)"}
>>> inputs(row)
{'text': '<e1>Smog</e1> causes <e2>asthma</e2>.'}
>>> triple(row, row["label"])
['Smog', 'Cause-Effect', 'asthma']

A model reads both entities between marks that its tokenizer knows as ordinary characters, "@ Smog @
causes # asthma #": Zhou and Chen 2022, An Improved Baseline for Sentence-level Relation Extraction,
found them no worse than new special tokens, and nothing has to be added to the vocabulary. People
mark them as SemEval-2010 task 8 does, <e1>head</e1> and <e2>tail</e2>, in either order.

A label may say by "(e1,e2)" or "(e2,e1)" which of the two the relation begins with. The labels of
NEGATIVE say that there is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from onward.config import Evaluate, Prepare
from onward.errors import SettingsError, UsageError
from onward.recipes import (
    class_report,
    classification,
    entity_marks,
    hashing,
    labels,
    micro_f1,
    texts,
    windows,
)
from onward.recipes.shapes import Feature, Prediction, Row

split_key = texts.split_key
vocabulary, labels_of = labels.single, labels.of_folder
PRIMARY, METRICS, STATISTICS = micro_f1.PRIMARY, micro_f1.METRICS, micro_f1.STATISTICS
metrics, row_scores = micro_f1.metrics, micro_f1.row_scores
sizes = micro_f1.sizes
TARGETS, build, graphs = classification.TARGETS, classification.build, classification.graphs
KIND = classification.KIND

ENTITIES = ("head_start", "head_end", "tail_start", "tail_end")
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("text", pa.string(), nullable=False),
        *(pa.field(name, pa.int32(), nullable=False) for name in ENTITIES),
        pa.field("label", pa.string(), nullable=False),
    ]
)
"""One canonical row. The entities are apart; their places are characters (code points) of text."""

RIGHT_OR_WRONG = False
PERFECT = 100.0
PLACED = None

NEGATIVE = frozenset({"other", "no_relation", "no relation", "na", "n/a", "none"})
"""Labels, in lower case, that say that there is no relation: nothing to be found."""

_COLUMNS = {
    "label": ("relation", "relationtype", "predicate", "label", "class"),
    "head_start": ("headstart", "e1start", "subjstart", "subjectstart"),
    "head_end": ("headend", "e1end", "subjend", "subjectend"),
    "tail_start": ("tailstart", "e2start", "objstart", "objectstart"),
    "tail_end": ("tailend", "e2end", "objend", "objectend"),
}
_TOKENS = {"tokens": ("tokens", "token", "words")}
"""What places count where there is no text, as in TACRED."""
_DIRECTIONS = ("(e1,e2)", "(e2,e1)")
_MARKS = ("@", "#")
_SCORED = ("entity_marks", "micro_f1", "relation", "shapes", "texts")


def guess(columns: Sequence[str]) -> dict[str, str] | None:
    """Canonical field -> source column; None where no text and relation are told.

    Entities are told by four columns, or by marks in the text, which no column's name tells. Where
    there are tokens and no text, the four columns count tokens.
    """
    named = texts.named(columns, {**texts.COLUMNS, **_COLUMNS})
    if "text" not in named:
        named |= texts.named(columns, _TOKENS)
    whole = "text" in named or {"tokens", *ENTITIES} <= named.keys()
    return named if whole and "label" in named else None


def inputs(row: Row) -> dict[str, str]:
    """The text with both entities marked, as people read and write it."""
    return {"text": entity_marks.marked(row["text"], places(row))}


def asked(inputs: Mapping[str, str]) -> dict[str, Any]:
    """The columns of a row that is asked with a marked text.

    Raises:
        UsageError: it does not mark two entities.
    """
    try:
        text, found = entity_marks.unmarked(inputs["text"])
    except ValueError as error:
        raise UsageError(
            str(error), where="text", fix="mark both: '<e1>Smog</e1> causes <e2>asthma</e2>.'"
        ) from error
    return {"text": text, **dict(zip(ENTITIES, (*found[0], *found[1]), strict=True))}


def places(row: Row) -> tuple[entity_marks.Place, entity_marks.Place]:
    """Start and end of the head, and of the tail."""
    head, tail = (row["head_start"], row["head_end"]), (row["tail_start"], row["tail_end"])
    return head, tail


def gold(row: Row) -> list[str]:
    """The right answer as people read it."""
    return [row["label"]]


def relation_of(label: str) -> str:
    """A label without its direction."""
    return label[: -len(_DIRECTIONS[0])].rstrip() if label.endswith(_DIRECTIONS) else label


def triple(row: Row, label: str) -> list[str]:
    """Who has which relation to whom; empty where the label says that there is none."""
    if label.casefold() in NEGATIVE:
        return []
    head, tail = (row["text"][start:end] for start, end in places(row))
    first, last = (tail, head) if label.endswith(_DIRECTIONS[1]) else (head, tail)
    return [first, relation_of(label), last]


def slices(row: Row) -> dict[str, str]:
    """Slice -> value of one row; lengths are in words."""
    return {"relation": relation_of(row["label"]), "text length": texts.length(row)}


def encode(
    rows: Sequence[Row], tokenizer: Any, settings: Prepare, *, labels: Sequence[str] | None
) -> list[Feature]:
    """One feature a row, as `texts.encode`, of the text with marks around both entities.

    A longer text keeps what is around and between the entities: it loses what is furthest, then
    the middle between them.

    Raises:
        DataError: a row's label is not among `labels`.
        SettingsError: the tokenizer lacks the marks, or cannot say where its tokens lie.
    """
    _need_marks(tokenizer)
    shown = _shown(rows, tokenizer, settings)
    return classification.encode(shown, tokenizer, settings, labels=labels)


def _need_marks(tokenizer: Any) -> None:
    windows.need_offsets(tokenizer)
    lacking = [mark for mark in _MARKS if tokenizer.unk_token in tokenizer.tokenize(f"a {mark} a")]
    if lacking:
        raise SettingsError(
            f"The tokenizer {type(tokenizer).__name__} does not know {' and '.join(lacking)}, the "
            "marks of entities",
            where="project.encoder",
            fix="choose an encoder whose vocabulary has these characters",
        )


def _shown(rows: Sequence[Row], tokenizer: Any, settings: Prepare) -> list[Row]:
    """Rows of classification: marked texts, cut around the entities where they are too long."""
    spaced = [entity_marks.spaced(row["text"], places(row), _MARKS) for row in rows]
    cut = entity_marks.cut(spaced, tokenizer, settings.max_length)
    own = ("id", "label")
    return [
        {"text": text, "pair": None, **{name: row[name] for name in own}}
        for text, row in zip(cut, rows, strict=True)
    ]


def inputs_cut(rows: Sequence[Row], tokenizer: Any, settings: Prepare) -> int:
    """How many rows are longer than `settings.max_length` tokens and lose a part."""
    _need_marks(tokenizer)
    spaced = [entity_marks.spaced(row["text"], places(row), _MARKS)[0] for row in rows]
    return texts.inputs_cut([{"text": text} for text in spaced], tokenizer, settings)


def decode(
    rows: Sequence[Row],
    features: Sequence[Feature],
    outputs: Sequence[Mapping[str, NDArray[np.floating]]],
    settings: Evaluate,
    labels: Sequence[str] = (),
    *,
    tokenizer: Any = None,
) -> Iterator[Prediction]:
    """The most probable label of each row, as classification, and its triple.

    no_answer where the label is one of NEGATIVE: the triple is empty then.
    """
    made = classification.decode(rows, features, outputs, settings, labels, tokenizer=tokenizer)
    for row, told in zip(rows, made, strict=True):
        found = triple(row, told["label"])
        yield {**told, "triple": found, "no_answer": not found}


def statistics(row: Row, prediction: Prediction) -> NDArray[np.float64]:
    """What one prediction adds to the totals: relations, with their direction, found or missed."""
    return micro_f1.counted(_relation(row["label"]), _relation(prediction["label"]))


def _relation(label: str) -> set[str]:
    """The label, where it is to be found at all."""
    return set() if label.casefold() in NEGATIVE else {label}


def report(rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """By relation, both directions together, and macro F1 as SemEval-2010 task 8 has it.

    A relation counts as found where its direction is right, too; labels of NEGATIVE have no line
    and no part in the mean (Hendrickx et al. 2010, the official score).
    """
    right = [told["label"] == row["label"] for row, told in zip(rows, predictions, strict=True)]
    return {
        **class_report.by_class(
            [_relation(row["label"]) for row in rows],
            [_relation(told["label"]) for told in predictions],
            relation_of,
        ),
        "calibration": class_report.calibration(
            [told["probability"] for told in predictions], right
        ),
    }


def common(rows: Iterable[Row]) -> str:
    """The most frequent label that names a relation, the first of equal ones by name; else ""."""
    counts = Counter(label for row in rows for label in _relation(row["label"]))
    return min(counts, key=lambda label: (-counts[label], label), default="")


def baseline(row: Row, common: str) -> Prediction:
    """The trivial answer: the most frequent relation of the training rows."""
    found = triple(row, common) if common else []
    told = {"text": common, "label": common, "triple": found, "probability": 1.0}
    return {**told, "no_answer": not found, "n_best": []}


def scorer(settings: Evaluate, prepare: Prepare) -> str:
    """Hash of all that can change a score but the artifact and the rows."""
    return hashing.scorer((*_SCORED, "classification"), settings, prepare)
