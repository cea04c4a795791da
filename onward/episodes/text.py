"""Incoming bytes to lines of text, memory flat whatever the file's or a line's length.

UTF-8 with or without a byte order mark, and UTF-16 with one; compressed by gzip, where the name
ends in .gz. A line that is too long, or whose bytes are not of its encoding, is still handed on,
with what is wrong with it.

>>> import tempfile; path = Path(tempfile.mkdtemp()) / "a.csv"
>>> _ = path.write_bytes(b"ab\\n\\xff\\n")
>>> [(line.number, line.text, line.reason) for line in lines(path, 100)]
[(1, 'ab', None), (2, '\\udcff', 'invalid-encoding')]

What this does not cover: other encodings without a mark. Latin-1 or Big5 shows as invalid UTF-8,
or, where it happens to be valid UTF-8 as well, as other letters.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from onward.errors import FormatError

CHUNK = 1 << 16
"""Bytes read at a time."""

EXPANDED = 100
"""Times its own size that a compressed file may hold: text has 3 to 10, a bomb 1,000."""

SHOWN = 2_000
"""Characters that are kept of a line that is too long."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class Line:
    """One line without its end; `reason` says why it cannot be taken, where it cannot."""

    number: int
    text: str
    reason: str | None = None
    end: str = "\n"
    """How it ended, where a text that goes on over lines has it in it."""


def encoding(path: Path) -> tuple[str, int]:
    """The encoding that the byte order mark names (UTF-8 without one), and the mark's length.

    Raises:
        FormatError: it is UTF-32.
    """
    head = start(path, 4)
    for mark, name in _MARKS:
        if head.startswith(mark):
            if name == "utf-32":
                raise FormatError(f"{path.name} is UTF-32", where=str(path), fix="save it as UTF-8")
            return name, len(mark)
    return "utf-8", 0


def utf8(path: Path) -> Iterator[bytes]:
    """The file in pieces of UTF-8, its mark removed. Lone surrogates of UTF-16 stay invalid.

    Raises:
        FormatError: UTF-16 is cut off in the middle of a character.
    """
    name, skip = encoding(path)
    with opened(path) as source:
        source.read(skip)
        pieces = _pieces(source, EXPANDED * path.stat().st_size + CHUNK, path)
        yield from pieces if name == "utf-8" else _transcoded(pieces, name, path)


def compressed(path: Path) -> bool:
    """Whether a file's name says that it is compressed by gzip."""
    return path.suffix.lower() == ".gz"


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, expanded where it is compressed.

    Raises:
        FormatError: it is called .gz and is not gzip, or is cut off or damaged.
    """
    try:
        with gzip.open(path) if compressed(path) else path.open("rb") as source:
            yield cast(BinaryIO, source)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FormatError(
            f"{path.name} is not whole gzip: {error}",
            where=str(path),
            fix="send it again, or expand it first",
        ) from error


def start(path: Path, most: int) -> bytes:
    """The first bytes of a file, expanded where it is compressed. Raises as `opened`."""
    with opened(path) as source:
        return source.read(most)


def _pieces(source: BinaryIO, most: int, path: Path) -> Iterator[bytes]:
    size = 0
    while piece := source.read(CHUNK):
        size += len(piece)
        if size > most:
            raise FormatError(
                f"{path.name} expands to more than {EXPANDED} times its size",
                where=str(path),
                fix="expand it first, if it is what it should be",
            )
        yield piece


def _transcoded(pieces: Iterator[bytes], name: str, path: Path) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(name)("surrogatepass")
    try:
        for piece in pieces:
            yield decoder.decode(piece).encode("utf-8", "surrogatepass")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path.name} is not whole UTF-16: {error.reason}",
            where=str(path),
            fix="send the file again, or save it as UTF-8",
        ) from error


def lines(path: Path, most_bytes: int) -> Iterator[Line]:
    """The lines of a file, ends removed.

    Args:
        path: the file.
        most_bytes: a longer line is cut to SHOWN characters and marked `line-too-long`.
    """
    number = 0
    kept, dropped = bytearray(), False
    for piece in utf8(path):
        first, *others = piece.split(b"\n")
        kept, dropped = _extend(kept, first, most_bytes, dropped)
        for part in others:
            number += 1
            yield _line(number, kept, dropped)
            kept, dropped = _extend(bytearray(), part, most_bytes, False)
    if kept or dropped:
        yield _line(number + 1, kept, dropped)


def _extend(kept: bytearray, part: bytes, most: int, dropped: bool) -> tuple[bytearray, bool]:
    if dropped or len(kept) + len(part) > most:
        return kept[: 4 * SHOWN] or bytearray(part[: 4 * SHOWN]), True
    kept += part
    return kept, False


def _line(number: int, kept: bytearray, dropped: bool) -> Line:
    data = bytes(kept).removesuffix(b"\r")
    if dropped:
        return Line(number, data.decode("utf-8", "replace")[:SHOWN], "line-too-long")
    end = "\n" if len(data) == len(kept) else "\r\n"
    try:
        return Line(number, data.decode("utf-8"), end=end)
    except UnicodeDecodeError:
        return Line(number, data.decode("utf-8", "surrogateescape"), "invalid-encoding")


def head(path: Path, most: int = CHUNK) -> bytes:
    """The first bytes of a file as UTF-8, its mark removed."""
    found = b""
    for piece in utf8(path):
        found += piece
        if len(found) >= most:
            break
    return found[:most]


def foreign(found: bytes) -> bool:
    """Whether most lines of a file's first bytes are no UTF-8, so that the whole file is not.

    >>> foreign("caf\u00e9, cr\u00e8me".encode("latin-1")), foreign("caf\u00e9".encode()[:-1])
    (True, False)
    """
    *whole, cut = found.split(b"\n")
    wrong = sum(not _utf8(line, final=True) for line in whole) + (not _utf8(cut, final=False))
    return 2 * wrong > sum(bool(line.strip()) for line in (*whole, cut))


def _utf8(line: bytes, *, final: bool) -> bool:
    """Whether bytes are UTF-8; where they are not `final`, the last character may be cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(line, final)
    except UnicodeDecodeError:
        return False
    return True


def not_utf8(path: Path, where: str = "") -> FormatError:
    """The error of a file in another encoding; `where` is added to its path."""
    return FormatError(
        f"{path.name} is not UTF-8 text",
        where=f"{path}{where}",
        fix="save it as UTF-8 (`iconv -f ENCODING -t UTF-8 FILE > NEW` does it)",
    )
