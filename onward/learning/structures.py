"""Where what is learned goes: one set of weights, or several.

Only `single` so far: the base's own weights are trained. Adapters per episode and analytic heads
come here.
"""

from __future__ import annotations

from onward.config import Finetune
from onward.learning.trainer import Task, Trained, fit


def single(task: Task, settings: Finetune) -> Trained:
    """Train the base's weights. Raises as `onward.learning.trainer.fit`."""
    return fit(task, settings)


STRUCTURES = {"single": single}
