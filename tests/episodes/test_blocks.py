"""Tagged lines, CoNLL, SemEval blocks and parallel lines: told by content, read as a stream."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from onward.episodes import formats
from onward.episodes.checks import REASONS
from onward.episodes.incoming import Incoming
from onward.errors import FormatError, MissingFiles, UsageError

MOST = 10_000
TAGGED = "add:O Oh:B-song Baby:I-song 3:30:O <=> AddToPlaylist\nplay:O it:O <=> PlayMusic\n"
CONLL = "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\nPeter NNP B-PER\nB NNP I-PER\n"
SEMEVAL = (
    '1\t"The <e1>child</e1> sat in the <e2>cradle</e2>."\r\nContent-Container(e1,e2)\r\n'
    'Comment:\r\n\r\n2\t"A <e1>storm</e1> and a <e2>calm</e2>."\r\nOther\r\nComment: none\r\n\r\n'
)


def rows_of(path: Path, declared: str | None = None) -> tuple[str, list[Incoming]]:
    source = formats.sniff(path, MOST, declared)
    return source.format, list(formats.read(source))


def values(rows: list[Incoming]) -> list[dict[str, Any]]:
    return [row.values for row in rows if row.values is not None]


@pytest.mark.parametrize("name", ["a.txt", "a", "a.txt.gz"])
@pytest.mark.parametrize(
    ("kind", "content"), [("tagged", TAGGED), ("conll", CONLL), ("semeval", SEMEVAL)]
)
def test_each_is_told_by_content(tmp_path: Path, kind: str, content: str, name: str) -> None:
    data = content.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    found, rows = rows_of(tmp_path / name)
    assert found == kind and len(values(rows)) == 2
    assert set(values(rows)[0]) == set(formats.sniff(tmp_path / name, MOST).columns)


def test_tagged_lines_part_a_token_from_its_tag_at_the_last_colon(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TAGGED)
    first, second = values(rows_of(tmp_path / "a.txt")[1])
    assert first["tokens"] == ["add", "Oh", "Baby", "3:30"]
    assert first["tags"] == ["O", "B-song", "I-song", "O"]
    assert (first["intent"], second["text"]) == ("AddToPlaylist", "play it")


def test_a_sentence_may_begin_with_the_token_that_comments_begin_with(tmp_path: Path) -> None:
    """As posts do: the token was taken for a comment, and the sentence went on without it."""
    content = "# id = 1\n# O\nOslo B-city\n\n# text O\nBergen B-city\n\n# O\n"
    (tmp_path / "a.conll").write_text(content)
    _, rows = rows_of(tmp_path / "a.conll")
    tokens = [row.values["tokens"] for row in rows if row.values]
    assert tokens == [["#", "Oslo"], ["Bergen"], ["#"]]


def test_conll_takes_the_first_and_the_last_column(tmp_path: Path) -> None:
    for separator in (" ", "\t"):
        (tmp_path / "a.conll").write_text(CONLL.replace(" ", separator))
        kind, rows = rows_of(tmp_path / "a.conll")
        assert kind == "conll" and [row.line for row in rows] == [3, 6]
        assert values(rows)[1] == {"text": "Peter B", "tokens": ["Peter", "B"]} | {
            "tags": ["B-PER", "I-PER"]
        }


def test_semeval_keeps_number_relation_and_comment(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(SEMEVAL)
    first, second = values(rows_of(tmp_path / "a.txt")[1])
    assert (first["id"], first["label"]) == ("1", "Content-Container(e1,e2)")
    assert first["text"] == "The <e1>child</e1> sat in the <e2>cradle</e2>."
    assert (second["label"], second["comment"]) == ("Other", "Comment: none")


@pytest.mark.parametrize(
    ("content", "bad", "good", "reason"),
    [
        (TAGGED + "no/O separator/O <=> x\n", 3, 2, "malformed"),
        (TAGGED + "some:O :O <=> x\n", 3, 2, "malformed"),
        (CONLL + "\nalone\nB-PER I-PER x\n", 9, 2, "malformed"),
        (CONLL + "\n" + "longtoken X O\n" * 20_000, 9, 2, "line-too-long"),
        (SEMEVAL + 'no number "A <e1>b</e1>"\nOther\n\n', 9, 2, "malformed"),
        (SEMEVAL + '3\t"A <e1>b</e1> <e2>c</e2>"\nno relation here\n\n', 9, 2, "malformed"),
        (TAGGED.encode() + b"br\xffken:O <=> x\n", 3, 2, "invalid-encoding"),
    ],
)
def test_d04_a_bad_row_is_told_by_its_line_and_the_others_are_read(
    tmp_path: Path, content: Any, bad: int, good: int, reason: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    _, rows = rows_of(path)
    assert len(values(rows)) == good
    assert [(row.line, row.reason) for row in rows if row.values is None] == [(bad, reason)]
    assert reason in REASONS


def test_a_block_without_end_keeps_memory_flat(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("token X O\n" * 500_000)
    source = formats.sniff(tmp_path / "a.conll", 1_000)
    tracemalloc.start()
    rows = list(formats.read(source))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row.reason for row in rows] == ["line-too-long"] and peak < 3_000_000


# Parallel lines


def pair(folder: Path, source: bytes, target: bytes, suffix: str = "") -> formats.Source:
    left, right = folder / f"a.en{suffix}", folder / f"a.de{suffix}"
    left.write_bytes(source)
    right.write_bytes(target)
    return formats.sniff(left, MOST, target=right)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_parallel_lines_stand_side_by_side(tmp_path: Path, suffix: str) -> None:
    texts = [b"Good day, all\nBye\n", b"Guten Tag\nTsch\xc3\xbcss"]
    left, right = (gzip.compress(text) if suffix else text for text in texts)
    found = pair(tmp_path, left, right, suffix)
    assert found.format == "parallel" and found.name == f"a.en{suffix} and a.de{suffix}"
    rows = values(list(formats.read(found)))
    assert rows[1] == {"source": "Bye", "target": "Tsch\u00fcss"}
    before = found.sha256()
    other = pair(tmp_path, right, left, suffix)
    assert other.sha256() != before and other.bytes == found.bytes


def test_d03_unequal_numbers_of_lines_are_refused_with_both(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"a.en has 3 lines and a.de has 2") as caught:
        next(formats.read(pair(tmp_path, b"a\nb\nc\n", b"a\nb\n")))
    assert caught.value.details == {"lines": [3, 2]}


def test_d11_one_bad_line_of_a_pair_is_one_bad_row(tmp_path: Path) -> None:
    rows = list(formats.read(pair(tmp_path, b"a\n\xff\nc\n", b"a\nb\nc\n")))
    assert [row.reason for row in rows] == ["", "invalid-encoding", ""]


def test_d02_a_pair_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="JSONL"):
        pair(tmp_path, b'{"a": 1}\n', b"a\n")
    with pytest.raises(FormatError, match="HTML"):
        pair(tmp_path, b"a\n", b"<html></html>\n")
    # A person may know better: so subtitles begin.
    for first in (b"<i>Hello</i> there", b"[Applause] Thank you", b"{Music}"):
        (tmp_path / "a.en").write_bytes(first + b"\nGood day\n")
        (tmp_path / "a.de").write_bytes(b"Hallo\nGuten Tag\n")
        with pytest.raises(FormatError) as caught:
            formats.sniff(tmp_path / "a.en", MOST, target=tmp_path / "a.de")
        assert "--format parallel" in caught.value.fix
        said = formats.sniff(tmp_path / "a.en", MOST, "parallel", target=tmp_path / "a.de")
        assert len(list(formats.read(said))) == 2
    (tmp_path / "a.en").write_bytes(b"PK\x03\x04")
    with pytest.raises(FormatError, match="zip"):
        formats.sniff(tmp_path / "a.en", MOST, "parallel", target=tmp_path / "a.de")
    (tmp_path / "a.en").write_bytes(b"a\n")
    with pytest.raises(MissingFiles):
        formats.sniff(tmp_path / "a.en", MOST, target=tmp_path / "none")
    with pytest.raises(UsageError, match="two files"):
        formats.sniff(tmp_path / "a.en", MOST, "parallel")


# gzip


def test_s05_what_is_called_gz_is_whole_and_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    whole = gzip.compress(b"".join(b'{"n": %d}\n' % n for n in range(20_000)))
    for content, told in (
        (b'{"a": 1}\n', "not whole gzip"),
        (whole[: len(whole) // 2], "not whole gzip"),
        (whole[:-8] + b"\0" * 8, "not whole gzip"),
        (gzip.compress(b'{"a": 1}\n' * 2_000_000), "more than 100 times"),
        (gzip.compress(b"PAR1rest"), "Parquet in gzip"),
    ):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=told):
            rows_of(path)
    path.write_bytes(whole)
    assert len(rows_of(path)[1]) == 20_000
