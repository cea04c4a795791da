"""The recipe's smaller functions: columns, keys, baseline, model, hash."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from onward import recipes
from onward.config import Evaluate, Prepare
from onward.errors import DataError, IntegrityError
from onward.recipes import extractive
from tests import toys

FUNCTIONS = (
    "guess split_key inputs gold slices vocabulary encode inputs_cut decode statistics metrics "
    "row_scores report common baseline build labels_of graphs scorer SCHEMA METRICS STATISTICS "
    "KIND PRIMARY PERFECT PLACED RIGHT_OR_WRONG TARGETS"
)


def test_every_recipe_has_the_functions_that_the_loop_calls() -> None:
    for name in recipes.NAMES:
        module = recipes.get(name)
        assert [each for each in FUNCTIONS.split() if not hasattr(module, each)] == [], name


def test_an_unknown_recipe_is_refused_naming_onward_new() -> None:
    with pytest.raises(DataError, match="no recipe 'poetry'") as caught:
        recipes.get("poetry")
    assert "onward new" in caught.value.fix


def test_importing_a_recipe_imports_no_model_library() -> None:
    code = (
        "import sys, onward.recipes.extractive, onward.evaluation.scorer, onward.evaluation.runner;"
        "print(sorted({'torch', 'transformers', 'tokenizers', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            ["id", "title", "context", "question", "answers", "starts"],
            {name: name for name in ("id", "title", "context", "question", "answers", "starts")},
        ),
        (
            ["Answer_Start", "ANSWER", "Question Text", "Passage"],
            {"context": "Passage", "question": "Question Text", "answers": "ANSWER"}
            | {"starts": "Answer_Start"},
        ),
        (["support", "question", "correct_answer", "distractor1"],
         {"context": "support", "question": "question", "answers": "correct_answer"}),
        (["context", "text", "question", "answer"],
         {"context": "context", "question": "question", "answers": "answer"}),
        (["question", "answer"], None),
        ([], None),
    ],
)  # fmt: skip
def test_guess(columns: list[str], expected: dict[str, str] | None) -> None:
    """D03: other case, other order, extra and missing columns."""
    assert extractive.guess(columns) == expected
    assert extractive.guess(columns[::-1]) == expected


def test_split_key_is_the_title_or_else_the_context() -> None:
    row = {"title": "  Caf\u00e9  NOIR", "context": "x"}
    assert extractive.split_key(row) == extractive.split_key({**row, "title": "cafe\u0301 noir"})
    assert extractive.split_key({"title": None, "context": "A  b"}) == extractive.split_key(
        {"title": " ", "context": "a B"}
    )
    assert extractive.split_key({"title": "x", "context": "y"}) != extractive.split_key(
        {"title": None, "context": "x"}
    )


@pytest.mark.parametrize(
    ("context", "question", "expected"),
    [
        ("It rained. Ana wrote the book! Fine?", "Who wrote the book?", "Ana wrote the book!"),
        ("One.\nTwo words here\nthree", "two words", "Two words here"),
        ("No word fits. At all.", "zzz", "No word fits."),
        ("... ! ", "x", ""),
        ("", "x", ""),
        ("किताब मेज पर रखी है। कार घर में खड़ी है।", "घर में क्या है?", "कार घर में खड़ी है।"),
        ("सोम मैं हूँ। सीमा यहाँ रही।", "सीमा कहाँ है?", "सीमा यहाँ रही।"),  # not by letters without vowels
        ("کراچی دور ہے۔ لاہور پاس ہے۔", "لاہور کہاں ہے؟", "لاہور پاس ہے۔"),
        ("من هناك؟ الرجل هنا", "أين الرجل؟", "الرجل هنا"),
    ],
)
def test_baseline_is_the_sentence_that_shares_most_words(
    context: str, question: str, expected: str
) -> None:
    found = extractive.baseline({"context": context, "question": question}, None)
    assert found["text"] == expected and found["no_answer"] == (not expected)
    if expected:
        assert context[found["start"] : found["end"]] == expected


def test_rows_fit_the_schema() -> None:
    rows = toys.toy_rows(20, seed=1, no_answer=0.3)
    table = pa.Table.from_pylist(rows, schema=extractive.SCHEMA)
    assert table.to_pylist() == rows


def test_the_scorer_hash_covers_settings_and_window_and_nothing_else() -> None:
    plain = extractive.scorer(Evaluate(), Prepare())
    assert plain == extractive.scorer(Evaluate(), Prepare(seed=99, early_stopping_percent=1.0))
    others = [
        extractive.scorer(Evaluate(n_best=6), Prepare()),
        extractive.scorer(Evaluate(no_answer=True), Prepare()),
        extractive.scorer(Evaluate(), Prepare(stride=32)),
        extractive.scorer(Evaluate(), Prepare(max_length=256)),
    ]
    assert len({plain, *others}) == 5


def test_build_grows_a_head_and_can_refuse_to(toy_encoder: Path) -> None:
    import torch

    torch.manual_seed(0)
    model = extractive.build(toy_encoder, {"dropout": 0.25})
    assert model.config.hidden_dropout_prob == model.config.attention_probs_dropout_prob == 0.25
    assert model.dtype == torch.float32
    assert model.qa_outputs.weight.shape == (2, 32)
    with pytest.raises(IntegrityError, match=r"lacks 2 weights, first qa_outputs\.bias"):
        extractive.build(toy_encoder, {"new_head": False})


def test_build_opens_no_pickle(toy_encoder: Path, tmp_path: Path) -> None:
    """S01: a folder with a pickle and without safetensors is refused, the pickle unread."""
    import torch

    (tmp_path / "config.json").write_bytes((toy_encoder / "config.json").read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(IntegrityError, match=r"named model\.safetensors found"):
        extractive.build(tmp_path, {})


def test_build_runs_no_code_of_the_folder(toy_encoder: Path, tmp_path: Path) -> None:
    """S02"""
    config = json.loads((toy_encoder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config"}
    config["model_type"] = "evil"
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(IntegrityError, match="contains custom code"):
        extractive.build(tmp_path, {})


def test_graphs_name_what_the_model_reads(toy_encoder: Path) -> None:
    (spec,) = extractive.graphs(extractive.build(toy_encoder, {}))
    assert spec.inputs == ("input_ids", "token_type_ids", "attention_mask")
    assert spec.outputs == ("start_logits", "end_logits")
