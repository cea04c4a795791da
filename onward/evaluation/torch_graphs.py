"""The graphs of a generating model, run by torch.

steps = Steps(TorchGraphs(model, "cpu"), plan, max_new_tokens)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward.recipes import generative


class TorchGraphs:
    """`onward.runtime.cache.Graphs` on a torch model; the cache stays on its device."""

    def __init__(self, model: Any, device: str) -> None:
        self.device = device
        self.parts = generative.parts(model)
        self.specs = {spec.name: spec for spec in generative.graphs(model)}

    def run(self, name: str, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """One graph's outputs by their names."""
        import torch

        spec = self.specs[name]
        with torch.inference_mode():
            made = self.parts[name](*(self._tensor(feeds[one]) for one in spec.inputs))
        return dict(zip(spec.outputs, made, strict=True))

    def rows(self, array: Any, which: Sequence[int]) -> Any:
        """Some rows of an output."""
        return self._tensor(array)[list(which)]

    def host(self, array: Any) -> NDArray[Any]:
        """An output as a numpy array."""
        found: NDArray[Any] = array.cpu().numpy()
        return found

    def _tensor(self, array: Any) -> Any:
        import torch

        return torch.from_numpy(array).to(self.device) if isinstance(array, np.ndarray) else array
