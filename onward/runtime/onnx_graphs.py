"""The graphs of a generating model, run by ONNX Runtime.

    steps = Steps(OnnxGraphs({"decoder": runtime, "encoder": other}), plan, max_new_tokens)

On a CPU a cache tensor goes from one run's outputs into the next run's inputs without a copy; on a
GPU it goes through the host, which a small model does not notice and a large one would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class OnnxGraphs:
    """`onward.runtime.cache.Graphs` on inference sessions by the names of their graphs."""

    def __init__(self, sessions: Mapping[str, Any]) -> None:
        self.sessions = dict(sessions)
        self.inputs = {k: [i.name for i in s.get_inputs()] for k, s in self.sessions.items()}
        self.outputs = {k: [o.name for o in s.get_outputs()] for k, s in self.sessions.items()}

    def run(self, name: str, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """One graph's outputs by their names."""
        given = {one: feeds[one] for one in self.inputs[name]}
        made = self.sessions[name].run(self.outputs[name], given)
        return dict(zip(self.outputs[name], made, strict=True))

    def rows(self, array: NDArray[Any], which: Sequence[int]) -> NDArray[Any]:
        """Some rows of an output."""
        found: NDArray[Any] = np.ascontiguousarray(array[list(which)])
        return found

    def host(self, array: NDArray[Any]) -> NDArray[Any]:
        """An output as a numpy array, which it is."""
        return array
