"""What every benchmark ends with, and the file of all runs of record.

A script calls `finish(result(...), record=...)`: the last line of its output is one JSON object.
With `--record` that line is also appended to results.jsonl, whatever it says, and results.md is
rendered anew from it. `python -m benchmarks.record` renders alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onward import files, fingerprints

HERE = Path(__file__).parent
RESULTS = HERE / "results.jsonl"
PAGE = HERE / "results.md"
NEEDED = ("claim", "value", "unit", "target", "met", "command", "revision", "machine")


def result(
    claim: str, value: float, unit: str, target: float, met: bool, **more: Any
) -> dict[str, Any]:
    """One measured claim, with the command, the revision and the machine.

    Args:
        claim: the script's name.
        value: what was measured, in `unit`.
        target: what it is measured against.
        met: whether the claim holds, by all that the script measures.
        more: further numbers, kept as they are. A part of the claim that has a target of its own
            is a dict with value, unit, target and met; the page gives it a row.
    """
    module = Path(sys.argv[0]).stem
    return {
        "claim": claim,
        "value": value,
        "unit": unit,
        "target": target,
        "met": bool(met),
        "command": " ".join(["python", "-m", f"benchmarks.{module}", *sys.argv[1:]]),
        "revision": revision(),
        "machine": machine(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        **more,
    }


def revision() -> str:
    """The commit that was measured; `+` where tracked files differ from it."""
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return (_git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if changed else "")


def _git(*words: str) -> str:
    command = ["git", *words]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def machine() -> str:
    """Processor, cores and GPUs in words."""
    found = fingerprints.machine()
    gpus = ", ".join(gpu["name"] for gpu in found["gpus"]) or "no GPU"
    return f"{found['cpu']}, {found['cores']} cores, {gpus}"


def finish(found: dict[str, Any], *, record: bool) -> int:
    """Print the result as the last line; keep it where asked to. 0 where the claim is met."""
    if record:
        files.append_line(RESULTS, found)
        files.write_text(PAGE, render(files.read_lines(RESULTS)))
    print(json.dumps(found, ensure_ascii=False), flush=True)
    return 0 if found["met"] else 1


def latest(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The last line of each claim, never the best."""
    return {line["claim"]: line for line in lines}


def render(lines: list[dict[str, Any]]) -> str:
    """results.md: the latest run of each claim, failures included."""
    found = latest(lines)
    page = [
        "# Results",
        "",
        "The latest run of record of each claim, met or not. All runs are in results.jsonl; this",
        "page is rendered from it by `python -m benchmarks.record`. A claim of several parts is",
        "met where all of them are; they follow it.",
        "",
    ]
    if not found:
        return "\n".join([*page, "No run of record yet.", ""])
    page += [
        "| claim | measured | target | met | runs | when | revision | machine |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for claim, line in sorted(found.items()):
        runs = sum(other["claim"] == claim for other in lines)
        measured = [str(runs), line.get("at", "")[:10], line["revision"], line["machine"]]
        page.append(_row(claim, line, measured))
        page += [_row(f"{claim}: {name}", part, [""] * 4) for name, part in _parts(line)]
    for claim, line in sorted(found.items()):
        more = {key: value for key, value in line.items() if key not in (*NEEDED, "at")}
        page += ["", f"## {claim}", "", f"`{line['command']}`", ""]
        tables = {key: value for key, value in more.items() if _tabular(value)}
        page += [f"- {key}: {_plain(value)}" for key, value in more.items() if key not in tables]
        for key, rows in tables.items():
            page += ["", f"{key}:", "", *_table(rows)]
    return "\n".join(page) + "\n"


def _parts(line: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The parts of a claim that have a target of their own."""
    needed = {"value", "unit", "target", "met"}
    return [(k, v) for k, v in line.items() if isinstance(v, dict) and needed <= v.keys()]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _tabular(value: Any) -> bool:
    """Whether a value is rows of a table: two or more dicts without dicts inside."""
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(isinstance(row, dict) for row in value)
        and not any(isinstance(cell, dict) for row in value for cell in row.values())
    )


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown lines; columns in the order in which they are first met."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [
        ["" if row.get(name) is None else _plain(row[name]) for name in columns] for row in rows
    ]
    lines = [columns, ["---"] * len(columns), *cells]
    return [f"| {' | '.join(line)} |" for line in lines]


def _row(name: str, found: dict[str, Any], more: list[str]) -> str:
    met = "yes" if found["met"] else "**no**"
    cells = [name, f"{found['value']:g} {found['unit']}", f"{found['target']:g}", met, *more]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    files.write_text(PAGE, render(files.read_lines(RESULTS)))
