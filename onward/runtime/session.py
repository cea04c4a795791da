"""A package, loaded by ONNX Runtime: it predicts batches of features and answers questions.

    session = Session(folder)                  # verified, then loaded from the same bytes
    session.answer({"question": "Who wrote it?", "context": "Ada wrote it."})["text"]

A `Session` is a Runner of the scorer, so what is scored is what serves. Starting one imports
neither torch nor a model library, except where CUDA is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onward import recipes
from onward.config import Evaluate, Prepare, parse
from onward.errors import IntegrityError
from onward.recipes.generative import Plan
from onward.runtime import asking, prompts, providers, switched
from onward.runtime import package as packages
from onward.runtime.cache import Steps
from onward.runtime.generation import Pieces, Rules, generate, stream
from onward.runtime.onnx_graphs import OnnxGraphs
from onward.runtime.package import Package


class Session:
    """One variant of a package on one execution provider. A Runner."""

    def __init__(
        self,
        package: Path | Package,
        variant: str | None = None,
        provider: str = "auto",
        threads: int = 2,
        verify: bool = True,
        manifest: str | None = None,
    ) -> None:
        """Check a package, then load it.

        Args:
            package: its folder, or one already read.
            variant: fp32 or int8; None takes the package's serving choice, else fp32.
            provider: auto (CUDA where it works, else CPU), cpu or cuda.
            threads: of one query on a CPU.
            verify: compare every file with the manifest first.
            manifest: the sha256 that the package's manifest must have.

        Raises:
            IntegrityError, MissingFiles: the package is not what was sealed.
            ProviderError: CUDA was asked for and cannot be used; never a silent fallback.
        """
        read = isinstance(package, Path)
        if isinstance(package, Path):
            package = packages.read(package, variant, verify=verify, manifest=manifest)
        self.variant, self.threads, self.artifact = package.variant, threads, package.artifact
        self._runtime, self.device = _load(package.model, provider, threads, package.where)
        self._parts = {
            name: _load(data, provider, threads, package.where)[0]
            for name, data in package.parts.items()
            if not packages.is_adapter(name)
        }
        if "adapters" in package.spec:
            router = self._parts.pop(packages.ROUTER)
            self._runtime = switched.assemble(package, self._runtime, router)
        self.provider = f"onnx-{self.device}"
        # The runtime has its own copy of the weights now; one that serves keeps no second.
        self.package = replace(package, model=b"", parts={}) if read else package
        self.prepare = parse(package.spec["encoding"], Prepare, where=package.where)
        self.evaluate = parse(package.spec["decoding"], Evaluate, where=package.where)
        self._recipe = recipes.get(package.spec["recipe"])
        self.generates = "generation" in package.spec
        self.labels = tuple(package.spec.get("labels", ()))
        self.tokenizer = tokenizer(package)
        # Something of each token where the second size is left open, else of the whole text.
        self._outputs = {
            o.name: not isinstance(o.shape[1], int) for o in self._runtime.get_outputs()
        }
        self._inputs = [(i.name, i.type == "tensor(int32)") for i in self._runtime.get_inputs()]

    def predict(
        self, batch: list[dict[str, Any]], settings: Evaluate | None = None
    ) -> list[dict[str, np.ndarray]]:
        """The outputs of each feature, without padding.

        Args:
            batch: features with `input_ids` [T] (T may differ), `attention_mask`, and
                `token_type_ids` where the tokenizer makes them.
            settings: how a generating model answers; None: as the package says.

        Returns:
            For each feature its outputs by name, float32: [T] or [T, C] where the graph says
            something of each token, else [C]. Of a generating recipe tokens int64 [n], logprobs
            float32 [n] and ended int64 [1].
        """
        if not batch:
            return []
        if self.generates:
            return self._generate(batch, settings or self.evaluate)
        made = self._runtime.run(list(self._outputs), self.feeds(batch))
        found = [(name, self._outputs[name], made[n]) for n, name in enumerate(self._outputs)]
        lengths = [len(feature["input_ids"]) for feature in batch]
        return [
            {
                name: values[at, :length] if per_token else values[at]
                for name, per_token, values in found
            }
            for at, length in enumerate(lengths)
        ]

    def feeds(self, batch: list[dict[str, Any]]) -> dict[str, np.ndarray]:
        """The graph's inputs [B, longest T], padded on the right."""
        arrays = pad(batch, [name for name, _ in self._inputs], self.tokenizer.pad_token_id or 0)
        return {
            name: arrays[name].astype(np.int32) if short else arrays[name]
            for name, short in self._inputs
        }

    def steps(self, settings: Evaluate) -> Steps:
        """A generating model, ready to be given a batch."""
        plan = Plan.from_json(self.package.spec["generation"])
        graphs = OnnxGraphs({plan.main: self._runtime, **self._parts})
        return Steps(graphs, plan, settings.max_new_tokens)

    def stream(self, inputs: Mapping[str, str | list[str]]) -> Pieces:
        """The text of a generated answer, piece by piece as it comes; errors as of `answer`."""
        row = asking.row(self._recipe, inputs)
        (feature,) = self._recipe.encode([row], self.tokenizer, self.prepare, labels=None)
        steps = self.steps(self.evaluate)
        rules = Rules.of(self.evaluate, end=steps.plan.end, tokenizer=self.tokenizer)
        return (yield from stream(steps, feature, rules))

    def _generate(
        self, batch: list[dict[str, Any]], settings: Evaluate
    ) -> list[dict[str, np.ndarray]]:
        steps = self.steps(settings)
        rules = Rules.of(settings, end=steps.plan.end, tokenizer=self.tokenizer)
        return generate(steps, batch, rules)

    def answer(self, inputs: Mapping[str, str | list[str]]) -> dict[str, Any]:
        """The prediction for one row's texts, by the scorer's own code path.

        Args:
            inputs: texts by the recipe's names, such as {"question", "context"} or {"text"}.

        Returns:
            {text, probability, no_answer, n_best} and what the recipe adds: start and end, label,
            labels or value.

        Raises:
            UsageError: the texts are not those of the recipe.
        """
        row = asking.row(self._recipe, inputs)
        features = self._recipe.encode([row], self.tokenizer, self.prepare, labels=None)
        outputs: list[dict[str, np.ndarray]] = []
        for at in range(0, len(features), self.evaluate.batch_size):
            outputs += self.predict(features[at : at + self.evaluate.batch_size])
        made = self._recipe.decode(
            [row], features, outputs, self.evaluate, self.labels, tokenizer=self.tokenizer
        )
        found: dict[str, Any] = next(iter(made))
        return found

    def cut(self, inputs: Mapping[str, str | list[str]]) -> bool:
        """Whether a part of these texts is not read: they are longer than the window.

        Raises:
            UsageError: as `answer`.
        """
        row = asking.row(self._recipe, inputs)
        return bool(self._recipe.inputs_cut([row], self.tokenizer, self.prepare))


