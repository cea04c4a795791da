"""The stage export: what it leaves, when it fails, and which int8 graph it keeps."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.config import Export
from onward.errors import ExportError, IntegrityError, ParityError
from onward.evaluation.ledger import read_parts, write_parts
from onward.learning import encoder
from onward.project import Project
from onward.runtime import export, int8, package, session
from onward.runtime import graph as graphs
from onward.runtime.graph import Graph
from onward.runtime.package import Package
from onward.runtime.quantise import Scheme
from onward.stages.entry import failed
from tests.runtime import projects


@pytest.fixture
def no_export(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """The graph of the session's export in the place of a new one, which takes seconds."""
    monkeypatch.setattr(graphs, "export", lambda *_, **__: graph)
    return graph


def _shifted(model: bytes, tensor: int, factor: float) -> bytes:
    """The graph with its head's weights changed: it loads, and answers wrongly."""
    import onnx
    from onnx import numpy_helper

    proto = onnx.load_model_from_string(model)
    heads = [i for i in proto.graph.initializer if list(i.dims) == [32, 2]]
    values = numpy_helper.to_array(heads[tensor]) * factor
    heads[tensor].CopyFrom(numpy_helper.from_array(values, heads[tensor].name))
    return proto.SerializeToString()  # type: ignore[no-any-return]


def _settings(project: Project, **changed: Any) -> None:
    told = ", ".join(f"{key}: {value}" for key, value in {"threads": 1, **changed}.items())
    text = projects.PARAMS.replace("export: {threads: 1}", f"export: {{{told}}}")
    files.write_text(project.params, text)


def test_it_leaves_exactly_these_files(exported: Project) -> None:
    assert sorted(files.verify(exported.made("export"))) == [
        "ledger.parquet",
        "package/manifest.json",
        "package/model.int8.onnx",
        "package/model.onnx",
        "package/package.json",
        "package/tokenizer.json",
        "package/tokenizer_config.json",
        "report.json",
        "texts.json",
    ]
    assert set(files.verify(exported.made("export") / "package")) == {
        *package.MODELS.values(),
        *package.TOKENIZER,
        package.SPEC,
    }


def test_the_report_says_parity_fusion_and_every_int8_try(exported: Project) -> None:
    report = files.read_json(exported.made("export") / "report.json")
    assert report["graph"]["attention_fused"] == report["graph"]["layers"] == 2
    assert report["parity"]["logit_difference"] <= report["parity"]["logit_limit"]
    assert [unit["unit"] for unit in report["parity"]["units"]] == [projects.UNIT]
    assert report["parity"]["units"][0]["rows"] == 120
    assert report["parity"]["logit_lengths"][1] == 48
    assert report["int8"]["kept"] and report["int8"]["tries"][0]["scheme"] == "dynamic"
    assert report["variants"] == ["fp32", "int8"]


def test_the_ledger_has_one_part_per_variant_with_every_row(exported: Project) -> None:
    spec = files.read_json(exported.made("export") / "package" / "package.json")
    parts = {part.artifact: part for part in read_parts(exported.made("export") / "ledger.parquet")}
    assert set(parts) == {variant["artifact"] for variant in spec["variants"].values()}
    torch = export.torch_part(exported)
    for part in parts.values():
        assert (part.provider, part.scorer) == ("onnx-cpu", torch.scorer)
        assert part.statistics(projects.UNIT)[0] == torch.statistics(projects.UNIT)[0]


def test_probes_are_held_out_rows_with_each_variants_answer(exported: Project) -> None:
    spec = files.read_json(exported.made("export") / "package" / "package.json")
    assert len(spec["probes"]) == 4
    for probe in spec["probes"]:
        assert set(probe["answers"]) == {"fp32", "int8"}
        assert probe["answers"]["fp32"] in probe["context"]


def test_another_process_makes_the_same_bytes(
    project: Project, exported: Project, tmp_path: Path
) -> None:
    """Also from another folder and without the ledger's cache; and the stage's entry works."""
    files.remove(project.cache)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "onward.stages.export"],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": root, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    one, other = (p.made("export") for p in (project, exported))
    assert files.inventory(one) == files.inventory(other)
    assert files.sha256(one / files.MANIFEST) == files.sha256(other / files.MANIFEST)


