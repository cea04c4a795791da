"""`onward episode`: open, list, show, withdraw."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.output import Json, Reason, answer, here, require_file
from onward import config, files
from onward.config import Gate
from onward.errors import SettingsError, UsageError
from onward.project import Project

app = typer.Typer(
    help="Deliveries of labelled data: numbered, named, immutable.", no_args_is_help=True
)


Name = Annotated[str, typer.Argument(metavar="NAME", help="The episode's name, number or folder.")]


@app.command("open")
def open_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Plain, such as support-2026.")],
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="Labelled rows; the guide lists formats.")
    ],
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="FIELD=COLUMN", help="A field's column, else guessed; title= is none."
        ),
    ] = None,
    file_format: Annotated[
        str | None, typer.Option("--format", help="Such as csv or conll; else told by content.")
    ] = None,
    corrects: Annotated[
        str | None, typer.Option(help="The episode whose rows this one replaces.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(help="Small episodes of one group are judged together."),
    ] = None,
    separator: Annotated[
        str | None, typer.Option(help="Splits a column of several labels, such as ';'.")
    ] = None,
    target: Annotated[
        Path | None, typer.Option(help="The file whose lines translate those of FILE.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take in a file of labelled rows; the next run learns it.

    It is checked, split into training and held-out rows, and numbered. Every row is counted
    once: accepted, repaired, or quarantined with its reason. The same name with the same source
    is already open; with another source it is an error.
    """
    from onward.episodes.open import open_episode
    from tasks import versions

    for path in filter(None, (source, target)):
        require_file(path)
    project = here()
    adopted = _adopted(project)
    opened = open_episode(
        project,
        name,
        source,
        mapping=_mapping(pairs or []),
        file_format=file_format,
        corrects=corrects,
        group=group,
        separator=separator,
        target=target,
        dry_run=dry_run,
        keep=versions.add_data,
    )
    answer(as_json, asdict(opened), *_let_go(project, adopted), *_told(opened, dry_run))


