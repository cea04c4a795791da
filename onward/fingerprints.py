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

SCHEMA = 1

_EPISODES = (
    "onward.episodes.folders",
    "onward.episodes.rows",
    "onward.episodes.turn",
    "onward.files",
)
_ENCODED = (
    "onward.learning.base",
    "onward.learning.converted",
    "onward.learning.encoder",
    "onward.learning.scratch",
    "onward.learning.features",
    "onward.learning.packed_e5",
    "onward.learning.packing",
    "onward.learning.table",
)
_LOADED = (
    "onward.learning.closed_form",
    "onward.learning.converted",
    "onward.learning.encoder",
    "onward.learning.scratch",
    "onward.learning.features",
    "onward.learning.models",
    "onward.learning.packed_e5",
    "onward.learning.packing",
    "onward.learning.parts.bottleneck",
    "onward.learning.parts.named",
    "onward.learning.parts.prefix",
    "onward.learning.parts.prompt",
    "onward.learning.pooled",
    "onward.learning.routed",
    "onward.learning.router",
)
_WRITING = (
    "onward.recipes.generated",
    "onward.recipes.generative",
    "onward.recipes.prompting",
    "onward.runtime.prompts",
)
"""What runners of every recipe import for those that write."""

_SCORED = (
    *_LOADED,
    *_WRITING,
    "onward.evaluation.ledger",
    "onward.evaluation.row_cache",
    "onward.evaluation.runner",
    "onward.evaluation.scorer",
    "onward.evaluation.torch_graphs",
    "onward.runtime.cache",
    "onward.runtime.generation",
)
_SERVED = (
    *_WRITING,
    "onward.runtime.asking",
    "onward.runtime.cache",
    "onward.runtime.generation",
    "onward.runtime.graph_safety",
    "onward.runtime.onnx_graphs",
    "onward.runtime.package",
    "onward.runtime.parity",
    "onward.runtime.providers",
    "onward.runtime.session",
    "onward.runtime.switched",
)

STAGES: dict[str, tuple[str, ...]] = {
    "validate": (
        *_EPISODES,
        "onward.episodes.shingles",
        "onward.learning.base",
        "onward.learning.converted",
        "onward.learning.encoder",
        "onward.learning.packed_e5",
        "onward.learning.scratch",
        "onward.recipes.bio",
        "onward.validation.arrays",
        "onward.validation.chat",
        "onward.validation.choice",
        "onward.validation.columns",
        "onward.validation.expectations",
        "onward.validation.extractive",
        "onward.validation.floors",
        "onward.validation.labels",
        "onward.validation.measures",
        "onward.validation.references",
        "onward.validation.report",
        "onward.validation.run",
        "onward.validation.spans",
        "onward.validation.suite",
        "onward.validation.texts",
        "onward.validation.unknown",
        "onward.validation.words",
        "onward.watch.shift",
    ),
    "prepare": (
        *_EPISODES,
        *_ENCODED,
        "onward.episodes.leakage",
        "onward.episodes.near",
        "onward.episodes.shingles",
        "onward.episodes.signatures",
        "onward.episodes.sketches",
        "onward.learning.memory",
        "onward.learning.outputs",
        "onward.learning.policies",
        "onward.learning.prepare",
        "onward.learning.rows",
        "onward.pretraining.overlap",
    ),
    "finetune": (
        *_EPISODES,
        *_ENCODED,
        *_LOADED,
        "onward.learning.checkpoints",
        "onward.learning.curves",
        "onward.learning.finetune",
        "onward.learning.job",
        "onward.learning.loop",
        "onward.learning.precision",
        "onward.learning.rows",
        "onward.learning.memory",
        "onward.learning.outputs",
        "onward.learning.passes",
        "onward.learning.policies",
        "onward.learning.prompts",
        "onward.recipes.generative",
        "onward.recipes.prompting",
        "onward.runtime.graph",
        "onward.runtime.prompts",
        "onward.learning.remember",
        "onward.learning.structures.adapted",
        "onward.learning.structures.adapters",
        "onward.learning.structures.analytic",
        "onward.learning.structures.named",
        "onward.learning.structures.prompted",
        "onward.learning.structures.own",
        "onward.learning.structures.single",
        "onward.learning.terms.der",
        "onward.learning.terms.distill",
        "onward.learning.terms.ewc",
        "onward.learning.terms.named",
        "onward.learning.terms.none",
        "onward.learning.trainer",
        "onward.learning.tunings",
        "onward.runtime.prompts",
    ),
    "evaluate": (
        *_EPISODES,
        *_SCORED,
        "onward.evaluation.baseline",
        "onward.evaluation.comparison",
        "onward.evaluation.evaluate",
        "onward.evaluation.evidence",
        "onward.evaluation.examples",
        "onward.evaluation.slices",
        "onward.quality.asked",
        "onward.quality.bias",
        "onward.quality.coherence",
        "onward.quality.columns",
        "onward.quality.diversity",
        "onward.quality.embedding",
        "onward.quality.examples",
        "onward.quality.leaks",
        "onward.quality.lists",
        "onward.quality.overlap",
        "onward.quality.parts",
        "onward.quality.personal",
        "onward.quality.scores",
        "onward.quality.stage",
        "onward.quality.support",
        "onward.quality.swapping",
        "onward.quality.unsafe",
        "onward.quality.words",
    ),
    "export": (
        *_EPISODES,
        *_SCORED,
        *_SERVED,
        "onward.evaluation.resampling",
        "onward.evaluation.statistics",
        "onward.runtime.export",
        "onward.runtime.graph",
        "onward.runtime.int8",
        "onward.runtime.probes",
        "onward.runtime.quantise",
        "onward.runtime.switchable",
    ),
    "benchmark": (
        *_EPISODES,
        *_LOADED,
        *_SERVED,
        "onward.evaluation.ledger",
        "onward.evaluation.runner",
        "onward.evaluation.torch_graphs",
        "onward.evaluation.resampling",
        "onward.evaluation.statistics",
        "onward.runtime.answering",
        "onward.runtime.bench",
        "onward.runtime.choice",
        "onward.runtime.inputs",
        "onward.runtime.memory",
        "onward.runtime.pictures",
        "onward.runtime.timing",
        "onward.runtime.prompts",
    ),
}
"""Per stage, the modules whose source can change its bytes. A test walks the imports."""

