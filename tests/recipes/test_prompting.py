"""Prompts: wordings, examples, and the answer taken from what is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from onward.config import Evaluate, Prepare
from onward.errors import MissingFiles, SettingsError
from onward.learning import encoder, prompts
from onward.learning.structures.prompted import label_texts
from onward.project import Project
from onward.recipes import chat, prompting, turns
from onward.recipes.prompting import Prompt

PLACES = {"red": [1.0, 0.0], "blue": [0.8, 0.6], "fox": [0.0, 1.0]}
"""Words as embeddings of length one."""


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    found = [next(v for word, v in PLACES.items() if word in text) for text in texts]
    return np.array(found, dtype=np.float32)


def row(question: str, answer: str = "?", context: str | None = None) -> dict[str, Any]:
    return {
        "id": question,
        "question": question,
        "context": context,
        "history": [],
        "references": [answer],
    }


EXAMPLES = (row("fox ?", "animal"), row("red ?", "colour"), row("blue ?", "colour too"))


def prompt(**more: Any) -> Prompt:
    made = {"question": "Q: {question}", "answer": "A: {answer}", "take": "", "shots": 2, **more}
    rows = [prompting.key(one) for one in EXAMPLES]
    return Prompt(examples=EXAMPLES, embedded=embed(rows), embed=embed, **made)


def test_examples_are_the_nearest_training_rows_the_nearest_last() -> None:
    (asked,) = prompt().asked([row("is red nice ?")])
    assert asked["history"] == ["Q: blue ?", "A: colour too", "Q: red ?", "A: colour"]
    assert asked["question"] == "is red nice ?" and asked[prompting.WORDING] == "Q: {question}"


def test_a_row_is_no_example_of_itself() -> None:
    (asked,) = prompt(shots=1).asked([row("red ?")])
    assert asked["history"] == ["Q: blue ?", "A: colour too"]


def test_a_differences_in_the_last_bits_chooses_no_other_example() -> None:
    def noisy(texts: Sequence[str]) -> NDArray[np.float32]:
        return embed(texts) + np.float32(1e-7)

    plain, other = prompt(), prompt()
    other = Prompt(**{**vars(other), "embed": noisy})
    rows = [row("red and red"), row("a fox")]
    assert plain.asked(rows) == other.asked(rows)


def test_a_prompt_reaches_the_model_and_loses_the_farthest_example_first(toy_causal: Path) -> None:
    tokenizer = encoder.tokenizer(toy_causal)
    tokenizer.prompt = prompt(shots=3)
    asked = row("red and the note says that it was seen near a box", context="so")
    (whole,) = chat.encode([asked], tokenizer, Prepare(max_length=256, stride=0), labels=None)
    text = tokenizer.decode(whole["input_ids"])
    assert text.startswith("<|user|>Q: fox ?<|end|><|assistant|>A: animal<|end|><|user|>Q: blue ?")
    assert text.endswith(
        "<|user|>Q: red and the note says that it was seen near a box<|end|><|assistant|>"
    )
    window = Prepare(max_length=len(whole["input_ids"]), stride=0)
    (less,) = chat.encode([asked], tokenizer, window, labels=None)
    kept = tokenizer.decode(less["input_ids"])
    assert "animal" not in kept and kept.endswith(text[-30:])
    assert chat.inputs_cut([asked], tokenizer, window) == 0  # of the row itself nothing was


TALK = {**row("and the red ?", "colour"), "history": ["is a fox seen ?", "it is"]}


def talking(**more: Any) -> Prompt:
    """The nearest example to a red one is the end of a conversation."""
    rows = (EXAMPLES[0], TALK)
    keys = embed([prompting.key(one) for one in rows])
    return Prompt(**{**vars(prompt(**more)), "examples": rows, "embedded": keys})


def test_an_example_comes_with_the_turns_before_it() -> None:
    asked = {**row("red or not ?"), "history": ["hello", "good day"]}
    (found,) = talking().asked([asked])
    before = ["Q: fox ?", "A: animal", "is a fox seen ?", "it is", "Q: and the red ?", "A: colour"]
    assert found["history"] == [*before, "hello", "good day"]


def test_an_example_goes_as_a_whole_and_the_rows_own_turns_last(toy_causal: Path) -> None:
    tokenizer = encoder.tokenizer(toy_causal)
    tokenizer.prompt = talking()
    own = ["a note says so", "it does"] * 2
    asked = {**row("red and the note says that it was seen near a box"), "history": own}
    (made,) = tokenizer.prompt.asked([asked])
    seen = {}
    for window in range(256, 31, -1):
        (found,) = turns.prompts([made], tokenizer, Prepare(max_length=window, stride=0))
        assert len(found.tokens) <= turns.room(window)
        seen[len(found.messages), found.shots] = found.cut
        if len(found.messages) == 1:
            break
    assert seen == {(11, 2): False, (9, 1): False, (5, 0): False, (3, 0): True, (1, 0): True}


def test_how_many_examples_the_rows_got_is_counted(toy_causal: Path) -> None:
    tokenizer = encoder.tokenizer(toy_causal)
    rows = [row("red or not ?"), row("red", context="the note says that it was seen " * 8)]
    tokenizer.prompt = prompt(question="{context} Q: {question}")
    window = Prepare(max_length=512, stride=0)
    full = {"wanted": 2, "mean": 2.0, "rows": 2, "none": 0}
    assert chat.prompted(rows, tokenizer, window) == {"inputs_cut": 0, "shots": full}
    (whole, _) = chat.encode(rows, tokenizer, window, labels=None)
    window = Prepare(max_length=len(whole["input_ids"]) * 4 // 3 + 1, stride=0)
    few = {"wanted": 2, "mean": 1.0, "rows": 2, "none": 1}
    assert chat.prompted(rows, tokenizer, window) == {"inputs_cut": 1, "shots": few}
    tokenizer.prompt = None
    assert chat.prompted(rows[:1], tokenizer, window) == {"inputs_cut": 0}
    assert "shots" not in chat.prompted([], tokenizer, window)


def test_the_answer_is_taken_from_the_steps(toy_causal: Path) -> None:
    tokenizer = encoder.tokenizer(toy_causal)
    tokenizer.prompt = prompt(take="Answer:")
    said = "Red is seen. Answer: blue\nno\nAnswer: colour\nthe end"
    tokens = tokenizer(said, add_special_tokens=False)["input_ids"]
    output = {
        "tokens": np.array(tokens),
        "logprobs": np.zeros(len(tokens)),
        "ended": np.array([2]),
    }
    (told,) = chat.decode([row("?")], [{"row": 0}], [output], Evaluate(), tokenizer=tokenizer)
    assert told["text"] == "colour" and told["reasoning"] == said and not told["no_answer"]


@pytest.mark.parametrize(
    ("said", "found"), [("a\nb\n", "b"), ("Answer:", ""), ("", ""), ("x Answer:\n y\nz", "y")]
)
def test_where_no_answer_is_marked_the_last_line_counts(said: str, found: str) -> None:
    assert prompting.taken(said, "Answer:") == found


def test_what_a_text_says_is_never_a_field() -> None:
    said = "{question} {0} {x.__class__}"
    assert prompting.worded("{context}|{question}", context=said, question="q") == f"{said}|q"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ('question: "{context} {mood}"', "prompt.question has an unknown field 'mood'; there are"),
        ('question: ""', "prompt.question lacks the field {question}"),
        ('question: "{context} {{question}}"', "prompt.question lacks the field {question}"),
        ('answer: "colour"', "prompt.answer lacks the field {answer}"),
        ('label: "a text"', "prompt.label lacks the field {label}"),
        ('question: "{question.__class__}"', "unknown field 'question.__class__'"),
        ('answer: "{question}"', "unknown field 'question'; there are: answer"),
        ('label: "{x}"', "unknown field 'x'; there are: label"),
        ("shot: 3", "odd.yaml has an unknown key prompt.shot; did you mean 'shots'"),
        ('question: "{question"', "prompt.question cannot be read: expected '}'"),
        ('label: "{label}}"', "prompt.label cannot be read: Single '}'"),
        ("a: [", "is not plain YAML"),
    ],
)
def test_a_template_with_an_unknown_field_is_refused_by_name(
    tmp_path: Path, template: str, message: str
) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "odd.yaml").write_text(template)
    with pytest.raises(SettingsError) as error:
        prompts.read(Project(tmp_path), "odd")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("keys", "template", "idle"),
    [
        (prompts.WORDS, 'label: "About {label}."', "label"),
        (prompts.WORDS, 'question: "{question}"\ndescriptions: {a: b}', "descriptions"),
        (prompts.LABELS, 'take: "Answer:"', "take"),
        (prompts.LABELS, 'label: "{label}"\nshots: 2', "shots"),
    ],
)
def test_a_template_of_another_recipe_is_refused(
    tmp_path: Path, keys: Sequence[str], template: str, idle: str
) -> None:
    """A classification asked by steps was told by its labels' plain names, and nobody said so."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "odd.yaml").write_text(template)
    with pytest.raises(SettingsError, match=rf"odd\.yaml says {idle}, which a project of this"):
        prompts.read(Project(tmp_path), "odd", keys)


def test_a_template_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "few.yaml").write_text("shots: 1")
    with pytest.raises(MissingFiles, match="There is no prompt template 'many'") as error:
        prompts.read(Project(tmp_path), "many")
    assert "few" in error.value.fix
    assert prompts.read(Project(tmp_path), "few")[0].shots == 1


def test_labels_are_told_by_their_names_or_descriptions() -> None:
    template = prompts.Template(label="About {label}.", descriptions={"b": "bees"})
    assert label_texts(template, ["a_b", "b"]) == ["About a b.", "bees"]
    with pytest.raises(SettingsError, match="describes 'b', which is none of the labels"):
        label_texts(template, ["a"])


def test_the_templates_of_this_repository_can_be_read() -> None:
    project = Project(Path(__file__).parents[2])
    found = {
        path.stem: prompts.read(project, path.stem)[0]
        for path in project.prompt("x").parent.glob("*.yaml")
    }
    assert found["few-shot"].shots == 4 and found["steps"].take == "Answer:"
    assert prompting.fields(found["labels"].label) == ["label"]
    assert found["zero-shot"] == prompts.read(project, "")[0]
