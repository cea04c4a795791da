"""SQuAD JSON, 1.1 and 2.0, as a stream of rows: one paragraph in memory at a time.

The file is parsed twice, because a title may stand after its paragraphs: first for syntax and
titles, then for rows. So a file that is not whole JSON is refused before any row is taken.

Where a row can be told (a question, a paragraph of the wrong shape), it alone is handed on as
unreadable. Where it cannot (broken JSON, invalid UTF-8, doubled keys above the paragraphs, nesting
of more than DEPTH levels, one value longer than the limit), the file is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import ijson

from onward.episodes import text
from onward.episodes.incoming import DEPTH, Incoming, plain
from onward.errors import FormatError

COLUMNS = ("id", "title", "context", "question", "answers", "is_impossible")
"""What a row of this format holds, under canonical names."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_BROKEN = (ijson.JSONError, ValueError, ArithmeticError, SystemError, StopIteration)

Event = tuple[str, Any]


class _Object(dict[str, Any]):
    """A JSON object that remembers keys that stood twice."""

    twice: tuple[str, ...] = ()


def read(path: Path, most_bytes: int) -> Iterator[Incoming]:
    """The questions of a SQuAD file; `line` counts them from 1.

    Args:
        path: the file.
        most_bytes: no value and no paragraph may be longer.

    Raises:
        FormatError: the file is not SQuAD JSON; nothing was yielded yet.
    """
    stream = _Stream(path, "yajl2_c", most_bytes)
    titles = [title for kind, title in _walk(stream, titles=True) if kind == "title"]
    # yajl turns a lone surrogate into "?": where there may be one, the slow parser keeps it.
    exact = _Stream(path, "python" if stream.surrogates else "yajl2_c", most_bytes)
    number, article = 0, -1
    for kind, value in _walk(exact, titles=False):
        article += kind == "article"
        if kind in ("paragraph", "odd"):
            title = titles[article] if 0 <= article < len(titles) else None
            for row in _questions(value, title):
                number += 1
                yield Incoming(number, *row)


class _Stream:
    """The parser's events, with limits on depth and on the bytes between two events."""

    def __init__(self, path: Path, backend: str, most_bytes: int) -> None:
        self.path, self.most_bytes, self.surrogates, self.fed = path, most_bytes, False, 0
        self._events = self._parsed(backend)

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def next(self) -> Event:
        """The next event; the parser has already refused an end that comes too early."""
        return next(self._events)

    def refuse(self, what: str) -> FormatError:
        """A FormatError that says where."""
        return FormatError(
            f"{self.path.name} is not SQuAD JSON: {what}",
            where=f"{self.path}, before byte {self.fed:,}",
            fix='SQuAD is {"data": [{"title", "paragraphs": [{"context", "qas"}]}]}; '
            "send rows as JSONL otherwise",
        )

    def _parsed(self, backend: str) -> Iterator[Event]:
        found = ijson.sendable_list()
        parser = ijson.get_backend(backend).basic_parse_coro(found)
        depth, silent, tail = 0, 0, b""
        try:
            for piece in self._pieces(parser):
                self.surrogates = self.surrogates or bool(_SURROGATE.search(tail + piece))
                tail, self.fed = piece[-5:], self.fed + len(piece)
                silent = 0 if found else silent + len(piece)
                if silent > self.most_bytes:
                    raise self.refuse(f"one value is longer than {self.most_bytes:,} bytes")
                for event in found:
                    depth += event[0].startswith("start") - event[0].startswith("end")
                    if depth > DEPTH:
                        raise self.refuse(f"it is nested deeper than {DEPTH} levels")
                    yield event
                del found[:]
        finally:  # a parser that is left in the middle complains when it is collected
            with suppress(*_BROKEN):
                parser.close()

    def _pieces(self, parser: Any) -> Iterator[bytes]:
        """Feed the parser; after each piece its events are in the list."""
        try:
            for piece in text.utf8(self.path):
                parser.send(piece)
                yield piece
            parser.close()
        except _BROKEN as error:
            if "UTF8" in str(error) or "utf-8" in str(error):
                raise text.not_utf8(self.path, f", before byte {self.fed:,}") from error
            first = str(error).removeprefix("b'").replace("\\n", "\n").strip().splitlines()
            raise self.refuse(first[0][:120] if first else type(error).__name__) from error


