"""Formats are told by content; broken containers are refused by name (D01, D02, D03, D11, D13)."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from onward.episodes import formats, tabbed, text
from onward.episodes.incoming import Incoming, Unreadable, loads
from onward.errors import DataError, FormatError, MissingFiles, OnwardError, UsageError
from tests.episodes import deliveries

MOST = 10_000
GOOD = deliveries.goods(20)


def rows_of(path: Path, declared: str | None = None) -> tuple[str, list[Incoming]]:
    source = formats.sniff(path, MOST, declared)
    return source.format, list(formats.read(source))


def written(folder: Path, kind: str, name: str | None = None) -> Path:
    path = folder / (name or {"squad": "a.json"}.get(kind, f"a.{kind}"))
    if kind == "squad":
        path.write_text(json.dumps(deliveries.squad(GOOD)))
    elif kind == "jsonl":
        deliveries.jsonl(path, GOOD)
    elif kind == "parquet":
        deliveries.parquet(path, GOOD)
    else:
        deliveries.delimited(path, GOOD, "\t" if kind == "tsv" else ",")
    return path


@pytest.mark.parametrize("kind", ["squad", "jsonl", "csv", "tsv", "parquet"])
def test_every_format_is_told_by_content_and_read(tmp_path: Path, kind: str) -> None:
    for name in (None, "no-suffix"):
        found, rows = rows_of(written(tmp_path, kind, name))
        assert found == kind
        assert [row.values["question"] for row in rows if row.values] == [
            row["question"] for row in sorted(GOOD, key=lambda r: GOOD.index(r))
        ]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("late", [True, False])
def test_squad_titles_may_follow_their_paragraphs(
    tmp_path: Path, indent: int | None, late: bool
) -> None:
    content = deliveries.squad(GOOD)
    if late:
        content["data"] = [
            {"paragraphs": a["paragraphs"], "title": a["title"]} for a in content["data"]
        ]
        content = {"data": content["data"], "version": content["version"]}
    (tmp_path / "a.json").write_text(json.dumps(content, indent=indent))
    _, rows = rows_of(tmp_path / "a.json")
    assert {row.values["id"]: row.values["title"] for row in rows if row.values} == {
        row["id"]: row["title"] for row in GOOD
    }


@pytest.mark.parametrize("content", ["csv", "tsv", "jsonl", "squad", "parquet"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_d02_a_format_under_another_name(tmp_path: Path, content: str, suffix: str) -> None:
    path = written(tmp_path, content, f"rows.{suffix}")
    if content == suffix or (suffix == "json" and content in ("jsonl", "squad")):
        assert rows_of(path)[0] == content
        return
    with pytest.raises(FormatError) as caught:
        rows_of(path)
    assert formats.FORMATS[content] in caught.value.what
    assert suffix.upper().removesuffix("ET") in caught.value.what.upper()
    # The way out that the error names works.
    assert f"--format {content}" in caught.value.fix
    assert rows_of(path, content)[0] == content


@pytest.mark.parametrize(
    ("name", "content", "called"),
    [
        ("a.json", b"<!DOCTYPE html><p>502 Bad Gateway</p>", "HTML"),
        ("a.csv", b"  <html></html>", "HTML"),
        ("a.json", b'[{"question": "q"}]', "a JSON list"),
        ("a.jsonl", gzip.compress(b"{}", mtime=0), "gzip"),
        ("a.csv", b"PK\x03\x04....", "Excel"),
        ("a.csv", b"just words\nand more", "plain text"),
        ("a.csv", b"a\0,\0b\0\n\0", "UTF-16"),
        ("a.parquet", b"\x80\x05pickle", "pickle"),
        ("a", b"%PDF-1.7", "PDF"),
    ],
)
def test_d02_the_wrong_container(tmp_path: Path, name: str, content: bytes, called: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=called) as caught:
        rows_of(tmp_path / name)
    assert str(tmp_path / name) in caught.value.where


@pytest.mark.parametrize("content", [b"", b" \n\t\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "parquet"])
def test_d01_an_empty_file(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError):
        rows_of(path)


def test_no_such_file_and_no_such_format(tmp_path: Path) -> None:
    with pytest.raises(MissingFiles):
        rows_of(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="xml"):
        rows_of(written(tmp_path, "csv"), "xml")


# D11: encodings


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "squad"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-16-le"])
def test_d11_marks_and_utf16(tmp_path: Path, kind: str, encoding: str) -> None:
    path = written(tmp_path, kind)
    before = rows_of(path)
    text = path.read_bytes().decode()
    mark = "\ufeff" if encoding in ("utf-16-be", "utf-16-le") else ""
    path.write_bytes((mark + text).encode(encoding))
    assert rows_of(path) == before


@pytest.mark.parametrize("kind", ["csv", "squad"])
def test_d11_utf16_cut_in_a_character(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    path.write_bytes(path.read_bytes().decode().encode("utf-16")[:-1])
    with pytest.raises(FormatError):
        rows_of(path)


def test_d11_utf32_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("a,b\n1,2\n".encode("utf-32"))
    with pytest.raises(FormatError, match="UTF-32"):
        rows_of(tmp_path / "a.csv")


@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80", b"\xc3"])
def test_d11_squad_with_invalid_bytes_is_refused(tmp_path: Path, bad: bytes) -> None:
    path = written(tmp_path, "squad")
    path.write_bytes(path.read_bytes().replace(b"Oslo", b"Os" + bad + b"lo", 1))
    with pytest.raises(FormatError, match="not UTF-8"):
        rows_of(path)


def test_d11_squad_keeps_a_lone_surrogate_for_the_checks(tmp_path: Path) -> None:
    path = written(tmp_path, "squad")
    path.write_bytes(path.read_bytes().replace(b"Oslo", b"Oslo\\ud800", 1))
    _, rows = rows_of(path)
    assert sum("\ud800" in row.values["context"] for row in rows if row.values) == 1


# D13: JSON


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": NaN}', "malformed"),
        ('{"a": -Infinity}', "malformed"),
        ('{"a": 1e999}', "malformed"),
        ('{"a": 1,}', "malformed"),
        ('{"a": 1} {"a": 2}', "malformed"),
        ('{"a": ' + "9" * 5_000 + "}", "malformed"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "malformed"),
        ('{"a": ' + "[" * 900 + "]" * 900 + "}", "malformed"),
        ('{"a":' * 40 + "1" + "}" * 40, "malformed"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "duplicate-keys"),
        ("nul", "malformed"),
    ],
)
def test_d13_strict_json(text: str, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        loads(text)
    assert caught.value.reason == reason
    assert len(str(caught.value)) < 300


def test_d13_a_wide_value_is_not_a_deep_one() -> None:
    assert loads(json.dumps({"a": [[1]] * 500})) == {"a": [[1]] * 500}


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace('"version": "1.1"', '"version": NaN'),
        lambda t: t.replace('"version": "1.1"', '"version": ' + "9" * 5_000),
        lambda t: t.replace('"version": "1.1"', '"version": ' + "[" * 100_000 + "]" * 100_000),
        lambda t: t.replace('"version": "1.1"', '"version": "' + "x" * 400_000 + '"'),
        lambda t: t.replace('"version": "1.1"', '"version": 1, "data": []'),
        lambda t: t.replace('"title": "Title 3"', '"title": "a", "title": "b"'),
        lambda t: t[:-1] + ",}",
        lambda t: t[:-2],
        lambda t: t + "}",
        lambda t: t.replace('"data": [', '"data": 5, "more": ['),
        lambda t: t.replace('"data"', '"rows"'),
        lambda t: "{" + t,
    ],
    ids=[
        "NaN",
        "huge integer",
        "100,000 levels",
        "one long value",
        "data twice",
        "title twice",
        "trailing comma",
        "cut off",
        "one brace more",
        "data is a number",
        "no data",
        "one brace before",
    ],
)
def test_d13_a_squad_file_that_is_not_whole_json_is_refused(tmp_path: Path, change: Any) -> None:
    path = written(tmp_path, "squad")
    path.write_text(change(path.read_text()))
    with pytest.raises(OnwardError) as caught:
        rows_of(path, "squad")
    assert isinstance(caught.value, FormatError)
    assert len(caught.value.what) < 400


def test_d13_squad_rows_of_the_wrong_shape_are_told_apart(tmp_path: Path) -> None:
    content = json.dumps(deliveries.squad(GOOD))
    content = content.replace('"id": "q3"', '"id": "q3", "id": "q4"')
    content = content.replace('"data": [', '"data": [7, {"paragraphs": 5}, {"paragraphs": [8]}, ')
    content = content.replace('"qas": [', '"qas": ["odd", ', 1)
    (tmp_path / "a.json").write_text(content)
    _, rows = rows_of(tmp_path / "a.json")
    bad = [row.reason for row in rows if row.values is None]
    assert bad == ["wrong-type"] * 4 + ["duplicate-keys"]
    assert len(rows) == len(GOOD) + 4


def test_a_squad_paragraph_with_a_doubled_key_loses_its_questions(tmp_path: Path) -> None:
    content = json.dumps(deliveries.squad(GOOD)).replace('"qas"', '"context": "x", "qas"', 1)
    (tmp_path / "a.json").write_text(content)
    assert [r.reason for r in rows_of(tmp_path / "a.json")[1] if r.reason] == ["duplicate-keys"]


def test_d10_a_squad_paragraph_is_held_up_to_a_limit_however_small_its_values(
    tmp_path: Path,
) -> None:
    asked = [{"question": "Who?", "id": str(number)} for number in range(10_000)]
    content = {"data": [{"paragraphs": [{"context": "Ana did.", "qas": asked}]}]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(FormatError, match="one paragraph is longer than 160,000 characters"):
        rows_of(tmp_path / "a.json")


def test_d13_answers_of_squad_with_a_doubled_key_are_not_taken(tmp_path: Path) -> None:
    """As SQuAD comes from a table: the last of the two lists was the answer."""
    told = '[{"text": "Alba0", "answer_start": 31}]'
    twice = '{"text": ["Alba0"], "text": ["Note"], "answer_start": [31]}'
    content = json.dumps(deliveries.squad(GOOD))
    assert content.count(told) == 1
    (tmp_path / "a.json").write_text(content.replace(told, twice))
    odd = [row for row in rows_of(tmp_path / "a.json")[1] if row.reason]
    assert [row.reason for row in odd] == ["duplicate-keys"]


def test_a_squad_paragraph_with_two_lists_of_questions_is_counted(tmp_path: Path) -> None:
    """The questions of the first list were gone, and in no count."""
    content = {"data": [{"paragraphs": [{"context": "Ana did.", "qas": [{"question": "Who?"}]}]}]}
    written = json.dumps(content).replace("]}]}]}", '], "qas": []}]}]}')
    (tmp_path / "a.json").write_text(written)
    _, (row,) = rows_of(tmp_path / "a.json")
    assert (row.values, row.reason) == (None, "duplicate-keys")


# CSV


def test_csv_with_semicolons_quotes_and_lines_in_fields(tmp_path: Path) -> None:
    text = 'question;context;answer\n"Who ""did"" it?";"Ana\ndid; it.";Ana\r\n\nA;B;C\n'
    (tmp_path / "a.csv").write_bytes(text.encode())
    _, rows = rows_of(tmp_path / "a.csv")
    assert [(row.line, row.values) for row in rows] == [
        (2, {"question": 'Who "did" it?', "context": "Ana\ndid; it.", "answer": "Ana"}),
        (5, {"question": "A", "context": "B", "answer": "C"}),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"only,two", "malformed"),
        (b"a,b,c,d", "malformed"),
        (b'a,"b"x,c', "malformed"),
        (b"a,\xff,c", "invalid-encoding"),
        (b"a," + b"x" * (16 * MOST + 1) + b",c", "line-too-long"),
    ],
)
def test_one_bad_csv_record_is_told_and_the_next_is_read(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    (tmp_path / "a.csv").write_bytes(b"question,context,answer\nq,c,a\n" + line + b"\nq,c,a\n")
    _, rows = rows_of(tmp_path / "a.csv")
    assert [(row.line, row.reason) for row in rows] == [(2, ""), (3, reason), (4, "")]


@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        # Two quotes of the texts, one opened and the other closed: never CSV's.
        (['"I went home.\t0', 'Then I slept."\t1'], ['"I went home.', 'Then I slept."']),
        (['"No," he said.\t0', '"\t1', 'a "b" c\t2'], ['"No," he said.', '"', 'a "b" c']),
        (['"all of ""it"""\t0', '"never closed\t1'], ['all of "it"', '"never closed']),
        (['"a\tb"\t0', '"two', 'lines"\t1', '""\t2'], ["a\tb", "two\nlines", ""]),
        (['"two\r', 'lines"\t1\r', "b\t2\r"], ["two\r\nlines", "b"]),
    ],
)
def test_quotes_of_a_tsv_belong_to_its_text_unless_they_are_csvs(
    tmp_path: Path, lines: list[str], texts: list[str]
) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes("\n".join(["text\tlabel", *lines, ""]).encode())
    _, rows = rows_of(path)
    assert [row.values["text"] for row in rows if row.values] == texts and len(rows) == len(texts)
    # The same where the last column may go on over lines.
    if not any("\r" in line for line in lines):
        turned = ["\t".join(reversed(line.rsplit("\t", 1))) for line in lines if "\t" in line]
        if len(turned) == len(lines):
            path.write_text("\n".join(["label\ttext", *turned, ""]))
            assert [row.values["text"] for row in rows_of(path)[1] if row.values] == texts


