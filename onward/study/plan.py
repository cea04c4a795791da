"""What a study compares, and the trials that follow from it.

plan = Plan(folder, settings, combinations, {0: episodes, 1: episodes}, threads=1)
trials = plan.trials()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from onward import files, fingerprints
from onward.config import Identity
from onward.study.combinations import Combination
from onward.study.sequence import Episodes
from onward.study.trial import STAGES, Steps, Trial


def code(recipe: str) -> str:
    """The digest of the code that makes a trial's results."""
    return files.digest([fingerprints.code(stage, recipe) for stage in STAGES])


@dataclass(frozen=True)
class Plan:
    """A study in a folder of its own."""

    folder: Path
    settings: Mapping[str, Any]
    """Blocks of params.yaml that all trials share."""
    combinations: Sequence[Combination]
    sequences: Mapping[int, Episodes]
    """Seed -> the episodes learned with it."""
    threads: int
    """Of each trial. Other threads give other bits, so they are part of a trial's key."""
    chosen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name of a combination -> block.key -> value chosen for it."""
    steps: Steps = "naive"
    """Whose optimizer steps every turn of every combination takes, but joint's."""

    @property
    def seeds(self) -> list[int]:
        """Of the trials, in order."""
        return sorted(self.sequences)

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return str(self._identity.recipe)

    @property
    def _identity(self) -> Identity:
        return Identity.model_validate(self.settings.get("project") or {})

    @cached_property
    def encoder(self) -> str:
        """The fingerprint of the pretrained encoder. Raises as `onward.learning.encoder.locate`."""
        from onward.learning import encoder

        return encoder.fingerprint(encoder.locate(self._identity.encoder), self.folder / "cache")

    @cached_property
    def code(self) -> str:
        """The digest of the code that makes the results."""
        return code(self.recipe)

    def trial(
        self,
        combination: Combination,
        seed: int,
        episodes: Episodes,
        chosen: Mapping[str, Any],
    ) -> Trial:
        """One combination with one seed over some episodes. Raises as `Combination.blocks`."""
        blocks = combination.blocks(self.settings, seed=seed, threads=self.threads, chosen=chosen)
        steps = self.steps if combination.held else "own"
        return Trial(combination.name, seed, steps, blocks, episodes, self.encoder, self.code)

    def trials(self) -> dict[tuple[str, int], Trial]:
        """(name, seed) -> trial, all combinations of a seed before the next seed."""
        return {
            (one.name, seed): self.trial(
                one, seed, self.sequences[seed], self.chosen.get(one.name, {})
            )
            for seed in self.seeds
            for one in self.combinations
        }
