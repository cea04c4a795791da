"""The stage `benchmark`: how fast each variant answers on this machine, and which is to serve.

    turn/benchmark/report.json   see below
    turn/benchmark/*.png         latency, samples
    turn/latency.json            flat numbers for `dvc metrics`

report.json:
    schema, turn
    variant, provider, why       the choice: fp32 or int8, cpu or cuda, and the reason in words
    within_limits                whether the chosen one keeps gate.p95_ms and gate.memory_mb
    threads, serving_shape [batch, length], limits {p95_ms, memory_mb}
    champion                     the base version whose package was timed alongside, or null
    logit_difference             fp32 against torch on the provider that was timed
    machine                      processor, GPUs, versions
    timed                        what a sample spans, in words
    timings                      [{variant: torch|fp32|int8|champion, batch, length, tokens (real
                                 ones in a batch), p50_ms, p95_ms, p99_ms, p95_low_ms, p95_high_ms,
                                 mean_ms, flag, tokens_per_s, stopped: narrow|time,
                                 samples_ms: [...]}]; of a generating recipe tokens_per_s counts
                                 those written, and new_tokens, first_token_p50_ms and
                                 first_token_p95_ms stand beside it
    memory                       {variant: {mb, how: in words}}

The turn's base is timed as the champion, not what the pointer names: a stage depends on the turn
alone. Times are allowed in these outputs only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from onward import config, files, fingerprints, recipes
from onward.config import Benchmark, Evaluate, Gate
from onward.episodes.turn import Turn
from onward.errors import ParityError
from onward.evaluation.runner import TorchRunner
from onward.learning import encoder
from onward.progress import Progress
from onward.project import Project
from onward.recipes import room
from onward.runtime import answering, inputs, memory, parity, pictures, timing
from onward.runtime.answering import Answering
from onward.runtime.choice import Measured, choose
from onward.runtime.generation import First
from onward.runtime.session import Session

SCHEMA = 1
TIMED = "from token ids to logits of one batch, padding and copies included"

SERVING = ("p50_ms", "p95_ms", "p99_ms", "tokens_per_s", "first_token_p50_ms")
"""What of the variant that is to serve is told in turn/latency.json."""

REPEATS = 40
"""Timings at least of a shape that is not served; its p95 is shown and limits nothing."""
MAX_LOGIT_DIFFERENCE = 1e-2
"""On the provider that is timed. Export proved the graph on a CPU; another provider's kernels may
sum in another order, but not give other answers."""


@dataclass(frozen=True)
class Contender:
    """One thing that is timed, and where it is loaded from for measuring memory."""

    name: str
    runner: Any
    folder: Path
    variant: str | None = None


def run(project: Project) -> None:
    """Time the variants of turn/export/package and choose the one that is to serve.

    Raises:
        ProviderError: benchmark.provider is cuda and CUDA cannot be used.
        ParityError: the graph answers differently on this provider.
        SettingsError: a shape is longer than the model.
        IntegrityError, MissingFiles: the package, the candidate or the base is not what it was.
    """
    turn = Turn.read(project)
    settings = config.read(project.params, Benchmark)
    limits = config.read(project.params, Gate)
    files.verify(project.made("export"))
    files.verify(project.made("finetune"))
    check_shapes(project.made("finetune") / "model", settings)
    if recipes.generates(recipes.get(turn.recipe)):
        check_answers(project.made("finetune") / "model", settings)
    # What the runtime really starts on: of `auto` a driver alone promises nothing.
    package = project.made("export") / "package"
    device = Session(package, "fp32", settings.provider, settings.threads).device
    print(f"benchmark: on {device}, {settings.threads} threads", flush=True)  # noqa: T201
    contenders = _contenders(project, turn, settings, device)
    texts = files.read_json(project.made("export") / "texts.json")
    gap = _agree(contenders, texts, settings.serving_shape)
    timings = _timings(contenders, texts, settings)
    used = _memory(project, turn, contenders, settings, device)
    chosen = choose(
        _measured(timings, used, settings), p95_ms=limits.p95_ms, memory_mb=limits.memory_mb
    )
    print(f"benchmark: {chosen.variant} is to serve: {chosen.why}", flush=True)  # noqa: T201
    champion = turn.base.name if "champion" in used else None
    report = {
        "schema": SCHEMA,
        "turn": turn.id,
        "variant": chosen.variant,
        "provider": device,
        "why": chosen.why,
        "within_limits": chosen.within_limits,
        "threads": settings.threads,
        "serving_shape": list(settings.serving_shape),
        "limits": {"p95_ms": limits.p95_ms, "memory_mb": limits.memory_mb},
        "champion": champion,
        "logit_difference": gap,
        "machine": fingerprints.machine(),
        "timed": answering.TIMED if recipes.generates(recipes.get(turn.recipe)) else TIMED,
        "timings": timings,
        "memory": used,
    }
    with files.building(project.made("benchmark"), replace=True, turn=turn.id) as folder:
        files.write_json(folder / "report.json", report)
        files.write_bytes(folder / "latency.png", pictures.latency(report))
        files.write_bytes(folder / "samples.png", pictures.samples(report))
    files.write_json(project.made("latency.json"), flat(report))


def check_shapes(model: Path, settings: Benchmark) -> None:
    """Refuse shapes that a model has no places for. Raises SettingsError naming the setting."""
    encoder.check_window(model, max(length for _, length in settings.shapes), "benchmark.shapes")


def check_answers(model: Path, settings: Benchmark) -> None:
    """As `check_shapes`, of a model that writes: each answer takes places, too."""
    longest = max(length for _, length in settings.shapes)
    room.check(model, longest, settings.new_tokens, "benchmark.shapes and benchmark.new_tokens")


def flat(report: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers for `dvc metrics diff`: what serves, then each variant at each shape."""
    variant = report["variant"]
    shape = tuple(report["serving_shape"])
    numbers: dict[str, Any] = {}
    for entry in report["timings"]:
        at = f"{entry['variant']}_{entry['batch']}x{entry['length']}"
        numbers[f"{at}_p50_ms"] = entry["p50_ms"]
        numbers[f"{at}_p95_ms"] = entry["p95_ms"]
        if entry["variant"] == variant and (entry["batch"], entry["length"]) == shape:
            serving = {key: entry[key] for key in SERVING if key in entry}
            numbers |= {f"serving_{key}": value for key, value in serving.items()}
    for name, used in report["memory"].items():
        numbers[f"{name}_memory_mb"] = used["mb"]
    numbers["serving_memory_mb"] = report["memory"][variant]["mb"]
    return numbers


