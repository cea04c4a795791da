"""The stage `export`: the candidate becomes a package of ONNX variants that answer as it does.

    turn/export/package/        what serves; see onward/runtime/package.py
    turn/export/ledger.parquet  every held-out row answered by each kept variant
    turn/export/report.json     parity, attention fused, each int8 scheme tried and why (not) kept
    turn/export/texts.json      held-out rows' texts that the benchmark times
    turn/export/manifest.json

The fp32 graph must give torch's logits and torch's score on every unit, or the stage fails. An
int8 graph is a bonus: of a few schemes, the first whose loss is shown to lie within
`export.int8_max_loss` is kept. Everything runs on the CPU, so that equal inputs give equal bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from onward import config, files, recipes
from onward.config import Evaluate, Export, Prepare
from onward.episodes import turn as turns
from onward.episodes.turn import Turn
from onward.errors import ExportError, IntegrityError
from onward.evaluation.ledger import LedgerPart, read_parts, write_parts
from onward.evaluation.runner import TorchRunner, fingerprint, resolve
from onward.evaluation.scorer import score
from onward.learning import encoder, models, routed
from onward.project import Project
from onward.recipes.shapes import INPUTS, Feature, Row
from onward.runtime import graph as graphs
from onward.runtime import package, parity, prompts, switchable
from onward.runtime.generation import First
from onward.runtime.graph import Graph
from onward.runtime.int8 import Int8
from onward.runtime.int8 import search as search_int8
from onward.runtime.package import Package
from onward.runtime.probes import probes, texts
from onward.runtime.session import Session

SCHEMA = 1

COMPARED = 20
"""Rows whose tokens are compared: so many of the first, and so many of those with most windows."""


@dataclass(frozen=True)
class Job:
    """What a variant is scored with."""

    project: Project
    turn: Turn
    recipe: ModuleType
    rows: dict[str, list[Row]]
    labels: tuple[str, ...]
    prepare: Prepare
    evaluate: Evaluate
    threads: int

    def session(self, made: Package) -> Session:
        """The package on the CPU."""
        return Session(made, provider="cpu", threads=self.threads)

    def score(self, session: Session, label: str) -> LedgerPart:
        """Every held-out row, by the scorer that torch was scored with."""
        return score(
            self.recipe,
            session,
            self.rows,
            tokenizer=session.tokenizer,
            prepare=self.prepare,
            evaluate=self.evaluate,
            cache=self.project.cache / "ledger",
            label=label,
        )


def run(project: Project) -> None:
    """Export turn/finetune/model into turn/export.

    Raises:
        IntegrityError, MissingFiles: an episode, the candidate or its ledger is not what the turn
            and the manifests name.
        ExportError: the graph's attention was not fused, it needs more than one file, or the
            package's tokenizer encodes differently.
        ParityError: the fp32 graph does not answer as torch does; nothing is written.
    """
    turn = Turn.read(project)
    made = project.made("finetune")
    turns.check(project, turn)
    settings = config.read(project.params, Export)
    files.verify(made)
    files.verify(project.made("evaluate"))
    recipe = recipes.get(turn.recipe)
    spec = files.read_json(made / "spec.json")
    prepare, evaluate = resolve(spec, config.read(project.params, Evaluate))
    units = sorted({*turn.known_episodes, *turn.learning_episodes})
    rows = {unit: turns.rows(project, unit, "heldout") for unit in units}
    labels = tuple(spec.get("labels", ()))
    job = Job(project, turn, recipe, rows, labels, prepare, evaluate, settings.threads)
    torch = TorchRunner(made / "model", settings.threads, "cpu", recipe=recipe)
    _write(job, settings, torch, _exported(made / "model", recipe, torch, settings.opset))


@dataclass(frozen=True)
class Exported:
    """The graphs of a candidate."""

    graph: Graph
    parts: dict[str, Graph]
    """Further ones by their names."""
    switched: dict[str, bytes]
    """Of a model of adapters: the router and the adapters, as parts of the package."""
    about: dict[str, Any]
    """What package.json says of them."""


def _exported(folder: Path, recipe: ModuleType, torch: TorchRunner, opset: int) -> Exported:
    main, *others = specs = recipe.graphs(torch.model)
    if models.kind(folder) == "adapters":
        made = switchable.export(torch.model, main, opset=opset)
        named = routed.adapters_of(folder)
        about = [{"episode": each.episode, "labels": list(each.labels)} for each in named]
        own = {f"adapter-{n}": data for n, data in enumerate(made.adapters, start=1)}
        _say(f"export: {len(own)} adapters, switched in one graph")
        found = Exported(made.graph, {}, {package.ROUTER: made.router, **own}, {"adapters": about})
    else:
        traced = []
        for n, spec in enumerate(specs, start=1):
            which = f"making graph {n} of {len(specs)}, {spec.name}"
            _say(f"export: {which}; a large model takes minutes")
            traced.append(graphs.export(torch.model, spec, opset=opset))
        parts = {spec.name: part for spec, part in zip(others, traced[1:], strict=True)}
        found = Exported(traced[0], parts, {}, {})
    for name, one in {main.name: found.graph, **found.parts}.items():
        fused = f"{one.attention_fused} of {one.layers} attention layers fused"
        _say(f"export: {name}: {fused}" if found.parts else f"export: {fused}")
    return found


def _write(job: Job, settings: Export, torch: TorchRunner, exported: Exported) -> None:
    made, graph, parts = job.project.made("finetune"), exported.graph, exported.parts
    plain = _package(job, torch, graph, tokenizer_files(made / "model"))
    fp32 = replace(
        plain,
        spec={**plain.spec, **exported.about},
        parts={name: part.model for name, part in parts.items()} | exported.switched,
    )
    session = job.session(fp32)
    measured, part = _parity(job, settings, torch, session)
    kept = {"fp32": (session, part)}
    int8 = Int8()
    if exported.switched:
        int8 = Int8(left_out="adapters are switched in fp32: their matrices are no weights of it")
    elif settings.int8:
        int8 = search_int8(job, settings, graph, parts, fp32, part)
    if int8.session is not None and int8.part is not None:
        kept["int8"] = (int8.session, int8.part)
    sessions = {name: session for name, (session, _) in kept.items()}
    report = {
        "schema": SCHEMA,
        "turn": job.turn.id,
        "candidate": files.sha256(made / files.MANIFEST),
        "variants": sorted(kept),
        "provider": session.provider,
        "graph": graph_report(graph),
        **({"parts": {name: graph_report(made) for name, made in parts.items()}} if parts else {}),
        "parity": measured,
        "int8": int8.report(settings),
    }
    with files.building(job.project.made("export"), replace=True, turn=job.turn.id) as folder:
        write_package(folder / "package", sessions, graph, probes(job.recipe, job.rows, sessions))
        write_parts(folder / "ledger.parquet", [part for _, part in kept.values()])
        files.write_json(folder / "texts.json", texts(job.recipe, job.rows))
        files.write_json(folder / "report.json", report)


def _parity(
    job: Job, settings: Export, torch: TorchRunner, session: Session
) -> tuple[dict[str, Any], LedgerPart]:
    rows = [row for unit in sorted(job.rows) for row in job.rows[unit]]
    features = job.recipe.encode(rows, session.tokenizer, job.prepare, labels=None)
    some = _telling(features)
    theirs = job.recipe.encode([rows[n] for n in some], torch.tokenizer, job.prepare, labels=None)
    _same_tokens(theirs, [feature for n in some for feature in some[n]])
    batches = parity.sample(features)
    limit = settings.max_logit_difference
    ours, theirs = (First.of(runner, job.evaluate) for runner in (session, torch))
    worst = parity.logits(ours, theirs, batches, limit)
    _say(f"export: logits within {worst:.1e} of torch's on {len(batches)} batches")
    part, scored = job.score(session, "score fp32"), torch_part(job.project)
    generated = _generated(job, settings, session, torch, batches, (part, scored))
    scores = parity.scores(job.recipe, part, scored)
    parity.require(scores, settings.max_score_difference)
    lengths = [len(feature["input_ids"]) for batch in batches for feature in batch]
    measured = {
        # Its last digits may differ between machines, and nothing is decided by them.
        "logit_difference": float(f"{worst:.1e}"),
        "logit_limit": settings.max_logit_difference,
        "logit_batches": len(batches),
        "logit_lengths": [min(lengths), max(lengths)],
        "score_limit": settings.max_score_difference,
        "units": [one.to_json() for one in scores],
        **generated,
    }
    return measured, part


def _generated(
    job: Job,
    settings: Export,
    session: Session,
    torch: TorchRunner,
    batches: Sequence[list[Feature]],
    parts: tuple[LedgerPart, LedgerPart],
) -> dict[str, Any]:
    """Tokens compared one by one: of every held-out row where decoding is greedy.

    Drawn tokens may turn on the last bits of a probability, so then the sample is compared, decoded
    greedily.
    """
    if not session.generates:
        return {}
    if job.evaluate.temperature == 0:
        pairs = parity.generations(*parts)
    else:
        greedy = job.evaluate.model_copy(update={"temperature": 0.0})
        pairs = [
            (f"batch {at}", ours, theirs)
            for at, batch in enumerate(batches)
            for ours, theirs in zip(
                session.predict(batch, greedy), torch.predict(batch, greedy), strict=True
            )
        ]
    found = parity.tokens(pairs, settings.max_logit_difference)
    _say(f"export: {found['equal']} of {found['rows']} generations equal torch's token for token")
    return {"generated": found}


def _telling(features: Sequence[Feature]) -> dict[int, list[Feature]]:
    """The windows of some rows, by the row's number: the first ones and those with most windows."""
    every: dict[int, list[Feature]] = {}
    for feature in features:
        every.setdefault(feature["row"], []).append(feature)
    longest = sorted(every, key=lambda row: -len(every[row]))
    return {row: every[row] for row in sorted({*sorted(every)[:COMPARED], *longest[:COMPARED]})}


