"""All rows of a delivery: read, checked, compared, and each given its side."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onward.episodes import formats, leaks, split
from onward.episodes import turn as turns
from onward.episodes.checks import KINDS, REASONS, Checked, check
from onward.episodes.columns import fields_of, sources
from onward.episodes.folders import folders
from onward.episodes.options import by_letter
from onward.episodes.order import Order
from onward.episodes.sieve import Sieve, write_quarantined
from onward.episodes.values import Fault
from onward.errors import DataError, DiskFull
from onward.project import Project


@contextmanager
def sifted(project: Project, order: Order) -> Iterator[Sieve]:
    """A sieve with every row of the file, ready to be written out.

    Raises:
        FormatError, DataError: the file breaks where rows cannot be told, or changes meanwhile.
        DiskFull: the rows do not fit into .onward/tmp.
    """
    kind = KINDS[order.recipe]
    with _typed(project.private / "tmp") as folder, Sieve(folder, kind) as sieve:
        for row in formats.read(order.source, sources(order.mapping, order.source.columns)):
            if row.values is None:
                sieve.add(row.line, Checked(None, row.reason, row.detail), row.text)
            else:
                cells = order.source.cells
                fields = fields_of(row.values, order.mapping, order.separator, cells=cells)
                _take(sieve, row.line, fields, order)
        sieve.set_unlabelled_aside(known_labels(project, order.replaces))
        sieve.compare()
        _refuse_changed(order)
        split.know(sieve, [project.episode(f.folder) / "sides.parquet" for f in folders(project)])
        for earlier in order.replaces:
            split.originals(sieve, project.episode(earlier))
        split.assign(sieve, order.settings, whole=order.whole)
        leaks.look(sieve, [project.episode(f.folder) for f in folders(project)], order.settings)
        yield sieve


def known_labels(project: Project, but: Sequence[str] = ()) -> set[str]:
    """The labels of all episodes in data/ that are neither withdrawn nor replaced as a whole.

    Args:
        project: where.
        but: folders of episodes that do not count.
    """
    gone = {*turns.withdrawn(project), *but}
    here = [f for f in folders(project) if f.folder not in gone]
    gone = {earlier for f in here for earlier in f.emptied}
    return {label for f in here if f.folder not in gone for label in f.manifest.get("labels", {})}


def _take(sieve: Sieve, line: int, fields: dict[str, Any], order: Order) -> None:
    """Check what came in one line: a row, or several that it holds."""
    try:
        told = order.told(fields)
        found = sieve.kind.rows(told, order.instruction)
    except Fault as fault:
        sieve.add(line, Checked(None, fault.reason, fault.detail), fields)
        return
    for one in found:
        shown = one if told is fields or order.first is None else by_letter(one)
        sieve.add(line, check(one, order.settings.max_field_chars, sieve.kind), shown)


@contextmanager
def _typed(folder: Path) -> Iterator[Path]:
    try:
        yield folder
    except sqlite3.OperationalError as error:
        if "full" not in str(error):
            raise
        free = shutil.disk_usage(folder).free
        raise DiskFull(
            f"The disk is full while rows are compared: {free:,} bytes free",
            where=str(folder),
            fix="free some space, then run the same command again",
            details={"free": free},
        ) from error


def _refuse_changed(order: Order) -> None:
    if order.source.sha256() != order.sha256:
        raise DataError(
            f"{order.source.name} changed while it was read",
            where=str(order.path),
            fix="wait until it is written, then open it again",
        )


def _else(order: Order) -> str:
    """For what other recipe the rows could be meant."""
    if not order.others:
        return ""
    return (
        f". They could be data for {' or '.join(order.others)}: "
        f"`onward new DIR --recipe {order.others[0]}`"
    )


def kept_quarantine(project: Project, name: str) -> Path:
    """Where the quarantined rows of a refused file lie, to be mended."""
    return project.private / "quarantine" / f"{name}.jsonl"


def refuse_unusable(project: Project, order: Order, sieve: Sieve, *, dry_run: bool) -> None:
    """Refuse a file without rows, with too many quarantined, that leaks, with one side only, or
    that corrects an episode with none of whose rows it shares an id.

    Raises:
        DataError: which, with the counts, the reasons and the first quarantined rows in `details`.
            The quarantined rows are in `kept_quarantine`; a dry run names the first instead.
    """
    counts, limit = sieve.counts(), order.settings.max_quarantined_percent
    if counts["seen"] == 0:
        raise DataError(
            f"{order.path.name} holds no rows", where=str(order.path), fix="send a file with rows"
        )
    if counts["quarantined"] * 100 <= limit * counts["seen"]:
        leaks.refuse(sieve, order.settings, str(order.path))
        if not order.whole:
            split.refuse_one_sided(sieve, order.settings, str(order.path))
        _refuse_correcting_nothing(sieve, order)
        return
    where = str(order.path)
    if dry_run:
        one = sieve.samples(1)[0]
        where += f", for example line {one['line']}, {one['reason']}: {one['detail']}"
    else:
        kept = kept_quarantine(project, order.name)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_quarantined(sieve, kept)
        where += f"; the quarantined rows: {kept}"
    reasons = sorted(sieve.reasons().items(), key=lambda item: (-item[1], item[0]))
    shown = "; ".join(f"{n:,} {reason}: {REASONS[reason]}" for reason, n in reasons[:3])
    raise DataError(
        f"{counts['quarantined']:,} of {counts['seen']:,} rows cannot be taken, and "
        f"episode.max_quarantined_percent is {limit:g}; nothing was opened ({shown})",
        where=where,
        fix="mend the source and send it again; its good rows were not taken either" + _else(order),
        details={"counts": counts, "reasons": dict(reasons), "samples": sieve.samples()},
    )


def _refuse_correcting_nothing(sieve: Sieve, order: Order) -> None:
    """Rows that were to be corrected would be learned beside those that correct them."""
    if order.corrects and not split.replacing(sieve)[0]:
        raise DataError(
            f"No row of {order.source.name} has the id of a row of {order.corrects}: nothing would "
            "be corrected",
            where=str(order.path),
            fix="send the rows with the ids that they had there; a row that had none is found by "
            "its texts, where these are the same",
        )
