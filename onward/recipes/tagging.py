"""Tagged spans of a text: named entities, slots, terms.

>>> row = {"text": "Ana met Bo.", "starts": [0, 8], "ends": [3, 10], "tags": ["person", "person"]}
>>> gold(row), vocabulary([row], [])
(['person: Ana', 'person: Bo'], ['O', 'B-person', 'I-person'])
>>> baseline({"text": "Bo saw Ana Lee."}, common([row]))["text"]
'person: Bo; person: Ana'

Each word has a BIO label (`bio`), told by its first token. A long text becomes overlapping windows;
a word of several is judged in the one that shows most of what surrounds it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from onward.config import Evaluate, Prepare
from onward.errors import SettingsError
from onward.recipes import bio, class_report, hashing, heads, labels, micro_f1, texts, word_windows
from onward.recipes.shapes import ExportSpec, Feature, Prediction, Row, Target

split_key, labels_of = texts.split_key, labels.of_folder
encode, inputs_cut, spans_of = word_windows.encode, word_windows.inputs_cut, word_windows.spans_of
KIND = heads.TAGGER
PRIMARY, METRICS, STATISTICS = micro_f1.PRIMARY, micro_f1.METRICS, micro_f1.STATISTICS
metrics, row_scores = micro_f1.metrics, micro_f1.row_scores
sizes = micro_f1.sizes

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("text", pa.string(), nullable=False),
        pa.field("starts", pa.list_(pa.int32()), nullable=False),
        pa.field("ends", pa.list_(pa.int32()), nullable=False),
        pa.field("tags", pa.list_(pa.string()), nullable=False),
    ]
)
"""One canonical row. Spans are characters (code points) of `text`, ascending and apart."""

RIGHT_OR_WRONG = False
PERFECT = 100.0
PLACED = None
TARGETS = {"tags": Target("labels", "tags")}

_COLUMNS = {
    "spans": ("spans", "entities", "ents", "annotations"),
    "tokens": ("tokens", "words"),
    "tags": ("tags", "nertags", "bio", "iob", "slots", "labels"),
    "starts": ("starts", "start"),
    "ends": ("ends", "end"),
}
"""Canonical field -> names of source columns, the likeliest first, compared by letters alone."""

_SCORED = ("bio", "micro_f1", "scripts", "shapes", "tagging", "windows", "word_windows")
_COUNTS = ((1, "none"), (2, "1"), (4, "2-3"), (None, "4+"))


def guess(columns: Sequence[str]) -> dict[str, str] | None:
    """Canonical field -> source column; None where nothing says which spans have which tag.

    Spans come as starts, ends and tags, as one list of objects or triples (`spans`, or `label` as
    doccano writes it), or as `tokens` with a BIO tag each.
    """
    named = texts.named(columns, {**_COLUMNS, **texts.COLUMNS})
    if not {"spans", "tokens", "tags"} & named.keys():
        named |= texts.named(columns, {"spans": ("label",)})
    placed = "text" in named and ("spans" in named or {"starts", "ends", "tags"} <= named.keys())
    return named if placed or {"tokens", "tags"} <= named.keys() else None


def inputs(row: Row) -> dict[str, str]:
    """The text that a person reads."""
    return {"text": row["text"]}


def gold(row: Row) -> list[str]:
    """The right spans as people read them."""
    return [_shown(row["text"], span) for span in spans_of(row)]


def _shown(text: str, span: bio.Span) -> str:
    start, end, tag = span
    return f"{tag}: {text[start:end]}"


def slices(row: Row) -> dict[str, str]:
    """Slice -> value of one row; lengths are in words."""
    return {
        "entities": texts.span_of(len(row["tags"]), _COUNTS),
        "text length": texts.length(row),
    }


def vocabulary(rows: Iterable[Row], base: Sequence[str]) -> list[str]:
    """Labels of words: `bio.vocabulary` of the rows' tags."""
    return bio.vocabulary((tag for row in rows for tag in row["tags"]), base)


def decode(
    rows: Sequence[Row],
    features: Sequence[Feature],
    outputs: Sequence[Mapping[str, NDArray[np.floating]]],
    settings: Evaluate,
    labels: Sequence[str] = (),
    *,
    tokenizer: Any = None,
) -> Iterator[Prediction]:
    """The spans of each row, from the most probable label of each word.

    Args:
        rows: the rows that `features` were encoded from.
        features: windows; `row` is an index in `rows`.
        outputs: logits [T, C] of each window.
        settings: n_best.
        labels: what the C outputs stand for.
        tokenizer: not used.

    Yields:
        spans ([start, end, tag] each, characters of the text), text ("tag: surface; ..."),
        no_answer where there are none, probability (of the least sure word's label) and n_best,
        the surest spans with the probability of their least sure word.
    """
    of_row: list[list[int]] = [[] for _ in rows]
    for number, feature in enumerate(features):
        of_row[feature["row"]].append(number)
    for row, numbers in zip(rows, of_row, strict=True):
        places = bio.words(row["text"])
        shown = [(features[n]["offsets"], outputs[n]["logits"]) for n in numbers]
        best, sure = _judged(places, shown, labels)
        yield _told(row["text"], bio.spans(best, places), places, sure, settings.n_best)


