"""Settings searched on training rows: tries given up early, gone on with after a kill, a change."""

from __future__ import annotations

import errno
import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from cli.search import lines
from onward import config, files
from onward.config import Finetune
from onward.episodes.turn import Base
from onward.errors import DiskFull, NotFinite, SettingsError, UsageError
from onward.project import Project
from onward.study import change, journal, space, trial
from onward.study import search as searching
from onward.study.compare import Comparison, Entry
from onward.study.search import JOURNAL, Search, search
from onward.study.sequence import Episodes
from onward.study.space import Range
from onward.study.start import Start
from tests.study import toy_study

RATE = "finetune.first_learning_rate"
SPACE: space.Space = {RATE: Range(1e-4, 1e-1, log=True), "finetune.schedule": ("linear", "cosine")}


@pytest.fixture
def asked(tmp_path: Path) -> Search:
    settings = toy_study.settings(tmp_path / "encoder", finetune={"first_epochs": 4})
    made = Comparison(
        folder=tmp_path / "search",
        settings=settings,
        entries=[Entry("present", {})],
        start=Start(Base(kind="pretrained", name="toy", sha256="0" * 64)),
        episodes=Episodes(tmp_path, ()),
        seeds=[0],
        threads=1,
        encoder="0" * 64,
        code="code",
    )
    return Search(made, SPACE)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Trainings that take no time: a rate is the better the nearer it is to 0.03."""
    ran: list[dict[str, Any]] = []
    results: dict[str, dict[str, Any]] = {}

    def run(folder: Path, one: Any) -> None:
        block = one.blocks["finetune"]
        ran.append(block)
        score = 90 - 20 * abs(math.log10(block["first_learning_rate"] / 0.03))
        spent = {"all": block["first_epochs"]}
        results[one.keys()[-1]] = {"scores": {"a": score}, "seconds": spent}

    monkeypatch.setattr(trial, "run", run)
    monkeypatch.setattr(trial, "read", lambda folder, key: results[key])
    return ran


def test_the_best_is_a_change_and_the_cost_is_told(
    asked: Search, trained: list[dict[str, Any]]
) -> None:
    found = search(asked, trials=14)
    tries = found["tries"]
    assert tries[0]["values"][RATE] == asked.present[RATE] == 0.01
    best = found["best"]
    assert best["score"] == max(one["score"] for one in tries if one["state"] == "complete")
    assert best["score"] > found["present"]["score"]
    assert found["changed"] == {k: v for k, v in best["values"].items() if v != asked.present[k]}
    given_up = [one for one in tries if one["state"] == "pruned"]
    assert given_up and found["cost"]["given_up"] == len(given_up)
    gone_on = [one for one in tries if one["state"] == "complete"]
    early = [fmean(one["early"] for one in part) for part in (given_up, gone_on)]
    assert early[0] < early[1], "the worse ones are given up"
    # One that is given up costs a quarter; the rest a quarter and a whole.
    spent = sum(1 if one["state"] == "pruned" else 5 for one in tries)
    assert found["cost"]["seconds"] == spent
    assert found["cost"]["trainings"] == spent / 4, "a training is no more than its whole epochs"
    assert {block["first_epochs"] for block in trained} == {1.0, 4.0}
    assert len(trained) == 2 * 14 - len(given_up)
    assert search(asked, trials=14)["tries"] == tries and len(trained) == 2 * 14 - len(given_up)


def test_listed_values_are_written_as_they_were_trained_with_and_paid_for_once(
    asked: Search, trained: list[dict[str, Any]]
) -> None:
    found = search(replace(asked, space={RATE: (0.001234567, 0.02987654)}), trials=6)
    assert found["changed"] == {RATE: 0.02987654}
    assert {block["first_learning_rate"] for block in trained} == {0.001234567, 0.02987654}
    given_up = {one["values"][RATE] for one in found["tries"] if one["state"] != "complete"}
    assert not given_up and found["cost"]["seconds"] == 2 * 5, "of six tries two were trained"


def test_F01_a_killed_search_goes_on_as_the_undisturbed_one(
    asked: Search, trained: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search(asked, trials=8)["tries"]
    made = replace(asked.made, folder=tmp_path / "killed")
    again = Search(made, SPACE)
    assert again.name == asked.name
    real = trial.run
    left = [0]

    class Killed(BaseException):
        pass

    def dies(folder: Path, one: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        real(folder, one)

    monkeypatch.setattr(trial, "run", dies)
    for survives in (0, 1, 3, 2, 4):
        left[0] = survives
        with pytest.raises(Killed):
            search(again, trials=8)
    left[0] = 100
    assert search(again, trials=8)["tries"] == whole
    assert (made.folder / JOURNAL).is_file()


def test_F01_a_search_killed_between_two_values_draws_the_second_as_it_would_have(
    asked: Search, trained: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two: space.Space = {RATE: Range(1e-4, 1e-1), "finetune.clip": Range(0.5, 2.0)}
    asked = replace(asked, space=two)
    whole = search(asked, trials=7)["tries"]
    again = replace(asked, made=replace(asked.made, folder=tmp_path / "killed"))
    real = searching._suggested

    class Killed(BaseException):
        pass

    def dies(one: Any, key: str, among: Any) -> Any:
        if key == "finetune.clip" and one.number == dying:
            raise Killed
        return real(one, key, among)

    for dying in (2, 5):  # drawn evenly, and by what the tries before have shown
        monkeypatch.setattr(searching, "_suggested", dies)
        with pytest.raises(Killed):
            search(again, trials=7)
        monkeypatch.setattr(searching, "_suggested", real)
    assert search(again, trials=7)["tries"] == whole


def test_F04_a_full_disk_at_any_record_is_told_and_the_search_goes_on(
    asked: Search, trained: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search(asked, trials=5)["tries"]
    again = replace(asked, made=replace(asked.made, folder=tmp_path / "full"))
    left = [0]

    def strike(kind: str, path: Path) -> None:
        left[0] -= path.name == JOURNAL
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "operation", strike)
    for survives in (1, 2, 3, 20, 31, 40):
        left[0] = survives
        with pytest.raises(DiskFull) as caught:
            search(again, trials=5)
        assert JOURNAL in caught.value.where
    left[0] = -1
    assert search(again, trials=5)["tries"] == whole


def test_F04_a_record_cut_at_any_byte_is_as_if_it_were_not_begun(
    asked: Search, trained: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Every later search with this journal died: the next record was appended to the torn one."""
    whole = search(asked, trials=4)["tries"]
    records = (asked.made.folder / JOURNAL).read_bytes().splitlines(keepends=True)
    for many in (len(records) - 2, len(records) - 1):
        kept, last = b"".join(records[:many]), records[many]
        for cut in range(len(last)):
            found, size = journal._whole(kept + last[:cut])
            assert (len(found), size) == (many, len(kept))
    for number, many in enumerate(range(len(records) - 7, len(records))):
        folder = tmp_path / f"cut{number}"
        folder.mkdir()
        kept, last = b"".join(records[:many]), records[many]
        (folder / JOURNAL).write_bytes(kept + last[: len(last) * (number + 1) // 8])
        again = replace(asked, made=replace(asked.made, folder=folder))
        assert search(again, trials=4)["tries"] == whole


def test_F04_a_torn_record_with_others_after_it_is_dropped_with_them(
    asked: Search, trained: list[dict[str, Any]]
) -> None:
    """As earlier releases left them, whole line breaks and all."""
    whole = search(asked, trials=6)["tries"]
    path = asked.made.folder / JOURNAL
    records = path.read_bytes().splitlines(keepends=True)
    for at in (1, len(records) // 2, len(records) - 1):
        path.write_bytes(b"".join([*records[:at], records[at][:20], *records[at:]]))
        assert search(asked, trials=6)["tries"] == whole
        assert all(json.loads(line) for line in path.read_bytes().splitlines())


def test_settings_that_contradict_are_a_failed_try(
    asked: Search, trained: list[dict[str, Any]]
) -> None:
    sizes: space.Space = {"finetune.batch_size": (8, 9)}
    found = search(replace(asked, space=sizes), trials=8)
    refused = [one for one in found["tries"] if one["state"] == "fail"]
    assert refused and found["cost"]["refused"] == len(refused)
    assert all("multiple of finetune.micro_batch" in one["refused"] for one in refused)
    assert found["changed"] == {}
    said = lines(found, applied=False)
    assert f"{len(refused)} tries, first: finetune.batch_size must be" in said[1]


def test_present_settings_that_are_refused_end_the_search(
    asked: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise SettingsError("They contradict each other", where="params.yaml", fix="mend them")

    monkeypatch.setattr(trial, "run", refused)
    with pytest.raises(SettingsError, match="contradict"):
        search(asked, trials=3)


def test_what_a_tuning_was_tried_with_is_part_of_the_change(
    asked: Search, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its rate, and the layers that `last` keeps still, follow from it where nobody names them."""
    ran: dict[str, dict[str, Any]] = {}
    monkeypatch.setattr(trial, "run", lambda _, one: ran.update({one.keys()[-1]: one.blocks}))

    def read(folder: Path, key: str) -> dict[str, Any]:
        score = 80.0 if ran[key]["finetune"]["tuning"] == "last" else 50.0
        return {"scores": {"a": score}, "seconds": {"all": 1.0}}

    monkeypatch.setattr(trial, "read", read)
    found = search(replace(asked, space={"finetune.tuning": ("full", "last")}), trials=4)
    assert found["best"]["values"] == {"finetune.tuning": "last"}
    assert found["changed"] == {
        "finetune.tuning": "last",
        "finetune.frozen_layers": 3,
        RATE: 0.02,
    }
    assert f"  {RATE}: 0.01 → 0.02" in lines(found, applied=False)
    params = tmp_path / "params.yaml"
    files.write_json(params, dict(asked.made.settings))
    change.apply(params, found["changed"])
    tried = next(b for b in ran.values() if b["finetune"]["tuning"] == "last")["finetune"]
    now = config.read(params, Finetune)
    assert {
        key: getattr(now, key) for key in ("tuning", "frozen_layers", "first_learning_rate")
    } == {key: tried[key] for key in ("tuning", "frozen_layers", "first_learning_rate")}


def test_each_try_is_given_up_by_the_epochs_of_its_own_structure(
    asked: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adapters begin with pretrained weights in later turns, too."""
    ran: list[dict[str, Any]] = []
    monkeypatch.setattr(trial, "run", lambda _, one: ran.append(one.blocks))
    found = {"scores": {"a": 50.0}, "seconds": {"all": 1.0}}
    monkeypatch.setattr(trial, "read", lambda *_: found)
    tuned = {"tuning": "lora", "epochs": 2, "first_epochs": 4, "learning_rate": 1.2345e-4}
    made = replace(
        asked.made,
        settings={**asked.made.settings, "strategy": {"rows": "naive"}, "finetune": tuned},
        start=Start(Base(kind="version", name="v1", sha256="0" * 64)),
    )
    structures: space.Space = {"strategy.structure": ("single", "adapters")}
    told = search(Search(made, structures), trials=6)
    epochs = {
        (one["strategy"]["structure"], one["finetune"]["epochs"], one["finetune"]["first_epochs"])
        for one in ran
    }
    assert epochs == {("single", 0.5, 4), ("single", 2, 4), ("adapters", 2, 1), ("adapters", 2, 4)}
    for one in told["tries"]:
        follow = searching._followed(Search(made, structures), one["values"])
        assert follow == {}, "no rate moves where none was searched"


def test_a_range_of_a_key_that_counts_is_drawn_in_whole_numbers(
    asked: Search, trained: list[dict[str, Any]]
) -> None:
    ranks = space.parse({"finetune.lora_rank": {"low": 2, "high": 64, "log": True}}, where="here")
    found = search(replace(asked, space=ranks), trials=8)
    drawn = {one["values"]["finetune.lora_rank"] for one in found["tries"]}
    assert found["cost"]["refused"] == 0 and len(drawn) > 2
    assert all(isinstance(value, int) for value in drawn)


def test_present_settings_outside_of_the_space_are_not_said_to_be_the_best(
    asked: Search, trained: list[dict[str, Any]]
) -> None:
    found = search(replace(asked, space={RATE: Range(0.03, 0.04)}), trials=3)
    assert found["present"] == {"values": {RATE: 0.01}, "score": None}
    assert found["changed"] == found["best"]["values"]
    said = "\n".join(lines(found, applied=False))
    assert "outside of the space" in said and f"{RATE}: 0.01 → 0.03" in said


def test_another_space_is_another_search(asked: Search) -> None:
    names = {asked.name, replace(asked, space={RATE: Range(1e-4, 1e-2)}).name}
    names.add(replace(asked, made=replace(asked.made, code="other")).name)
    assert len(names) == 3


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "names no keys"),
        ({"gate.margin": [1, 2]}, "'gate.margin' is no key"),
        ({"finetune.lora_rnak": [1, 2]}, "is no key of"),
        ({"finetune.epochs": [1]}, "neither a list of values nor a range"),
        ({"finetune.epochs": {"low": 2, "high": 1}}, "neither a list"),
        ({"finetune.epochs": {"low": 0, "high": 1, "log": True}}, "neither a list"),
        ({"finetune.epochs": {"from": 1}}, "neither a list"),
        ({"finetune.epochs": {"low": "a", "high": 1}}, "neither a list"),
        ({"finetune.epochs": {"low": 1, "high": math.inf}}, "neither a list"),
        ({"finetune.lora_rank": {"low": 1.5, "high": 4}}, "takes whole numbers"),
        ({"finetune.schedule": {"low": 1, "high": 2}}, "takes no numbers"),
        ({"finetune.schedule": ["linear", "cosin"]}, "schedule: Input should be .*, not 'cosin'"),
        ({"finetune.learning_rate": {"low": 0.1, "high": 10}}, "less than or equal to 1, not 10"),
        ({"evaluate.no_answer": {"low": 0, "high": 1}}, "takes no numbers"),
    ],
    ids=str,
)
def test_what_is_no_space_is_refused(values: Any, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        space.parse(values, where="space.yaml")


def test_the_own_space_lies_around_the_present_settings(tmp_path: Path) -> None:
    present = Finetune.model_validate({"learning_rate": 0.5}).model_dump()
    found = space.default("finetune", present, first=False)
    assert found["finetune.learning_rate"] == Range(0.05, 1.0, log=True)
    assert found["finetune.epochs"] == Range(1.0, 4.0)
    with pytest.raises(UsageError, match="'gate' has no space"):
        space.default("gate", {}, first=True)
    path = tmp_path / "space.yaml"
    files.write_text(path, "finetune.clip: [0.5, 1.0]\n")
    assert space.of_file(path) == {"finetune.clip": (0.5, 1.0)}


def test_values_that_diverge_are_a_failed_try_and_the_search_goes_on(
    asked: Search, trained: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = trial.run

    def run(folder: Path, one: Any) -> None:
        if one.blocks["finetune"]["first_learning_rate"] > 0.02:
            raise NotFinite("The loss is NaN in step 3", where="finetune", fix="lower the rate")
        real(folder, one)

    monkeypatch.setattr(trial, "run", run)
    found = search(asked, trials=10)
    failed = [one for one in found["tries"] if one["state"] == "fail"]
    assert failed and all(one["values"][RATE] > 0.02 for one in failed)
    assert all(one["refused"] == "The loss is NaN in step 3" for one in failed)
    assert len(found["tries"]) == 10 and found["best"]["values"][RATE] <= 0.02


def test_another_text_of_a_template_is_another_search(asked: Search, tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    for name in ("mine", "other"):
        files.write_text(project.prompt(name), 'question: "{question}"\n')
    settings = {"project": {"recipe": "chat"}, "finetune": {"tuning": "none", "prompt": "mine"}}
    made = replace(asked.made, settings=settings, project=project)
    one = Search(made, {"finetune.prompt": ("mine", "other")})
    names = [one.name]
    for name in ("mine", "other"):
        files.write_text(project.prompt(name), 'question: "Say: {question}"\n')
        names.append(one.name)
    assert len({*names}) == 3
