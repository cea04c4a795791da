"""Several adapters on one graph, switched by ONNX Runtime: each row is read by the one it is of.

What onward/runtime/switchable.py exported, as one runtime of the outputs that the recipe knows. The
frozen encoder embeds the batch once, the router says which adapter each row is of, and each
adapter reads its own rows; two passes over a text instead of one. What it says is as
onward/learning/routed.py says it with torch: a label's logit is the log of its probability.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward.errors import IntegrityError
from onward.runtime.package import Package

EMBEDDING, ROUTES = "embedding", "routes"


@dataclass(frozen=True)
class Output:
    """An output as a session asks for it; a size left open is a name."""

    name: str
    shape: tuple[int | str, ...]


class Switched:
    """Looks like an InferenceSession."""

    def __init__(
        self,
        reader: Any,
        router: Any,
        adapters: Sequence[bytes],
        places: Sequence[Sequence[int]],
        labels: int,
        where: str,
    ) -> None:
        """Take the parts.

        Args:
            reader: the session of the graph with free adapters.
            router: the session of the router.
            adapters: their checked bytes.
            places: of each adapter, where its labels stand among all; empty without labels.
            labels: of all adapters together.
            where: the package, for messages.

        Raises:
            IntegrityError: an adapter does not fit the graph, or there are not as many as routes.
        """
        self._reader, self._router = reader, router
        self._places = [np.array(each, dtype=np.int64) for each in places]
        self._labels = labels
        # The options point at the adapters without holding them.
        self._adapters = [_adapter(data, where) for data in adapters]
        self.options = [_option(adapter) for adapter in self._adapters]
        """Of a run, by adapter."""
        free = {one.name for one in reader.get_overridable_initializers()}
        routes = router.get_outputs()[0].shape[1]
        if routes != len(self.options) or not free:
            raise IntegrityError(
                f"The router chooses among {routes} adapters, the package has {len(adapters)}",
                where=where,
                fix="`onward repair` brings the recorded files back",
            )

    def get_inputs(self) -> list[Any]:
        """Those of a text."""
        found: list[Any] = self._reader.get_inputs()
        return found

    def get_outputs(self) -> list[Output]:
        """The recipe's: of each token, or of all labels."""
        made = [one for one in self._reader.get_outputs() if one.name != EMBEDDING]
        if self._labels:
            return [Output(one.name, ("batch", self._labels)) for one in made]
        return [Output(one.name, ("batch", "length")) for one in made]

    def get_providers(self) -> list[str]:
        """Of the graph that reads."""
        found: list[str] = self._reader.get_providers()
        return found

    def disable_fallback(self) -> None:
        """Of both."""
        self._reader.disable_fallback()
        self._router.disable_fallback()

    def routes(self, feeds: Mapping[str, Any]) -> NDArray[np.float32]:
        """The log-probability of each adapter, [B, E]."""
        (embedding,) = self._reader.run([EMBEDDING], feeds)
        found: NDArray[np.float32] = self._router.run([ROUTES], {EMBEDDING: embedding})[0]
        return found

    def run(self, names: Sequence[str], feeds: Mapping[str, Any]) -> list[NDArray[np.float32]]:
        """The outputs of B rows, [B, T] each, or the logits of all labels [B, C]."""
        routes = self.routes(feeds)
        chosen = routes.argmax(axis=1)
        made: dict[str, NDArray[np.float32]] = {}
        for at in np.unique(chosen):
            rows = np.nonzero(chosen == at)[0]
            own = {name: value[rows] for name, value in feeds.items()}
            found = self._reader.run(list(names), own, self.options[at])
            for name, values in zip(names, found, strict=True):
                if self._labels:
                    values = self._mixed(int(at), values, routes[rows])
                whole = np.empty((len(chosen), *values.shape[1:]), dtype=np.float32)
                made.setdefault(name, whole)[rows] = values
        return [made[name] for name in names]

    def _mixed(
        self, at: int, logits: NDArray[np.float32], routes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Log-probabilities of all labels [N, C], from one adapter's logits and the routes."""
        likely = np.zeros((len(logits), self._labels), dtype=np.float32)
        for other, places in enumerate(self._places):
            own: Any = 1 / len(places)
            if other == at:
                own = np.exp(logits - logits.max(axis=1, keepdims=True))
                own = own / own.sum(axis=1, keepdims=True)
            likely[:, places] += np.exp(routes[:, other : other + 1]) * own
        found: NDArray[np.float32] = np.log(np.maximum(likely, np.finfo(np.float32).tiny))
        return found


def assemble(package: Package, reader: Any, router: Any) -> Switched:
    """The runtime of a package of adapters.

    Args:
        package: as it was read, with its adapters among the parts.
        reader: the session of its graph.
        router: the session of its router.

    Raises:
        IntegrityError: an adapter does not fit.
    """
    labels = package.spec.get("labels", [])
    place = {label: at for at, label in enumerate(labels)}
    named = package.spec["adapters"]
    adapters = [package.parts[f"adapter-{n}"] for n in range(1, len(named) + 1)]
    places = [[place[label] for label in one["labels"]] for one in named]
    return Switched(reader, router, adapters, places, len(labels), package.where)


def _option(adapter: Any) -> Any:
    """What a run is given to switch to an adapter."""
    import onnxruntime

    made = onnxruntime.RunOptions()
    made.add_active_adapter(adapter)
    return made


def _adapter(data: bytes, where: str) -> Any:
    """Loaded from the checked bytes, which no path of the disk names."""
    import onnxruntime

    descriptor = os.memfd_create("adapter", os.MFD_CLOEXEC)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        adapter = onnxruntime.LoraAdapter()
        adapter.Load(f"/proc/self/fd/{descriptor}")
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise IntegrityError(
            f"ONNX Runtime cannot load an adapter: {str(error)[:300]}",
            where=where,
            fix="export again with the installed versions; `onward doctor` prints them",
        ) from error
    finally:
        os.close(descriptor)
    return adapter