def test_wrong_logits_fail_the_stage_and_leave_what_was_there(
    project: Project, no_export: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_text(project.made("export") / "before", "still here")
    wrong = replace(no_export, model=_shifted(no_export.model, 0, 1.01))
    monkeypatch.setattr(graphs, "export", lambda *_, **__: wrong)
    with pytest.raises(ParityError, match="Logits of the ONNX graph differ"):
        export.run(project)
    assert [p.name for p in project.made("export").iterdir()] == ["before"]


def test_a_wrong_score_fails_the_stage_also_where_logits_may_differ(
    project: Project, no_export: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settings(project, max_logit_difference=1e6)
    wrong = replace(no_export, model=_shifted(no_export.model, 0, -1.0))
    monkeypatch.setattr(graphs, "export", lambda *_, **__: wrong)
    with pytest.raises(ParityError, match=r"scores \d+\.\d\d where torch scores 100\.00") as caught:
        export.run(project)
    assert caught.value.details["units"][0]["rows"] == 120
    assert not project.made("export").exists()


def test_the_stage_exits_with_the_typed_error(
    project: Project, no_export: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4: a failed parity crosses the process border as ParityError and a non-zero exit."""
    from onward.stages.entry import start

    wrong = replace(no_export, model=_shifted(no_export.model, 0, 1.01))
    monkeypatch.setattr(graphs, "export", lambda *_, **__: wrong)
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("ONWARD_RUN", "r1")
    with pytest.raises(SystemExit) as left:
        start("export", export.run)
    assert left.value.code == 1
    assert isinstance(failed(project, "export", "r1"), ParityError)


def _bad(graph: Graph) -> bytes:
    return _shifted(graph.model, 0, -1.0)


def _nan(graph: Graph) -> bytes:
    return _shifted(graph.model, 0, float("nan"))


def _good(graph: Graph) -> bytes:
    return _shifted(graph.model, 0, 1.001)


def test_int8_past_its_budget_is_not_kept_and_every_try_is_told(
    project: Project, no_export: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    schemes = (Scheme("bad", "turned round", _bad), Scheme("nan", "not finite", _nan))
    monkeypatch.setattr(int8, "SCHEMES", schemes)
    export.run(project)
    made = project.made("export")
    told = files.read_json(made / "report.json")["int8"]
    assert told["kept"] is False and "not kept: bad: -" in told["why"]
    assert [one["scheme"] for one in told["tries"]] == ["bad", "nan"]
    assert told["tries"][0]["low"] < -1 and told["tries"][1]["flag"]
    assert not (made / "package" / "model.int8.onnx").exists()
    assert list(files.read_json(made / "package" / "package.json")["variants"]) == ["fp32"]
    assert len(read_parts(made / "ledger.parquet")) == 1


def test_the_first_scheme_within_the_budget_is_kept(
    project: Project, no_export: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = Scheme("never", "not reached", lambda _: pytest.fail("tried after a good one"))
    schemes = (Scheme("bad", "", _bad), Scheme("good", "", _good), never)
    monkeypatch.setattr(int8, "SCHEMES", schemes)
    export.run(project)
    told = files.read_json(project.made("export") / "report.json")["int8"]
    assert told["kept"] and [one["scheme"] for one in told["tries"]] == ["bad", "good"]


def test_int8_is_judged_by_its_bound_and_not_by_its_mean() -> None:
    tried = int8.Try("x", "", 1, change=-0.5, low=-1.5, high=0.5)
    assert not tried.within(1.0) and tried.within(1.5)
    assert not replace(tried, flag="one row only").within(9.0)
    assert not replace(tried, low=None).within(9.0)


def test_int8_is_left_out_where_settings_say_so(project: Project, no_export: Graph) -> None:
    _settings(project, int8="false")
    export.run(project)
    told = files.read_json(project.made("export") / "report.json")["int8"]
    assert (told["asked"], told["kept"], told["tries"]) == (False, False, [])
    assert told["why"] == "export.int8 is off"


def test_before_minutes_of_tracing_the_log_says_what_is_going_on(
    project: Project, no_export: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    _settings(project, int8="false")
    export.run(project)
    first, second, *_ = [line for line in capsys.readouterr().out.splitlines() if "export" in line]
    assert first == "export: making graph 1 of 1, model; a large model takes minutes"
    assert "attention layers fused" in second


def test_a_ledger_of_another_candidate_is_refused(project: Project, no_export: Graph) -> None:
    with files.building(project.made("finetune"), replace=True) as folder:
        for name in ("model", "spec.json"):
            source = project.made("finetune") / name
            source.rename(folder / name)
        config = folder / "model" / "config.json"
        files.write_text(config, config.read_text() + " ")
    with pytest.raises(IntegrityError, match="turn/evaluate was not made from the candidate"):
        export.run(project)


def test_an_edited_candidate_is_refused(project: Project) -> None:
    path = project.made("finetune") / "model" / "config.json"
    files.write_text(path, path.read_text() + " ")
    with pytest.raises(IntegrityError, match=r"config\.json in finetune is changed"):
        export.run(project)


def test_an_edited_evaluation_is_refused(project: Project) -> None:
    ledger = project.made("evaluate") / "ledger.parquet"
    write_parts(ledger, [replace(part, scorer="another") for part in read_parts(ledger)])
    with pytest.raises(IntegrityError, match=r"ledger\.parquet in evaluate is changed"):
        export.run(project)


def test_an_edited_episode_is_refused(project: Project) -> None:
    """Contract 6: every stage that reads rows verifies them first."""
    path = project.episode(projects.UNIT) / "heldout.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=r"heldout\.parquet"):
        export.run(project)


def test_a_tokenizer_that_needs_code_of_its_own_is_refused() -> None:
    with pytest.raises(ExportError, match="encodes differently"):
        export._same_tokens([{"input_ids": [1, 2]}], [{"input_ids": [1, 3]}])


def test_the_packages_tokenizer_is_compared_on_held_out_rows(
    project: Project, no_export: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two letters exchanged the graph would answer other texts than the model does."""
    own = export.tokenizer_files

    def exchanged(model: Path) -> dict[str, bytes]:
        found = own(model)
        told = json.loads(found["tokenizer.json"])
        vocabulary = told["model"]["vocab"]
        vocabulary["?"], vocabulary["."] = vocabulary["."], vocabulary["?"]
        return {**found, "tokenizer.json": json.dumps(told).encode()}

    monkeypatch.setattr(export, "tokenizer_files", exchanged)
    with pytest.raises(ExportError, match="encodes differently from the model's own"):
        export.run(project)
    assert not project.made("export").exists()


def test_a_model_without_a_fast_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"tokenizer\.json"):
        export.tokenizer_files(tmp_path)


@pytest.mark.parametrize(
    "about", [{"do_lower_case": True, "tokenizer_class": "BertTokenizer"}, None]
)
def test_the_package_names_the_marks_that_a_tokenizers_class_knows(
    toy_encoder: Path, tmp_path: Path, about: dict[str, Any] | None
) -> None:
    """Many a public folder says no more than this, or nothing; what serves picks no class."""
    told = files.read_json(toy_encoder / "tokenizer.json")
    files.write_json(tmp_path / "tokenizer.json", {**told, "padding": None})
    files.write_json(tmp_path / "config.json", files.read_json(toy_encoder / "config.json"))
    shutil.copyfile(toy_encoder / "model.safetensors", tmp_path / "model.safetensors")
    if about:
        files.write_json(tmp_path / "tokenizer_config.json", about)
    made = Package("fp32", b"", export.tokenizer_files(tmp_path), {"inputs": ["input_ids"]})
    served, own = session.tokenizer(made), encoder.tokenizer(tmp_path)
    assert served.pad_token_id == own.pad_token_id is not None
    assert (served.cls_token_id, served.sep_token_id) == (own.cls_token_id, own.sep_token_id)
    assert served("red fox")["input_ids"] == own("red fox")["input_ids"]
    # What names them all stays as it is, to the byte.
    same = export.tokenizer_files(toy_encoder)["tokenizer_config.json"]
    assert same == (toy_encoder / "tokenizer_config.json").read_bytes()


def test_settings_that_ask_nothing_say_so() -> None:
    assert int8.Int8().report(Export(int8=False))["why"] == "export.int8 is off"
