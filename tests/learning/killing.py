"""Kill the stage finetune and run it again, in processes forked from one that has loaded torch.

`python -m tests.learning.killing FOLDER` prints one JSON object: scenario -> what was found. Not a
test by itself: test_killed.py runs it once and looks at each scenario.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

from onward import files
from onward.errors import OnwardError
from onward.learning import finetune, loop, prepare
from onward.project import Project
from tests import toys

FINETUNE = {
    "first_epochs": 3,
    "batch_size": 8,
    "micro_batch": 4,
    "dropout": 0.1,
    "patience": 2,
    "save_every": 3,
}


def main(root: Path) -> dict[str, Any]:
    """Every scenario's outcome."""
    for name in ("Trainer", "TrainingArguments", "BertForQuestionAnswering", "BertModel"):
        getattr(transformers, name)  # loaded once, for all forks
    torch.set_num_threads(1)
    in_a_fork(lambda: toys.toy_encoder(root / "encoder"))
    prepared = root / "prepared"
    in_a_fork(lambda: made_ready(prepared, root / "encoder"))

    found: dict[str, Any] = {"undisturbed": run(fresh(root, prepared, "undisturbed"))}
    for step in (1, 4, 5, 9):
        project = fresh(root, prepared, f"step{step}")
        found[f"step {step}"] = [run(project, at_step(step, signal.SIGKILL)), run(project)]
    for name in ("SIGTERM", "SIGINT"):
        project = fresh(root, prepared, name)
        found[name] = [run(project, at_step(4, getattr(signal, name))), run(project)]
    project = fresh(root, prepared, "again_and_again")
    tries = [run(project, at_operation(40))]
    while tries[-1]["ended"] and len(tries) < 20:
        tries.append(run(project, at_operation(40 + 5 * len(tries))))
    found["again and again"] = [*tries, run(project)]
    project = fresh(root, prepared, "orphan")
    found["orphan"] = [orphaned(project, root / "told"), run(project)]
    found["orphan told"] = json.loads((root / "told").read_text())
    found["second seed"] = second_seed(root, prepared)
    found["memory"] = memories(root, root / "encoder")
    return found


def second_seed(root: Path, prepared: Path) -> dict[str, Any]:
    """Two challengers: undisturbed; and killed in the second's training, then run again."""
    found: dict[str, Any] = {}
    for name in ("challengers", "challenger_killed"):
        project = fresh(root, prepared, name)
        params = json.loads(project.params.read_text())
        params["finetune"]["challengers"] = 2
        files.write_text(project.params, json.dumps(params))
        if name == "challenger_killed":
            found["killed"] = run(project, at_step(4, signal.SIGKILL, seed=1))
        found[name] = run(project, noting(project.root / "steps"))
        found[f"{name} steps"] = (project.root / "steps").read_text().split()
    return found


def memories(root: Path, encoder: Path) -> list[Any]:
    """A kill at each durable operation after the training of a turn that remembers by a model."""
    prepared = root / "remembers"
    in_a_fork(lambda: second_turn(prepared, encoder))
    project = fresh(root, prepared, "remembered")
    found: list[Any] = [run(project, counting(project.root / "operations"))]
    kinds = (project.root / "operations").read_text().split()
    ended = max(at for at, kind in enumerate(kinds, start=1) if "finished" in kind)
    for number in range(ended + 1, len(kinds) + 1):
        project = fresh(root, prepared, "kept")
        found.append([run(project, at_operation(number)), run(project)])
        shutil.rmtree(project.root)
    return found


def second_turn(root: Path, encoder: Path) -> None:
    """Ready for finetune: the turn after one whose memory herding chose, with logits."""
    project = toys.toy_project(
        root,
        encoder,
        {"one": toys.toy_texts(40, 1), "two": toys.toy_texts(40, 2)},
        recipe="classification",
        strategy={"rows": "replay", "replay_rows": 12, "policy": "herding", "term": "der"},
        finetune={"first_epochs": 0.5, "epochs": 0.5},
    )
    turn: dict[str, Any] = {"learning": ["0001-one"], "recipe": "classification"}
    toys.toy_turn(project, encoder, **turn)
    prepare.run(project)
    finetune.run(project)
    toys.toy_version(project, "v1")
    turn |= {"learning": ["0002-two"], "known": ["0001-one"], "version": "v1"}
    toys.toy_turn(project, encoder, **turn)
    prepare.run(project)


