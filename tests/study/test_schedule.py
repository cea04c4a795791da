"""Workers of a study, without a trial to run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.errors import NotFinite, TrainingError
from onward.study import schedule
from onward.study.trial import Trial
from tests.study import toy_study

STUDY = """
import os
from multiprocessing import get_context
from onward.study import schedule

if __name__ == "__main__":
    worker = get_context("spawn").Process(target=schedule._end_with, args=(os.getpid(),))
    worker.start()
    os._exit(0)
"""


def test_a_worker_ends_with_its_study(tmp_path: Path) -> None:
    """F01: killed, it leaves nobody at work. The pipe stays open as long as the worker lives."""
    script = tmp_path / "killed.py"
    script.write_text(STUDY)
    subprocess.run([sys.executable, str(script)], capture_output=True, timeout=100, check=True)


def test_a_worker_keeps_the_memory_that_it_frees(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bool] = []
    monkeypatch.setattr(schedule.allocation, "keep", lambda: kept.append(True))
    schedule._begin(os.getppid())
    assert kept == [True]


def _tell_process(folder: Path, trial: Trial) -> None:
    (folder / f"{trial.combination}.pid").write_text(str(os.getpid()))


def test_a_trial_has_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its peak of memory is measured: what another trial kept is not part of it."""
    monkeypatch.setattr(schedule, "_logged", _tell_process)
    plan = toy_study.plan(tmp_path, Path("toy"), "naive", "joint")
    vars(plan)["encoder"], vars(plan)["code"] = "e", "c"
    schedule.run_all(tmp_path, list(plan.trials().values()), jobs=1)
    processes = [(tmp_path / f"{name}.pid").read_text() for name in ("naive", "joint")]
    assert len({*processes, str(os.getpid())}) == 3


def test_a_trial_is_finished_with_its_last_turn_and_counts_once(tmp_path: Path) -> None:
    plan = toy_study.plan(tmp_path, Path("toy"), "naive")
    vars(plan)["encoder"], vars(plan)["code"] = "e", "c"
    (one,) = plan.trials().values()
    for key in one.keys():
        assert schedule.unfinished(tmp_path, [one, one]) == [one]
        with files.building(tmp_path / "done" / key):
            pass
    assert schedule.unfinished(tmp_path, [one, one]) == []


class Begun(list[str]):
    """Stands for the pool: notes what is begun, and is done at once."""

    def submit(self, _: Any, folder: Path, trial: Trial) -> Any:
        from concurrent.futures import Future

        self.append(trial.label)
        done: Future[None] = Future()
        done.set_result(None)
        return done


class Slow(Begun):
    """A trial that is at work for one look at it, and logs how far it is."""

    def submit(self, _: Any, folder: Path, trial: Trial) -> Any:
        from concurrent.futures import Future

        path = schedule.log(folder, trial)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("prepare 100% 9/9 done in 00:01\nfine-tune 34% 30/88 00:20 left\n")
        self.future: Future[None] = Future()
        return self.future


def test_a_trial_at_work_is_told_with_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "POLL", 0.01)
    plan = toy_study.plan(tmp_path, Path("toy"), "naive")
    vars(plan)["encoder"], vars(plan)["code"] = "e", "c"
    pool: Any = Slow()
    told = []

    class Told:
        def advance(self, units: int, note: str = "") -> None:
            told.append((units, note))
            pool.future.set_result(None)

    shown: Any = Told()
    trials, begun = list(plan.trials().values()), []
    schedule._work(tmp_path, trials, 1, 1.0, begun.append, pool, {}, shown)
    assert begun == trials
    assert told == [(0, "(naive seed 0: fine-tune 34% 30/88 00:20 left)")]


def test_no_more_trials_are_at_work_than_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waits is not begun: none of its test rows counts as read."""
    monkeypatch.setattr(schedule, "POLL", 0.01)
    plan = toy_study.plan(tmp_path, Path("toy"), "naive", "joint", "replay")
    vars(plan)["encoder"], vars(plan)["code"] = "e", "c"
    trials, heard = list(plan.trials().values()), list[Trial]()
    pool: Any = Slow()

    class Shown:
        def advance(self, units: int, note: str = "") -> None:
            assert len(heard) == len(ended) + 1
            ended.append(pool.future)
            pool.future.set_result(None)

    ended: list[Any] = []
    shown: Any = Shown()
    schedule._work(tmp_path, trials, 1, 1.0, heard.append, pool, {}, shown)
    assert heard == trials and len(ended) == 3


def test_after_its_minutes_no_trial_is_begun(tmp_path: Path) -> None:
    plan = toy_study.plan(tmp_path, Path("toy"), "naive", "joint")
    vars(plan)["encoder"], vars(plan)["code"] = "e", "c"
    trials = list(plan.trials().values())
    for minutes, begun in ((0.0, []), (1.0, ["naive seed 0", "joint seed 0"])):
        pool: Any = Begun()
        shown: Any = None
        heard: list[Trial] = []
        schedule._work(tmp_path, trials, 1, minutes, heard.append, pool, {}, shown)
        assert [one.label for one in heard] == begun
        assert pool == begun


class Broken(Begun):
    """Its process dies in the first trial; then it takes no more."""

    def submit(self, _: Any, folder: Path, trial: Trial) -> Any:
        from concurrent.futures import Future
        from concurrent.futures.process import BrokenProcessPool

        if self:
            raise BrokenProcessPool("a child process terminated abruptly")
        self.append(trial.label)
        done: Future[None] = Future()
        done.set_exception(BrokenProcessPool("a child process terminated abruptly"))
        return done


def test_a_process_that_died_is_told_though_trials_are_left(tmp_path: Path) -> None:
    """I4: also with more trials than processes, and no test row of theirs counts as read."""
    plan = toy_study.plan(tmp_path, Path("toy"), "naive", "joint")
    vars(plan)["encoder"], vars(plan)["code"] = "e", "c"
    trials, heard = list(plan.trials().values()), list[Trial]()
    pool: Any = Broken()
    shown: Any = None
    begun = schedule._work(tmp_path, trials, 1, 1.0, heard.append, pool, {}, shown)
    assert heard == trials[:1]
    ((future, one),) = begun.items()
    with pytest.raises(TrainingError, match="was there enough memory"):
        schedule._raise(future, one, tmp_path)


def test_only_what_is_spared_is_not_raised(tmp_path: Path) -> None:
    from concurrent.futures import Future

    plan = toy_study.plan(tmp_path, Path("toy"), "naive", "joint")
    vars(plan)["encoder"], vars(plan)["code"] = "e", "c"
    trials = list(plan.trials().values())
    ends: list[Future[None]] = [Future(), Future()]
    away = NotFinite("The loss is NaN", where="fine-tune", fix="lower the rate")
    ends[0].set_exception(away)
    ends[1].set_result(None)
    done = dict(zip(ends, trials, strict=True))
    assert schedule._failed(done, tmp_path, schedule.OF_VALUES) == {trials[0].keys()[-1]: away}
    with pytest.raises(NotFinite, match="NaN"):
        schedule._failed(done, tmp_path, ())
