"""Peak memory of serving one variant, measured in a process of its own.

    python -m onward.runtime.memory '{"kind": "onnx", "folder": "...", ...}'

The number is the peak resident memory (VmHWM) of a fresh process that loads the variant and
predicts a few batches at the serving shape: interpreter and libraries included, memory on a GPU
not. It is what a serving process needs at least.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from onward import files
from onward.config import Evaluate
from onward.errors import InternalError, OnwardError
from onward.runtime import inputs

HOW = (
    "peak resident memory of a fresh process that loads the variant and predicts at the serving "
    "shape; memory on a GPU not included"
)
RUNS = 5
SECONDS = 300


@dataclass(frozen=True)
class Ask:
    """What to load and run: kind is onnx (folder: a package) or torch (folder: a model)."""

    kind: str
    folder: str
    variant: str | None
    provider: str
    threads: int
    recipe: str
    texts: str
    batch: int
    length: int
    new_tokens: int = 16
    """Of each answer, where the model generates."""


def peak_mb(ask: Ask) -> float:
    """Peak resident memory in MB (10^6 bytes) of serving it.

    Raises:
        OnwardError: what the process raised.
        InternalError: it died, or did not end in time.
    """
    root = str(Path(__file__).parents[2])
    paths = [root, os.environ.get("PYTHONPATH", "")]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "onward.runtime.memory", json.dumps(asdict(ask))],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
        )
    except subprocess.TimeoutExpired as error:
        raise InternalError(
            f"The process that measures memory did not end within {SECONDS} s",
            where=ask.folder,
            fix="lower benchmark.serving_shape, or benchmark.new_tokens where the model writes",
        ) from error
    try:
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise InternalError(
            f"The process that measures memory ended with {done.returncode}",
            where=done.stderr.strip()[-400:],
            fix="run the benchmark again; is there enough memory?",
        ) from error
    if "error" in found:
        raise OnwardError.from_json(found)
    return float(found["mb"])


def run(ask: Ask) -> None:
    """Load and predict, in this process."""
    runner: Any
    if ask.kind == "torch":
        from onward import recipes
        from onward.evaluation.runner import TorchRunner

        recipe = recipes.get(ask.recipe)
        runner = TorchRunner(Path(ask.folder), ask.threads, ask.provider, recipe=recipe)
    else:
        from onward.runtime.session import Session

        runner = Session(Path(ask.folder), ask.variant, ask.provider, ask.threads)
    texts = files.read_json(Path(ask.texts))
    made = inputs.batches(runner.tokenizer, texts, ask.batch, ask.length)
    settings = Evaluate.model_validate({"max_new_tokens": ask.new_tokens})
    for number in range(RUNS):
        runner.predict(made[number % len(made)], settings)


def resident_peak() -> int:
    """Bytes. Not getrusage: its maximum is inherited from the process that started this one."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import psutil

    return int(psutil.Process().memory_info().rss)


def main(arguments: list[str]) -> int:
    """The command line; the last line of its output is one JSON object."""
    found: dict[str, Any]
    try:
        run(Ask(**json.loads(arguments[0])))
        found = {"mb": round(resident_peak() / 1e6, 1)}
    except OnwardError as error:
        found = error.to_json()
    sys.stdout.write(json.dumps(found) + "\n")
    return 1 if "error" in found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
