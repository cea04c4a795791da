"""The labels and values of a turn's rows: unknown, vanished and single ones (D14), shifts (D15).

Labels are numbers here, by the order in which they came; their names never leave this module.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from onward.recipes.texts import folded
from onward.watch import shift

LEVEL = 0.01
"""A difference that chance explains with this probability is none."""


def form(label: str) -> str:
    """What labels that differ in case or spacing share, and whole numbers that end in .0.

    A table writes 1 as 1.0 as soon as one of its rows has no label.

    >>> form("Card_lost") == form("card  lost"), form("1.0"), form("v1.0")
    (True, '1', 'v1.0')
    """
    plain = re.sub(r"[\s_]+", " ", folded(label))
    return plain.removesuffix(".0") if re.fullmatch(r"-?[0-9]+\.0", plain) else plain


class Labels:
    """Which rows have which labels, batch by batch."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._rows: list[NDArray[np.int64]] = []
        self._codes: list[NDArray[np.int64]] = []

    def take(self, labels: Any, first: int) -> None:
        """Add the labels (an Arrow list of names each) of rows from number `first` on."""
        names = pc.dictionary_encode(pc.fill_null(pc.list_flatten(labels), ""))
        listed = names.dictionary.to_pylist()
        numbers = [self._numbers.setdefault(name, len(self._numbers)) for name in listed]
        codes = np.array(numbers, np.int64)[names.indices.to_numpy(zero_copy_only=False)]
        of_row = pc.list_parent_indices(labels).to_numpy(zero_copy_only=False)
        self._rows.append(of_row.astype(np.int64) + first)
        self._codes.append(codes)

    def found(self, kept: NDArray[np.bool_]) -> pd.DataFrame:
        """row and code of each label of the rows that are kept, rows numbered anew."""
        none = np.empty(0, np.int64)
        row, code = (np.concatenate([none, *part]) for part in (self._rows, self._codes))
        there = kept[row]
        return pd.DataFrame({"row": (np.cumsum(kept) - 1)[row[there]], "code": code[there]})

    def rivals(self, counts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which labels are another, more frequent one in another form, as `form` has it.

        Args:
            counts: how often each label is found, by number.
        """
        best: dict[str, int] = {}
        forms = [form(name) for name in self._numbers]
        for code in np.argsort(-counts, kind="stable").tolist():
            best.setdefault(forms[code], code)
        own = np.array([best[one] == code for code, one in enumerate(forms)], bool)
        rivals: NDArray[np.bool_] = ~own & (counts > 0)
        return rivals

    def __len__(self) -> int:
        return len(self._numbers)


def by_row(rows: pd.DataFrame, found: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """The frame rows with unlearned, alike, vanished and label_excess.

    unlearned: a held-out row has a label that no training row of the turn has. alike: its label is
    another one in another form. vanished: the first row of each label that known episodes have
    and new ones lack, where chance does not explain it. label_excess: by how much the share of its
    label is greater than in known episodes.
    """
    code, row = found["code"].to_numpy(), found["row"].to_numpy()
    train = (rows["side"] == "train").to_numpy()[row]
    new = (rows["learning"] == 1).to_numpy()[row]
    size = len(labels)
    learned = np.bincount(code[train], minlength=size) > 0
    known, fresh = (np.bincount(code[side], minlength=size) for side in (~new, new))
    lost = _lost(
        _rows_with(found[~new], size),
        fresh,
        int((rows["learning"] == 0).sum()),
        int((rows["learning"] == 1).sum()),
    )
    first = ~found["code"].duplicated().to_numpy()
    excess = np.where(known > 0, _shares(fresh, known > 0) - _shares(known, known > 0), 0.0)
    highest = np.zeros(len(rows))
    np.maximum.at(highest, row[new], excess[code[new]])
    return rows.assign(
        unlearned=_flags(rows, row[~train & ~learned[code]]),
        alike=_flags(rows, row[labels.rivals(known + fresh)[code]]),
        vanished=_flags(rows, row[first & lost[code]]),
        label_excess=highest,
    )


def _rows_with(found: pd.DataFrame, size: int) -> NDArray[np.int64]:
    """How many rows have each label, a row that has it several times (a tag) once."""
    return np.bincount(found.drop_duplicates()["code"].to_numpy(), minlength=size)


def _lost(
    known: NDArray[np.int64], fresh: NDArray[np.int64], known_rows: int, new_rows: int
) -> NDArray[np.bool_]:
    """Known labels that no new row has, although by their share of rows one would be expected."""
    share = known / max(known_rows, 1)
    lost: NDArray[np.bool_] = (known > 0) & (fresh == 0) & ((1 - share) ** new_rows < LEVEL)
    return lost


def _shares(counts: NDArray[np.int64], of: NDArray[np.bool_]) -> NDArray[np.float64]:
    total = counts[of].sum()
    return np.where(of, counts / max(total, 1), 0.0)


def _flags(rows: pd.DataFrame, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    flags = np.zeros(len(rows), np.int64)
    flags[numbers] = 1
    return flags


def by_episode(rows: pd.DataFrame, found: pd.DataFrame, families: dict[str, list[str]]) -> Any:
    """labels and label_shift of each episode, by its folder.

    labels: different ones in its training rows and in those that it corrects. label_shift: total
    variation distance between the shares of known labels in its rows and in the known episodes',
    0 where chance explains it (Pearson's chi-square test). New labels are no shift.

    Args:
        rows: one line per row.
        found: row and code of each label.
        families: episode -> itself, and the episodes that it corrects.
    """
    episode = rows["episode"].astype(str).to_numpy()[found["row"]]
    train = (rows["side"] == "train").to_numpy()[found["row"]]
    known = (rows["learning"] == 0).to_numpy()[found["row"]]
    code = found["code"].to_numpy()
    size = int(code.max(initial=-1)) + 1
    before = np.bincount(code[known], minlength=size)
    lines = {
        name: {
            "labels": len(np.unique(code[train & np.isin(episode, family)])),
            "label_shift": _shift(before, np.bincount(code[episode == name], minlength=size)),
        }
        for name, family in families.items()
    }
    return pd.DataFrame.from_dict(lines, orient="index")


def _shift(known: NDArray[np.int64], new: NDArray[np.int64]) -> float:
    of = known > 0
    sides = [dict(enumerate(counts[of].tolist())) for counts in (known, new)]
    p = shift.labels(*({str(n): count for n, count in side.items()} for side in sides))
    if p is None or p >= LEVEL:
        return 0.0
    return float(np.abs(_shares(known, of) - _shares(new, of)).sum() / 2)


def of_values(rows: pd.DataFrame, families: dict[str, list[str]]) -> tuple[pd.DataFrame, Any]:
    """The frame rows with value_distance, and values and value_shift of each episode.

    value_distance: from the mean of known rows, in their standard deviations (0 where they have
    none). values: different ones in training rows. value_shift: the distance of the mean.
    """
    known = rows["value"][rows["learning"] == 0]
    spread = float(known.std(ddof=0)) if len(known) else 0.0
    away = (rows["value"] - known.mean()) / spread if spread else 0.0 * rows["value"]
    rows = rows.assign(value_distance=away.abs())
    train = rows["side"] == "train"
    lines = {
        name: {
            "values": rows["value"][train & rows["episode"].isin(family)].nunique(),
            "value_shift": abs(float(away[rows["episode"] == name].sum()))
            / max(int((rows["episode"] == name).sum()), 1),
        }
        for name, family in families.items()
    }
    return rows, pd.DataFrame.from_dict(lines, orient="index")
