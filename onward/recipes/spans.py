"""From start and end logits to the best span of the context, or to "no answer".

When is "no answer" an answer? A model learns it only from rows that have none. One that never saw
such a row still scores its CLS token somehow (windows without the answer train that token too), so
its null score means nothing for a whole row. Hence `evaluate.no_answer`, which `runner.resolve`
takes from the candidate's spec: unless it is true a span is always chosen. Where it is, there is
no answer if the null score exceeds the best span's by more than `evaluate.no_answer_threshold`.
The null score of a row is the lowest of its windows': one window sure of an answer is enough.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward.config import Evaluate
from onward.recipes.shapes import Feature, Prediction, Row

Output = Mapping[str, NDArray[np.floating]]
"""start_logits and end_logits of one window, each [T]."""

Span = tuple[float, int, int]
"""Score, start and end character."""


def decode(
    rows: Sequence[Row],
    features: Sequence[Feature],
    outputs: Sequence[Output],
    settings: Evaluate,
    labels: Sequence[str] = (),
    *,
    tokenizer: Any = None,
) -> Iterator[Prediction]:
    """The answer to each row, in their order: the best span over all windows of the row.

    A span starts and ends in the context, is at most `settings.max_answer_tokens` long, and its
    text is always a part of the context as it stands: `context[start:end]`.

    Args:
        rows: the rows that `features` were encoded from.
        features: windows; `row` is an index in `rows`.
        outputs: finite logits of each window, aligned with `features`.
        settings: max_answer_tokens, n_best, and no_answer with its threshold (see the module).

    Yields:
        text, start, end, probability, no_answer, and n_best: up to `settings.n_best` spans and,
        with `settings.no_answer`, the null (text "", start and end -1), most probable first. The
        probabilities are the softmax over exactly these.
    """
    windows: list[list[int]] = [[] for _ in rows]
    for number, feature in enumerate(features):
        windows[feature["row"]].append(number)
    for row, numbers in zip(rows, windows, strict=True):
        spans: dict[tuple[int, int], float] = {}
        for number in numbers:
            found = _spans(row["context"], features[number], outputs[number], settings)
            for score, start, end in found:
                place = _trimmed(row["context"], start, end)
                spans[place] = max(score, spans.get(place, -np.inf))
        null = min((_null(outputs[number]) for number in numbers), default=0.0)
        yield _prediction(row["context"], spans, null, settings)


def _spans(context: str, feature: Feature, output: Output, settings: Evaluate) -> list[Span]:
    """The best `n_best` spans of one window that start and end in a token with text."""
    offsets = feature["offsets"]
    at = np.flatnonzero(offsets[:, 0] >= 0)
    if not at.size:
        return []
    inside = slice(int(at[0]), int(at[-1]) + 1)
    places = offsets[inside]
    start = output["start_logits"][inside].astype(np.float64)
    end = output["end_logits"][inside].astype(np.float64)
    blank = [not context[low:high].strip() for low, high in places.tolist()]
    start[blank] = end[blank] = -np.inf
    # Row i, column j: the span of tokens i to i + j.
    width = min(settings.max_answer_tokens, len(start))
    padded = np.concatenate([end, np.full(width - 1, -np.inf)])
    band = start[:, None] + np.lib.stride_tricks.sliding_window_view(padded, width)
    flat = band.ravel()
    best = _highest(flat, min(settings.n_best, flat.size))
    first, length = np.divmod(best, width)
    return [
        (float(flat[n]), int(places[i, 0]), int(places[i + j, 1]))
        for n, i, j in zip(best, first, length, strict=True)
        if np.isfinite(flat[n])
    ]


def _highest(scores: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """The places of so many of the highest scores, best first; of equal ones the first."""
    least = np.partition(scores, -count)[-count]
    places = np.flatnonzero(scores >= least)
    return places[np.argsort(-scores[places], kind="stable")[:count]]


def _trimmed(context: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space that some tokenizers count in.

    A tokenizer that strips accents ends a decomposed "café" before its accent: the marks that
    follow the last letter belong to it.
    """
    while end < len(context) and unicodedata.category(context[end])[0] == "M":
        end += 1
    text = context[start:end]
    return start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())


def _null(output: Output) -> float:
    return float(output["start_logits"][0]) + float(output["end_logits"][0])


def _prediction(
    context: str,
    spans: dict[tuple[int, int], float],
    null: float,
    settings: Evaluate,
) -> Prediction:
    ranked = sorted(((score, *place) for place, score in spans.items()), key=_rank)
    kept = ranked[: settings.n_best]
    none = not kept or (
        bool(settings.no_answer) and null - kept[0][0] > settings.no_answer_threshold
    )
    if settings.no_answer or not kept:
        kept = sorted([*kept, (null, -1, -1)], key=_rank)
    scores = np.array([score for score, _, _ in kept])
    weights = np.exp(scores - scores.max())
    n_best: list[Prediction] = [
        {"text": context[start:end] if start >= 0 else "", "start": start, "end": end}
        | {"probability": round(float(weight), 6)}
        for (_, start, end), weight in zip(kept, weights / weights.sum(), strict=True)
    ]
    chosen = next(one for one in n_best if (one["start"] < 0) == none)
    return {**chosen, "no_answer": none, "n_best": n_best}


def _rank(span: Span) -> tuple[float, int, int]:
    """Best first; of equal ones the earlier and then the shorter."""
    return -span[0], span[1], span[2]
