"""The probe: a fresh process that loads a package and must get the recorded answers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from onward import files
from onward.errors import IntegrityError, InternalError, MissingFiles, UsageError
from onward.runtime import package as packages
from onward.runtime import probe


def _answer_differently(folder: Path) -> None:
    spec = files.read_json(folder / packages.SPEC)
    spec["probes"][1]["answers"]["fp32"] = "another answer"
    files.write_json(folder / packages.SPEC, spec)
    (folder / files.MANIFEST).unlink()
    files.seal(folder)


def test_a_good_package_passes_in_a_fresh_process(package: Path) -> None:
    manifest = packages.choose(package, "int8", "cpu")
    found = probe.probe(package, manifest=manifest)
    assert (found["variant"], found["provider"], found["probes"]) == ("int8", "onnx-cpu", 4)


def test_an_error_comes_back_typed_from_the_fresh_process(package: Path) -> None:
    _answer_differently(package)
    with pytest.raises(IntegrityError, match="Probe 1 is answered differently") as caught:
        probe.probe(package, "fp32")
    assert caught.value.details["expected"] == "another answer"


def test_every_variant_is_checked_against_its_own_answers(package: Path) -> None:
    _answer_differently(package)
    assert probe.check(package, "int8")["probes"] == 4


def test_the_command_line_prints_one_json_object_and_exits_with_1(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (package / "tokenizer.json").write_text("{}")
    assert probe.main([str(package), "--variant", "fp32"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["error"], "tokenizer.json is changed" in told["what"]) == ("IntegrityError", True)


def test_the_command_line_prints_what_it_found_and_exits_with_0(
    packed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe.main([str(packed)]) == 0
    assert json.loads(capsys.readouterr().out)["probes"] == 4


def test_a_package_without_probes_is_refused(package: Path) -> None:
    spec = files.read_json(package / packages.SPEC)
    files.write_json(package / packages.SPEC, {**spec, "probes": []})
    (package / files.MANIFEST).unlink()
    files.seal(package)
    with pytest.raises(IntegrityError, match="has no probes"):
        probe.check(package)


def test_other_errors_keep_their_kind(package: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        probe.check(package, "int4")
    with pytest.raises(MissingFiles):
        probe.check(tmp_path / "none")
    with pytest.raises(IntegrityError, match="another package"):
        probe.check(package, manifest="00")


def test_a_process_that_dies_is_told_as_such(
    packed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dies = tmp_path / "python"
    dies.write_text("#!/bin/sh\necho killed >&2\nexit 137\n")
    dies.chmod(0o755)
    monkeypatch.setattr(probe.sys, "executable", str(dies))
    with pytest.raises(InternalError, match="ended with 137: killed"):
        probe.probe(packed)


@pytest.mark.parametrize("writes", [False, True])
def test_a_model_that_writes_has_time_for_what_it_may_write(
    package: Path, monkeypatch: pytest.MonkeyPatch, writes: bool
) -> None:
    """A large one was given 120 s for four answers of any length, and could not be promoted."""
    spec = files.read_json(package / packages.SPEC)
    decoding = {**spec["decoding"], "max_new_tokens": 500}
    told = {**spec, "decoding": decoding, **({"generation": {}} if writes else {})}
    files.write_json(package / packages.SPEC, told)

    def hanging(*_: object, timeout: float, **__: object) -> None:
        raise subprocess.TimeoutExpired("probe", timeout)

    monkeypatch.setattr(probe.subprocess, "run", hanging)
    with pytest.raises(InternalError, match="within 2120 s" if writes else "within 120 s"):
        probe.probe(package)