_RECIPE = (
    "onward.recipes.hashing",
    "onward.recipes.heads",
    "onward.recipes.labels",
    "onward.recipes.scripts",
    "onward.recipes.shapes",
    "onward.recipes.texts",
    "onward.recipes.generated",
    "onward.recipes.generative",
    "onward.recipes.prompting",
)
RECIPES: dict[str, tuple[str, ...]] = {
    "chat": (
        *_RECIPE,
        "onward.recipes.chat",
        "onward.recipes.chat_template",
        "onward.recipes.extractive",
        "onward.recipes.rouge",
        "onward.recipes.spans",
        "onward.recipes.squad_metrics",
        "onward.recipes.turns",
        "onward.recipes.windows",
    ),
    "choice": (
        *_RECIPE,
        "onward.recipes.choice",
        "onward.recipes.class_report",
        "onward.recipes.classification",
        "onward.recipes.options",
    ),
    "classification": (
        *_RECIPE,
        "onward.recipes.class_report",
        "onward.recipes.classification",
    ),
    "extractive": (
        *_RECIPE,
        "onward.recipes.extractive",
        "onward.recipes.spans",
        "onward.recipes.squad_metrics",
        "onward.recipes.windows",
    ),
    "multilabel": (
        *_RECIPE,
        "onward.recipes.class_report",
        "onward.recipes.micro_f1",
        "onward.recipes.multilabel",
    ),
    "regression": (*_RECIPE, "onward.recipes.regression"),
    "relation": (
        *_RECIPE,
        "onward.recipes.class_report",
        "onward.recipes.classification",
        "onward.recipes.entity_marks",
        "onward.recipes.micro_f1",
        "onward.recipes.relation",
        "onward.recipes.windows",
    ),
    "tagging": (
        *_RECIPE,
        "onward.recipes.bio",
        "onward.recipes.class_report",
        "onward.recipes.micro_f1",
        "onward.recipes.tagging",
        "onward.recipes.windows",
        "onward.recipes.word_windows",
    ),
    "summarization": (
        *_RECIPE,
        "onward.recipes.texttotext",
        "onward.recipes.rouge",
        "onward.recipes.summarization",
    ),
    "translation": (
        *_RECIPE,
        "onward.recipes.texttotext",
        "onward.recipes.bleu",
        "onward.recipes.translation",
    ),
}
"""Per recipe, the modules that it consists of."""

SETTINGS: dict[str, tuple[str, ...]] = {
    "validate": ("validate", "prepare.max_length"),
    "prepare": ("prepare", "strategy", "episode.near_duplicate"),
    "finetune": ("finetune", "strategy"),
    "evaluate": ("evaluate", "quality.measure"),
    "export": ("export", "evaluate"),
    "benchmark": ("benchmark", "gate.p95_ms", "gate.memory_mb"),
}
"""Per stage, the blocks or keys of params.yaml that it reads, as dvc.yaml names them."""

PLUMBING = frozenset(
    {
        "onward.config",  # the defaults that matter are in the fingerprint by themselves
        "onward.costs",
        "onward.errors",
        "onward.fingerprints",
        "onward.learning.orphan",  # ends a trainer whose parent is gone
        "onward.locks",
        "onward.progress",
        "onward.project",
        "onward.registry.journal",
        "onward.registry.versions",  # finds and verifies; what is read is named by the turn
        "onward.stages.entry",
        *(f"onward.stages.{stage}" for stage in STAGES),
    }
)
"""Modules that stages import and that cannot change an output's bytes; so are all __init__.py."""

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
