"""From the words of a command line or a deployment to the plan of a study.

plan = planned(project, folder, None, "naive,replay+der", "0,1,2", jobs=2, threads=None)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from onward import config
from onward.errors import UsageError
from onward.project import Project
from onward.study import compare, plan, sequence, space, used
from onward.study import study as studies
from onward.study.combinations import allowed, every, parse
from onward.study.compare import Comparison, Entry
from onward.study.opening import of_file
from onward.study.plan import Plan
from onward.study.search import Search
from onward.study.start import of_turn
from onward.study.trial import Steps

DEFAULT = "naive,joint,replay-reservoir,replay-herding+der"
"""Of these, what the recipe allows."""


def planned(
    project: Project,
    folder: Path,
    listing: Path | None,
    combinations: str,
    seeds: str,
    jobs: int,
    threads: int | None,
    steps: str = "naive",
) -> Plan:
    """The plan that these words make.

    Args:
        project: whose settings, and whose episodes where there is no listing.
        folder: the study's.
        listing: a file that lists a sequence; see onward/study/opening.py.
        combinations: names joined by commas, or `all`; of DEFAULT those that the recipe allows.
        seeds: joined by commas.
        jobs: trials at a time.
        threads: of each trial; None shares the cores.
        steps: whose optimizer steps a turn takes, naive's or joint's.

    Raises:
        UsageError: a name, a seed or whose steps cannot be read.
        SettingsError, DataError: as `onward.study.opening.of_file`.
    """
    settings = _settings(project)
    recipe = config.read(project.params, config.Identity).recipe
    if listing is None:
        episodes = sequence.of_project(project)
    else:
        episodes = sequence.store(folder / "data", recipe, of_file(listing, folder, settings))
    named = combinations.split(",")
    chosen = every(recipe) if named == ["all"] else [parse(one.strip()) for one in named]
    if combinations == DEFAULT:
        chosen = [one for one in chosen if allowed(recipe, one)]
    return Plan(
        folder=folder,
        settings=settings,
        combinations=list(dict.fromkeys(chosen)),
        sequences={seed: episodes for seed in _numbers(seeds)},
        threads=studies.threads(folder, jobs, threads),
        steps=_steps(steps),
    )


def compared(
    project: Project,
    folder: Path,
    listing: Path | None,
    tunings: str | None,
    seeds: str,
    jobs: int,
    threads: int | None,
) -> Comparison:
    """The comparison on the project's own turn that the words of a command make.

    Args:
        project: whose turn it is.
        folder: where the comparison lies.
        listing: a file of named settings; None: none.
        tunings: names joined by commas; None: without a listing all that are allowed, but those
            that turn out to be none for this model.
        seeds: numbers joined by commas.
        jobs: trainings at a time.
        threads: of each; None: the cores shared among the jobs.

    Raises:
        UsageError: a tuning or the seeds are none, or the turn trains nothing.
        SettingsError: params.yaml or the listing.
    """
    from onward.learning import encoder

    identity = config.read(project.params, config.Identity)
    strategy = config.read(project.params, config.Strategy)
    names = [one.strip() for one in (tunings or "").split(",") if one.strip()]
    unasked = tunings is None and listing is None
    if unasked:
        names = compare.of_recipe(identity.recipe, strategy)
    numbers = _numbers(seeds)
    start, episodes = of_turn(project, folder, percent=compare.PERCENT, seed=min(numbers))
    return Comparison(
        folder=folder,
        settings=_settings(project),
        entries=compare.of_tunings(names) + (compare.of_file(listing) if listing else []),
        start=start,
        episodes=episodes,
        seeds=numbers,
        threads=studies.threads(folder, jobs, threads),
        encoder=encoder.fingerprint(encoder.locate(identity.encoder, project.root), project.cache),
        code=plan.code(identity.recipe),
        project=project,
        spared=compare.UNASKED if unasked else (),
    )


def searched(
    project: Project, stage: str, listing: Path | None, seed: int, threads: int | None
) -> Search:
    """The search on the project's own turn that the words of a command make.

    It lies in .onward/search, which may be deleted.

    Args:
        project: whose turn it is.
        stage: whose settings are searched, where there is no listing.
        listing: a file with a space; None: the stage's own.
        seed: of drawing and training.
        threads: of each training; None: all cores.

    Raises:
        UsageError: the stage has no space, or the turn trains nothing.
        SettingsError: params.yaml or the listing, or a key of it that no try would read.
    """
    folder = project.private / "search"
    made = compared(project, folder, None, "", str(seed), 1, threads)
    made = replace(made, entries=[Entry("present", {})])
    blocks = made.blocks(made.entries[0], seed, {})
    if listing is None:
        among = space.default(stage, blocks.get(stage, {}), made.afresh({}))
    else:
        among = space.of_file(listing)
    used.require_read(
        among, blocks, made.start.base.kind, where=str(listing or f"onward search {stage}")
    )
    return Search(made, among)


def _settings(project: Project) -> dict[str, Any]:
    """params.yaml; an encoder of the project's own by its full path, for trials lie elsewhere."""
    from onward.learning import encoder, scratch

    found = config.load(project.params)
    named = str((found.get("project") or {}).get("encoder", ""))
    place = project.root / named
    if named.startswith(scratch.PREFIX):
        place = encoder.locate(named, project.root)
    elif not named.startswith(f"{encoder.PRETRAINED}/"):
        return found
    return {**found, "project": {**found["project"], "encoder": str(place)}}


def _steps(said: str) -> Steps:
    known: dict[str, Steps] = {"naive": "naive", "joint": "joint"}
    if said not in known:
        raise UsageError(f"{said!r} has no steps to hold to", where="steps", fix="naive or joint")
    return known[said]


def _numbers(seeds: str) -> list[int]:
    try:
        return [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise UsageError(
            f"{seeds!r} does not list seeds", where="--seeds", fix="as in 0,1,2"
        ) from None
