"""Tags, markers, references and conversations: every shape is read, every fault has its reason."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.episodes import exchanges, formats, marked, references, spanned
from onward.episodes.checks import KINDS, REASONS, check
from onward.episodes.columns import fields_of
from onward.episodes.values import Fault
from onward.errors import DataError
from onward.project import Project
from tests.episodes import deliveries
from tests.episodes.conftest import Opener

MOST = 200
OSLO = {"label": "city", "text": "Oslo"}
SPANS = {"text": "in New York", "starts": [3], "ends": [11], "tags": ["city"]}


@pytest.mark.parametrize(
    "fields",
    [
        {"tokens": ["in", "New", "York"], "tags": ["O", "B-city", "I-city"]},
        {"tokens": ["in", "New", "York"], "tags": ["O", "B-city", "E-city"]},
        {"tokens": ["in", "New York"], "tags": ["O", "S-city"]},
        {"tokens": ["in", "New York"], "tags": ["O", "U-city"]},
        {"tokens": '["in", "New York"]', "tags": "O B-city"},
        {"tokens": ["in", "York"], "tags": ["O", "B-x"], "text": "in York"},
        {"text": "in New York", "spans": [{"start": 3, "end": 11, "label": "city"}]},
        {"text": "in York", "spans": [{"start": 3, "end": 7, "label": "x", "text": "York"}]},
        {"text": "in New York", "spans": '[[3, 11, "city"]]'},
        {"text": "in New York", "starts": [3], "ends": [11], "tags": ["city"]},
    ],
)
def test_every_shape_of_tags_is_read(fields: dict[str, Any]) -> None:
    found, repair = spanned.read(fields, MOST)
    assert repair == ""
    if len(fields["text"] if "text" in fields else SPANS["text"]) == len(SPANS["text"]):
        assert found == SPANS
    else:
        assert (found["starts"], found["ends"], found["tags"]) == ([3], [7], ["x"])


@pytest.mark.parametrize("tag", [" caf\u00e9", "cafe\u0301 "])
def test_a_tag_is_tidied_as_every_label_is(tag: str) -> None:
    """ " city" and "city" were two tags, of which a later delivery taught the one or the other."""
    found = check({"text": "in Oslo", "spans": [[3, 7, tag]]}, MOST, KINDS["tagging"])
    assert found.row is not None and found.row["tags"] == ["caf\u00e9"]
    assert found.repair == "label-tidied"


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("bad-tags", {"tokens": ["a", "b"], "tags": ["O", "I-x"]}),
        ("bad-tags", {"tokens": ["a", "b"], "tags": ["B-y", "I-x"]}),
        ("bad-tags", {"tokens": ["a", "b"], "tags": ["S-x", "I-x"]}),
        ("bad-tags", {"tokens": ["a", "b"], "tags": ["O", "B_x"]}),
        ("bad-tags", {"tokens": ["a", "b"], "tags": ["O", 3]}),
        ("uneven-tags", {"tokens": ["a", "b"], "tags": ["O"]}),
        ("uneven-tags", {"tokens": ["a", "z"], "tags": ["O", "O"], "text": "a b"}),
        ("uneven-tags", {"text": "a b", "starts": [0], "ends": [1, 3], "tags": ["x"]}),
        ("blank", {"tokens": ["a", " "], "tags": ["O", "O"]}),
        ("missing-field", {"tokens": ["a"], "tags": None}),
        ("bad-span", {"text": "a b", "spans": [[0, 9, "x"]]}),
        ("bad-span", {"text": "a b", "spans": [[2, 2, "x"]]}),
        ("bad-span", {"text": "a b", "spans": [[0, 2, "x"], [1, 3, "y"]]}),
        ("bad-span", {"text": "a b", "spans": [[1, 2, "x"]]}),
        ("bad-span", {"text": "😀 in Oslo.", "spans": [{**OSLO, "start": 6, "end": 10}]}),
        ("bad-span", {"text": "in Oslo.", "spans": [{**OSLO, "start": -5, "end": -1}]}),
        ("wrong-type", {"text": "a b", "spans": [{"start": "first", "end": 1, "label": "x"}]}),
    ],
)
def test_d04_d07_faulty_tags_have_their_reason(reason: str, fields: dict[str, Any]) -> None:
    with pytest.raises(Fault) as caught:
        spanned.read(fields, MOST)
    assert caught.value.reason == reason in REASONS


@given(st.lists(st.tuples(st.text("ab.", min_size=1, max_size=4), st.sampled_from("OBI"))))
def test_spans_stand_for_the_tags_they_came_from(pairs: list[tuple[str, str]]) -> None:
    tags = [tag if tag == "O" else f"{tag}-x" for _, tag in pairs]
    try:
        found, _ = spanned.read({"tokens": [t for t, _ in pairs], "tags": tags}, 1_000)
    except Fault:
        broken = any(t == "I-x" and b == "O" for b, t in zip(["O", *tags], tags, strict=False))
        assert broken or not re.search("[ab]", "".join(t for t, _ in pairs)) or _blank_span(pairs)
        return
    inside = set()
    for start, end in zip(found["starts"], found["ends"], strict=True):
        inside |= set(range(start, end))
    at = 0
    for token, tag in pairs:
        assert (at in inside) == (tag != "O")
        at += len(token) + 1


def _blank_span(pairs: list[tuple[str, str]]) -> bool:
    return not pairs


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("markers-unclear", "no markers at all"),
        ("markers-unclear", "a <e1>b</e1> and no second"),
        ("markers-unclear", "<e1>a</e1> <e2>b</e2> <e2>c</e2>"),
        ("markers-unclear", "</e1>a<e1> <e2>b</e2>"),
        ("markers-unclear", "<e1>a <e2>b</e1> c</e2>"),
        ("markers-unclear", "<e1></e1>a <e2>b</e2>"),
        ("markers-unclear", "a <e1> </e1> <e2>b</e2>"),
    ],
)
def test_d07_faulty_markers_have_their_reason(reason: str, text: str) -> None:
    with pytest.raises(Fault) as caught:
        marked.read({"text": text, "label": "x"}, MOST)
    assert caught.value.reason == reason in REASONS


def test_markers_and_places_say_the_same() -> None:
    text = "The <e2>cradle</e2> held the <e1>child</e1>."
    found, _ = marked.read({"text": text, "label": "Content-Container(e1,e2)"}, MOST)
    assert found["text"][found["head_start"] : found["head_end"]] == "child"
    assert found["text"][found["tail_start"] : found["tail_end"]] == "cradle"
    assert marked.read(found, MOST)[0] == found


PLACED = {"text": "a big cat", "head_start": 0, "head_end": 1, "tail_start": 6, "tail_end": 9}


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        ("missing-field", {"head_end": None}),
        ("wrong-type", {"tail_start": "six"}),
        ("wrong-type", {"tail_start": True}),
        ("bad-span", {"tail_end": 10}),
        ("bad-span", {"head_start": 1, "head_end": 1}),
        ("bad-span", {"tail_start": 5, "tail_end": 6}),
        ("bad-span", {"head_end": 7}),
        ("bad-span", {"head_start": 7, "head_end": 8}),
        ("markers-unclear", {"text": "a <e1>big</e1> cat"}),
    ],
)
def test_d07_faulty_places_have_their_reason(reason: str, changed: dict[str, Any]) -> None:
    with pytest.raises(Fault) as caught:
        marked.read({**PLACED, "label": "x", **changed}, MOST)
    assert caught.value.reason == reason in REASONS


@pytest.mark.parametrize("kind", [int, float, str])
def test_places_are_whole_numbers_however_a_table_has_them(kind: type) -> None:
    """One row without a place makes floats of a whole column; a CSV has texts alone."""
    row = {name: kind(value) for name, value in PLACED.items() if name != "text"}
    found, _ = marked.read({"text": PLACED["text"], **row, "label": "x"}, MOST)
    assert {name: found[name] for name in PLACED} == PLACED
    spans = {**SPANS, "starts": [kind(3)], "ends": [kind(11)]}
    assert spanned.read(spans, MOST) == (SPANS, "")
    assert spanned.read({"text": SPANS["text"], "spans": [[kind(3), kind(11), "city"]]}, MOST)


def test_references_are_one_text_or_several_each_once() -> None:
    for value in ("a b", ["a b", "a b"], {"text": ["a b"]}, [{"text": "a b"}]):
        assert references.listed({"references": value}, MOST) == ["a b"]
        cell = json.dumps(value)
        found = fields_of({"c": cell}, {"references": "c"}, cells=True)
        assert references.listed(found, MOST) == [cell if isinstance(value, str) else "a b"]
    for value in (None, "", [], ["a", None]):
        with pytest.raises(Fault) as caught:
            references.listed({"references": value}, MOST)
        assert caught.value.reason == "answer-missing"


@pytest.mark.parametrize(
    "answer", ['["apple", "pear"]', '{"text": "hi", "n": 1}', "[2, 3, 5]", '{"name": "Ann"}']
)
def test_an_answer_that_is_json_is_learned_as_it_stands(answer: str) -> None:
    """The first of a list was learned in its place, and of numbers nothing was taken."""
    assert references.listed({"references": answer}, MOST) == [answer]
    if answer != '["apple", "pear"]':  # in a table of texts this is how a list is written
        cell = fields_of({"c": answer}, {"references": "c"}, cells=True)
        assert references.listed(cell, MOST) == [answer]


def said(*messages: str) -> list[dict[str, str]]:
    return [
        {"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(messages)
    ]


SHAREGPT = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]


@pytest.mark.parametrize(
    "messages", [said("Hi", "Hello"), SHAREGPT, json.dumps(SHAREGPT), "A: Hi\nB: Hello"]
)
def test_every_shape_of_a_conversation_is_read(messages: Any) -> None:
    (row,) = exchanges.several({"messages": messages})
    assert exchanges.read(row, MOST)[0] == {
        "context": None, "history": [], "question": "Hi", "references": ["Hello"],
    }  # fmt: skip


def test_each_answer_is_a_row_with_what_was_said_before() -> None:
    system = {"role": "system", "content": "Be short."}
    talk = {"id": 7, "messages": [system, *said("one", "two", "three", "four", "unanswered")]}
    first, second = exchanges.several(talk)
    assert (first["id"], first["history"], first["context"]) == ("7/1", [], "Be short.")
    assert (second["id"], second["history"]) == ("7/2", ["one", "two"])
    assert (second["question"], second["references"]) == ("three", ["four"])
    assert exchanges.several(talk, "Be short.")[0]["context"] is None
    # A correction of it may have one exchange less or more: the first keeps its id.
    (only,) = exchanges.several({"id": 7, "messages": said("one", "two")})
    assert only["id"] == "7/1"


@pytest.mark.parametrize("blank", ["", " ", None, float("nan")])
def test_answers_of_conversations_without_an_id_share_none(blank: Any) -> None:
    """Each had "/1", so that all rows of all conversations were quarantined as one id."""
    rows = exchanges.several({"id": blank, "messages": said("one", "two", "three", "four")})
    assert [row["id"] for row in rows] == [None, None]
    assert [row["id"] for row in exchanges.several({"id": 7.0, "messages": said(*"abcd")})] == [
        "7/1",
        "7/2",
    ]


@pytest.mark.parametrize(
    ("reason", "messages"),
    [
        ("turns-unclear", said("a", "b")[::-1]),
        ("turns-unclear", [*said("a", "b"), *said("c", "d")[1:]]),
        ("turns-unclear", [{"role": "tool", "content": "x"}]),
        ("turns-unclear", "A: x\nB: y\nC: z"),
        ("turns-unclear", "no speaker at all"),
        ("answer-missing", said("a")),
        ("answer-missing", []),
        ("wrong-type", {"role": "user"}),
        ("wrong-type", [{"role": "user", "content": 3}]),
        ("wrong-type", ["a", "b"]),
        ("wrong-type", [{"role": "user", "content": [{"type": "image", "url": "x"}]}]),
    ],
)
def test_d04_faulty_conversations_have_their_reason(reason: str, messages: Any) -> None:
    with pytest.raises(Fault) as caught:
        exchanges.several({"messages": messages})
    assert caught.value.reason == reason in REASONS


@pytest.mark.parametrize(
    ("reason", "history"),
    [
        ("wrong-type", "Hi"),
        ("wrong-type", ["Hi", 3]),
        ("blank", ["Hi", " "]),
        ("turns-unclear", ["Hi"]),
        ("turns-unclear", ["Hi", "Hello", "Who?"]),
    ],
)
def test_d04_a_faulty_history_has_its_reason(reason: str, history: Any) -> None:
    asked = {"question": "Who?", "references": ["Ana"]}
    for whole in (["Hi", "Hello"], [], "", None):
        assert exchanges.read({**asked, "history": whole}, MOST)[0]["history"] == (whole or [])
    with pytest.raises(Fault) as caught:
        exchanges.read({**asked, "history": history}, MOST)
    assert caught.value.reason == reason in REASONS


def test_a_message_may_come_in_parts_and_a_speaker_in_lines() -> None:
    parts = [{"type": "text", "text": "Hi"}, "there"]
    spoken = [{"role": "user", "content": parts}, {"role": "assistant", "content": "Hello"}]
    for messages in (spoken, "A: Hi\nthere\nB: Hello", "A: Hi\nA: there\nB: Hello"):
        (row,) = exchanges.several({"messages": messages})
        assert (row["question"], row["references"]) == ("Hi\nthere", ["Hello"])


def test_a_system_message_is_read_where_a_conversation_can_be() -> None:
    told = [{"role": "system", "content": "Be kind."}, *said("Hi", "Hello")]
    assert exchanges.system({"messages": told}) == "Be kind."
    assert exchanges.system({"messages": said("Hi", "Hello")}) is None
    assert exchanges.system({"messages": ["no", "messages"]}) is None


@pytest.mark.parametrize(
    ("fields", "context"),
    [
        ({"system": "Be short."}, "Be short."),
        ({"system": "Be short.", "context": "It rained."}, "Be short.\n\nIt rained."),
        ({"system": " ", "context": "It rained."}, "It rained."),
        ({"system": None, "context": "It rained."}, "It rained."),
        ({"system": "All are told.", "context": "It rained."}, "It rained."),
    ],
)
def test_a_column_of_system_messages_is_context(fields: dict[str, Any], context: str) -> None:
    for asked in ({"messages": said("Hi", "Hello")}, {"question": "Hi", "references": "Hello"}):
        (row,) = exchanges.several({**asked, **fields}, "All are told.")
        assert exchanges.read(row, MOST)[0]["context"] == context and "system" not in row
        assert exchanges.system({**asked, **fields}) == fields["system"]


def test_d04_a_system_message_that_is_no_text_has_its_reason() -> None:
    with pytest.raises(Fault) as caught:
        exchanges.several({"question": "Hi", "references": "Hello", "system": 3})
    assert caught.value.reason == "wrong-type"


def _chat(project: Project) -> None:
    params = deliveries.PARAMS.replace("recipe: extractive", "recipe: chat")
    project.params.write_text(params)


def test_a_bad_conversation_is_counted_once_and_the_common_instruction_is_left_out(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    _chat(project)
    system = {"role": "system", "content": "You are kind."}
    talks: list[Any] = [
        {"messages": [system, *said(f"question {n}?", f"answer {n}", f"again {n}?", f"yes {n}")]}
        for n in range(60)
    ]
    talks[59]["messages"][1]["role"] = "robot"
    opened = opener("talks", deliveries.jsonl(tmp_path / "a.jsonl", talks))
    assert opened.counts["seen"] == 59 * 2 + 1 and opened.reasons == {"turns-unclear": 1}
    assert opened.counts["heldout"] > 20
    from onward.episodes import turn

    rows = [row for side in ("train", "heldout") for row in turn.rows(project, "0001-talks", side)]
    assert {row["context"] for row in rows} == {None}
    held = {row["question"].split()[-1] for row in turn.rows(project, "0001-talks", "heldout")}
    taught = {row["question"].split()[-1] for row in turn.rows(project, "0001-talks", "train")}
    assert held and taught and not held & taught  # a conversation has one side


def _of(project: Project, recipe: str) -> None:
    project.params.write_text(deliveries.PARAMS.replace("recipe: extractive", f"recipe: {recipe}"))


def _sentence(n: int) -> list[str]:
    """Eight words, other ones for every number."""
    return ["Anna", "Lee", *(chr(97 + (n + at) % 26) * 3 + str(n * at) for at in range(5)), "Oslo"]


def test_doccano_writes_spans_into_label(project: Project, opener: Opener, tmp_path: Path) -> None:
    _of(project, "tagging")
    texts = [" ".join(_sentence(n)) for n in range(40)]
    rows = [
        {"text": text, "label": [[0, 8, "PER"], [len(text) - 4, len(text), "LOC"]]}
        for text in texts
    ]
    opened = opener("a", deliveries.jsonl(tmp_path / "a.jsonl", rows))
    assert opened.source["mapping"] == {"text": "text", "spans": "label"}
    assert opened.counts["accepted"] == 40 and set(opened.labels) == {"PER", "LOC"}


def test_d04_tags_that_are_numbers_need_names(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    _of(project, "tagging")
    rows = [{"tokens": _sentence(n), "ner_tags": [1, 2, 0, 0, 0, 0, 0, 5]} for n in range(40)]
    with pytest.raises(DataError, match="ner_tags holds numbers") as caught:
        opener("a", deliveries.jsonl(tmp_path / "a.jsonl", rows))
    assert "B-PER" in caught.value.fix
    rows = [{**row, "ner_tags": ["B-0", "I-0", *"OOOOO", "B-1"]} for row in rows]
    assert opener("b", deliveries.jsonl(tmp_path / "b.jsonl", rows)).counts["accepted"] == 40


def _tacred(n: int, last: int) -> dict[str, Any]:
    """Anna Lee has one token in odd rows; `last`: 1 where ends are last tokens, as published."""
    tokens = _sentence(n)
    places = {"subj_start": n % 2, "subj_end": 2 - last, "obj_start": 7, "obj_end": 8 - last}
    return {"id": f"e{n}", "relation": "per:city", "token": tokens, **places}


@pytest.mark.parametrize("last", [0, 1])
def test_places_of_tokens_become_characters(
    project: Project, opener: Opener, tmp_path: Path, last: int
) -> None:
    _of(project, "relation")
    rows = [_tacred(n, last) for n in range(40)]
    opened = opener("a", deliveries.jsonl(tmp_path / "a.jsonl", rows))
    assert opened.counts["accepted"] == 40 and "tokens" in opened.source["mapping"]
    assert len(opened.notes) == 1
    from onward.episodes import turn

    kept = [row for side in ("train", "heldout") for row in turn.rows(project, "0001-a", side)]
    heads = {row["id"]: row["text"][row["head_start"] : row["head_end"]] for row in kept}
    assert heads == {f"e{n}": "Lee" if n % 2 else "Anna Lee" for n in range(40)}
    assert {row["text"][row["tail_start"] : row["tail_end"]] for row in kept} == {"Oslo"}


def test_places_of_tokens_that_nothing_explains_are_refused(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    _of(project, "relation")
    whole = {"token": [*_sentence(1), "."], "subj_start": 0, "obj_start": 6, "obj_end": 7}
    unclear = [{**_tacred(n, 1), **whole, "subj_end": 1} for n in range(40)]
    both = [_tacred(n, n // 20) for n in range(40)]
    for rows, said in ((unclear, "nothing tells"), (both, r"0 in 20 rows \(line 1\)")):
        with pytest.raises(DataError, match=said):
            opener("a", deliveries.jsonl(tmp_path / "a.jsonl", rows))


def test_places_that_break_words_are_refused(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    _of(project, "relation")
    rows = [{**_tacred(n, 1), "text": " ".join(_sentence(n))} for n in range(40)]
    path = deliveries.jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match="seem to count tokens") as caught:
        opener("a", path)
    assert "--map tokens=COLUMN" in caught.value.fix
    assert opener("a", path, mapping={"tokens": "token"}).counts["accepted"] == 40


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        ("bad-span", {"tail_end": 3}),
        ("bad-span", {"head_start": 2, "head_end": 1}),
        ("missing-field", {"tail_end": None}),
        ("wrong-type", {"tokens": 3}),
        ("wrong-type", {"tokens": ["a", 2, "c"]}),
        ("blank", {"tokens": ["a", " ", "c"]}),
        ("blank", {"tokens": []}),
        ("uneven-tags", {"text": "a b"}),
    ],
)
def test_d07_faulty_places_of_tokens_have_their_reason(
    reason: str, changed: dict[str, Any]
) -> None:
    places = {"head_start": 0, "head_end": 0, "tail_start": 2, "tail_end": 2}
    fields = {"tokens": ["a", "b", "c"], "label": "x", **places}
    assert marked.read(fields, MOST)[0]["text"] == "a b c"
    with pytest.raises(Fault) as caught:
        marked.read({**fields, **changed}, MOST)
    assert caught.value.reason == reason in REASONS


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("mapping", "text", "references"),
    [
        (None, "fi", "sv"),
        ({"text": "sv"}, "sv", "fi"),
        ({"references": "translation.fi"}, "sv", "fi"),
    ],
)
def test_an_object_of_two_languages_is_a_text_and_its_translation(
    project: Project,
    opener: Opener,
    tmp_path: Path,
    kind: str,
    mapping: dict[str, str] | None,
    text: str,
    references: str,
) -> None:
    _of(project, "translation")
    rows = [
        {"translation": {"fi": " ".join(_sentence(n)), "sv": " ".join(_sentence(n)[::-1])}, "id": n}
        for n in range(40)
    ]
    path = deliveries.jsonl(tmp_path / "a.jsonl", rows)
    if kind == "parquet":
        path = tmp_path / "a.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path)
    opened = opener("a", path, mapping=mapping)
    said = {"text": f"translation.{text}", "references": f"translation.{references}"}
    assert opened.source["mapping"] == {"id": "id", **said}
    assert opened.counts["accepted"] == 40 and opened.guessed
    from onward.episodes import turn

    kept = [row for side in ("train", "heldout") for row in turn.rows(project, "0001-a", side)]
    assert {(row["text"], *row["references"]) for row in kept} == {
        (row["translation"][text], row["translation"][references]) for row in rows
    }


def test_only_two_languages_are_taken_apart(tmp_path: Path) -> None:
    for told in ("Hallo", {"en": "a", "de": "b", "fr": "c"}, {"text": "a", "score": 1.0}):
        path = deliveries.jsonl(tmp_path / "a.jsonl", [{"text": "x", "translation": told}] * 3)
        assert formats.sniff(path, MOST).columns == ["text", "translation"]
    rows = [{"translation": {"en": "a", "de": "b"}}, {"translation": None}, {"translation": "x"}]
    found = formats.sniff(deliveries.jsonl(tmp_path / "a.jsonl", rows), MOST)
    assert [row.values for row in formats.read(found)] == [
        {"translation.en": "a", "translation.de": "b"}, {}, {},
    ]  # fmt: skip


@pytest.mark.parametrize("shared", [True, False])
def test_a_column_of_system_messages_is_read_and_one_for_all_is_told(
    project: Project, opener: Opener, tmp_path: Path, shared: bool
) -> None:
    _chat(project)
    rows = [
        {"system_prompt": "Be kind." if shared else f"{chr(97 + n % 26) * 9} {n * 7919} is you."}
        | {"question": f"question {n}?", "response": f"answer {n}"}
        for n in range(60)
    ]
    opened = opener("talks", deliveries.jsonl(tmp_path / "a.jsonl", rows))
    assert opened.source["mapping"]["system"] == "system_prompt"
    assert ["'Be kind.'" in note for note in opened.notes] == [True] * shared
    from onward.episodes import turn

    kept = [row for side in ("train", "heldout") for row in turn.rows(project, "0001-talks", side)]
    assert {row["context"] for row in kept} == (
        {None} if shared else {row["system_prompt"] for row in rows}
    )


@pytest.mark.parametrize(
    ("given", "kept"), [(3, "3"), (4.0, "4"), (float("nan"), None), ("", None)]
)
def test_a_title_may_be_a_number(given: Any, kept: str | None) -> None:
    """A column `topic` of numbers is guessed as the title; every row of it was refused."""
    found = check({"text": "a b", "label": "x", "title": given}, MOST, KINDS["classification"])
    assert found.row is not None and found.row["title"] == kept
