"""The declared fingerprints and params against what each stage's code really imports and reads."""

from __future__ import annotations

import ast

import pytest
from ruamel.yaml import YAML

from onward import config, fingerprints
from onward.errors import SettingsError
from onward.evaluation import gate
from tests.stages.imports import ROOT, everything, reachable

STAGES = sorted(fingerprints.STAGES)


TURN = "onward.episodes.turn"
NEVER_RUN = frozenset(
    (TURN, name)
    for name in (
        "onward.learning",
        "onward.learning.encoder",
        "onward.registry",
        "onward.registry.journal",
        "onward.registry.versions",
    )
)
"""Imports of `turn.compose`, which writes a turn: no stage does."""


def _declared(stage: str) -> set[str]:
    return {*fingerprints.STAGES[stage], *fingerprints.RECIPES["extractive"]}


def _reached(stage: str) -> set[str]:
    roots = (f"onward.stages.{stage}", *fingerprints.RECIPES["extractive"])
    found = reachable(*roots, without=NEVER_RUN)
    return {name for name in found if everything()[name].name != "__init__.py"}


@pytest.mark.parametrize("stage", STAGES)
def test_every_reachable_module_is_declared(stage: str) -> None:
    left = _reached(stage) - _declared(stage) - fingerprints.PLUMBING
    assert sorted(left) == [], "add to fingerprints.STAGES, or to PLUMBING if it cannot matter"


@pytest.mark.parametrize("stage", STAGES)
def test_no_module_is_declared_for_nothing(stage: str) -> None:
    assert sorted(_declared(stage) - _reached(stage)) == []


def test_packages_hold_no_code_but_the_recipes_door() -> None:
    """An __init__.py is never part of a fingerprint, so it must not decide anything."""
    holding = {
        name
        for name, path in everything().items()
        if name.startswith("onward")
        and path.name == "__init__.py"
        and any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text("utf-8")).body)
    }
    assert holding <= {"onward", "onward.recipes"}


def test_stages_compose_no_turn() -> None:
    """What NEVER_RUN rests on."""
    for stage in STAGES:
        for module in _declared(stage) - {TURN}:
            assert "compose(" not in everything()[module].read_text(encoding="utf-8")


def test_plumbing_names_modules_and_is_never_declared() -> None:
    assert set(everything()) >= fingerprints.PLUMBING
    for stage in STAGES:
        assert _declared(stage).isdisjoint(fingerprints.PLUMBING)


def test_the_gates_code_is_all_that_the_rule_rests_on() -> None:
    """A verdict's key holds it: under other code the same candidate is judged again."""
    tells = {"onward.config", "onward.settings", "onward.errors", "onward.evaluation.checks"}
    files = {everything()[name] for name in reachable("onward.evaluation.rule") - tells}
    found = {path for path in files if path.name != "__init__.py"}
    here = everything()["onward.evaluation.gate"].parent
    assert {(here / name).resolve() for name in gate.CODE} == {path.resolve() for path in found}


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
def test_params_are_what_is_declared(stage: str) -> None:
    assert _pipeline()[stage]["params"] == list(fingerprints.SETTINGS[stage])


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_blocks_that_the_code_reads(stage: str) -> None:
    """Contract 8. What composes a turn is not run by a stage."""
    modules = _declared(stage) - {TURN}
    read = set().union(*(_blocks_read(module) for module in sorted(modules)))
    assert read == {name.partition(".")[0] for name in fingerprints.SETTINGS[stage]}


def test_a_changed_default_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC compares what params.yaml says; a key left out has its default from the code."""

    class Other(config.Prepare):
        max_length: int = 384

    before = {stage: fingerprints.code(stage, "extractive") for stage in STAGES}
    monkeypatch.setitem(config.BLOCKS, "prepare", Other)
    changed = {s for s in STAGES if fingerprints.code(s, "extractive") != before[s]}
    assert changed == {"prepare", "validate"}


def test_the_walk_sees_lazy_imports_and_reads() -> None:
    """The walk itself: `onward.validation.run` reads two blocks, and turn imports lazily."""
    assert _blocks_read("onward.validation.run") == {"validate", "prepare"}
    assert "onward.registry.journal" in reachable("onward.episodes.turn")
