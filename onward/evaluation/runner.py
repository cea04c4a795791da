"""A torch model as a Runner of the scorer, and the settings under which a candidate is scored.

runner = TorchRunner(folder / "model", threads=2)
prepare, evaluate = resolve(files.read_json(folder / "spec.json"), evaluate)
part = score(recipe, runner, rows_by_unit, tokenizer=runner.tokenizer, ...)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward import files, recipes
from onward.config import Evaluate, Prepare
from onward.errors import ProviderError
from onward.evaluation.torch_graphs import TorchGraphs
from onward.learning import encoder, models
from onward.recipes import extractive, generative
from onward.recipes.shapes import INPUTS, Feature
from onward.runtime import prompts
from onward.runtime.cache import Steps
from onward.runtime.generation import Rules, generate


def resolve(spec: Mapping[str, Any], evaluate: Evaluate) -> tuple[Prepare, Evaluate]:
    """How a candidate is encoded and decoded, wherever it is scored or serves.

    Args:
        spec: a candidate's spec.json: `max_length` and `stride` of the windows it was trained on,
            and `no_answer`, whether any row that it or its base learned from had no answer.
        evaluate: the project's settings; `no_answer` left open is filled in from the spec.
    """
    prepare = Prepare.model_validate({key: spec[key] for key in ("max_length", "stride")})
    if evaluate.no_answer is None:
        evaluate = evaluate.model_copy(update={"no_answer": bool(spec["no_answer"])})
    return prepare, evaluate


class TorchRunner:
    """A folder with config.json, model.safetensors and a tokenizer, run by torch in fp32."""

    def __init__(
        self,
        model_dir: Path,
        threads: int = 2,
        device: str = "auto",
        *,
        recipe: ModuleType = extractive,
    ) -> None:
        """Load the model.

        Args:
            model_dir: what `models.load` reads.
            threads: of torch, process-wide: sums differ in their last bits with their number.
            device: cpu, cuda, or auto: cuda where there is one.

        Raises:
            ProviderError: there is no such device here.
            IntegrityError: weights are missing, such as those of the head.
        """
        import torch

        found = torch.cuda.is_available()
        if device == "cuda" and not found:
            raise ProviderError(
                "CUDA was asked for and torch finds no GPU",
                where="device cuda",
                fix="use the device cpu; `onward doctor` says what is there",
            )
        self.device = ("cuda" if found else "cpu") if device == "auto" else device
        self.provider = "torch" if self.device == "cpu" else "torch-cuda"
        torch.set_num_threads(threads)
        self.artifact = fingerprint(model_dir)
        self.model = models.load(recipe, model_dir, {"new_head": False}).to(self.device).eval()
        self.graph = recipe.graphs(self.model)[0]
        self.generates = recipes.generates(recipe)
        self.labels: tuple[str, ...] = recipe.labels_of(model_dir)
        self.tokenizer = load_tokenizer(model_dir)

    def predict(
        self, batch: list[Feature], settings: Evaluate | None = None
    ) -> list[dict[str, NDArray[Any]]]:
        """The outputs of each feature of a batch.

        Args:
            batch: features with `input_ids` [T]; T may differ.
            settings: how a generating model answers; None: by the defaults of the block evaluate.

        Returns:
            For each feature its logits, [T], [T, C] or [C] each; of a generating recipe tokens
            int64 [n], logprobs float32 [n] and ended int64 [1], which
            `onward.recipes.generated.told` reads.
        """
        import torch

        if not batch:
            return []
        if self.generates:
            return self._generate(batch, settings or Evaluate.model_validate({}))
        arrays = pad(batch, self.tokenizer.pad_token_id or 0)
        inputs = {name: torch.from_numpy(a).to(self.device) for name, a in arrays.items()}
        with torch.inference_mode():
            made = self.model(**inputs)
        logits = {name: made[name].float().cpu().numpy() for name in self.graph.outputs}
        lengths = [len(feature["input_ids"]) if self.graph.per_token else None for feature in batch]
        return [
            {name: values[at, :length] for name, values in logits.items()}
            for at, length in enumerate(lengths)
        ]

    def steps(self, settings: Evaluate) -> Steps:
        """A generating model, ready to be given a batch."""
        graphs, plan = self._generating
        return Steps(graphs, plan, settings.max_new_tokens)

    @property
    def plan(self) -> generative.Plan:
        """What the loop has to know of a generating model."""
        return self._generating[1]

    @cached_property
    def _generating(self) -> tuple[TorchGraphs, generative.Plan]:
        return TorchGraphs(self.model, self.device), generative.plan(self.model)

    def _generate(self, batch: list[Feature], settings: Evaluate) -> list[dict[str, NDArray[Any]]]:
        steps = self.steps(settings)
        rules = Rules.of(settings, end=steps.plan.end, tokenizer=self.tokenizer)
        return generate(steps, batch, rules)


def load_tokenizer(model_dir: Path) -> Any:
    """The fast tokenizer of a model's folder; nothing is fetched or run from it."""
    found = encoder.tokenizer(model_dir)
    return prompts.attach(found, prompts.of_folder(model_dir), where=str(model_dir))


def pad(batch: list[Feature], pad_id: int) -> dict[str, NDArray[np.int64]]:
    """The inputs that the features have as int64 arrays [B, longest T], padded on the right."""
    longest = max(len(feature["input_ids"]) for feature in batch)
    arrays = {}
    for name in (name for name in INPUTS if name in batch[0]):
        fill = pad_id if name == "input_ids" else 0
        arrays[name] = np.full((len(batch), longest), fill, dtype=np.int64)
        for at, feature in enumerate(batch):
            arrays[name][at, : len(feature[name])] = feature[name]
    return arrays


def fingerprint(model_dir: Path) -> str:
    """The artifact's name in the ledger: sha256 over the names and bytes of a model's files."""
    return files.digest(
        {name: entry["sha256"] for name, entry in files.inventory(model_dir).items()}
    )