def _contenders(project: Project, turn: Turn, settings: Benchmark, device: str) -> list[Contender]:
    """torch eager, each kept variant, and the base's package where the base is a version."""
    model = project.made("finetune") / "model"
    package = project.made("export") / "package"
    torch = TorchRunner(model, settings.threads, device, recipe=recipes.get(turn.recipe))
    found = [Contender("torch", torch, model)]
    for variant in sorted(files.read_json(package / "package.json")["variants"]):
        session = Session(package, variant, device, settings.threads)
        found.append(Contender(variant, session, package, variant))
    if turn.base.kind == "version":
        folder = project.version(turn.base.name)
        files.verify(folder, turn.base.sha256)
        session = Session(folder / "package", None, device, settings.threads)
        found.append(Contender("champion", session, folder / "package", session.variant))
    return found


def _agree(contenders: list[Contender], texts: list[list[str]], shape: tuple[int, int]) -> float:
    """fp32's largest logit difference from torch on the timed inputs. Raises ParityError."""
    runners = {one.name: one.runner for one in contenders}
    batch = inputs.batches(runners["fp32"].tokenizer, texts, *shape)[0]
    one_token = Evaluate.model_validate({"max_new_tokens": 1})
    fp32, torch = (First.of(runners[name], one_token) for name in ("fp32", "torch"))
    gap = parity.difference(fp32.predict(batch), torch.predict(batch))
    if not gap <= MAX_LOGIT_DIFFERENCE:
        raise ParityError(
            f"On {runners['fp32'].provider} the graph's logits differ from torch's by {gap:.3g}; "
            f"the limit is {MAX_LOGIT_DIFFERENCE:g}",
            where="turn/export/package/model.onnx",
            fix="set benchmark.provider to cpu, where export proved the graph",
        )
    return float(f"{gap:.1e}")


def _timings(
    contenders: list[Contender], texts: list[list[str]], settings: Benchmark
) -> list[dict[str, Any]]:
    found = []
    with Progress("benchmark", len(settings.shapes)) as progress:
        for batch, length in settings.shapes:
            runs = {one.name: _runs(one, texts, batch, length, settings) for one in contenders}
            # A budget rests on the serving shape alone.
            serves = (batch, length) == tuple(settings.serving_shape)
            least = settings.min_repeats if serves else min(settings.min_repeats, REPEATS)
            taken, why = timing.measure(runs, settings.seconds, least)
            for name, samples in taken.items():
                told, run = timing.summary(samples), runs[name]
                answers = isinstance(run, Answering)
                tokens = batch * (settings.new_tokens if answers else length)
                rate = 1000 * tokens / told.mean_ms
                found.append(
                    {
                        "variant": name,
                        "batch": batch,
                        "length": length,
                        "tokens": batch * length,
                        **asdict(told),
                        "tokens_per_s": round(rate, 1),
                        **(run.told(len(samples)) if isinstance(run, Answering) else {}),
                        "stopped": why,
                        "samples_ms": [round(sample, 4) for sample in samples],
                    }
                )
            progress.advance(note=f"{batch}x{length}")
    return found


def _runs(
    one: Contender, texts: list[list[str]], batch: int, length: int, settings: Benchmark
) -> timing.Contender:
    made = inputs.batches(one.runner.tokenizer, texts, batch, length)
    if one.runner.generates:
        return Answering(one.runner, made, settings.new_tokens)
    return lambda number: one.runner.predict(made[number % len(made)])


def _memory(
    project: Project, turn: Turn, contenders: list[Contender], settings: Benchmark, device: str
) -> dict[str, dict[str, Any]]:
    batch, length = settings.serving_shape
    return {
        one.name: {
            "mb": memory.peak_mb(
                memory.Ask(
                    kind="torch" if one.name == "torch" else "onnx",
                    folder=str(one.folder),
                    variant=one.variant,
                    provider=device,
                    threads=settings.threads,
                    recipe=turn.recipe,
                    texts=str(project.made("export") / "texts.json"),
                    batch=batch,
                    length=length,
                    new_tokens=settings.new_tokens,
                )
            ),
            "how": memory.HOW,
        }
        for one in contenders
    }


def _measured(
    timings: list[dict[str, Any]], used: dict[str, dict[str, Any]], settings: Benchmark
) -> list[Measured]:
    """The kept variants at the serving shape; torch and the champion are not to choose from."""
    return [
        Measured(
            variant=entry["variant"],
            p95_ms=entry["p95_ms"],
            low_ms=entry["p95_low_ms"],
            high_ms=entry["p95_high_ms"],
            memory_mb=used[entry["variant"]]["mb"],
        )
        for entry in timings
        if entry["variant"] in ("fp32", "int8")
        and (entry["batch"], entry["length"]) == tuple(settings.serving_shape)
    ]