def every_operation(root: Path) -> list[Any]:
    """A kill at each durable operation of a training, each followed by an undisturbed run."""
    in_a_fork(lambda: toys.toy_encoder(root / "encoder"))
    in_a_fork(lambda: made_ready(root / "prepared", root / "encoder"))
    found = [run(fresh(root, root / "prepared", "undisturbed"))]
    for number in range(1, 10_000):
        project = fresh(root, root / "prepared", "swept")
        first = run(project, at_operation(number))
        found.append([first, run(project) if first["ended"] else first])
        shutil.rmtree(project.root)
        if not first["ended"]:
            return found
    raise AssertionError("the sweep does not end")


def made_ready(root: Path, encoder: Path) -> None:
    project = toys.toy_project(
        root,
        encoder,
        {"one": toys.toy_rows(56, 1)},
        finetune=FINETUNE,
        prepare={"early_stopping_percent": 25},
    )
    prepare.run(project)


def fresh(root: Path, prepared: Path, name: str) -> Project:
    return Project(Path(shutil.copytree(prepared, root / name)))


def in_a_fork(work: Callable[[], Any]) -> int:
    """Run something in a child; 0, or the negative number of the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def run(project: Project, arm: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """The stage as DVC runs it, its outputs removed first; `arm` sets the trap in the child."""
    for stage in ("finetune", "curves"):
        files.remove(project.made(stage))

    def work() -> None:
        arm()
        finetune.run(project)

    return outcome(project, in_a_fork(work))


def outcome(project: Project, ended: int) -> dict[str, Any]:
    made = {}
    for stage in ("finetune", "curves"):
        path = project.made(stage) / files.MANIFEST
        made[stage] = files.sha256(path) if path.exists() else None
    works = (
        list((project.private / "work").iterdir()) if (project.private / "work").exists() else []
    )
    names = sorted(p.name for work in works for p in work.iterdir() if p.name[0] != ".")
    return {"ended": ended, **made, "kept": names}


def at_step(step: int, number: signal.Signals, seed: int = 0) -> Callable[[], None]:
    """Send this process a signal at the end of a seed's step, before anything is saved."""

    def arm() -> None:
        real = loop.Watch.on_step_end

        def killed(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
            if (self.run.seed, state.global_step) == (seed, step):
                os.kill(os.getpid(), number)
            real(self, args, state, control, **more)

        loop.Watch.on_step_end = killed  # type: ignore[method-assign]

    return arm


def noting(path: Path) -> Callable[[], None]:
    """Write the seed of every step that is trained."""

    def arm() -> None:
        real = loop.Watch.on_step_end

        def noted(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
            with path.open("a") as out:
                out.write(f"{self.run.seed}:{state.global_step}\n")
            real(self, args, state, control, **more)

        loop.Watch.on_step_end = noted  # type: ignore[method-assign]

    return arm


def counting(told: Path) -> Callable[[], None]:
    """Write what every durable operation is about."""

    def arm() -> None:
        def counted(kind: str, path: Path) -> None:
            with told.open("a") as out:
                out.write(f"{kind}:{path.parent.name}/{path.name}\n")

        files.operation = counted

    return arm


def at_operation(number: int) -> Callable[[], None]:
    """Kill this process before its Nth durable operation."""

    def arm() -> None:
        count = iter(range(1, 1_000_000))

        def counted(_kind: str, _path: Path) -> None:
            if next(count) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        files.operation = counted

    return arm


def orphaned(project: Project, told: Path) -> dict[str, Any]:
    """A starter that dies while its trainer is in step 2; what the trainer then said."""
    dies, notices = os.pipe()  # the write end lives in the starter: its death is the read end's end

    def trainer() -> None:
        os.close(notices)
        real = loop.Watch.on_step_end

        def waits(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.global_step == 2:
                (project.root / "reached").touch()
                os.read(dies, 1)
            real(self, args, state, control, **more)

        loop.Watch.on_step_end = waits  # type: ignore[method-assign]
        try:
            finetune.run(project)
        except OnwardError as error:
            files.write_json(told, error.to_json())

    reads, ends = os.pipe()  # ends when the trainer does

    def starter() -> None:
        os.close(reads)
        if os.fork() == 0:
            trainer()
            os._exit(0)
        while not (project.root / "reached").exists():
            pass
        os._exit(0)

    child = os.fork()
    if child == 0:
        starter()
    os.close(notices)
    os.close(ends)
    os.waitpid(child, 0)
    os.read(reads, 1)
    os.close(reads)
    os.close(dies)
    return outcome(project, 0)


if __name__ == "__main__":
    sweep = len(sys.argv) > 2 and sys.argv[2] == "every"
    result = every_operation(Path(sys.argv[1])) if sweep else main(Path(sys.argv[1]))
    print(json.dumps(result))