def _same_tokens(theirs: Sequence[Feature], ours: Sequence[Feature]) -> None:
    """The package's tokenizer is loaded without the model library's classes: it must not differ.

    An input that is not there is as good as zeros, which is what a model takes for it.
    """
    nothing: Feature = {"input_ids": []}
    for one, other in zip_longest(theirs, ours, fillvalue=nothing):
        none = np.zeros(len(one["input_ids"]), dtype=np.int64)
        if any(list(one.get(name, none)) != list(other.get(name, none)) for name in INPUTS):
            raise ExportError(
                "The package's tokenizer encodes differently from the model's own",
                where="turn/finetune/model/tokenizer.json",
                fix="this tokenizer needs code of its own; choose an encoder whose tokenizer.json "
                "says all",
                details={"model": list(one["input_ids"]), "package": list(other["input_ids"])},
            )


def torch_part(project: Project) -> LedgerPart:
    """The candidate's rows as torch answered them in turn/evaluate.

    Raises:
        IntegrityError: evaluate scored another candidate.
    """
    made = project.made("finetune")
    named = {fingerprint(made / "model"), files.sha256(made / files.MANIFEST)}
    path = project.made("evaluate") / "ledger.parquet"
    for part in read_parts(path):
        if part.artifact in named and part.provider.startswith("torch"):
            return part
    raise IntegrityError(
        "turn/evaluate was not made from the candidate in turn/finetune",
        where=str(path),
        fix="`dvc repro` (or `onward run`) makes it anew",
    )


