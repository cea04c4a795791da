"""Exchanges: consistent, reversible, and never inside a gold answer alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import SettingsError
from onward.quality import lists, swapping, unsafe
from onward.quality.swapping import Edit, exchanged

EXCHANGES = swapping.exchanges(lists.load("swaps"), lists.load("language"))
WORDS = sorted({word for one in EXCHANGES.values() for word in one.partner})
CONTEXT = "John Smith left London for Berlin. His wife gave him her hat, and Mary kept hers."


def restored(text: str, edits: list[Edit]) -> str:
    """The text before the edits: each new word stands where the old one did, moved by those
    before it."""
    shift = sum(len(edit.new) - len(edit.old) for edit in edits)
    for edit in reversed(edits):
        shift -= len(edit.new) - len(edit.old)
        at = edit.start + shift
        assert text[at : at + len(edit.new)] == edit.new
        text = text[:at] + edit.old + text[at + len(edit.new) :]
    return text


@given(st.lists(st.sampled_from([*WORDS, "his", "hers", "the", "hat", "HE", "Her", ",", "."])))
def test_every_exchange_has_its_way_back(chosen: list[str]) -> None:
    text = " ".join(chosen)
    for exchange in EXCHANGES.values():
        made, edits = exchange.apply(text)
        assert restored(made, edits) == text
        assert exchange.neutral(made) == exchange.neutral(text)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("his most famous work", "her most famous work"),
        ("his only son", "her only daughter"),
        ("her very first other book", "his very first other book"),
        ("his 21st birthday", "her 21st birthday"),
        ("his all-time best", "her all-time best"),
        ("his or her vote, his/her vote", "her or his vote, her/his vote"),
        ("I saw her all the time", "I saw him all the time"),
        ("is it his or hers?", "is it hers or his?"),
        ("it was his, most of it", "it was hers, most of it"),
    ],
)
def test_a_possessive_is_told_by_what_follows(text: str, made: str) -> None:
    """Adverbs and numbers before a noun made "hers most famous work" of "his most famous work"."""
    assert EXCHANGES["gender"].apply(text)[0] == made


@pytest.mark.parametrize("text", ["John’s hat", "He’s here, John's away", "John2 and _John_"])
def test_the_exchange_itself_is_left_aside(text: str) -> None:
    """An answer that said the same with a curly apostrophe counted as another one."""
    gender = EXCHANGES["gender"]
    assert gender.neutral(gender.apply(text)[0]) == gender.neutral(text)


def _row(**changed: Any) -> dict[str, Any]:
    row = {"id": "1", "title": None, "context": CONTEXT, "question": "Who left London?"}
    return {**row, "answers": ["John Smith"], "starts": [0], **changed}


def test_a_row_is_exchanged_with_its_gold() -> None:
    made = exchanged(_row(), EXCHANGES["gender"])
    assert made is not None
    assert made["context"].startswith("Mary Smith left London for Berlin. Her husband gave her his")
    assert made["answers"] == ["Mary Smith"]
    made = exchanged(_row(answers=["Berlin"], starts=[27]), EXCHANGES["places"])
    assert made is not None and made["question"] == "Who left Lagos?"
    assert made["answers"] == ["Nairobi"]
    assert made["context"][made["starts"][0] :].startswith("Nairobi")


def test_rows_that_cannot_be_exchanged_are_left_out() -> None:
    assert exchanged(_row(answers=["hn Smith"], starts=[2]), EXCHANGES["gender"]) is None
    # "her" alone may be "his" or "him": what would tell stands after the place it was taken from.
    bag = {"context": "It was her bag.", "question": "Whose bag was it?", "history": []}
    for reference in ("her", "His", "It was her "):
        assert exchanged({**bag, "references": [reference]}, EXCHANGES["gender"]) is None
        assert exchanged({**bag, "references": [f"{reference} own"]}, EXCHANGES["gender"])
    plain = _row(context="It rained.", question="When?", answers=["It"], starts=[0])
    assert all(exchanged(plain, one) is None for one in EXCHANGES.values())


def test_spans_and_labels_move_along() -> None:
    text = "Then Emily met Paul in Rome."
    tagged = {"id": "1", "text": text, "starts": [5, 15], "ends": [10, 19], "tags": ["A", "B"]}
    made = exchanged(tagged, EXCHANGES["names"])
    assert made is not None
    spans = [made["text"][a:b] for a, b in zip(made["starts"], made["ends"], strict=True)]
    assert spans == ["Lakisha", "Mehmet"] and made["tags"] == ["A", "B"]
    pair = {"text": text, "head_start": 5, "head_end": 10, "tail_start": 15, "tail_end": 19}
    made = exchanged(pair, EXCHANGES["names"])
    assert made is not None and made["text"][made["tail_start"] : made["tail_end"]] == "Mehmet"
    made = exchanged({"text": "He is late.", "pair": None, "label": "x"}, EXCHANGES["gender"])
    assert made == {"text": "She is late.", "pair": None, "label": "x"}


def test_history_and_references_are_exchanged_alike() -> None:
    row = {"context": None, "history": ["Who is he?", "A man."], "question": "Is he in Paris?"}
    made = exchanged({**row, "references": ["He is."]}, EXCHANGES["gender"])
    assert made is not None
    assert made["history"] == ["Who is she?", "A woman."] and made["references"] == ["She is."]


def test_a_conversation_whose_turns_before_hold_the_name_is_exchanged() -> None:
    """It was left out: "And how old is she?" holds no name, and is asked about one."""
    row = {"history": ["Who is Emily?", "A pilot."], "question": "How old?", "references": ["10"]}
    made = exchanged(row, EXCHANGES["names"])
    assert made is not None and made["history"] == ["Who is Lakisha?", "A pilot."]
    gold = {"history": [], "question": "Who came?", "references": ["Emily"]}
    assert exchanged(gold, EXCHANGES["names"]) is None


def test_a_word_with_two_partners_is_refused(tmp_path: Path) -> None:
    more = tmp_path / "more.yaml"
    more.write_text("names: [[Emily, Ines]]\n")
    with pytest.raises(SettingsError, match="'Emily' stands twice"):
        swapping.exchanges(lists.load("swaps", [more]), lists.load("language"))
    more.write_text("names: [[Ines, Thandi]]\n")
    found = swapping.exchanges(lists.load("swaps", [more]), lists.load("language"))
    assert found["names"].apply("Ines")[0] == "Thandi"
    more.write_text("places: [[New York, Lyon]]\n")
    with pytest.raises(SettingsError, match="'New York' among the places"):
        swapping.exchanges(lists.load("swaps", [more]), lists.load("language"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nmaes: [[a, b]]", "'nmaes'"),
        ("names: {a: b}", "another form"),
        ("- a", "holds no lists"),
        ("names: !!python/name:os.system", "not plain YAML"),
        ("names: [[Ann]]", "which is no pair of words"),
        ("names: [Ann]", "which is no pair of words"),
    ],
)
def test_s06_a_list_of_another_form_is_refused(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=says):
        lists.load("swaps", [path])
    with pytest.raises(SettingsError, match="is not there"):
        lists.load("swaps", [tmp_path / "gone.yaml"])


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("unsafe", "rules: {threat: kill him}", "another form"),
        ("unsafe", "rules: {threat: }", "another form"),
        ("unsafe", "rules: {threat: [5]}", "no text"),
        ("unsafe", "rules: {threat: ['kill (him']}", "no regular expression"),
        ("unsafe", "allowed: ['(war']", "no regular expression"),
        ("leaks", "prompts: ['(you are']", "no regular expression"),
        ("unsafe", "unsafe: ['I know {nobody}']", "no slot fills"),
        ("unsafe", "safe: ['I know {']", "no slot fills"),
        ("unsafe", "slots: {empty: []}", "another form"),
        ("language", "others: [1]", "no text"),
    ],
)
def test_an_entry_of_another_form_is_refused(
    name: str, text: str, says: str, tmp_path: Path
) -> None:
    """A text in a list's place was read letter by letter, each a rule; others were a crash."""
    path = tmp_path / "own.yaml"
    path.write_text(text + "\n")
    with pytest.raises(SettingsError, match=says):
        lists.load(name, [path])


def test_a_template_may_use_a_slot_of_its_own_file(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("unsafe: ['Steal the {gem}']\nslots: {gem: [ruby]}\n")
    assert "Steal the ruby" in [
        text for text, _, _ in unsafe.generated(lists.load("unsafe", [path]))
    ]
