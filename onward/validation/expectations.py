"""What is expected of a turn's episodes, as plain values: a name, a column, its limits.

Great Expectations judges them (onward/validation/suite.py). Columns are derived from the rows
(onward/validation/columns.py) and hold numbers and ids alone, so that no text of a row can come
into a report.

>>> between("contexts are short enough", "rows", "context_chars", high=10).limit()
{'min': None, 'max': 10}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from onward.config import Validate

Frame = Literal["rows", "episodes", "learning"]
"""One line per row of the turn, per episode of the turn, per episode that is being learned."""


@dataclass(frozen=True)
class Expectation:
    """Every value of one column of one frame lies in [low, high]; None leaves a side open.

    A failed `warning` is reported and stops nothing. `points` names a column of the frame rows:
    of an episode that fails, the report shows rows that are furthest in it.
    """

    name: str
    frame: Frame
    column: str
    low: float | None = None
    high: float | None = None
    severity: Literal["critical", "warning"] = "critical"
    points: str = ""

    def limit(self) -> dict[str, Any]:
        """The limits as the report shows them."""
        return {"min": self.low, "max": self.high}


@dataclass(frozen=True)
class History:
    """Means over the rows of the episodes that the base already knows."""

    rows: float
    """Of an episode."""
    lengths: Mapping[str, float]
    """Column of the frame rows -> its mean."""


def between(
    name: str,
    frame: Frame,
    column: str,
    *,
    low: float | None = None,
    high: float | None = None,
    severity: Literal["critical", "warning"] = "critical",
    points: str = "",
) -> Expectation:
    """An Expectation that reads as a sentence where it is listed."""
    return Expectation(name, frame, column, low, high, severity, points)


def of_any_recipe(settings: Validate) -> list[Expectation]:
    """What holds for every kind of task: the shape of the files, ids, sizes of both sides."""
    return [
        between("files have the recipe's columns", "episodes", "unlike_schema", high=0),
        between("enough training rows", "episodes", "train_delivered", low=settings.min_train_rows),
        between(
            "enough held-out rows", "episodes", "heldout_delivered", low=settings.min_heldout_rows
        ),
        between("no null in a row", "rows", "nulls", high=0),
        between("rows have ids", "rows", "id_chars", low=1),
        between("ids are unique in their episode", "rows", "same_id", high=0),
        between(
            "ids are unique in the turn", "rows", "same_id_elsewhere", high=0, severity="warning"
        ),
        between("no training row is held out", "rows", "also_held_out", high=0),
        between(
            "share of characters that the tokenizer does not know",
            "episodes",
            "unknown_percent",
            high=settings.max_unknown_percent,
            points="tokens",
        ),
        between(
            "share of texts longer than the model's window",
            "episodes",
            "windowed_percent",
            high=settings.max_windowed_percent,
            points="tokens",
        ),
    ]


def like(history: History, settings: Validate) -> list[Expectation]:
    """How learning episodes of every kind of task must resemble the known ones (D15).

    A length that no known row has, such as that of a context that none had, has no like.
    """
    shift = settings.max_length_shift
    return [
        between(
            f"{column.replace('_', ' ')} on average as in known episodes",
            "learning",
            f"mean_{column}",
            low=round(mean / shift, 3),
            high=round(mean * shift, 3),
            points=column,
        )
        for column, mean in history.lengths.items()
        if mean
    ] + [
        between(
            "words as in known episodes",
            "learning",
            "new_words_percent",
            high=settings.max_new_words_percent,
            points="new_words_share",
        ),
        between(
            "row count as in known episodes",
            "learning",
            "rows",
            low=round(history.rows / settings.max_rows_shift, 3),
            high=round(history.rows * settings.max_rows_shift, 3),
            severity="warning",
        ),
    ]