def tokenizer_files(model: Path) -> dict[str, bytes]:
    """The bytes of a model folder's fast tokenizer, its chat template in its configuration.

    So are the marks that it pads and ends with, where its class or another file says what they are:
    what serves picks no class. A folder without a configuration gets one that says these. Those of
    a prompt are among them.

    Raises:
        ExportError: it has none.
    """
    there = [name for name in package.TOKENIZER if (model / name).is_file()]
    found = {name: (model / name).read_bytes() for name in there}
    if "tokenizer.json" not in found:
        raise ExportError(
            "The model has no fast tokenizer: tokenizer.json is missing",
            where=str(model),
            fix="choose an encoder whose folder holds tokenizer.json",
        )
    configured = "tokenizer_config.json" in found
    named = files.read_json(model / "tokenizer_config.json") if configured else {}
    own = encoder.tokenizer(model)
    marks = {mark: getattr(own, mark) for mark in package.MARKS if named.get(mark) is None}
    lacking: dict[str, Any] = {m: str(value) for m, value in marks.items() if value is not None}
    if "model_input_names" not in named and not {*INPUTS} <= {*own.model_input_names}:
        lacking["model_input_names"] = list(own.model_input_names)
    if (model / package.TEMPLATE).is_file():
        lacking["chat_template"] = (model / package.TEMPLATE).read_text(encoding="utf-8")
    if lacking or not configured:
        found["tokenizer_config.json"] = files.canonical({**named, **lacking})
    return found | prompts.of_folder(model)


def _package(job: Job, torch: TorchRunner, graph: Graph, tokenizer: dict[str, bytes]) -> Package:
    generates = recipes.generates(job.recipe)
    spec = {
        "schema": package.SCHEMA,
        "recipe": job.turn.recipe,
        "inputs": [name for name in graph.inputs if name in INPUTS],
        "outputs": list(graph.outputs),
        "encoding": job.prepare.model_dump(include={"max_length", "stride"}),
        "decoding": job.evaluate.model_dump(),
        "no_answer": bool(job.evaluate.no_answer),
        **({"labels": list(job.labels)} if job.labels else {}),
        **({"generation": torch.plan.to_json()} if generates else {}),
    }
    return Package("fp32", graph.model, tokenizer, spec)


def write_package(
    folder: Path, sessions: dict[str, Session], graph: Graph, asked: list[dict[str, Any]]
) -> None:
    """Write and seal a package of the sessions' variants."""
    variants: dict[str, dict[str, Any]] = {}
    for name, session in sessions.items():
        data = session.package.model
        files.write_bytes(folder / package.MODELS[name], data)
        variants[name] = {
            "file": package.MODELS[name],
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "artifact": session.artifact,
            "attention_fused": graph.attention_fused,
        }
        parts = session.package.parts
        for part, data in parts.items():
            files.write_bytes(folder / package.part_file(name, part), data)
        if parts:
            variants[name]["parts"] = sorted(parts)
            variants[name]["bytes"] += sum(map(len, parts.values()))
    fp32 = sessions["fp32"].package
    for file, data in fp32.tokenizer.items():
        files.write_bytes(folder / file, data)
    files.write_json(folder / package.SPEC, {**fp32.spec, "variants": variants, "probes": asked})
    files.seal(folder)


def graph_report(graph: Graph) -> dict[str, Any]:
    """What became of the attention."""
    return {
        "architecture": graph.architecture,
        "attention_fused": graph.attention_fused,
        "layers": graph.layers,
        "fusion_required": graph.fusion_known,
        "nodes": graph.nodes,
        "bytes": len(graph.model),
    }


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a stage's log is its standard output
