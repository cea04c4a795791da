"""params.yaml: unknown keys named with their nearest, contradictions refused, YAML kept plain."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from onward import config, recipes
from onward.errors import SettingsError

ROOT = Path(__file__).parents[1]


def _write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _refused(folder: Path, text: str, kind: type[config.Settings]) -> SettingsError:
    path = _write(folder, text)
    with pytest.raises(SettingsError) as caught:
        config.read(path, kind)
    assert caught.value.where == str(path)
    assert caught.value.fix
    return caught.value


def test_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    error = _refused(tmp_path, "gate: {margn: 3}", config.Gate)
    assert error.what == "params.yaml has an unknown key gate.margn; did you mean 'margin'?"
    assert "margin" in error.fix


def test_unknown_block_names_the_nearest(tmp_path: Path) -> None:
    error = _refused(tmp_path, "gaet: {}", config.Gate)
    assert error.what == "params.yaml has an unknown block 'gaet'; did you mean 'gate'?"


def test_nothing_near_names_all(tmp_path: Path) -> None:
    error = _refused(tmp_path, "gate: {zzz: 3}", config.Gate)
    assert "did you mean" not in error.what
    assert "margin, gain, floor" in error.fix


@pytest.mark.parametrize(
    ("kind", "text", "names"),
    [
        (config.Finetune, "finetune: {tuning: last}", "finetune.frozen_layers"),
        (config.Finetune, "finetune: {frozen_layers: 2}", "finetune.tuning"),
        (config.Finetune, "finetune: {batch_size: 6, micro_batch: 4}", "finetune.micro_batch"),
        (config.Prepare, "prepare: {max_length: 64, stride: 40}", "prepare.stride"),
        (config.Benchmark, "benchmark: {serving_shape: [9, 9]}", "benchmark.serving_shape"),
        (config.Benchmark, "benchmark: {shapes: [[0, 9]]}", "benchmark.shapes.0.0"),
        (config.Finetune, "finetune: {seed: -1}", "finetune.seed"),
        (config.Finetune, "finetune: {seed: 4294967295, challengers: 2}", "finetune.seed"),
        (config.Pretrain, "pretrain: {seed: -1}", "pretrain.seed"),
        (config.Quality, "quality: {measure: {samples: 1}}", "quality.measure.samples"),
        (config.Export, "export: {opset: 26}", "export.opset"),
    ],
)
def test_contradictions_name_the_keys(
    kind: type[config.Settings], text: str, names: str, tmp_path: Path
) -> None:
    said = _refused(tmp_path, text, kind).what
    assert names in said
    assert "Value error" not in said and "{" not in said, said


def test_an_unknown_recipe_is_refused_by_name(tmp_path: Path) -> None:
    error = _refused(tmp_path, "project: {recipe: clasification}", config.Identity)
    assert error.what.startswith("project.recipe: ")
    assert "'classification'" in error.what and "'clasification'" in error.what


def test_recipes_are_those_that_there_are() -> None:
    assert get_args(config.Identity.model_fields["recipe"].annotation) == recipes.NAMES


def _on_the_page() -> dict[str, dict[str, tuple[str, str]]]:
    """Block -> key -> its default and what docs/settings.md says of it."""
    found = {}
    for part in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").split("\n## ")[1:]:
        rows = re.findall(r"(?m)^\| `(\w+)` \| `(.*?)` \| (.+) \|$", part)
        found[part.partition("\n")[0]] = {key: (default, said) for key, default, said in rows}
    return found


def test_the_page_of_settings_has_every_key_with_its_default_and_choices() -> None:
    parts = {**config.BLOCKS, "quality.measure": config.Measure, "quality.gate": config.QualityGate}
    del parts["quality"]
    page = _on_the_page()
    assert page.keys() == parts.keys()
    for block, kind in parts.items():
        assert list(page[block]) == list(kind.model_fields), block
        values = kind.model_validate({}).model_dump(mode="json")
        for key, (default, said) in page[block].items():
            assert YAML(typ="safe", pure=True).load(default) == values[key], f"{block}.{key}"
            choices = get_args(kind.model_fields[key].annotation)
            for choice in choices if key != "recipe" else ():  # a project's own may be added
                assert not isinstance(choice, str) or f"`{choice}`" in said, f"{block}.{key}"


@pytest.mark.parametrize("value", [".nan", ".inf", "-1", "abc", "[1]", "null"])
def test_values_are_finite_and_in_range(value: str, tmp_path: Path) -> None:
    error = _refused(tmp_path, f"gate: {{margin: {value}}}", config.Gate)
    assert error.what.startswith("gate.margin: ")


@pytest.mark.parametrize(
    "text",
    [
        "gate: !!python/object/apply:os.system ['true']",
        "gate: !!python/name:os.system",
        "gate: !include params.yaml",
        "!!python/object/new:dict {}",
    ],
)
def test_s06_tags_are_refused(text: str, tmp_path: Path) -> None:
    assert "not plain YAML" in _refused(tmp_path, text, config.Gate).what


@pytest.mark.parametrize("text", ["gate: {margin: 1, margin: 2}", "gate: {}\ngate: {margin: 1}"])
def test_s06_doubled_keys_are_refused(text: str, tmp_path: Path) -> None:
    assert "not plain YAML" in _refused(tmp_path, text, config.Gate).what


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gate:\n  margin: [1\n  gain: 2\n", "line 3: expected ',' or ']'"),
        ("gate:\n  margin: 1\n  margin: 2\n", 'line 3: found duplicate key "margin"'),
        ("gate: !tag x\n", "line 1: could not determine a constructor for the tag '!tag'"),
    ],
)
def test_yaml_that_cannot_be_read_names_its_line(text: str, told: str, tmp_path: Path) -> None:
    said = _refused(tmp_path, text, config.Gate).what
    assert said.startswith(f"params.yaml is not plain YAML, {told}"), said
    assert "unicode string" not in said and "https" not in said


@pytest.mark.parametrize(
    "text", ["", "- gate", "3", "gate: [1", "\x00", "gate: 3", "gate: [margin]"]
)
def test_what_is_not_blocks_is_refused(text: str, tmp_path: Path) -> None:
    _refused(tmp_path, text, config.Gate)


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"gate: \xff\xfe")
    with pytest.raises(SettingsError, match="not plain YAML"):
        config.read(path, config.Gate)


def test_a_missing_file_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no params\.yaml") as caught:
        config.read(tmp_path / "params.yaml", config.Gate)
    assert "onward new" in caught.value.fix


def test_a_block_left_out_has_its_defaults(tmp_path: Path) -> None:
    path = _write(tmp_path, "gate: {margin: 3}\nprepare:\n")
    assert config.read(path, config.Gate).margin == 3.0
    assert config.read(path, config.Gate).gain == config.Gate().gain
    assert config.read(path, config.Prepare) == config.Prepare()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        config.Gate().margin = 9.0  # type: ignore[misc]


@pytest.mark.parametrize("kind", config.BLOCKS.values(), ids=lambda kind: kind.block)
def test_the_committed_params_are_valid(kind: type[config.Settings]) -> None:
    assert isinstance(config.read(ROOT / "params.yaml", kind), kind)


@pytest.mark.parametrize("kind", config.BLOCKS.values(), ids=lambda kind: kind.block)
def test_defaults_are_valid_and_finite(kind: type[config.Settings]) -> None:
    values = kind.model_validate(kind().model_dump()).model_dump().values()
    assert all(math.isfinite(value) for value in values if isinstance(value, float))


@pytest.mark.parametrize(
    ("text", "told", "fix"),
    [
        ("quality: {measure: {anwers: on}}\n", "did you mean 'answers'", "keys of quality.measure"),
        ("quality: {measure: {lists: own.yaml}}\n", "should be a list, as in", "keys of quality"),
        ("quality: {measure: [answers]}\n", "should be keys with values", "keys of quality"),
    ],
)
def test_a_wrong_part_of_a_block_is_told_in_words_of_yaml(
    text: str, told: str, fix: str, tmp_path: Path
) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(SettingsError, match=told) as caught:
        config.read(tmp_path / "params.yaml", config.Quality)
    assert caught.value.fix.startswith(f"{fix}: ")


def test_a_part_of_a_block_without_a_line_has_its_defaults(tmp_path: Path) -> None:
    """As a block has: every line of it may be commented out."""
    (tmp_path / "params.yaml").write_text("quality:\n  measure:\n    # samples: 3\n  gate:\n")
    assert config.read(tmp_path / "params.yaml", config.Quality) == config.Quality()