def _walk(stream: _Stream, *, titles: bool) -> Iterator[tuple[str, Any]]:
    """("article", None), ("title", value), ("paragraph", object) or ("odd", value).

    With `titles` one title an article and no paragraphs, else the other way round.
    """
    if stream.next()[0] != "start_map":
        raise stream.refuse("it does not begin with an object")
    seen: set[str] = set()
    for _, key in _members(stream):
        _once(stream, seen, key)
        event = stream.next()
        if key != "data":
            _skip(stream, event)
            continue
        if event[0] != "start_array":
            raise stream.refuse("`data` is not a list")
        for item in _items(stream):
            yield from _article(stream, item, titles)
    if "data" not in seen:
        raise stream.refuse("it has no list `data`")
    for _ in stream:
        raise stream.refuse("something follows its end")  # pragma: no cover - parsers refuse first


def _article(stream: _Stream, first: Event, titles: bool) -> Iterator[tuple[str, Any]]:
    yield "article", None
    title = None
    if first[0] != "start_map":
        value = _build(stream, first)
        yield ("title", None) if titles else ("odd", value)
        return
    seen: set[str] = set()
    for _, key in _members(stream):
        _once(stream, seen, key)
        event = stream.next()
        if key == "title":
            title = _build(stream, event)
        elif key != "paragraphs" or titles:
            _skip(stream, event)
        elif event[0] != "start_array":
            yield "odd", _build(stream, event)
        else:
            for item in _items(stream):
                yield "paragraph", _build(stream, item)
    if titles:
        yield "title", title
    elif "paragraphs" not in seen:
        yield "odd", {"title": title}


def _members(stream: _Stream) -> Iterator[Event]:
    while (event := stream.next())[0] != "end_map":
        yield event


def _items(stream: _Stream) -> Iterator[Event]:
    while (event := stream.next())[0] != "end_array":
        yield event


def _once(stream: _Stream, seen: set[str], key: str) -> None:
    if key in seen:
        raise stream.refuse(f"the key {key[:40]!r} stands twice in one object")
    seen.add(key)


def _skip(stream: _Stream, first: Event) -> None:
    depth = int(first[0].startswith("start"))
    while depth:
        kind = stream.next()[0]
        depth += kind.startswith("start") - kind.startswith("end")


def _build(stream: _Stream, first: Event) -> Any:
    """One whole value. Raises FormatError where its texts exceed the limit together."""
    size = 0

    def value(event: Event) -> Any:  # as deep as the stream allows
        nonlocal size
        kind, found = event
        if kind == "start_map":
            return members()
        if kind == "start_array":
            return [value(item) for item in _items(stream)]
        size += 8 + (len(found) if isinstance(found, str) else 0)
        if size > stream.most_bytes:
            raise stream.refuse(f"one paragraph is longer than {stream.most_bytes:,} characters")
        return float(found) if isinstance(found, Decimal) else found

    def members() -> _Object:
        made = _Object()
        for _, key in _members(stream):
            if key in made:
                made.twice = (*made.twice, key)
            made[key] = value(stream.next())
        return made

    return value(first)


_Fields = tuple[dict[str, Any] | None, str, str, str]


def _questions(paragraph: Any, title: Any) -> Iterator[_Fields]:
    """values, reason, detail, text of each question of a paragraph."""
    if not isinstance(paragraph, dict) or not isinstance(paragraph.get("qas"), list):
        yield None, "wrong-type", "a paragraph is an object with a list `qas`", _shown(paragraph)
        return
    both: tuple[str, ...] = paragraph.twice  # type: ignore[attr-defined]
    if "qas" in both:  # one of the two lists is gone, however many questions it held
        yield None, "duplicate-keys", "the key 'qas' stands twice", _shown(paragraph)
        return
    for question in paragraph["qas"]:
        if not isinstance(question, _Object):
            yield None, "wrong-type", "a question is an object", _shown(question)
            continue
        twice = (*_twice(question), *both)
        if twice:
            told = f"the key {twice[0][:40]!r} stands twice"
            yield None, "duplicate-keys", told, _shown(question)
            continue
        # Without `is_impossible` an empty list of answers is a fault, not an answer.
        values = {"title": title, "is_impossible": False}
        values |= {key: question[key] for key in COLUMNS if key in question}
        if "context" in paragraph:
            values["context"] = paragraph["context"]
        yield values, "", "", ""


def _twice(question: _Object) -> list[str]:
    answers = question.get("answers")
    inner = answers if isinstance(answers, list) else [answers]
    objects = [question, *(item for item in inner if isinstance(item, _Object))]
    return [key for item in objects for key in item.twice]


def _shown(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False)[: text.SHOWN]
