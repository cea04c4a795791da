"""A conversation on the command line: how it ends, and what it cannot be asked with."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from cli import ask, main
from onward import files, recipes
from onward.config import Prepare
from onward.errors import UsageError
from onward.serving import talk
from onward.serving.ask import Answer


class Echo:
    """A conversation that says each question again, up to eight letters; nothing to "Hush"."""

    session: ClassVar[Any] = SimpleNamespace(prepare=Prepare(max_length=64, stride=0))

    @staticmethod
    def begin(project: Any, given: Any) -> Echo:
        return Echo()

    def pieces(self, question: str) -> Iterator[str]:
        self.said = "" if question == "Hush" else f"[{question[:8]}]"
        self.said += "\x1b[2J" if question == "Clear" else ""
        self.ended, self.cut = "length" if len(question) > 8 else "end", "all" in question
        yield self.said


@pytest.fixture
def echoing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files.write_text(tmp_path / "params.yaml", "project: {name: toy, recipe: chat}\n")
    files.write_text(tmp_path / "dvc.yaml", "stages: {}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(talk, "Talk", Echo)
    return tmp_path


@pytest.mark.parametrize("typed", ["Who?\nWhy?\n\nnever\n", "Who?\nWhy?\n", "Who?\nWhy?\n  \nno\n"])
def test_an_empty_line_or_the_end_of_the_input_ends_a_conversation(
    echoing: Path,
    typed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert main.start(["ask", "Hi", "--talk"]) == 0
    told = capsys.readouterr()
    assert [one for one in told.out.split() if one != ">"] == ["[Hi]", "[Who?]", "[Why?]"]
    assert not told.err


def test_a_conversation_says_what_was_not_written_and_not_read(
    echoing: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It told an answer that broke off like a whole one, and of turns left out nothing."""
    monkeypatch.setattr("sys.stdin", io.StringIO("Tell me all of it\nHush\n"))
    assert main.start(["ask", "Hi", "--talk"]) == 0
    told = capsys.readouterr().out.replace("> ", "").splitlines()
    stopped = "   stopped at evaluate.max_new_tokens, it might have gone on"
    unread = "   a part was not read: the window has 64 tokens"
    assert told == ["[Hi]", "[Tell me ]", stopped, unread, "an empty answer"]


def test_s07_an_answer_of_a_conversation_moves_no_cursor(
    echoing: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main.start(["ask", "Clear", "--talk"]) == 0
    assert capsys.readouterr().out.startswith("[Clear] [2J\n")


def test_what_is_sent_in_another_character_set_ends_a_conversation_with_what_to_do(
    echoing: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = io.TextIOWrapper(io.BytesIO("café\n".encode("latin-1")), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", typed)
    assert main.start(["ask", "Hi", "--talk"]) == UsageError.exit_code
    assert "cannot be read as UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--json"], ["--demo"], ["--file", "params.yaml"]])
def test_what_a_conversation_has_no_use_for_is_refused(
    echoing: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.start(["ask", "Hi", "--talk", *more]) == 3
    told = capsys.readouterr()
    assert more[0] in told.out + told.err and "[Hi]" not in told.out


HI = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


@pytest.mark.parametrize("told", [["Hi", "Hello!"], HI, "Ann: Hi\nBob: Hello!"])
def test_the_turns_before_come_as_texts_messages_or_a_dialogue(tmp_path: Path, told: Any) -> None:
    file = tmp_path / "turns.json"
    file.write_text(json.dumps(told))
    assert ask._turns(file) == ["Hi", "Hello!"]


@pytest.mark.parametrize(
    ("told", "what"),
    [
        (["Hi", "Hello!", "Who came?"], "ends with a question"),
        ([*HI, HI[0]], "ends with a question"),
        ("Ann: Hi\nBob: Hello!\nAnn: Bye", "ends with a question"),
        ([{"role": "system", "content": "Ana came."}, *HI], "a system message"),
        ([], "the conversation holds no answer"),
        ({"a": 1}, "messages is dict"),
        (None, "it holds nothing"),
    ],
)
def test_turns_before_that_would_be_left_out_are_refused(
    tmp_path: Path, told: Any, what: str
) -> None:
    file = tmp_path / "turns.json"
    file.write_text(json.dumps(told))
    with pytest.raises(UsageError, match=what):
        ask._turns(file)


@pytest.mark.parametrize(
    ("recipe", "text", "given", "expected"),
    [
        ("chat", "Who?", {}, {"question": "Who?", "context": "Ana did."}),
        ("chat", "", {}, {"question": "Ana did."}),
        ("choice", "Who?", {"options": ["a"]}, {"question": "Who?", "context": "Ana did."}),
        ("extractive", "Who?", {}, {"question": "Who?", "context": "Ana did."}),
        ("summarization", "", {}, {"text": "Ana did."}),
        ("chat", "Who?", {"context": "x"}, None),
        ("extractive", "Who?", {"context": "x"}, None),
        ("summarization", "x", {}, None),
    ],
)
def test_a_file_holds_the_context_of_a_question(
    tmp_path: Path, recipe: str, text: str, given: Any, expected: Any
) -> None:
    """Beside the question of a chat it was refused as its question, given twice."""
    file = tmp_path / "story.txt"
    file.write_text("Ana did.")
    if expected is None:
        with pytest.raises(UsageError, match="given twice"):
            ask._inputs(recipes.get(recipe), text, file, given)
        return
    assert ask._inputs(recipes.get(recipe), text, file, given) == {**given, **expected}


def test_D13_turns_nested_without_end_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "turns.json"
    file.write_text("[" * 100_000)
    with pytest.raises(UsageError, match=r"turns\.json cannot be the turns before a question"):
        ask._turns(file)


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    """Windows editors write one: turns were refused for it, and it was a character of a context."""
    turns, text = tmp_path / "turns.json", tmp_path / "context.txt"
    turns.write_text('["Who?", "Ana."]', encoding="utf-8-sig")
    text.write_text("Ana did.", encoding="utf-8-sig")
    assert ask._turns(turns) == ["Who?", "Ana."]
    assert ask._text(text) == "Ana did."


def test_an_answer_that_stopped_at_its_length_says_so() -> None:
    told = {"text": "It went on", "probability": 0.5, "no_answer": False, "n_best": []}
    about: dict[str, Any] = {"recipe": "chat", "inputs": {"question": "And?"}, "vocabulary": ()}
    by: dict[str, Any] = {
        "version": "v1",
        "variant": "fp32",
        "provider": "onnx-cpu",
        "cut": False,
        "window": 64,
    }
    whole, cut = (
        ask._told(Answer(prediction={**told, "ended": ended}, **about, **by), demo=False)
        for ended in ("end", "length")
    )
    assert cut[0] == whole[0] == "It went on" and cut[-1] == whole[-1]
    assert len(whole) == 2 and "evaluate.max_new_tokens" in cut[1]
