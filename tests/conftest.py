"""What every test shares: no network, one thread, one toy encoder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.runtime.fixtures"]  # an exported toy package, made once for all

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}
os.environ.update(OFFLINE)


# No test may depend on how busy the machine is.
settings.register_profile(
    "unhurried",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("unhurried")


LONG = ("flows", "faults", "cli", "tasks", "runtime", "learning")
"""Folders whose tests take longest: begun first, so that no process is left alone with one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests by folder; within one they keep their order."""
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(here).parts[0]
        return LONG.index(folder) if folder in LONG else len(LONG)

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Toy models are slower on two threads than on one, and tests share the machine."""
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    yield


@pytest.fixture(scope="session")
def toy_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy encoder; read only."""
    import torch

    from tests import toys

    torch.set_num_threads(1)
    return toys.toy_encoder(tmp_path_factory.mktemp("toy") / "encoder")


@pytest.fixture(scope="session")
def toy_causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy causal model and its chat template; read only."""
    import torch

    from tests import toys

    torch.set_num_threads(1)
    return toys.toy_causal(tmp_path_factory.mktemp("toy") / "causal")


@pytest.fixture(scope="session")
def toy_writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy encoder-decoder; read only."""
    import torch

    from tests.learning import writing

    torch.set_num_threads(1)
    return writing.toy_writer(tmp_path_factory.mktemp("toy") / "writer")
