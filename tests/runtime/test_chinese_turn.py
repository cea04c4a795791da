"""Questions in Chinese through the whole loop: read by characters, scored by characters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.config import Evaluate
from onward.evaluation.evaluate import resolve
from onward.evaluation.ledger import read_parts
from onward.project import Project
from onward.recipes import extractive
from onward.runtime import export
from onward.runtime.session import Session
from onward.serving.ask import ask
from tests import loop, toys

KINDS = {"colour": "顏色", "animal": "動物", "city": "城市"}
NAMED = [
    *("朱紅", "天藍", "草綠", "墨黑", "雪白", "葡紫"),
    *("狐狸", "水獺", "蒼鷺", "豬獾", "山貓", "鼴鼠"),
    *("巴黎", "奧城", "利馬", "開羅", "京都", "基多"),
]
THINGS = dict(zip((word for kind in toys.KINDS.values() for word in kind), NAMED, strict=True))
FILLERS = dict(zip(toys.FILLERS, "這記說那它是見近一箱並後", strict=True))
ASKED = {"what": "什麼", "which": "哪種", "is": "是", "named": "名為", "in": "在", "note": "筆記"}
CHINESE = {**KINDS, **THINGS, **FILLERS, **ASKED, ".": "。"}


def written(text: str) -> str:
    """A toy's text in characters, without a space; numbers stay."""
    words = text.replace("?", " ?").split()
    return "".join(CHINESE.get(word, "？" if word == "?" else word) for word in words)


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    made = []
    for row in toys.toy_rows(count, seed):
        context, answer = written(row["context"]), THINGS[row["answers"][0]]
        told = {"context": context, "question": written(row["question"])}
        made.append({**row, **told, "answers": [answer], "starts": [context.index(answer)]})
    return made


def without_types(encoder: Path) -> None:
    """As multilingual encoders are published: XLM-R's tokenizer before a BERT of two types."""
    told = files.read_json(encoder / "tokenizer.json")
    for piece in told["post_processor"]["pair"]:
        next(iter(piece.values()))["type_id"] = 0
    files.write_json(encoder / "tokenizer.json", told)
    config = files.read_json(encoder / "tokenizer_config.json")
    config |= {"tokenizer_class": "TokenizersBackend"}
    config |= {"model_input_names": ["input_ids", "attention_mask"]}
    files.write_json(encoder / "tokenizer_config.json", config)


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Project:
    home = tmp_path_factory.mktemp("chinese")
    encoder = toys.toy_encoder(home / "encoder", "".join(CHINESE.values()) + "？")
    without_types(encoder)
    settings = {"first_learning_rate": 0.01, "first_epochs": 6, "batch_size": 16, "micro_batch": 16}
    project = loop.begun(
        home / "project",
        encoder,
        "extractive",
        prepare={"max_length": 40, "stride": 10},
        finetune=settings,
        gate={"floor": 60.0},
    )
    with pytest.MonkeyPatch.context() as patched:
        verdict = loop.learned(project, "first", rows(280, seed=1), patched)
    assert verdict.outcome == "promoted", verdict
    return project


def test_it_learns_to_answer_in_characters(promoted: Project) -> None:
    unit = files.read_json(promoted.made("evaluate") / "summary.json")["units"]["0001-first"]
    assert unit["after"]["em"] > 60 > unit["baseline"]["em"]
    context = "這筆記1說它見山貓近箱。"
    found = ask(promoted, {"context": context, "question": "哪種動物名為在筆記1？"})
    assert found.text == "山貓" and context[found.prediction["start"] :].startswith("山貓")


def test_the_package_reads_every_window_as_the_model_does(promoted: Project) -> None:
    """Token types that the model's own tokenizer does not make came with later windows."""
    (package,) = read_parts(promoted.made("export") / "ledger.parquet")[:1]
    torch = export.torch_part(promoted)
    ours, theirs = (part.predictions("0001-first") for part in (package, torch))
    best = [
        [one[row]["n_best"][0]["probability"] for row in sorted(theirs)] for one in (ours, theirs)
    ]
    assert best[0] == pytest.approx(best[1], abs=1e-4)
    session = Session(promoted.made("export") / "package", provider="cpu", threads=1)
    prepare, _ = resolve(files.read_json(promoted.made("finetune") / "spec.json"), Evaluate())
    windows = extractive.encode(rows(60, seed=1), session.tokenizer, prepare, labels=None)
    assert len(windows) > 60


def test_half_an_answer_is_worth_its_characters(promoted: Project) -> None:
    row = rows(1, seed=2)[0]
    half = {"text": row["answers"][0][:1], "no_answer": False}
    score = extractive.metrics(extractive.statistics(row, half))
    assert float(score["f1"]) == pytest.approx(100 * 2 / 3) and float(score["em"]) == 0
    full_width = {"text": f"「{row['answers'][0]}」。", "no_answer": False}
    assert float(extractive.metrics(extractive.statistics(row, full_width))["em"]) == 100


def test_an_encoder_without_its_letters_stops_the_run(
    promoted: Project, toy_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onward.errors import ValidationFailed

    blind = loop.begun(tmp_path / "blind", toy_encoder, "extractive")
    with pytest.raises(ValidationFailed):
        loop.learned(blind, "first", rows(280, seed=1), monkeypatch)
    report = files.read_json(blind.made("validate") / "report.json")
    assert not report["passed"] and "unknown" in str(report)
