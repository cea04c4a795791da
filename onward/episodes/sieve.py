"""All rows of one incoming file on disk, so that they can be compared with one another.

A temporary SQLite database holds what must be compared as hashes of 16 bytes, and each row's
JSON; memory stays flat for any number of rows. Its file is unlinked as soon as it is open, so a
killed process leaves nothing.

Rows are compared as sets, never in the order they came:

- duplicate: of rows with the same texts (context and question, or text and pair) and the same
  answers, label or value one stays, whatever their ids and titles: the one whose hash is smallest.
- same-id: rows that carry the same id and differ are all quarantined; nothing tells which is
  meant. Several answers to one question belong into one row's list.
- conflicting-answers: rows with other ids, the same texts, and different answers, labels or values
  are all quarantined.

Before that, rows with the label -1 are set aside where all labels else are numbers from 0 on: so
sets that number their labels mark the rows that have none (Hugging Face's, such as SNLI).
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from onward import files
from onward.episodes.checks import Checked
from onward.episodes.incoming import plain
from onward.episodes.kinds import Kind
from onward.episodes.options import by_letter
from onward.episodes.rows import normalised, short, side_key, split_text, title_key
from onward.recipes.shapes import Row

_SCHEMA = """
CREATE TABLE rows (
    ord INTEGER PRIMARY KEY, line INTEGER, reason TEXT, detail TEXT, repair TEXT,
    id BLOB, given INTEGER, pair BLOB, content BLOB, whole BLOB,
    title BLOB, context BLOB, side TEXT, body TEXT
);
CREATE TABLE known (kind TEXT, key BLOB, side TEXT, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE original (id BLOB PRIMARY KEY, side TEXT) WITHOUT ROWID;
CREATE TABLE sketches (ord INTEGER, context BLOB, side TEXT, kind TEXT, signature BLOB);
CREATE TABLE leaks (context BLOB PRIMARY KEY, detail TEXT) WITHOUT ROWID;
"""

_INDEXES = ("content", "id", "pair", "title", "context")

_DUPLICATES = """
UPDATE rows SET reason = 'duplicate', detail = 'the same as line ' || kept.line
FROM (SELECT content, line, ord, MIN(whole) FROM rows WHERE reason = '' GROUP BY content) AS kept
WHERE rows.reason = '' AND rows.content = kept.content AND rows.ord <> kept.ord
"""

_CONFLICTS = """
UPDATE rows SET reason = ?, detail = 'also line ' || iif(rows.line = other.high, low, high)
FROM (SELECT {key} AS key, MIN(line) AS low, MAX(line) AS high FROM rows
      WHERE reason = '' GROUP BY {key} HAVING COUNT(*) > 1 AND {also}) AS other
WHERE rows.reason = '' AND rows.{key} = other.key
"""


_UNLABELLED = """
UPDATE rows SET reason = 'answer-missing', detail =
    '-1 says that a row has no label, where labels are numbers from 0 on; name it where it is one'
WHERE reason = '' AND json_extract(body, '$.label') = '-1'
"""


class Sieve:
    """Rows go in one by one, are compared, and come out by side. A context manager."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        self.folder, self.kind, self.seen = folder, kind, 0
        self._waiting: list[tuple[Any, ...]] = []
        self._last_context = ("", b"")
        self._numbers: set[str] = set()

    def __enter__(self) -> Sieve:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix="rows-", suffix=".sqlite") as name:
            self.db = sqlite3.connect(name.name, isolation_level=None)
            # Nothing here outlives the process: no journal, no fsync, and no other reader.
            self.db.executescript(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -32000;" + _SCHEMA
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    def add(self, line: int, checked: Checked, shown: Any) -> None:
        """Take one row in. `shown`: what a quarantined row's line in the file will hold."""
        self.seen += 1
        if checked.row is None:
            body = _body(plain(shown))
            self._put(line, checked, None, None, None, None, None, None, body)
        else:
            row = checked.row
            pair, content = self.keys(row)
            self._numbers.add(_number(row.get("label")))
            whole = short(content.hex() + json.dumps([row["id"], row["title"]]))
            title = normalised(row["title"] or "")
            self._put(
                line,
                checked,
                short(row["id"]),
                pair,
                content,
                whole,
                title_key(title) if title else None,
                self._context(split_text(row)),
                _body(row),
            )

    def keys(self, row: Row) -> tuple[bytes, bytes]:
        """The keys of a row's texts, and of its texts and answers, whatever its id and title."""
        pair = short(json.dumps(self.kind.asks(row)))
        return pair, short(pair.hex() + json.dumps(self.kind.gold(row)))

    def holds(self, column: Literal["content", "context"], key: bytes) -> bool:
        """Whether a kept row has this key."""
        query = f"SELECT 1 FROM rows WHERE reason = '' AND {column} = ? LIMIT 1"  # noqa: S608
        return self.db.execute(query, (key,)).fetchone() is not None

    def _context(self, text: str) -> bytes:
        """The key of a context; most come several times in a row."""
        if text != self._last_context[0]:
            self._last_context = (text, side_key(text))
        return self._last_context[1]

    def _put(
        self,
        line: int,
        checked: Checked,
        identity: bytes | None,
        pair: bytes | None,
        content: bytes | None,
        whole: bytes | None,
        title: bytes | None,
        context: bytes | None,
        body: str,
    ) -> None:
        marks = (line, checked.reason, checked.detail, checked.repair)
        keys = (identity, checked.given_id, pair, content, whole, title, context, None)
        self._waiting.append((*marks, *keys, body))
        if len(self._waiting) >= 500:
            self._store()

    def _store(self) -> None:
        self.db.execute("BEGIN")
        self.db.executemany(
            "INSERT INTO rows VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?,?)", self._waiting
        )
        self.db.execute("COMMIT")
        self._waiting = []

    def set_unlabelled_aside(self, known: Iterable[str]) -> None:
        """Mark the rows whose label -1 says that they have none. Call once, before `compare`.

        Args:
            known: the labels of earlier episodes; where -1 is among them it is one.
        """
        before = {_number(label) for label in known}
        others = (self._numbers | before) - {"-1"}
        if "-1" in self._numbers - before and others in ({"0", "n"}, {"0"}, set()):
            self._store()
            self.db.execute(_UNLABELLED)

    def compare(self) -> None:
        """Mark duplicates and conflicts. Call once, after the last row."""
        self._store()
        for name in _INDEXES:
            self.db.execute(f"CREATE INDEX by_{name} ON rows ({name}) WHERE reason = ''")
        self.db.execute(_DUPLICATES)
        # An id that was derived says no more than the texts, which come next.
        self.db.execute(_CONFLICTS.format(key="id", also="MAX(given)"), ("same-id",))
        self.db.execute(_CONFLICTS.format(key="pair", also="1"), ("conflicting-answers",))

    def counts(self) -> dict[str, int]:
        """seen, accepted, repaired, quarantined, train, heldout; every row in one of the middle."""
        one = self.db.execute(
            "SELECT SUM(reason = '' AND repair = ''), SUM(reason = '' AND repair <> ''),"
            " SUM(reason <> ''), SUM(reason = '' AND side = 'train'),"
            " SUM(reason = '' AND side = 'heldout') FROM rows"
        ).fetchone()
        names = ("accepted", "repaired", "quarantined", "train", "heldout")
        return {"seen": self.seen, **{n: int(v or 0) for n, v in zip(names, one, strict=True)}}

    def reasons(self) -> dict[str, int]:
        """Reason -> number of quarantined rows."""
        return self._grouped("reason", "reason <> ''")

    def repairs(self) -> dict[str, int]:
        """Kind of repair -> number of rows that are kept."""
        return self._grouped("repair", "reason = '' AND repair <> ''")

    def _grouped(self, column: str, where: str) -> dict[str, int]:
        query = f"SELECT {column}, COUNT(*) FROM rows WHERE {where} GROUP BY {column}"  # noqa: S608
        return dict(self.db.execute(query).fetchall())

    def labels(self) -> dict[str, dict[str, int]]:
        """Label -> kept rows that have it, by side; sorted, and empty where the recipe has none."""
        found: dict[str, dict[str, int]] = {}
        if not {"label", "labels", "tags"} & set(self.kind.fields):
            return found
        for side in ("train", "heldout"):
            for row in self.rows(side):
                for label in self.kind.labels(row):
                    counts = found.setdefault(label, {"train": 0, "heldout": 0})
                    counts[side] += 1
        return dict(sorted(found.items()))

    def rows(self, side: str) -> Iterator[Row]:
        """The kept rows of one side, in the order they came."""
        found = self.db.execute(
            "SELECT body FROM rows WHERE reason = '' AND side = ? ORDER BY ord", (side,)
        )
        return (json.loads(body) for (body,) in found)

    def quarantined(self) -> Iterator[str]:
        """Lines {line, reason, detail, row} that can be mended and sent again."""
        for line, reason, detail, body, read, given in self.db.execute(
            "SELECT line, reason, detail, body, pair IS NOT NULL, given FROM rows"
            " WHERE reason <> '' ORDER BY ord"
        ):
            if read:
                body = _body(self._unread(json.loads(body), bool(given)))
            lead = json.dumps({"line": line, "reason": reason, "detail": detail}, ensure_ascii=True)
            yield f'{lead[:-1]}, "row": {body}}}\n'

    def _unread(self, row: Row, given: bool) -> Mapping[str, Any]:
        """A row as it may be sent again: with no id of what it asked before it was mended."""
        kept = {name: value for name, value in row.items() if given or name != "id"}
        return by_letter(kept) if "options" in self.kind.asked else kept

    def samples(self, most: int = 5) -> list[dict[str, Any]]:
        """The first quarantined rows, long texts cut: for a message."""
        found = self.db.execute(
            "SELECT line, reason, detail, substr(body, 1, 300) FROM rows"
            " WHERE reason <> '' ORDER BY ord LIMIT ?",
            (most,),
        )
        return [dict(zip(("line", "reason", "detail", "row"), row, strict=True)) for row in found]


def _number(label: str | None) -> str:
    """What a label is among numbered ones: "0", "-1", "n" for another whole number, else ""."""
    if label in ("0", "-1"):
        return label
    return "n" if label and label.isascii() and label.isdecimal() else ""


def _body(value: Any) -> str:
    """JSON of a row; half of a UTF-16 pair can only be written escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, ensure_ascii=True, allow_nan=False)
    return text


def write_quarantined(sieve: Sieve, path: Path) -> None:
    """Write the file of quarantined rows under a temporary name, then rename it."""
    files.operation("open", path)
    written = path.with_suffix(".tmp")
    with written.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(sieve.quarantined())
    files.operation("rename", path)
    written.replace(path)
