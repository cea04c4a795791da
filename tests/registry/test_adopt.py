"""Adopting a model that was fine-tuned elsewhere: the turn it makes, and what the stages do."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import main
from onward import files
from onward.episodes.turn import Turn
from onward.errors import IntegrityError, MissingFiles, SettingsError, UsageError
from onward.learning import base, finetune, models, prepare
from onward.project import Project
from onward.recipes import chat, classification, extractive
from onward.registry import journal
from onward.registry.adopt import adopt
from tests import toys
from tests.registry import turns


@pytest.fixture(scope="module")
def reader(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `save_pretrained` leaves it: config, weights with a head, tokenizer."""
    folder = tmp_path_factory.mktemp("adopted") / "reader"
    extractive.build(toy_encoder, {}).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(toy_encoder / name, folder / name)
    return folder


@pytest.fixture
def toy(tmp_path: Path, toy_encoder: Path) -> Project:
    """A project with one episode and no champion."""
    rows = toys.toy_rows(60, seed=1)
    made: Project = toys.toy_project(tmp_path / "toy", toy_encoder, {"first": rows})
    return made


def test_the_turn_names_the_adopted_model_and_learns_all_episodes(
    toy: Project, reader: Path
) -> None:
    kept: list[Path] = []
    turn = adopt(toy, reader, "it serves elsewhere", by="ana", keep=kept.append)
    assert Turn.read(toy) == turn
    assert turn.base.kind == "adopted" and turn.known == ()
    assert turn.learning_episodes == ["0001-first"]
    copied = toy.root / "models" / "adopted" / turn.base.name
    assert kept == [copied]
    files.verify(copied)
    (line,) = journal.lines(toy)
    expected = {
        "what": "adopted",
        "by": "ana",
        "reason": "it serves elsewhere",
        "turn": turn.id,
        "model": turn.base.sha256,
        "source": "reader",
    }
    assert {key: line[key] for key in expected} == expected


def test_adopting_the_same_again_changes_nothing(toy: Project, reader: Path) -> None:
    adopt(toy, reader)
    before = toy.turn.read_bytes(), toy.journal.read_bytes()
    adopt(toy, reader)
    assert (toy.turn.read_bytes(), toy.journal.read_bytes()) == before


def test_another_model_is_another_turn(toy: Project, reader: Path, tmp_path: Path) -> None:
    other = shutil.copytree(reader, tmp_path / "other")
    config = files.read_json(other / "config.json")
    files.write_json(other / "config.json", {**config, "layer_norm_eps": 1e-10})
    first, second = adopt(toy, reader), adopt(toy, other)
    assert first.id != second.id and Turn.read(toy) == second
    assert [line["source"] for line in journal.lines(toy)] == ["reader", "other"]