def _judged(
    places: Sequence[bio.Place],
    shown: Sequence[tuple[NDArray[np.int32], NDArray[np.floating]]],
    labels: Sequence[str],
) -> tuple[list[str], NDArray[np.float64]]:
    """The label of each word and its probability; OUTSIDE, surely, where no token shows a word."""
    deepest = np.full(len(places), -1)
    found = [bio.OUTSIDE] * len(places)
    sure = np.ones(len(places))
    for offsets, logits in shown:
        word, token = word_windows.first_tokens(places, offsets)
        of_text = np.flatnonzero(offsets[:, 0] >= 0)
        depth = np.minimum(token - of_text[:1], of_text[-1:] - token)
        word, token, depth = (each[depth > deepest[word]] for each in (word, token, depth))
        deepest[word] = depth
        scores = logits[token].astype(np.float64)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        best = scores.argmax(axis=1)
        sure[word] = weights.max(axis=1) / weights.sum(axis=1)
        again = np.diff(token, prepend=-1) == 0
        for at, label, shared in zip(word.tolist(), best.tolist(), again.tolist(), strict=True):
            # Words of one token are of one span.
            found[at] = _inside(labels[label]) if shared else labels[label]
    return found, sure


def _inside(label: str) -> str:
    return label if label == bio.OUTSIDE else f"I-{label.partition('-')[2]}"


def _told(
    text: str,
    told: Sequence[bio.Span],
    places: Sequence[bio.Place] = (),
    sure: NDArray[np.float64] | None = None,
    n_best: int = 0,
) -> Prediction:
    ranked: list[Prediction] = []
    if sure is not None:
        for span in told:
            inside = [at for at, (low, high) in enumerate(places) if span[0] <= low < span[1]]
            probability = round(float(sure[inside].min(initial=1.0)), 6)
            ranked.append({"text": _shown(text, span), "probability": probability})
        ranked.sort(key=lambda one: -one["probability"])
    return {
        "text": "; ".join(_shown(text, span) for span in told),
        "spans": [list(span) for span in told],
        "probability": 1.0 if sure is None else round(float(sure.min(initial=1.0)), 6),
        "no_answer": not told,
        "n_best": ranked[:n_best],
    }


def statistics(row: Row, prediction: Prediction) -> NDArray[np.float64]:
    """What one prediction adds to the totals: spans count where place and tag are right.

    Characters at a span's ends that do not show count neither for nor against it.
    """
    return micro_f1.counted(_right_spans(row), _told_spans(row, prediction))


def _right_spans(row: Row) -> set[bio.Span]:
    return {(*bio.shown(row["text"], start, end), tag) for start, end, tag in spans_of(row)}


def _told_spans(row: Row, prediction: Prediction) -> set[bio.Span]:
    text = row["text"]
    return {(*bio.shown(text, start, end), tag) for start, end, tag in prediction["spans"]}


def report(rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Precision, recall and F1 by tag, over spans, and macro F1."""
    return class_report.by_class(
        [_right_spans(row) for row in rows],
        [_told_spans(row, told) for row, told in zip(rows, predictions, strict=True)],
        lambda span: str(span[2]),
    )


def common(rows: Iterable[Row]) -> dict[str, str]:
    """Each tagged surface and its most frequent tag, the first of equal ones by name."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for start, end, tag in spans_of(row):
            counts[row["text"][start:end]][tag] += 1
    return {
        surface: min(tags, key=lambda tag: (-tags[tag], tag))
        for surface, tags in sorted(counts.items())
    }


def baseline(row: Row, common: Mapping[str, str]) -> Prediction:
    """The trivial answer: surfaces that had a tag in the training rows, the longest first.

    The baseline of CoNLL-2003 (Tjong Kim Sang and De Meulder 2003), without its demand that a
    surface always had the same tag.
    """
    text, places = row["text"], bio.words(row["text"])
    longest = max((len(surface) for surface in common), default=0)
    told: list[bio.Span] = []
    at = 0
    while at < len(places):
        start, last = places[at][0], at
        while last < len(places) and places[last][1] - start <= longest:
            last += 1
        ends = (n for n in range(last - 1, at - 1, -1) if text[start : places[n][1]] in common)
        end = next(ends, None)
        if end is not None:
            told.append((start, places[end][1], common[text[start : places[end][1]]]))
        at = at + 1 if end is None else end + 1
    return _told(text, told)


def build(source: Path, spec: Mapping[str, Any]) -> Any:
    """A torch model with one output a label for each token: `heads.tagger` says more.

    Raises:
        SettingsError: the trained labels are not O, B-NAME and I-NAME.
    """
    model = heads.tagger(source, spec)
    odd = [] if spec.get("new_head", True) else bio.misnamed(labels_of(source))
    if odd:
        raise SettingsError(
            f"The model's labels are not O, B-NAME and I-NAME: {odd[0]!r:.80}",
            where=f"{source / 'config.json'}, id2label",
            fix="name them so where only names differ; a model trained to tell E- and S- needs its "
            "training here, with `onward run` from an encoder",
        )
    return model


def graphs(model: Any) -> list[ExportSpec]:
    """One graph: token ids and their mask in, logits [batch, length, labels] out."""
    return [heads.graph(model, ("logits",), per_token=True, per_label=True)]


def scorer(settings: Evaluate, prepare: Prepare) -> str:
    """Hash of all that can change a score but the artifact and the rows."""
    return hashing.scorer(_SCORED, settings, prepare)
