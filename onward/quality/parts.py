"""The quality of what an artifact answered, row by row, in the form of the ledger.

    quality = Quality(project, "chat", measure, threads=2)
    part = quality.of(part, rows_by_unit)            # a LedgerPart of quality.STATISTICS

An answer's scores depend on its row, its text, the lists and the encoder, and on nothing else, so
each is kept in the project's cache and is the same for a checkpoint, its package and a later
version that answers alike. A part's `prediction` holds the findings of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from onward import files
from onward.config import Measure
from onward.evaluation.ledger import Entry, LedgerPart, row_hash
from onward.evaluation.ledger import part as ledger_part
from onward.evaluation.row_cache import RowCache
from onward.project import Project
from onward.quality import asked, scores
from onward.quality.scores import Pair, Tools
from onward.recipes import generates, get, shapes

Rows = Mapping[str, Sequence[shapes.Row]]
Samples = Mapping[str, Mapping[str, Sequence[str]]]
"""Unit -> row hash -> several drawn answers."""


def measured(recipe: str, measure: Measure) -> bool:
    """Whether answers of this recipe are scored under these settings."""
    if measure.answers == "off" or recipe not in asked.CONTEXT:
        return False
    return measure.answers == "on" or generates(get(recipe))


class Quality:
    """What scores the answers of one recipe's rows."""

    def __init__(self, project: Project, recipe: str, measure: Measure, threads: int) -> None:
        """Raises SettingsError: the encoder, a list or examples cannot be used."""
        self.recipe, self.module = recipe, get(recipe)
        self.tools = Tools(project.root, measure, threads)
        self.scorer = self.tools.name(project.cache)
        self.kept = RowCache(project.cache / "quality" / self.scorer)
        self._known: dict[str, Entry] | None = None

    def of(self, part: LedgerPart, rows: Rows, samples: Samples | None = None) -> LedgerPart:
        """The quality of every row of every unit.

        Args:
            part: what was answered.
            rows: unit -> its rows; the part holds an answer to each.
            samples: several answers to some of the rows, for the column `diverse`.

        Raises:
            MissingFiles: the part lacks a row.
        """
        part.require({u: [row_hash(self.module, r) for r in some] for u, some in rows.items()})
        wanted = {
            unit: {row_hash(self.module, row): (asked.of(self.recipe, row), row) for row in some}
            for unit, some in rows.items()
        }
        keys: dict[tuple[str, str], str] = {}
        pairs: dict[str, Pair] = {}
        for unit, by_hash in wanted.items():
            told = part.predictions(unit)
            for hashed, (one, _) in by_hash.items():
                text = str(told[hashed]["text"])
                key = files.digest([asdict(one), text])
                keys[unit, hashed], pairs[key] = key, (one, text)
        entries = self._entries(pairs)
        found: dict[str, dict[str, Entry]] = {unit: {} for unit in wanted}
        for (unit, hashed), key in keys.items():
            drawn = (samples or {}).get(unit, {}).get(hashed)
            found[unit][hashed] = _with(entries[key], drawn)
        return ledger_part(part.artifact, part.provider, self.scorer, found)

    def _entries(self, pairs: Mapping[str, Pair]) -> dict[str, Entry]:
        """Key -> entry; what the cache lacks is scored, in the order of the keys."""
        if self._known is None:
            self._known = self.kept.read()
        missing = sorted(pairs.keys() - self._known.keys())
        if missing:
            scored = self.tools.scores([pairs[key] for key in missing])
            made = {
                key: Entry(
                    files.canonical({"findings": list(one.findings)}).decode(),
                    tuple(float(value) for value in one.statistics),
                )
                for key, one in zip(missing, scored, strict=True)
            }
            self.kept.add(made)
            self._known |= made
        return {key: self._known[key] for key in pairs}


def _with(entry: Entry, drawn: Sequence[str] | None) -> Entry:
    if not drawn:
        return entry
    added: NDArray[np.float64] = np.array(entry.statistics) + scores.diverse(drawn)
    return Entry(entry.prediction, tuple(float(value) for value in added))
