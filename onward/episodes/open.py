"""Open an episode: read a delivery, check and split its rows, seal them in data/, write the turn.

The folder appears whole or not at all (I1, I3). A death between the folder's rename and the turn's
writing is finished by the same command again (I5).

>>> opened = open_episode(project, "faq", Path("faq.csv"), keep=keep)  # doctest: +SKIP
>>> opened.counts  # doctest: +SKIP
{'seen': 1000, 'accepted': 990, 'repaired': 8, 'quarantined': 2, 'train': 650, 'heldout': 348}
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onward import files, locks, recipes
from onward.episodes import leaks, signatures, split, standing
from onward.episodes import rows as parquet
from onward.episodes import turn as turns
from onward.episodes.folders import Folder, folders
from onward.episodes.listing import EpisodeInfo, episodes
from onward.episodes.order import Order, order, same_name
from onward.episodes.sieve import Sieve, write_quarantined
from onward.episodes.sift import known_labels, refuse_unusable, sifted
from onward.episodes.standing import Keep
from onward.episodes.withdraw import withdraw
from onward.errors import UsageError, Withdrawn
from onward.project import Project, safe_name

__all__ = ["EpisodeInfo", "Keep", "Opened", "episodes", "open_episode", "withdraw"]

ROOM = 4
"""Times the source's bytes that must be free: the rows on disk twice, and what is kept of them."""


@dataclass(frozen=True)
class Opened:
    """What opening did, or (dry_run) would do."""

    folder: str
    number: int
    name: str
    source: dict[str, Any]
    """name, sha256, bytes, format, mapping (canonical field -> column)."""
    counts: dict[str, int]
    """seen, accepted, repaired, quarantined, train, heldout."""
    reasons: dict[str, int]
    """Reason -> number of quarantined rows."""
    repairs: dict[str, int]
    """Kind of repair -> number of rows."""
    guessed: bool = False
    """Whether the mapping was guessed, at least in part."""
    already_open: bool = False
    rebuilt: bool = False
    """Whether it was on record, but not on this machine, and was made again from its source."""
    dry_run: bool = False
    corrects: str | None = None
    replacing: int = 0
    """Kept rows that replace one of the episode that they correct."""
    group: str | None = None
    labels: dict[str, dict[str, int]] = field(default_factory=dict)
    """Label -> kept rows that have it, by side; empty where the recipe has no labels."""
    new_labels: list[str] = field(default_factory=list)
    """Those that no earlier episode has, withdrawn ones left out."""
    absent_labels: list[str] = field(default_factory=list)
    """Labels of earlier episodes that no row here has."""
    leaked: int = 0
    """Rows that were kept although they nearly repeat another; with episode.leakage `warn`."""
    leaks: list[str] = field(default_factory=list)
    """The first of them, in words."""
    repeated: dict[str, int] = field(default_factory=dict)
    """Earlier episode -> kept rows that it has already, with the same texts and answers."""
    recipe: str = ""
    """The project's."""
    others: list[str] = field(default_factory=list)
    """Recipes of other projects that could read the same source."""
    unread: list[str] = field(default_factory=list)
    """Columns of the source that no field is read from."""
    notes: list[str] = field(default_factory=list)
    """What the whole source says of how its rows are read."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    """The first quarantined rows: line, reason, detail, row (its JSON, cut)."""


def open_episode(
    project: Project,
    name: str,
    source: Path,
    *,
    mapping: dict[str, str] | None = None,
    file_format: str | None = None,
    corrects: str | None = None,
    group: str | None = None,
    separator: str | None = None,
    target: Path | None = None,
    dry_run: bool = False,
    whole: bool = False,
    keep: Keep,
) -> Opened:
    """Open an episode, or say that it is already open, or (dry_run) what opening would do.

    Args:
        project: where.
        name: the episode's name; the folder gets the next number before it.
        source: the file of labelled rows.
        mapping: canonical field -> source column, as far as it should not be guessed; "" for none.
        file_format: one of formats.FORMATS, where the suffix says otherwise.
        corrects: an earlier episode (folder, name or number) whose rows of the same ids these
            replace from then on.
        group: a plain name that small episodes share which the gate judges together.
        separator: splits the text of several labels, where it is not a JSON list (multilabel).
        target: a file whose lines translate those of `source`.
        dry_run: change nothing.
        whole: all rows are to train on; no episode that a turn could learn, for nothing tests it.
        keep: versions data/ and returns its out entry.

    Raises:
        UsageError: a name, column or format that does not exist; the name with another source.
        Withdrawn: the name belongs to a withdrawn episode.
        DataError: the file cannot be taken, or too many of its rows cannot.
        IntegrityError, MissingFiles: the episodes already here are changed or not on this machine.
        Busy: another command holds the run's lock.
    """
    safe_name(name, "episode")
    lock = nullcontext() if dry_run else locks.held(project.run_lock, f"opening episode {name}")
    with lock:
        if not dry_run:
            standing.sweep(project)
        lost = standing.lost(project, name)
        standing.check_all(project, rebuilding=lost)
        asked = order(
            project,
            name,
            source,
            mapping=mapping,
            file_format=file_format,
            corrects=corrects,
            group=group,
            separator=separator,
            target=target,
            whole=whole,
        )
        return _opened(project, asked, lost, keep, dry_run)


def _opened(project: Project, asked: Order, lost: str | None, keep: Keep, dry_run: bool) -> Opened:
    """Take the file of an order in, under the run's lock where anything is to change."""
    before = same_name(project, asked.name)
    if before is not None:
        return _again(project, asked, before, keep, dry_run)
    files.ensure_space(project.private, ROOM * asked.source.bytes)
    with sifted(project, asked) as sieve:
        refuse_unusable(project, asked, sieve, dry_run=dry_run)
        opened = _outcome(project, asked, sieve)
        if dry_run:
            return replace(opened, dry_run=True)
        _seal(project, asked, opened, sieve)
    if lost is not None:
        standing.rebuilt(project, lost, keep)
        return replace(opened, rebuilt=True)
    standing.advance(project, keep)
    return opened