def pad(batch: list[dict[str, Any]], names: list[str], pad_id: int) -> dict[str, np.ndarray]:
    """Right-padded int64 arrays [B, longest T]; an input that no feature has is zeros."""
    longest = max(len(feature["input_ids"]) for feature in batch)
    arrays = {}
    for name in names:
        fill = pad_id if name == "input_ids" else 0
        array = np.full((len(batch), longest), fill, dtype=np.int64)
        for row, feature in enumerate(batch):
            if name in feature:
                array[row, : len(feature[name])] = feature[name]
        arrays[name] = array
    return arrays


def tokenizer(package: Package) -> Any:
    """A fast tokenizer from the checked bytes; `transformers` picks no class and runs no code."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    config = json.loads(package.tokenizer["tokenizer_config.json"])
    named = {mark: _content(config.get(mark)) for mark in packages.MARKS}
    try:
        fast = Tokenizer.from_str(package.tokenizer["tokenizer.json"].decode())
    except Exception as error:  # the Rust side raises a bare Exception
        raise IntegrityError(
            f"tokenizer.json is not a tokenizer: {error}",
            where=package.where,
            fix="export again, or `onward repair`",
        ) from error
    found = PreTrainedTokenizerFast(
        tokenizer_object=fast,
        model_input_names=_made(config, package.spec["inputs"]),
        padding_side="right",
        truncation_side="right",
        model_max_length=int(1e9),  # the recipe cuts; a warning of long texts would mislead
        chat_template=config.get("chat_template"),
        clean_up_tokenization_spaces=config.get("clean_up_tokenization_spaces"),
        **{key: value for key, value in named.items() if value is not None},
    )
    return prompts.attach(found, package.tokenizer, where=package.where)


def _made(config: Mapping[str, Any], inputs: list[str]) -> list[str]:
    """The inputs that the model's own tokenizer makes; what it does not make is zeros for both.

    A tokenizer of XLM-R's kind before a BERT names no token types. Asked for them all the same it
    gives later windows of a long text a type that the model never learned.
    """
    named = config.get("model_input_names")
    return [name for name in inputs if named is None or name in named]


def _content(value: Any) -> str | None:
    return value.get("content") if isinstance(value, dict) else value


def _load(model: bytes, provider: str, threads: int, where: str) -> tuple[Any, str]:
    import onnxruntime

    device = providers.pick(provider)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        runtime = onnxruntime.InferenceSession(model, options, providers=providers.names(device))
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise IntegrityError(
            f"ONNX Runtime cannot load the graph: {str(error)[:300]}",
            where=where,
            fix="export again with the installed versions; `onward doctor` prints them",
        ) from error
    runtime.disable_fallback()
    return runtime, providers.confirm(provider, runtime.get_providers())
