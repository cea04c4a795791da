"""A model from scratch: what it is made of, that it comes out the same, where it is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from onward import files
from onward.errors import MissingFiles, SettingsError
from onward.learning import encoder, scratch
from onward.project import Project
from tests import loop, toys
from tests.learning import writing

MADE = (
    "from pathlib import Path; from tests.learning import writing; writing.toy_writer(Path({!r}))"
)


def test_the_same_texts_give_the_same_bytes_whatever_was_drawn_before(tmp_path: Path) -> None:
    import torch

    for name in ("one", "two"):
        writing.toy_writer(tmp_path / name)
        torch.rand(3)
    one, two = (files.inventory(tmp_path / name) for name in ("one", "two"))
    assert one == two and "model.safetensors" in one
    tokenizer = encoder.tokenizer(tmp_path / "one")
    text = "Grüße, 猫! red fox"
    assert tokenizer.decode(tokenizer(text)["input_ids"][:-1]).strip() == text
    assert tokenizer(text)["input_ids"][-1] == tokenizer.eos_token_id


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    """Words are hashed otherwise in each process; the vocabulary must not turn on that."""
    writing.toy_writer(tmp_path / "here")
    code = MADE.format(str(tmp_path / "there"))
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    assert files.inventory(tmp_path / "here") == files.inventory(tmp_path / "there")


def test_a_project_names_it_and_finds_it_again(tmp_path: Path) -> None:
    project = loop.begun(tmp_path / "project", Path("scratch:tiny"), "translation")
    with pytest.raises(MissingFiles, match="first episode, which is not here"):
        encoder.locate("scratch:tiny", project.root)
    _write(project, "0001-words", seed=1)
    made = encoder.locate("scratch:tiny", project.root)
    before = encoder.fingerprint(made)
    _write(project, "0002-more", seed=2)
    assert encoder.locate("scratch:tiny", project.root) == made  # the first episode's alone
    (made / "model.safetensors").write_bytes(b"")
    (made / files.MANIFEST).unlink()
    assert encoder.fingerprint(encoder.locate("scratch:tiny", project.root)) == before


def _write(project: Project, name: str, seed: int) -> None:
    from onward.episodes import rows as parquet
    from onward.recipes import translation

    with files.building(project.episode(name)) as at:
        parquet.write(at / "train.parquet", writing.translated(40, seed), translation.SCHEMA)


def test_unknown_sizes_and_other_recipes_are_refused(tmp_path: Path) -> None:
    project = loop.begun(tmp_path / "a", Path("x"), "translation")
    with pytest.raises(SettingsError, match="no model 'scratch:huge'") as caught:
        encoder.locate("scratch:huge", project.root)
    assert "scratch:small" in caught.value.fix
    other = loop.begun(tmp_path / "b", Path("x"), "extractive")
    toys.toy_episode(other, 1, "first", toys.toy_rows(20, seed=1))
    with pytest.raises(SettingsError, match="the project's rows are others"):
        encoder.locate("scratch:small", other.root)
    assert sorted(scratch.SIZES) == ["base", "small", "tiny"]