def test_an_episode_that_takes_the_candidate_away_says_so_and_how_it_returns(
    toy: Project, reader: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = adopt(toy, reader).base.name
    monkeypatch.chdir(toy.root)
    source = toys.write_jsonl(toy.root / "second.jsonl", toys.toy_rows(60, seed=2))
    assert main.start(["episode", "open", "second", str(source)]) == 0
    assert f"`onward adopt models/adopted/{name}` takes it again" in capsys.readouterr().out
    turn = adopt(toy, toy.root / "models" / "adopted" / name)
    assert turn.base.name == name and len(turn.learning_episodes) == 2


def test_the_stage_finetune_hands_it_on_as_it_is(toy: Project, reader: Path) -> None:
    from safetensors.torch import load_file

    adopt(toy, reader)
    prepare.run(toy)
    finetune.run(toy)
    made = toy.made("finetune")
    files.verify(made)
    old, new = (load_file(f / "model.safetensors") for f in (reader, made / "model"))
    assert old.keys() == new.keys()
    assert all(bool((old[name] == new[name]).all()) for name in old)
    spec = files.read_json(made / "spec.json")
    assert (spec["tuning"], spec["steps"], spec["learned"]) == ("adopted", 0, [])
    assert (toy.made("curves") / "metrics.json").exists()


def test_a_model_that_writes_ends_where_its_own_file_says(tmp_path: Path, toy_causal: Path) -> None:
    """generation_config.json alone may say it; mended there, the model is another one."""
    source = shutil.copytree(toy_causal, tmp_path / "writer")
    talks = {"first": toys.toy_talks(60, seed=1)}
    project = toys.toy_project(tmp_path / "toy", toy_causal, talks, "chat")
    ends = []
    for own in ([1, 3], [1, 4]):
        files.write_json(source / "generation_config.json", {"eos_token_id": own})
        turn = adopt(project, source)
        copied = base.source(project, turn)
        ends.append(chat.build(copied, {}).generation_config.eos_token_id)
    assert ends == [[1, 3], [1, 4]]


def test_its_card_says_that_it_learned_none_of_our_episodes(toy: Project, reader: Path) -> None:
    adopt(toy, reader)
    turns.candidate(toy, "adopted")
    card = turns.promoted_as_made(toy).card
    assert card["base"]["kind"] == "adopted"
    assert card["learned"] == [] and [e["episode"] for e in card["learning"]] == ["0001-first"]


def test_an_encoder_without_a_trained_head_is_refused(toy: Project, toy_encoder: Path) -> None:
    before = toy.turn.read_bytes()
    with pytest.raises(IntegrityError):
        adopt(toy, toy_encoder)
    assert toy.turn.read_bytes() == before and not (toy.root / "models" / "adopted").exists()


@pytest.fixture(scope="module")
def classifier(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of named labels, as `save_pretrained` leaves it."""
    folder = tmp_path_factory.mktemp("adopted") / "classifier"
    spec = {"labels": ["city", "animal", "colour"]}
    classification.build(toy_encoder, spec).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(toy_encoder / name, folder / name)
    return folder


@pytest.fixture
def labelled(tmp_path: Path, toy_encoder: Path) -> Project:
    """A classification project with one episode and no champion."""
    rows = {"first": toys.toy_texts(60, seed=1)}
    made: Project = toys.toy_project(tmp_path / "toy", toy_encoder, rows, "classification")
    return made


def test_an_adopted_classifier_keeps_its_labels_in_their_order(
    labelled: Project, classifier: Path
) -> None:
    turn = adopt(labelled, classifier)
    copied = labelled.root / "models" / "adopted" / turn.base.name
    assert classification.labels_of(copied) == ("city", "animal", "colour")
    prepare.run(labelled)
    finetune.run(labelled)
    made = labelled.made("finetune")
    assert files.read_json(made / "spec.json")["labels"] == ["city", "animal", "colour"]
    assert classification.labels_of(made / "model") == ("city", "animal", "colour")


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (["LABEL_0", "LABEL_1", "LABEL_2"], "LABEL_0"),
        (["city", "LABEL_1", "colour"], "LABEL_1"),
        (["city", "animal", " "], " "),
        (["city", "animal", "city"], "city"),
    ],
)
def test_labels_without_names_are_refused_with_what_to_do(
    labelled: Project, classifier: Path, tmp_path: Path, names: list[str], wrong: str
) -> None:
    folder = shutil.copytree(classifier, tmp_path / "nameless")
    config = files.read_json(folder / "config.json")
    files.write_json(folder / "config.json", {**config, "id2label": dict(enumerate(names))})
    before = labelled.turn.read_bytes()
    with pytest.raises(SettingsError, match=f"label '{wrong}' is not the name") as caught:
        adopt(labelled, folder)
    assert "id2label and label2id" in caught.value.fix
    assert labelled.turn.read_bytes() == before


def test_s01_a_pickle_is_never_opened(toy: Project, reader: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(reader, tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(SettingsError, match="never opened"):
        adopt(toy, folder)


def test_s02_code_of_its_own_is_refused(toy: Project, reader: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(reader, tmp_path / "coded")
    config = files.read_json(folder / "config.json")
    files.write_json(folder / "config.json", {**config, "auto_map": {"AutoModel": "evil.Model"}})
    with pytest.raises(SettingsError, match="auto_map"):
        adopt(toy, folder)


def test_a_model_of_several_sets_of_weights_is_refused(
    toy: Project, reader: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(reader, tmp_path / "several")
    files.write_json(folder / models.STRUCTURE, {"schema": models.SCHEMA, "structure": "adapters"})
    with pytest.raises(SettingsError, match="structure adapters") as caught:
        adopt(toy, folder)
    assert "merged" in caught.value.fix
    assert not (toy.root / "models" / "adopted").exists()


def test_what_is_no_model_is_refused(toy: Project, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model"):
        adopt(toy, tmp_path / "nowhere")


def test_only_the_first_champion_can_be_adopted(project: Project, tmp_path: Path) -> None:
    turns.promoted(project, "first")
    with pytest.raises(UsageError, match="v1 serves already"):
        adopt(project, tmp_path)


def test_without_an_episode_there_is_nothing_to_judge_it_by(toy: Project, reader: Path) -> None:
    toy.turn.unlink()
    with pytest.raises(UsageError, match="no episode is open"):
        adopt(toy, reader)


def test_an_adopted_model_that_changed_is_refused(toy: Project, reader: Path) -> None:
    turn = adopt(toy, reader)
    copied = toy.root / "models" / "adopted" / turn.base.name
    (copied / "config.json").write_text("{}")
    with pytest.raises(IntegrityError):
        base.source(toy, turn)
    with pytest.raises(IntegrityError):
        adopt(toy, reader)
    files.remove(copied)
    with pytest.raises(MissingFiles):
        base.source(toy, turn)


def test_another_model_in_its_place_is_refused(toy: Project, reader: Path) -> None:
    turn = adopt(toy, reader)
    copied = toy.root / "models" / "adopted" / turn.base.name
    config = files.read_json(copied / "config.json")
    files.write_json(copied / "config.json", {**config, "hidden_act": "relu"})
    files.seal(copied)
    with pytest.raises(IntegrityError, match="not the one that the turn names"):
        base.source(toy, turn)


def test_f02_adoption_stopped_at_each_durable_operation(
    toy: Project, reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extractive, "build", lambda source, spec: None)
    before = toy.turn.read_bytes()

    def run() -> tuple[bytes, list[Any]]:
        adopt(toy, reader, by="ana")
        return toy.turn.read_bytes(), [{**line, "at": ""} for line in journal.lines(toy)]

    def begin() -> None:
        toy.journal.unlink(missing_ok=True)
        shutil.rmtree(toy.root / "models" / "adopted", ignore_errors=True)
        toy.turn.write_bytes(before)

    after = run()
    for nth in range(1, 100):
        begin()
        struck = _strike(monkeypatch, nth)
        try:
            run()
        except OSError:
            assert toy.turn.read_bytes() in (before, after[0])
            # Without the line the matrix takes the model for one that was trained on the episodes.
            assert toy.turn.read_bytes() == before or len(journal.lines(toy)) == 1
        else:
            assert struck() < nth
            break
        _strike(monkeypatch, 0)
        assert run() == after
    assert nth > 10


def _strike(monkeypatch: pytest.MonkeyPatch, nth: int) -> Callable[[], int]:
    count = 0

    def operation(kind: str, path: Path) -> None:
        nonlocal count
        count += 1
        if count == nth:
            raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(files, "operation", operation)
    return lambda: count