def test_d11_one_bad_line_of_a_tsv_is_one_bad_row(tmp_path: Path) -> None:
    lines = [b"text\tlabel", b'"x\ty\tz', b"\xff\t1", b'"open', b"\xff", b"", b"a\t1",
             b'"' + b"x" * (16 * MOST + 1), b"b\t2"]  # fmt: skip
    (tmp_path / "a.tsv").write_bytes(b"\n".join(lines))
    found = [(row.line, row.reason) for row in rows_of(tmp_path / "a.tsv")[1]]
    assert found == [
        (2, "malformed"), (3, "invalid-encoding"), (4, "malformed"), (5, "invalid-encoding"),
        (7, ""), (8, "line-too-long"), (9, ""),
    ]  # fmt: skip


@given(st.lists(st.tuples(st.text('"ab\t\n', min_size=1), st.text("cd", min_size=1)), max_size=6))
def test_what_csv_writes_with_tabs_is_read_again(rows: list[tuple[str, str]]) -> None:
    """But for texts whose lines each are a record: nothing tells those from unquoted ones."""
    out = io.StringIO()
    csv.writer(out, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    lines = [text.Line(at, line) for at, line in enumerate(out.getvalue().split("\n"), 2)]
    assume(not any("\t" in given and "\n" in given for given, _ in rows))
    found = list(tabbed.records(lines, 2, 1_000))
    assert [tuple(one[2]) for one in found if isinstance(one, tuple)] == rows


def test_d07_a_text_keeps_its_line_ends_so_that_offsets_fit(tmp_path: Path) -> None:
    """They were made LF, and every place after one pointed one character too far."""
    held = "Dear Sir\r\nI live in Paris"
    (tmp_path / "a.csv").write_bytes(f'text,label\r\n"{held}",1\r\n"a\nb",2\r\n'.encode())
    _, rows = rows_of(tmp_path / "a.csv")
    assert [row.values for row in rows] == [
        {"text": held, "label": "1"}, {"text": "a\nb", "label": "2"},
    ]  # fmt: skip


def test_an_article_without_paragraphs_is_counted(tmp_path: Path) -> None:
    held = deliveries.squad(GOOD)
    held["data"].insert(0, {"title": "a", "Paragraphs": []})
    (tmp_path / "a.json").write_text(json.dumps(held))
    _, rows = rows_of(tmp_path / "a.json")
    assert [row.reason for row in rows] == ["wrong-type", *[""] * len(GOOD)]


def test_d13_a_number_beyond_any_machine_is_no_defect(tmp_path: Path) -> None:
    held = deliveries.squad(GOOD[:2])
    held["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] = "N"
    text = json.dumps(held).replace('"N"', "1e" + "9" * 20)
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(FormatError, match="not SQuAD JSON"):
        rows_of(tmp_path / "a.json")


@pytest.mark.parametrize("tail", ["", "x\n" * 20, "x" * 30 * MOST], ids=["end", "lines", "long"])
def test_a_quote_that_is_never_closed_refuses_the_file(tmp_path: Path, tail: str) -> None:
    (tmp_path / "a.csv").write_text('question,context,answer\nq,c,a\nq,"c,a\n' + tail)
    with pytest.raises(FormatError, match="never closed") as caught:
        rows_of(tmp_path / "a.csv")
    assert caught.value.where.endswith("a.csv:3")


@pytest.mark.parametrize(
    ("name", "header"), [("a.csv", "text"), ("a.tsv", "text"), ("a", '"text"')]
)
def test_a_table_of_one_column_is_taken_where_its_name_says_so(
    tmp_path: Path, name: str, header: str
) -> None:
    path = tmp_path / name
    path.write_text(f'{header}\n"Ann: Hi\nBob: Hello, Ann"\nA mail\n')
    declared = None if path.suffix else "csv"
    source = formats.sniff(path, 1000, declared)
    assert source.columns == ["text"]
    assert len(list(formats.read(source))) == (3 if name == "a.tsv" else 2)


@pytest.mark.parametrize("header", ["a,a,b", "a,,b", '"a"x,b'])
def test_d03_a_header_that_is_none(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.csv").write_text(header + "\n1,2,3\n")
    with pytest.raises(FormatError):
        rows_of(tmp_path / "a.csv")


def test_lines_without_their_translation_are_told_where_to_name_it(tmp_path: Path) -> None:
    path = tmp_path / "news.en"
    path.write_text("A dog runs.\nTwo men sit.\n")
    with pytest.raises(FormatError) as caught:
        formats.sniff(path, 1000)
    assert (
        caught.value.what == "news.en is in none of the known formats: plain text without columns"
    )
    assert caught.value.fix.startswith(
        "name the file with its translation by --target FILE; or send"
    )
    with pytest.raises(FormatError, match="should be CSV, but its content is plain text"):
        formats.sniff(path, 1000, "csv")


def test_d01_only_a_header_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,context,answer\n")
    assert rows_of(tmp_path / "a.csv") == ("csv", [])


# Parquet


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_f06_a_truncated_parquet_delivery(tmp_path: Path, kept: float) -> None:
    path = written(tmp_path, "parquet")
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(DataError, match="cut off or damaged"):
        rows_of(path)


def test_d03_parquet_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    """The last of them was taken, and nothing said so."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table([["a"], ["x"], ["b"]], names=["text", "label", "text"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(FormatError, match="the column 'text' twice"):
        formats.sniff(tmp_path / "a.parquet", MOST)


def test_parquet_reads_only_the_wanted_columns(tmp_path: Path) -> None:
    source = formats.sniff(written(tmp_path, "parquet"), MOST)
    row = next(formats.read(source, ["question"]))
    assert row.values == {"question": GOOD[0]["question"]}


def test_d11_parquet_text_that_is_not_utf8_is_one_bad_row(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = pa.array([b"good", b"\xff", b"good"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"question": raw}), tmp_path / "a.parquet")
    _, rows = rows_of(tmp_path / "a.parquet")
    assert [row.reason for row in rows] == ["", "invalid-encoding", ""]


# Text that is not UTF-8


@pytest.mark.parametrize("encoding", ["big5", "gb18030", "cp1252"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.txt"])
def test_d11_a_file_in_another_encoding_is_refused_as_such(
    tmp_path: Path, name: str, encoding: str
) -> None:
    word = "café" if encoding == "cp1252" else "博物館"
    rows = [{"question": f"{word}?", "context": f"{word} {n}", "answer": word} for n in range(9)]
    texts = {
        "a.csv": "".join(",".join(row) + "\n" for row in [rows[0], *(r.values() for r in rows)]),
        "a.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
        "a.json": json.dumps({"data": [{"title": word, "paragraphs": []}]}, ensure_ascii=False),
        "a.txt": "".join(f"{word}\t{n}\n" for n in range(9)),
    }
    (tmp_path / name).write_bytes(texts[name].encode(encoding))
    with pytest.raises(FormatError, match="is not UTF-8") as caught:
        formats.sniff(tmp_path / name, MOST)
    assert "save it as UTF-8" in str(caught.value.fix)


def test_d11_a_header_in_another_encoding_is_not_told_as_none(tmp_path: Path) -> None:
    header = "frage,kontext,antwort,größe\n".encode("cp1252")
    (tmp_path / "a.csv").write_bytes(header + b"q,c,a,1\n" * 9)
    with pytest.raises(FormatError, match="is not UTF-8") as caught:
        formats.sniff(tmp_path / "a.csv", MOST)
    assert caught.value.where == f"{tmp_path / 'a.csv'}:1"


def test_d11_squad_with_a_line_that_is_not_utf8_says_so(tmp_path: Path) -> None:
    whole = json.dumps(deliveries.squad(GOOD), indent=1).encode()
    (tmp_path / "a.json").write_bytes(whole.replace(b'"title": "', b'"title": "\xe9', 1))
    with pytest.raises(FormatError, match="is not UTF-8"):
        rows_of(tmp_path / "a.json")


def test_a_head_that_ends_within_a_character_is_utf8(tmp_path: Path) -> None:
    for shift in range(3):
        text = json.dumps({"data": ["x" * shift + "博" * 40_000]}, ensure_ascii=False)
        (tmp_path / "a.json").write_text(text)
        assert formats.sniff(tmp_path / "a.json", MOST).format == "squad"


# Anything at all


@settings(max_examples=150)
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.text(max_size=300).map(lambda t: t.encode("utf-8", "surrogatepass")),
        st.text('{}[]",:\\ndatquesparg \n\t;01e', max_size=200).map(str.encode),
    ),
    lead=st.sampled_from([b"", b'{"data": [', b"{", b"a,b\n", b"a\tb\n", b"PAR1", b"\xff\xfe"]),
    suffix=st.sampled_from(["", ".csv", ".json", ".jsonl", ".parquet"]),
)
def test_fuzz_any_bytes_are_rows_or_a_typed_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, lead: bytes, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / f"a{suffix}"
    path.write_bytes(lead + data)
    try:
        _, rows = rows_of(path)
    except OnwardError as error:
        assert error.what and error.where
    else:
        assert all((row.values is None) == bool(row.reason) for row in rows)


@settings(max_examples=60)
@given(where=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
@pytest.mark.parametrize("kind", ["squad", "parquet", "csv", "jsonl"])
def test_fuzz_one_changed_byte_is_rows_or_a_typed_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, where: float, byte: int
) -> None:
    path = written(tmp_path_factory.mktemp("fuzz"), kind)
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] = byte
    path.write_bytes(data)
    try:
        rows_of(path)
    except OnwardError as error:
        assert error.what and error.where
