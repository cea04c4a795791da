"""F01, F03: the stage finetune killed, orphaned, refused; afterwards the undisturbed bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from onward import files, locks
from onward.learning import prepare
from onward.project import Project
from tests import toys

pytestmark = pytest.mark.timeout(900)
"""What they all look at is made for the first: dozens of processes, one after the other."""

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def killing(*words: str) -> Any:
    command = [sys.executable, "-m", "tests.learning.killing", *words]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return dict(killing(str(tmp_path_factory.mktemp("killed"))))


def same_as_undisturbed(run: dict[str, Any], found: dict[str, Any]) -> bool:
    return run == found["undisturbed"]


def test_undisturbed(found: dict[str, Any]) -> None:
    run = found["undisturbed"]
    assert run["ended"] == 0 and run["finetune"] and run["curves"] and run["kept"] == ["finished"]


@pytest.mark.parametrize(
    ("step", "kept"),
    [
        (1, []),
        (4, ["checkpoint-3"]),
        (5, ["checkpoint-3"]),
        (9, ["checkpoint-5", "checkpoint-6"]),
    ],
)
def test_F01_killed_in_a_step(step: int, kept: list[str], found: dict[str, Any]) -> None:
    """Step 5 ends an epoch, before it is judged; after it the best epoch is kept, too."""
    first, again = found[f"step {step}"]
    assert first == {"ended": -9, "finetune": None, "curves": None, "kept": kept}
    assert same_as_undisturbed(again, found)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_F01_ended_politely(name: str, found: dict[str, Any]) -> None:
    first, again = found[name]
    assert first["ended"] != 0 and first["finetune"] is None and first["kept"] == ["checkpoint-3"]
    assert same_as_undisturbed(again, found)


def test_F01_killed_again_and_again(found: dict[str, Any]) -> None:
    """At durable operations, each time resumed; and once more after the end: the same bytes."""
    *killed, last, once_more = found["again and again"]
    assert len(killed) >= 3 and all(run["ended"] == -9 for run in killed)
    assert same_as_undisturbed(last, found) and same_as_undisturbed(once_more, found)


def test_F03_an_orphan_saves_and_stops(found: dict[str, Any]) -> None:
    first, again = found["orphan"]
    told = found["orphan told"]
    assert told["error"] == "TrainingError" and "whoever started it is gone" in told["what"]
    assert first["finetune"] is None and first["kept"] == [f"checkpoint-{told['details']['step']}"]
    assert same_as_undisturbed(again, found)


def test_F01_killed_in_the_second_seed(found: dict[str, Any]) -> None:
    """The first one's model is not trained again, the second's goes on; the same bytes."""
    two = found["second seed"]
    assert two["challengers"]["ended"] == 0 and two["killed"]["ended"] == -9
    assert two["killed"]["finetune"] is None
    assert two["challenger_killed"] == two["challengers"]
    steps = [int(step.removeprefix("1:")) for step in two["challenger_killed steps"]]
    assert steps == list(range(4, steps[-1] + 1))  # of seed 1 alone, from its checkpoint on
    assert {step[:2] for step in two["challengers steps"]} == {"0:", "1:"}


def test_F01_killed_while_it_remembers(found: dict[str, Any]) -> None:
    """Herded rows with their logits: at each durable operation after training, then unaided."""
    undisturbed, *trials = found["memory"]
    assert undisturbed["ended"] == 0 and undisturbed["finetune"] and len(trials) > 8
    for first, again in trials:
        assert first["ended"] == -9 and again == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_F01_killed_at_every_durable_operation(tmp_path: Path) -> None:
    undisturbed, *trials = killing(str(tmp_path), "every")
    assert len(trials) > 50
    for number, (first, again) in enumerate(trials, start=1):
        assert first["ended"] == (0 if number == len(trials) else -9)
        assert again == undisturbed, f"killed before operation {number}"


def stage(project: Project, name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-u", "-m", f"onward.stages.{name}"]
    env = {**ENVIRONMENT, "ONWARD_RUN": "r1"}
    return subprocess.run(command, cwd=project.root, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("tuning", ["full", pytest.param("lora", marks=pytest.mark.slow)])
def test_trained_twice_in_fresh_processes_gives_the_same_bytes(
    tuning: str, toy_encoder: Path, tmp_path: Path
) -> None:
    manifests, said = [], []
    for name in ("a", "b"):
        project = toys.toy_project(
            tmp_path / name,
            toy_encoder,
            {"one": toys.toy_rows(40, 1)},
            finetune={"dropout": 0.1, "tuning": tuning},
        )
        for each in ("prepare", "finetune"):
            done = stage(project, each)
            assert done.returncode == 0, done.stderr
            said.append((done.stdout, done.stderr))
        made = project.made("finetune") / files.MANIFEST
        manifests.append(
            (made.read_bytes(), (project.made("curves") / files.MANIFEST).read_bytes())
        )
        text = b"".join(p.read_bytes() for p in project.root.glob("turn/finetune/**/*.json"))
        assert str(tmp_path / name).encode() not in text
    assert manifests[0] == manifests[1]
    out, errors = said[1]
    assert errors == "" and out.splitlines()[-1].startswith("fine-tune 100% 8/8 done in")
    assert len(out.splitlines()) == 1


def test_F03_a_second_training_is_refused_at_once(toy_encoder: Path, tmp_path: Path) -> None:
    project = toys.toy_project(tmp_path, toy_encoder, {"one": toys.toy_rows(40, 1)})
    prepare.run(project)
    with locks.held(project.train_lock, "fine-tuning"):
        code = (
            "import sys; from pathlib import Path; from onward.project import Project\n"
            "from onward.errors import Busy; from onward.learning import finetune\n"
            "try: finetune.run(Project(Path.cwd()))\n"
            "except Busy as error: print(error.what, 'torch' in sys.modules)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=project.root,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
        )
    assert f"fine-tuning is going on, process {os.getpid()} since" in done.stdout
    assert done.stdout.endswith("False\n"), "it must refuse before it loads torch"
    assert not project.made("finetune").exists()


def test_unfinished_work_is_named_by_all_that_decides_the_bytes(
    toy_encoder: Path, tmp_path: Path
) -> None:
    """Else a checkpoint of other inputs would be gone on with."""
    from onward.config import Finetune, Strategy
    from onward.episodes.turn import Turn
    from onward.learning import finetune

    project = toys.toy_project(tmp_path, toy_encoder, {"one": toys.toy_rows(24, 1)})
    prepare.run(project)
    turn = Turn.read(project)
    prepared = finetune.read_prepared(project, turn)

    def key(turn: Turn = turn, settings: Any = None, strategy: Any = None) -> str:
        named = settings or Finetune(), strategy or Strategy()
        return finetune.key(project, turn, prepared, *named)

    names = [
        key(),
        key(turn.model_copy(update={"recipe": "tagging"})),
        key(settings=Finetune(seed=5)),
        key(strategy=Strategy(replay_percent=7)),
    ]
    for name in ("finetune.json", "machine.json"):
        files.write_json(project.made("inputs") / name, {"changed": True})
        names.append(key())
    files.write_json(prepared.folder / files.MANIFEST, {"files": {}})
    names.append(key())
    assert len(set(names)) == len(names) == 7
    files.write_json(project.made("inputs") / "export.json", {"changed": True})
    assert key() == names[-1]


def test_work_of_other_inputs_is_cleaned(toy_encoder: Path, tmp_path: Path) -> None:
    from onward.learning import finetune

    project = toys.toy_project(tmp_path, toy_encoder, {"one": toys.toy_rows(24, 1)})
    prepare.run(project)
    finetune.run(project)
    (first,) = (project.private / "work").iterdir()
    params = files.read_json(project.params)
    params["finetune"]["seed"] = 5
    files.write_json(project.params, params)
    finetune.run(project)
    (second,) = (project.private / "work").iterdir()
    assert first != second