def _again(project: Project, asked: Order, before: Folder, keep: Keep, dry_run: bool) -> Opened:
    """The same name once more: already open, where all else is the same, too."""
    withdrawn = turns.withdrawn(project).get(before.folder)
    if withdrawn is not None:
        raise Withdrawn(
            f"Episode {asked.name} was withdrawn: {withdrawn}",
            where=str(project.episode(before.folder)),
            fix="open the mended rows under another name",
        )
    differs = asked.differences(before.manifest)
    if differs:
        raise UsageError(
            f"Episode {asked.name} is open already, with other {' and '.join(differs)}",
            where=str(asked.path),
            fix="an episode never changes: give this delivery a name of its own "
            f"(and `--corrects {asked.name}` where it replaces rows)",
            details={"differs": differs},
        )
    if not dry_run and not standing.settled(project, before):
        standing.advance(project, keep)
    manifest = before.manifest
    return Opened(
        folder=before.folder,
        number=before.number,
        name=before.name,
        source=manifest["source"],
        counts=manifest["counts"],
        reasons=manifest["reasons"],
        repairs=manifest["repairs"],
        guessed=asked.guessed,
        already_open=True,
        dry_run=dry_run,
        corrects=manifest["corrects"],
        group=manifest.get("group"),
        labels=manifest.get("labels", {}),
        leaked=manifest.get("leaked", 0),
        recipe=asked.recipe,
        others=list(asked.others),
        unread=asked.unread,
    )


def _outcome(project: Project, asked: Order, sieve: Sieve) -> Opened:
    number = max((f.number for f in folders(project)), default=0) + 1
    labels, known = sieve.labels(), known_labels(project)
    leaked, told = leaks.kept(sieve)
    return Opened(
        folder=f"{number:04d}-{asked.name}",
        number=number,
        name=asked.name,
        source=asked.described(),
        counts=sieve.counts(),
        reasons=sieve.reasons(),
        repairs=sieve.repairs(),
        guessed=asked.guessed,
        corrects=asked.corrects,
        replacing=split.replacing(sieve)[1],
        group=asked.group,
        recipe=asked.recipe,
        others=list(asked.others),
        unread=asked.unread,
        notes=asked.notes,
        labels=labels,
        new_labels=sorted(set(labels) - known),
        absent_labels=sorted(known - set(labels)),
        leaked=leaked,
        leaks=told,
        repeated=_repeated(project, asked, sieve),
        samples=sieve.samples(),
    )


def _repeated(project: Project, asked: Order, sieve: Sieve) -> dict[str, int]:
    """How many kept rows each earlier episode has already: they would count twice.

    Withdrawn episodes and those that these rows correct are left out: no turn learns them beside.
    """
    gone = {*turns.withdrawn(project), *asked.replaces}
    earlier = [project.episode(f.folder) for f in folders(project) if f.folder not in gone]
    found = {folder.name: split.repeated(sieve, folder) for folder in earlier}
    return {name: count for name, count in found.items() if count}


def _seal(project: Project, asked: Order, opened: Opened, sieve: Sieve) -> None:
    """Write the episode's folder: whole, manifest last, under its final name at the end."""
    schema = recipes.get(asked.recipe).SCHEMA
    emptied = [e for e in asked.replaces if split.emptied(sieve, project.episode(e))]
    with files.building(
        project.episode(opened.folder),
        number=opened.number,
        name=opened.name,
        recipe=asked.recipe,
        source=opened.source,
        settings=asked.settings.model_dump(mode="json"),
        counts=opened.counts,
        reasons=opened.reasons,
        repairs=opened.repairs,
        corrects=opened.corrects,
        replaces=asked.replaces,
        emptied=emptied,
        group=opened.group,
        labels=opened.labels,
        leaked=opened.leaked,
    ) as folder:
        for side in split.SIDES:
            parquet.write(folder / f"{side}.parquet", sieve.rows(side), schema)
        parquet.write(folder / "sides.parquet", split.keys(sieve), split.SCHEMA)
        parquet.write(folder / signatures.NAME, leaks.lines(sieve), signatures.SCHEMA)
        write_quarantined(sieve, folder / "quarantined.jsonl")