@app.command("list")
def list_(
    quarantined: Annotated[
        bool,
        typer.Option("--quarantined", help="Only episodes with quarantined rows, and where."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Every episode: its rows, and where it stands."""
    from onward.episodes.open import episodes

    found = [asdict(item) for item in episodes(here())]
    if quarantined:
        found = [item for item in found if item["counts"]["quarantined"]]
    answer(as_json, {"episodes": found}, _table(found, quarantined), *_places(found, quarantined))


@app.command()
def show(
    name: Name,
    as_json: Json = False,
) -> None:
    """One episode: source, settings, counts, reasons of quarantine."""
    item = _named(name)
    manifest = files.read_json(here().episode(item["folder"]) / files.MANIFEST)
    data = {**manifest, **item, "files": sorted(manifest["files"])}
    answer(as_json, data, *_shown(data))


@app.command()
def withdraw(
    name: Name,
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Take an episode out of every later turn. Its files and history stay."""
    from onward.episodes.open import withdraw as withdraw_episode
    from onward.registry.journal import user
    from tasks import versions

    project, item = here(), _named(name)
    folder, adopted = item["folder"], _adopted(project)
    kept = withdraw_episode(project, folder, reason, user(), versions.add_data).withdrawn
    answer(
        as_json,
        {"withdrawn": folder, "reason": kept},
        *_let_go(project, adopted),
        f"{folder} was withdrawn already: {kept}"
        if item["withdrawn"]
        else f"Withdrew {folder}: {kept}",
        "Next  onward run   (or `onward run --fresh`, where the champion has learned it)",
    )


def _adopted(project: Project) -> str:
    """The adopted model that is the turn's candidate; empty where there is none."""
    from onward.episodes.turn import Turn

    base = Turn.read(project).base if project.turn.exists() else None
    return base.name if base and base.kind == "adopted" else ""


def _let_go(project: Project, adopted: str) -> list[str]:
    """That the turn was written anew without the adopted model: a run would train instead."""
    from onward.episodes.turn import Turn

    if not adopted or Turn.read(project).base.kind != "pretrained":
        return []
    again = f"onward adopt models/adopted/{adopted}"
    return [f"Adopted      {adopted} is no candidate of this turn; `{again}` takes it again"]


def _mapping(pairs: list[str]) -> dict[str, str] | None:
    found = {}
    for pair in pairs:
        field, equals, column = pair.partition("=")
        if not (field and equals):
            raise UsageError(
                f"{pair!r} does not say which column holds a field",
                where="--map",
                fix="write it as FIELD=COLUMN, such as --map question=frage",
            )
        found[field] = column
    return found or None


def _named(name: str) -> dict[str, Any]:
    from onward.episodes.open import episodes

    found = [asdict(item) for item in episodes(here())]
    for item in found:
        number, _, plain = item["folder"].partition("-")
        if name in (item["folder"], plain) or (name.isdecimal() and int(name) == int(number)):
            return item
    raise UsageError(
        f"There is no episode {name!r}",
        where=str(here().data),
        fix=f"episodes are {', '.join(item['folder'] for item in found) or 'none yet'}",
    )


def _told(opened: Any, dry_run: bool) -> list[str]:
    from onward.episodes.formats import FORMATS

    counts, source = opened.counts, opened.source
    if opened.already_open:
        return [f"{opened.folder} is already open with this source; nothing was changed"]
    if opened.rebuilt:
        return [f"{opened.folder} made again from {source['name']}; it is the one on record"]
    columns = ", ".join(f"{k}={v}" for k, v in sorted(source["mapping"].items()))
    lines = [
        f"{'Would open' if dry_run else 'Opened'} {opened.folder} from {source['name']}",
        f"Format       {FORMATS[source['format']]}, read for {opened.recipe}{_others(opened)}",
        f"Columns      {columns}{'   (guessed; --map says otherwise)' if opened.guessed else ''}",
        *_unread(opened.unread),
        *(f"Read as      {note}" for note in opened.notes),
        f"Rows         {_counted(counts)}",
        f"Split        {counts['train']:,} to learn from, {counts['heldout']:,} held out",
    ]
    if opened.corrects:
        lines.append(f"Corrects     {opened.replacing:,} rows of {opened.corrects}")
    lines += _few(counts["heldout"], opened.group)
    lines += [_repeated(n, folder, counts) for folder, n in opened.repeated.items()]
    lines += _labels(opened)
    lines += [f"Repaired     {n:,} {kind}" for kind, n in sorted(opened.repairs.items())]
    lines += [f"Quarantined  {n:,} {reason}" for reason, n in sorted(opened.reasons.items())]
    if counts["quarantined"]:
        lines += [_sample(item) for item in opened.samples[:3]]
        if not dry_run:
            where = here().episode(opened.folder) / "quarantined.jsonl"
            lines.append(f"Mend them in a copy of {where} and open that as the next episode")
    if opened.leaked:
        lines.append(f"Leaks        {opened.leaked:,} rows, kept because episode.leakage is warn")
        lines += [f"  {told}" for told in opened.leaks[:3]]
    lines.append("Nothing was changed" if dry_run else "Next  onward run   (or `dvc repro`)")
    return lines


def _unread(columns: list[str]) -> list[str]:
    """Which columns of the file no field is read from, in one line."""
    if not columns:
        return []
    more = f" and {len(columns) - 10:,} more" if len(columns) > 10 else ""
    return [f"Not read     {', '.join(columns[:10])}{more}"]


def _few(heldout: int, group: str | None) -> list[str]:
    """That the gate will not judge so few rows by themselves, said before anything is trained."""
    try:
        least = config.read(here().params, Gate).min_rows
    except SettingsError:  # a stage that reads the gate's block says what is wrong with it
        return []
    if group or heldout >= least:
        return []
    return [
        f"Few          {heldout:,} held-out rows are fewer than gate.min_rows, {least:,}: a turn "
        "with them is undecided; add rows, or open small episodes with one `--group`"
    ]


def _repeated(rows: int, folder: str, counts: dict[str, int]) -> str:
    """That rows are in an earlier episode already."""
    kept = counts["train"] + counts["heldout"]
    few = "all" if rows == kept else f"{rows:,} of"
    return f"Repeated     {few} {kept:,} rows are in {folder} already: they would count twice"


def _others(opened: Any) -> str:
    """What else the source could be."""
    if not opened.others:
        return ""
    return (
        f"; could also be {' or '.join(opened.others)}, in a project made by "
        f"`onward new DIR --recipe {opened.others[0]}`"
    )


def _labels(opened: Any) -> list[str]:
    """How many labels there are, and which are new or absent."""
    if not opened.labels:
        return []
    lines = [f"Labels       {len(opened.labels):,}"]
    for word, names in (("new", opened.new_labels), ("absent", opened.absent_labels)):
        if names and (word == "absent" or len(names) < len(opened.labels)):
            more = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
            lines.append(f"  {len(names):,} {word}: {', '.join(names[:10])}{more}")
    if len(opened.new_labels) == len(opened.labels):
        lines[0] += ", all new"
    return lines


def _counted(counts: dict[str, int]) -> str:
    return (
        f"{counts['seen']:,} seen: {counts['accepted']:,} accepted, "
        f"{counts['repaired']:,} repaired, {counts['quarantined']:,} quarantined"
    )


def _sample(item: dict[str, Any]) -> str:
    place, detail = f"line {item.get('line', '?')}", item.get("detail") or ""
    return f"  {place}: {item.get('reason', '')} {detail if detail != place else ''}".rstrip()


def _table(found: list[dict[str, Any]], quarantined: bool) -> Any:
    from rich.table import Table
    from rich.text import Text

    if not found:
        return "No episode has quarantined rows" if quarantined else "No episode is open yet"
    table = Table(box=None, pad_edge=False)
    groups = any(item["group"] for item in found)
    named = ("EPISODE", "STATE", "GROUP") if groups else ("EPISODE", "STATE")
    for heading in (*named, "TRAIN", "HELD OUT", "QUARANTINED", "WHY"):
        right = heading in ("TRAIN", "HELD OUT", "QUARANTINED")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for item in found:
        counts = item["counts"]
        numbers = [f"{counts[key]:,}" for key in ("train", "heldout", "quarantined")]
        why = item["withdrawn"] or (f"corrects {item['corrects']}" if item["corrects"] else "")
        grouped = [item["group"] or ""] if groups else []
        table.add_row(item["folder"], item["state"], *grouped, *numbers, Text(why))
    return table


def _places(found: list[dict[str, Any]], quarantined: bool) -> list[str]:
    """Where the rows of a list of quarantined ones lie, with their reasons."""
    if not (quarantined and found):
        return []
    files = [here().episode(item["folder"]) / "quarantined.jsonl" for item in found]
    return ["Rows and reasons", *(f"  {path}" for path in files)]


def _shown(data: dict[str, Any]) -> list[str]:
    counts, source = data["counts"], data["source"]
    lines = [
        f"{data['folder']} · {data['state']}{_because(data)}",
        f"Source       {source['name']} · {source['format']} · {source['bytes']:,} bytes",
        f"             sha256 {source['sha256']}",
        f"Columns      {', '.join(f'{k}={v}' for k, v in sorted(source['mapping'].items()))}",
        f"Rows         {_counted(counts)}",
        f"Split        {counts['train']:,} to learn from, {counts['heldout']:,} held out",
    ]
    if data["group"]:
        lines.append(f"Group        {data['group']}")
    if data.get("labels"):
        lines.append(
            f"Labels       {len(data['labels']):,}: {', '.join(list(data['labels'])[:10])}"
        )
    lines += [f"Quarantined  {n:,} {reason}" for reason, n in sorted(data["reasons"].items())]
    where = here().episode(data["folder"])
    return [*lines, f"Manifest     {data['manifest']}", f"Files        {where}"]


def _because(data: dict[str, Any]) -> str:
    return f": {data['withdrawn']}" if data["withdrawn"] else ""
