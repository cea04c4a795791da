"""From the words of a command line or a deployment to the plan of a study.

plan = planned(project, folder, None, "naive,replay+der", "0,1,2", jobs=2, threads=None)
"""

from __future__ import annotations

from pathlib import Path

from onward import config
from onward.errors import UsageError
from onward.project import Project
from onward.study import sequence
from onward.study import study as studies
from onward.study.combinations import every, parse
from onward.study.opening import of_file
from onward.study.plan import Plan

DEFAULT = "naive,joint,replay-reservoir,replay-herding+der"


def planned(
    project: Project,
    folder: Path,
    listing: Path | None,
    combinations: str,
    seeds: str,
    jobs: int,
    threads: int | None,
) -> Plan:
    """The plan that these words make.

    Args:
        project: whose settings, and whose episodes where there is no listing.
        folder: the study's.
        listing: a file that lists a sequence; see onward/study/opening.py.
        combinations: names joined by commas, or `all`.
        seeds: joined by commas.
        jobs: trials at a time.
        threads: of each trial; None shares the cores.

    Raises:
        UsageError: a name or a seed cannot be read.
        SettingsError, DataError: as `onward.study.opening.of_file`.
    """
    settings = config.load(project.params)
    recipe = config.read(project.params, config.Identity).recipe
    if listing is None:
        episodes = sequence.of_project(project)
    else:
        episodes = sequence.store(folder / "data", recipe, of_file(listing, folder, settings))
    named = combinations.split(",")
    chosen = every(recipe) if named == ["all"] else [parse(one.strip()) for one in named]
    return Plan(
        folder=folder,
        settings=settings,
        combinations=list(dict.fromkeys(chosen)),
        sequences={seed: episodes for seed in _numbers(seeds)},
        threads=studies.threads(folder, jobs, threads),
    )


def _numbers(seeds: str) -> list[int]:
    try:
        return [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise UsageError(
            f"{seeds!r} does not list seeds", where="onward study --seeds", fix="as in 0,1,2"
        ) from None
