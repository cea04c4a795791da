"""Text files whose rows are lines or blocks of lines: tagged lines, CoNLL, SemEval-2010 task 8.

>>> import tempfile; path = Path(tempfile.mkdtemp()) / "a.txt"
>>> _ = path.write_text("add:O this:O song:B-music <=> AddToPlaylist\\n")
>>> next(tagged_lines(path, 1_000)).values["tags"]
['O', 'O', 'B-music']

Each reader hands on what it cannot read as a row with its reason. Whether tags are a sequence and
markers are whole is judged later, with all other rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from onward.episodes import text
from onward.episodes.incoming import Incoming
from onward.episodes.spanned import TAG
from onward.episodes.text import Line

COLUMNS = {
    "tagged": ["text", "tokens", "tags", "intent"],
    "conll": ["text", "tokens", "tags"],
    "semeval": ["id", "text", "label", "comment"],
}
"""Format -> what its rows hold."""

INTENT = " <=> "
"""Stands between the tagged tokens of a line and its intent."""

_LOOKED_AT = 40
"""Lines from which a format is told."""

_NUMBERED = re.compile(r'\s*([0-9]+)\s+"(.*)"\s*')
_RELATION = re.compile(r"\S+")


def kind(head: str) -> str | None:
    """tagged, conll or semeval, where at least half of the first lines look so; else None."""
    lines = [line.rstrip("\r") for line in head.split("\n")[:_LOOKED_AT]]
    filled = [line for line in lines if line.strip()]
    for name, looks in _LOOKS.items():
        if filled and 2 * sum(map(looks, filled)) >= len(filled):
            return name
    # Of a SemEval block one line of three has markers.
    marked = [line for line in filled if _NUMBERED.fullmatch(line) and "<e1>" in line]
    return "semeval" if marked and 4 * len(marked) >= len(filled) else None


def _tagged(line: str) -> bool:
    tags = [part.rpartition(":")[2] for part in line.partition(INTENT)[0].split()]
    return bool(tags) and all(map(TAG.fullmatch, tags)) and ":" in line


def _column(line: str) -> bool:
    parts = line.split()
    return len(parts) > 1 and TAG.fullmatch(parts[-1]) is not None


_LOOKS: dict[str, Callable[[str], bool]] = {"tagged": _tagged, "conll": _column}


def read(path: Path, name: str, most_bytes: int) -> Iterator[Incoming]:
    """The rows of a file of one of the formats in COLUMNS; `line` is the first of each row."""
    return {"tagged": tagged_lines, "conll": conll, "semeval": semeval}[name](path, most_bytes)


def tagged_lines(path: Path, most_bytes: int) -> Iterator[Incoming]:
    """Lines `token:TAG token:TAG ... <=> intent`; the intent may be missing.

    A token may hold colons: its tag follows the last.
    """
    for line in text.lines(path, most_bytes):
        if line.reason:
            yield _unreadable([line], line.reason)
        elif line.text.strip():
            tokens, _, intent = line.text.partition(INTENT)
            parts = [part.rpartition(":") for part in tokens.split()]
            odd = next((part for part in parts if not (part[0] and part[2])), None)
            if odd is not None:
                yield _unreadable([line], "malformed", f"{''.join(odd)[:40]!r} is not token:TAG")
            else:
                found = [token for token, _, _ in parts]
                tags = [tag for _, _, tag in parts]
                values = {"text": " ".join(found), "tokens": found, "tags": tags}
                yield Incoming(line.number, {**values, "intent": intent.strip() or None})


def conll(path: Path, most_bytes: int) -> Iterator[Incoming]:
    """Sentences of one token a line, its columns parted by tabs or spaces, blank lines between.

    The first column is the token, the last its tag. Lines -DOCSTART- and comments (`# `) before
    a sentence are left out; a `#` with as many columns as the sentence's last line is a token.
    """
    width = 0
    for lines in _blocks(path, most_bytes):
        while lines and _left_out(lines[0], lines[-1]):
            lines = lines[1:]
        if not lines:
            continue
        reason = next((line.reason for line in lines if line.reason), None)
        if reason:
            yield _unreadable(lines, reason)
            continue
        rows = [line.text.split("\t") if "\t" in line.text else line.text.split() for line in lines]
        width = width or len(rows[0])
        odd = next((at for at, row in enumerate(rows) if len(row) != width or width < 2), None)
        if odd is not None:
            told = f"line {lines[odd].number} has {len(rows[odd])} columns, the first has {width}"
            yield _unreadable(lines, "malformed", told)
            continue
        tokens = [row[0] for row in rows]
        tags = [row[-1].strip() for row in rows]
        yield Incoming(lines[0].number, {"text": " ".join(tokens), "tokens": tokens, "tags": tags})


def _left_out(line: Line, last: Line) -> bool:
    if line.reason or not line.text.startswith(("-DOCSTART-", "# ")):
        return False
    columns = len(line.text.split()) == len(last.text.split()) and _column(line.text)
    return line.text.startswith("-DOCSTART-") or not columns


def semeval(path: Path, most_bytes: int) -> Iterator[Incoming]:
    """Blocks: a number and a quoted sentence, the relation, a comment; blank lines between.

    https://aclanthology.org/S10-1006: the entities are marked by <e1> and <e2>.
    """
    for lines in _blocks(path, most_bytes):
        reason = next((line.reason for line in lines if line.reason), None)
        if reason:
            yield _unreadable(lines, reason)
            continue
        found = _NUMBERED.fullmatch(lines[0].text)
        if found is None:
            yield _unreadable(lines, "malformed", 'a block begins with NUMBER "SENTENCE"')
        elif len(lines) > 1 and not _RELATION.fullmatch(lines[1].text.strip()):
            yield _unreadable(lines, "malformed", "the second line of a block is its relation")
        else:
            label = lines[1].text.strip() if len(lines) > 1 else None
            comment = "\n".join(line.text for line in lines[2:])
            values = {"id": found[1], "text": found[2], "label": label, "comment": comment}
            yield Incoming(lines[0].number, values)


def _blocks(path: Path, most_bytes: int) -> Iterator[list[Line]]:
    """Lines up to a blank one. Of a block of more bytes the rest is left out and it is marked."""
    held: list[Line] = []
    size = 0
    for line in text.lines(path, most_bytes):
        if line.reason or line.text.strip():
            size += len(line.text) + 1
            if size <= most_bytes or not held:
                held.append(line)
            else:
                held[-1] = Line(held[-1].number, held[-1].text, "line-too-long")
        elif held:
            yield held
            held, size = [], 0
    if held:
        yield held


def _unreadable(lines: Sequence[Line], reason: str, detail: str = "") -> Incoming:
    shown = "\n".join(line.text for line in lines[:50])[: text.SHOWN]
    return Incoming(lines[0].number, None, reason, detail, shown)
