"""The declared fingerprints and params against what each stage's code really imports and reads."""

from __future__ import annotations

import ast

import pytest
from ruamel.yaml import YAML

from onward import config, fingerprints
from onward.errors import SettingsError
from tests.stages.imports import ROOT, everything, reachable

STAGES = sorted(fingerprints.STAGES)


def _declared(stage: str) -> set[str]:
    return {*fingerprints.STAGES[stage], *fingerprints.RECIPES["extractive"]}


def _reached(stage: str) -> set[str]:
    return reachable(f"onward.stages.{stage}", *fingerprints.RECIPES["extractive"])


@pytest.mark.parametrize("stage", STAGES)
def test_every_reachable_module_is_declared(stage: str) -> None:
    left = _reached(stage) - _declared(stage) - fingerprints.PLUMBING
    assert sorted(left) == [], "add to fingerprints.STAGES, or to PLUMBING if it cannot matter"


@pytest.mark.parametrize("stage", STAGES)
def test_no_module_is_declared_for_nothing(stage: str) -> None:
    assert sorted(_declared(stage) - _reached(stage)) == []


def test_plumbing_names_modules_and_is_never_declared() -> None:
    assert set(everything()) >= fingerprints.PLUMBING
    for stage in STAGES:
        assert _declared(stage).isdisjoint(fingerprints.PLUMBING)


def test_every_recipe_is_declared() -> None:
    from onward import recipes

    assert set(fingerprints.RECIPES) == set(recipes.NAMES)


def test_unknown_recipe_is_refused() -> None:
    with pytest.raises(SettingsError, match="no recipe 'poetry'"):
        fingerprints.code("prepare", "poetry")


def _pipeline() -> dict[str, dict[str, object]]:
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    stages: dict[str, dict[str, object]] = YAML(typ="safe", pure=True).load(text)["stages"]
    return stages


def test_the_stages_of_the_pipeline_are_those_of_the_table() -> None:
    assert set(_pipeline()) == {"inputs", *STAGES}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_its_own_fingerprint(stage: str) -> None:
    assert f"turn/inputs/{stage}.json" in _pipeline()[stage]["deps"]  # type: ignore[operator]


def _blocks_read(module: str) -> set[str]:
    """Blocks of params.yaml that a module reads: the second argument of each `config.read`."""
    tree = ast.parse(everything()[module].read_text(encoding="utf-8"))
    blocks = set()
    for node in ast.walk(tree):
        called = isinstance(node, ast.Call) and ast.unparse(node.func) in ("config.read", "read")
        if called and len(node.args) == 2:
            kind = getattr(config, ast.unparse(node.args[1]).removeprefix("config."), None)
            blocks |= {kind.block} if isinstance(kind, type) else set()
    return blocks


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_blocks_that_the_code_reads(stage: str) -> None:
    """Contract 8. The stages' own modules only: what composes a turn is not run by a stage."""
    modules = _declared(stage) - {"onward.episodes.turn", "onward.config"}
    read = set().union(*(_blocks_read(module) for module in sorted(modules)))
    params = _pipeline()[stage]["params"]
    assert read == {str(p).partition(".")[0] for p in params}  # type: ignore[attr-defined]


def test_the_walk_sees_lazy_imports_and_reads() -> None:
    """The walk itself: `onward.validation.run` reads two blocks, and turn imports lazily."""
    assert _blocks_read("onward.validation.run") == {"validate", "prepare"}
    assert "onward.registry.journal" in reachable("onward.episodes.turn")
