"""Relation: entity marks, cutting around them, triples, and SemEval's macro F1."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from onward.config import Evaluate, Prepare
from onward.errors import DataError, SettingsError, UsageError
from onward.recipes import entity_marks, relation
from onward.runtime import asking
from tests import toys
from tests.recipes.readers import byte_tokenizer, encoder_tokenizer

SMALL = Prepare(max_length=64, stride=16)
ROW = {
    "id": "s1",
    "title": None,
    "text": "Smog causes asthma.",
    "head_start": 0,
    "head_end": 4,
    "tail_start": 12,
    "tail_end": 18,
    "label": "Cause-Effect(e1,e2)",
}


@pytest.fixture(scope="module", params=[encoder_tokenizer, byte_tokenizer], ids=["words", "bytes"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.param()


def test_marks_go_in_and_out_whichever_entity_is_first() -> None:
    for row in [*toys.toy_related(40, seed=1), ROW]:
        for swapped in (False, True):
            places = relation.places(row)[:: -1 if swapped else 1]
            text = entity_marks.marked(row["text"], places)
            assert entity_marks.unmarked(text) == (row["text"], tuple(places))


@pytest.mark.parametrize(
    "text",
    [
        "no marks",
        "<e1>a</e1> alone",
        "<e1>a <e2>b</e1> c</e2>",
        "<e1></e1> and <e2>b</e2>",
        "<e1>a</e1><e1>b</e1><e2>c</e2>",
        "</e1>a<e1> <e2>b</e2>",
    ],
)
def test_D_a_text_that_does_not_mark_two_entities_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"</?e[12]>|empty") as caught:
        asking.row(relation, {"text": text})
    assert "<e1>Smog</e1>" in caught.value.fix


def test_asked_by_a_marked_text() -> None:
    row = asking.row(relation, {"text": "<e2>Smog</e2> causes <e1>asthma</e1>."})
    assert (row["text"], row["head_start"], row["tail_end"]) == ("Smog causes asthma.", 12, 4)
    assert asking.names(relation) == {"text": True}
    assert asking.usage(relation) == "onward ask TEXT"


def test_the_model_reads_marks_that_its_tokenizer_knows(tokenizer: Any) -> None:
    (feature,) = relation.encode([ROW], tokenizer, Prepare(), labels=[ROW["label"], "Other"])
    text = tokenizer.decode(feature["input_ids"], skip_special_tokens=True)
    assert text.replace(" ", "").lower() == "@smog@causes#asthma#."
    assert feature["label"] == 0
    with pytest.raises(DataError, match="is not one that this model has"):
        relation.encode([ROW], tokenizer, Prepare(), labels=["Other"])


def test_a_tokenizer_without_the_marks_is_refused() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "#": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    plain = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    with pytest.raises(SettingsError, match="does not know @, the marks"):
        relation.encode([ROW], plain, Prepare(), labels=None)


def test_a_long_text_keeps_both_entities(tokenizer: Any) -> None:
    chance = random.Random(0)
    for number in range(60):
        words = [chance.choice(["river", "oslo", "seen", "the"]) for _ in range(200)]
        head, tail = sorted(chance.sample(range(200), 2))
        words[head], words[tail] = "smog", "asthma"
        start = [sum(len(word) + 1 for word in words[:at]) for at in (head, tail)]
        row = {**ROW, "text": " ".join(words), "head_start": start[0], "head_end": start[0] + 4}
        row |= {"tail_start": start[1], "tail_end": start[1] + 6}
        if number % 2:
            row |= {key.replace("head", "x").replace("tail", "head").replace("x", "tail"): row[key]
                    for key in relation.ENTITIES}  # fmt: skip
        (feature,) = relation.encode([row], tokenizer, SMALL, labels=None)
        assert 40 <= len(feature["input_ids"]) <= 64
        text = tokenizer.decode(feature["input_ids"]).replace(" ", "")
        marks = ("@", "#") if not number % 2 else ("#", "@")
        assert f"{marks[0]}smog{marks[0]}" in text and f"{marks[1]}asthma{marks[1]}" in text
    assert relation.inputs_cut([row, ROW], tokenizer, SMALL) == 1


def test_a_text_that_is_cut_within_a_word_keeps_the_last_mark() -> None:
    """The rest of a word may be more tokens than it was as a part of the word."""
    start = "photosynthesis the thermodynamically electroencephalography photosynthesis the "
    start += "photosynthesis thermodynamically ribonucleoprotein a thermodynamically the the "
    head = (len(start), len(start) + len("thermodynamically"))
    tail = (head[1] + 1, head[1] + 4)
    row = {**ROW, "text": start + "thermodynamically fox"}
    row |= dict(zip(relation.ENTITIES, (*head, *tail), strict=True))
    read = encoder_tokenizer()
    (feature,) = relation.encode([row], read, Prepare(max_length=32, stride=0), labels=None)
    assert read.decode(feature["input_ids"]).endswith("@ thermodynamically @ # fox # [SEP]")
    assert 24 <= len(feature["input_ids"]) <= 32


def test_triples_have_the_direction_of_the_label() -> None:
    assert relation.triple(ROW, "Cause-Effect(e1,e2)") == ["Smog", "Cause-Effect", "asthma"]
    assert relation.triple(ROW, "Cause-Effect(e2,e1)") == ["asthma", "Cause-Effect", "Smog"]
    assert relation.triple(ROW, "causes") == ["Smog", "causes", "asthma"]
    assert relation.triple(ROW, "Other") == relation.triple(ROW, "no_relation") == []


def test_decode_gives_label_text_and_triple() -> None:
    labels = ("Other", "Cause-Effect(e2,e1)")
    features = [{"row": 0}, {"row": 1}]
    outputs = [{"logits": np.array([0.0, 2.0])}, {"logits": np.array([2.0, 0.0])}]
    told = list(relation.decode([ROW, ROW], features, outputs, Evaluate(), labels))
    assert told[0]["triple"] == ["asthma", "Cause-Effect", "Smog"] and not told[0]["no_answer"]
    assert told[1]["triple"] == [] and told[1]["no_answer"] and told[1]["label"] == "Other"
    assert told[0]["text"] == told[0]["label"] == told[0]["n_best"][0]["text"]


def official(gold: list[str], told: list[str]) -> float:
    """Macro F1 written from the description in Hendrickx et al. 2010, relation by relation."""
    kinds = sorted({label.split("(")[0] for label in gold} - {"Other"})
    scores = []
    for kind in kinds:
        right = sum(g == t and g.split("(")[0] == kind for g, t in zip(gold, told, strict=True))
        given = sum(t.split("(")[0] == kind for t in told)
        there = sum(g.split("(")[0] == kind for g in gold)
        precision = right / given if given else 0.0
        recall = right / there
        scores.append(2 * precision * recall / (precision + recall) if right else 0.0)
    return 100 * sum(scores) / len(scores)


def test_macro_f1_is_the_official_one() -> None:
    chance = random.Random(0)
    kinds = [f"{kind}({way})" for kind in ("A", "B", "C") for way in ("e1,e2", "e2,e1")]
    for _ in range(20):
        gold = [chance.choice([*kinds, "Other"]) for _ in range(80)]
        told = [g if chance.random() < 0.6 else chance.choice([*kinds, "Other"]) for g in gold]
        made = [{"label": label, "probability": 0.9} for label in told]
        found = relation.report([{"label": label} for label in gold], made)
        assert found["macro_f1"] == pytest.approx(official(gold, told), abs=1e-4)
        assert [one["label"] for one in found["classes"]] == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("gold", "told", "sums"),
    [
        ("A(e1,e2)", "A(e1,e2)", [1, 1, 0, 0, 1]),
        ("A(e1,e2)", "A(e2,e1)", [1, 0, 1, 1, 0]),
        ("A(e1,e2)", "Other", [1, 0, 0, 1, 0]),
        ("Other", "A(e1,e2)", [1, 0, 1, 0, 0]),
        ("Other", "Other", [1, 0, 0, 0, 1]),
    ],
)
def test_what_a_row_adds_to_the_sums(gold: str, told: str, sums: list[float]) -> None:
    assert relation.statistics({"label": gold}, {"label": told}).tolist() == sums


def test_the_trivial_answer_is_the_most_frequent_relation() -> None:
    rows = [{"label": label} for label in ("Other", "Other", "B", "A", "B")]
    assert relation.common(rows) == "B" and relation.common(rows[:2]) == ""
    assert relation.baseline(ROW, "B")["triple"] == ["Smog", "B", "asthma"]
    assert relation.baseline(ROW, "")["no_answer"]
