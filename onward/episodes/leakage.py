"""No row that is learned may repeat, or nearly repeat, a held-out row of any episode.

Opening an episode keeps to that (`overlap`). `Guard` asks it of any other rows: those that a
memory would keep. Every episode in data/ counts, withdrawn and replaced ones too. What is compared
is the text that binds a side: the context of extractive rows, the text of all others.

>>> guard = Guard(project)  # doctest: +SKIP
>>> guard.leaks(rows)  # doctest: +SKIP
{7: "nearly repeats the held-out row 'q31' of 0001-faq (0.94 alike)"}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onward import config
from onward.episodes import near, signatures
from onward.episodes import rows as parquet
from onward.episodes.folders import folders
from onward.episodes.shingles import Kind
from onward.project import Project
from onward.recipes.shapes import Row


class Guard:
    """Tells which rows repeat a held-out row of an episode in data/.

    Reads each episode's keys and signatures, not its rows; memory holds a block of them.
    A stage that asks depends on `data` and on the setting `episode.near_duplicate`.
    """

    def __init__(self, project: Project) -> None:
        """Raises SettingsError, MissingFiles as their readers do."""
        self._near = config.read(project.params, config.Episode).near_duplicate
        self._episodes = [project.episode(folder.folder) for folder in folders(project)]

    def leaks(self, rows: Sequence[Row]) -> dict[int, str]:
        """Index in `rows` -> why that row must not be learned; rows that may be are left out.

        Exactly, after normalisation, and nearly (Jaccard similarity of shingles of at least
        `episode.near_duplicate`, verified).

        Raises:
            MissingFiles, DataError: an episode's file is not there or damaged.
        """
        found = self._repeated(rows)
        left = [at for at in range(len(rows)) if at not in found]
        suspects = near.blocks(_lines(rows, left), lambda numbers: _texts(rows, numbers))
        for one in near.pairs(suspects, self._held_out, self._near):
            found.setdefault(one.number, one.told())
        return found

    def _held_out(self) -> Iterator[near.Block]:
        for episode in self._episodes:
            yield from signatures.blocks(episode, "heldout")

    def _repeated(self, rows: Sequence[Row]) -> dict[int, str]:
        """Rows whose normalised text is held out."""
        places: dict[str, list[int]] = {}
        for at, row in enumerate(rows):
            places.setdefault(parquet.side_key(parquet.split_text(row)).hex(), []).append(at)
        return {
            at: f"repeats a held-out text of {episode.name}"
            for episode in self._episodes
            for line in parquet.read(episode / "sides.parquet")
            if line["side"] == "heldout" and line["kind"] == "context"
            for at in places.get(line["key"], ())
        }


def _lines(rows: Sequence[Row], left: list[int]) -> Iterator[tuple[int, Kind, bytes]]:
    for at in left:
        for kind, signature in near.signed(parquet.split_text(rows[at])):
            yield at, kind, signature


def _texts(rows: Sequence[Row], numbers: Sequence[int]) -> dict[int, near.Text]:
    return {n: near.Text(parquet.split_text(rows[n]), rows[n]["id"]) for n in numbers}
