"""What of the machine and of the code can change a stage's bytes, as small JSON values.

DVC compares the files that the stage `inputs` writes from these. A stage runs again when one of
its modules changed, its recipe's module, or (for those that depend on it) the machine; it stays
skipped when only plumbing did: how errors, progress or locks are shown cannot change an output.

>>> sorted(code("validate", "extractive"))
['defaults', 'modules', 'recipe', 'schema', 'stage']

What this does not cover: a local change inside an installed library that keeps its version, and
code that a stage runs without importing it. Nothing here imports torch or ONNX Runtime: their
versions come from the installed packages' metadata.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import onward
from onward import config, files
from onward.errors import SettingsError
from onward.made_of import PLUMBING, RECIPES, SETTINGS, STAGES

__all__ = [
    "PACKAGES",
    "PLUMBING",
    "PRECISION_FLAGS",
    "RECIPES",
    "SETTINGS",
    "STAGES",
    "code",
    "machine",
    "source",
]

SCHEMA = 1

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-gpu",
    "numpy",
    "tokenizers",
    "safetensors",
    "pyarrow",
)
"""Installed packages whose version can change a number."""

PRECISION_FLAGS = frozenset(
    "avx2 fma f16c avx512f avx512_bf16 avx512_fp16 avx512_vnni avx_vnni amx_bf16 amx_int8 amx_tile "
    "asimd asimdhp bf16 i8mm sve sve2".split()
)
"""Processor features that decide which kernels run, and so the last bits of a result."""


def machine() -> dict[str, Any]:
    """CPU, GPUs and versions: equal in every run on one machine, without times or paths."""
    model, flags = _processor()
    return {
        "schema": SCHEMA,
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": model,
        "cores": os.cpu_count() or 1,
        "flags": sorted(flags & PRECISION_FLAGS),
        "gpus": _gpus(),
        "visible_gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def code(stage: str, recipe: str) -> dict[str, Any]:
    """What of the code can change the stage's bytes: modules by sha256, defaults of its settings.

    Args:
        stage: a key of STAGES.
        recipe: the project's recipe, a key of RECIPES.

    Raises:
        SettingsError: there is no such recipe.
    """
    if recipe not in RECIPES:
        raise SettingsError(
            f"There is no recipe {recipe!r}",
            where="params.yaml, project.recipe",
            fix=f"recipes are {', '.join(sorted(RECIPES))}",
        )
    names = sorted({*STAGES[stage], *RECIPES[recipe]})
    return {
        "schema": SCHEMA,
        "stage": stage,
        "recipe": recipe,
        "modules": {name: files.sha256(source(name)) for name in names},
        "defaults": {name: _default(name) for name in SETTINGS[stage]},
        **({"lists": _lists()} if stage == "evaluate" else {}),
    }


def _lists() -> dict[str, str]:
    """The word lists that quality rests on, by sha256."""
    folder = source("onward.quality").parent / "vocabulary"
    return {path.name: files.sha256(path) for path in sorted(folder.glob("*.yaml"))}


def _default(name: str) -> Any:
    """The defaults of a block or a key: DVC sees only what params.yaml itself says."""
    block, _, key = name.partition(".")
    values = config.BLOCKS[block]().model_dump(mode="json")
    return values[key] if key else values


def source(module: str) -> Path:
    """The source file of a module or package of onward, beside the installed package."""
    at = Path(onward.__file__).parent.joinpath(*module.split(".")[1:])
    return at / "__init__.py" if at.is_dir() else at.with_suffix(".py")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> tuple[str, set[str]]:
    """The processor's name and features; elsewhere than on Linux only what Python knows."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return platform.processor() or platform.machine(), set()
    names, flags = [], set()
    for line in info.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("vendor_id", "cpu family", "model", "model name", "CPU part"):
            names.append(value.strip())
        elif key.strip() in ("flags", "Features"):
            flags = set(value.split())
    return " ".join(names), flags


def _gpus() -> list[dict[str, str]]:
    """Name and driver of each GPU that nvidia-smi names; none where it is missing or fails."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode != 0:
        return []
    rows = (line.rpartition(",") for line in done.stdout.splitlines() if "," in line)
    return [{"name": name.strip(), "driver": driver.strip()} for name, _, driver in rows]
