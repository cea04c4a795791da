"""Run trials in parallel processes, with time left; what is sealed is not run again.

One trial that fails does not stop the others; its error is raised when they are done.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from onward import allocation, files
from onward.errors import NotFinite, OnwardError, OutOfMemory, TrainingError, UsageError
from onward.progress import Progress
from onward.study.trial import Trial, run, sealed

OF_VALUES = (NotFinite, OutOfMemory)
"""What a trial ends in where the values that are tried are no good; others may be."""
POLL = 1.0
"""Seconds between two looks at what is sealed."""


def unfinished(folder: Path, trials: Iterable[Trial]) -> list[Trial]:
    """The trials of which a turn is not sealed; equal ones once."""
    found: dict[str, Trial] = {}
    for trial in trials:
        keys = trial.keys()
        if not all(sealed(folder, key) for key in keys):
            found.setdefault(keys[-1], trial)
    return list(found.values())


def named(
    every: Iterable[tuple[str, int]],
    only: Sequence[str],
    spelled: Callable[[str], str] = str,
) -> list[tuple[str, int]]:
    """Those of `every` (name, seed) that --only names, in their order; all where it is empty.

    Args:
        every: name and seed of each trial.
        only: NAME or NAME:SEED each.
        spelled: a name as a person may write it -> as it stands in `every`.

    Raises:
        UsageError: one of `only` names none of them.
    """
    pairs, wanted = list(every), set[tuple[str, int]]()
    for one in only:
        name, _, seed = one.partition(":")
        found = {pair for pair in pairs if pair[0] == spelled(name) and seed in ("", str(pair[1]))}
        if not found:
            raise UsageError(
                f"{one!r} is no trial",
                where="--only",
                fix=f"NAME or NAME:SEED of {', '.join(sorted({name for name, _ in pairs}))}",
            )
        wanted |= found
    return [pair for pair in pairs if not only or pair in wanted]


def run_all(
    folder: Path,
    trials: Sequence[Trial],
    jobs: int,
    label: str = "study",
    minutes: float = math.inf,
    begins: Callable[[Trial], None] = lambda _: None,
    spared: tuple[type[OnwardError], ...] = (),
) -> dict[str, OnwardError]:
    """Run what is unfinished, `jobs` trials at a time; logs lie in FOLDER/logs.

    Args:
        folder: the study's.
        trials: in the order in which they are begun.
        jobs: trials at a time.
        label: of the progress.
        minutes: after these no further trial is begun; those that run go on to their end.
        begins: hears of each trial before it begins.
        spared: errors that are not raised.

    Returns:
        The spared error of each trial that ended in one, by the trial's last key.

    Raises:
        OnwardError: the first error of a trial, after all others were run.
        TrainingError: a process died.
    """
    left = unfinished(folder, trials)
    if not left:
        return {}
    weights = {key: weight for trial in left for key, weight in _weights(trial).items()}
    weights = {key: weight for key, weight in weights.items() if not sealed(folder, key)}
    spawn = multiprocessing.get_context("spawn")
    with (
        Progress(label, sum(weights.values())) as progress,
        ProcessPoolExecutor(
            min(jobs, len(left)),
            mp_context=spawn,
            initializer=_begin,
            initargs=(os.getpid(),),
            max_tasks_per_child=1,  # it keeps what it frees: the next trial's peak would count that
        ) as pool,
    ):
        try:
            done = _work(folder, left, jobs, minutes, begins, pool, weights, progress)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return _failed(done, folder, spared)


def _weights(trial: Trial) -> dict[str, int]:
    """Key -> how long a turn takes, in turns of naive: all of joint's grow with what is known."""
    return {key: 1 if trial.steps == "naive" else n for n, key in enumerate(trial.keys(), start=1)}


def _work(
    folder: Path,
    left: Sequence[Trial],
    jobs: int,
    minutes: float,
    begins: Callable[[Trial], None],
    pool: ProcessPoolExecutor,
    weights: Mapping[str, int],
    progress: Progress,
) -> dict[Future[None], Trial]:
    """Begin trials one by one as others end, and show what is sealed."""
    begun: dict[Future[None], Trial] = {}
    pending: set[Future[None]] = set()
    ends = time.monotonic() + 60 * minutes
    rest, waiting = deque(left), dict(weights)
    while pending or (rest and time.monotonic() < ends):
        while rest and len(pending) < jobs and time.monotonic() < ends:
            trial = rest.popleft()
            begins(trial)
            future = pool.submit(_logged, folder, trial)
            begun[future] = trial
            pending.add(future)
        ended, pending = wait(pending, POLL, FIRST_COMPLETED)
        if any(isinstance(one.exception(), BrokenProcessPool) for one in ended):
            rest.clear()  # a process died, and with it the pool: it takes no other trial
        for key in [key for key in waiting if sealed(folder, key)]:
            progress.advance(waiting.pop(key))
        if pending:
            progress.advance(
                0, note=_goes_on(folder, [begun[one] for one in begun if one in pending])
            )
    return begun


def _goes_on(folder: Path, running: Sequence[Trial]) -> str:
    """The first of the trials that run, with the last line of its log: how far it is."""
    path = log(folder, running[0])
    if not path.exists():
        return f"({running[0].label})"
    with path.open("rb") as lines:
        lines.seek(max(0, path.stat().st_size - 400))
        said = lines.read().decode(errors="replace").splitlines()
    return f"({running[0].label}: {said[-1].strip()[:80]})" if said else f"({running[0].label})"


def _failed(
    done: Mapping[Future[None], Trial], folder: Path, spared: tuple[type[OnwardError], ...]
) -> dict[str, OnwardError]:
    """The spared errors, by their trial's last key; raises the first one that is not."""
    found = {}
    for future, trial in done.items():
        error = future.exception()
        if isinstance(error, spared):
            found[trial.keys()[-1]] = error
        else:
            _raise(future, trial, folder)
    return found


def _raise(future: Future[None], trial: Trial, folder: Path) -> None:
    error = future.exception()
    if isinstance(error, OnwardError):
        error.where = f"{trial.label}: {error.where}"
        raise error
    if isinstance(error, BrokenProcessPool):
        raise TrainingError(
            "A process of the study died; was there enough memory?",
            where=str(folder / "logs"),
            fix="run the same command again, with fewer --jobs: what is finished is kept",
        ) from error
    if error is not None:
        raise error


def _begin(study: int) -> None:
    """What a worker does first; it ends with its study, whose next run would find it at work."""
    threading.Thread(target=_end_with, args=(study,), daemon=True).start()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    allocation.keep()


def _end_with(study: int) -> None:
    while os.getppid() == study:
        time.sleep(POLL)
    os._exit(1)  # at any moment: what is not sealed is made anew


def log(folder: Path, trial: Trial) -> Path:
    """Where a trial's lines go."""
    return folder / "logs" / f"{trial.work(folder).name}.log"


def _logged(folder: Path, trial: Trial) -> None:
    """Run a trial in a worker; what the stages print goes to its log."""
    path = log(folder, trial)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.operation("open", path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    with (
        os.fdopen(descriptor, "w", buffering=1, encoding="utf-8") as out,
        redirect_stdout(out),
        redirect_stderr(out),
    ):
        run(folder, trial, told=lambda line: print(line, flush=True))  # noqa: T201
