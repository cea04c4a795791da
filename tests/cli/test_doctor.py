"""What `onward doctor` says of a project's own settings; the rest is in test_commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import doctor
from onward.project import Project
from onward.runtime import providers


@pytest.mark.parametrize(("asked", "missing"), [("cpu", ""), ("cuda", "there is no device")])
def test_the_provider_is_the_one_that_params_names(
    asked: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a machine with a GPU it said that cuda is used, and without one that all was well."""
    monkeypatch.setattr(providers, "_missing_for_cuda", lambda: missing)
    (tmp_path / "params.yaml").write_text(f"benchmark: {{provider: {asked}}}\n")
    found = doctor._providers(Project(tmp_path))
    assert found.well == (not missing)
    assert found.state.startswith("CUDA was asked for" if missing else "cpu is used")


def test_a_model_that_is_made_of_the_first_episode_is_not_missed_before_it(tmp_path: Path) -> None:
    """A project that `onward new` had just made was not well."""
    (tmp_path / "params.yaml").write_text('project: {encoder: "scratch:small"}\n')
    found = doctor._encoder(Project(tmp_path))
    assert found.well and found.state == "scratch:small is made once an episode is open"
    (tmp_path / "params.yaml").write_text('project: {encoder: "scratch:smal"}\n')
    assert not doctor._encoder(Project(tmp_path)).well
