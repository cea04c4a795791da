"""Models with a head: read from a folder, and given a larger head where labels are new.

A head grows by rows: those of the base's labels stay as they are, to the bit, so that before any
training the old labels' logits are the base's (to the last bits that the machine's matrix product
gives for another number of columns).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onward.errors import DataError, IntegrityError, SettingsError
from onward.recipes.shapes import ExportSpec

SINGLE = "single_label_classification"
"""transformers' name of the problem whose answer is one label."""


@dataclass(frozen=True)
class Kind:
    """What a recipe's models are."""

    name: str
    """In messages."""
    auto: str
    """The class of transformers that loads one."""


READER = Kind("question-answering", "AutoModelForQuestionAnswering")
CLASSIFIER = Kind("classification", "AutoModelForSequenceClassification")
REGRESSOR = Kind("regression", "AutoModelForSequenceClassification")
CHOOSER = Kind("choice", "AutoModelForSequenceClassification")
TAGGER = Kind("tagging", "AutoModelForTokenClassification")
WRITER = Kind("causal language", "AutoModelForCausalLM")
TRANSLATOR = Kind("encoder-decoder", "AutoModelForSeq2SeqLM")

_DROPOUT = re.compile(r"dropout|_pdrop$")
"""What a rate is called: hidden_dropout_prob, seq_classif_dropout, resid_pdrop and a dozen more."""


def config(source: Path, spec: Mapping[str, Any]) -> Any:
    """The configuration of a model's folder; `dropout` of the spec replaces its own rates."""
    from transformers import AutoConfig

    try:
        found = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    except (ValueError, OSError) as error:
        raise _unreadable(source, "config.json", error) from error
    if spec.get("dropout") is not None:
        for name, rate in found.to_dict().items():
            # One that is None is another's; LayerDrop, which leaves out whole layers, is none.
            if _DROPOUT.search(name) and type(rate) in (int, float):
                setattr(found, name, float(spec["dropout"]))
    return found


def require(kind: Kind, described: Mapping[str, Any], name: str) -> None:
    """Refuse a model whose architecture is not of this kind.

    Args:
        kind: a recipe's constant KIND.
        described: the model's config.json: `model_type` and, of a decoder, `is_decoder`.
        name: the model's, for the message.

    Raises:
        SettingsError: naming both. An architecture that transformers does not know is left to what
            loads it.
    """
    import transformers

    model_type, known = described.get("model_type"), transformers.CONFIG_MAPPING
    if model_type not in known:
        return
    form, auto = known[model_type], getattr(transformers, kind.auto)
    # transformers has classes of a BERT and of a Marian's decoder that write on their own, which a
    # BERT and a Marian are not unless they say so.
    others = (transformers.AutoModelForMaskedLM, transformers.AutoModelForSeq2SeqLM)
    reads = any(form in each._model_mapping for each in others) and not described.get("is_decoder")
    if form not in auto._model_mapping or (kind is WRITER and reads):
        raise SettingsError(
            f"{name} holds a {model_type} model, which is none of the kind {kind.name}",
            where="params.yaml, project.encoder",
            fix=f"name the folder or package of a model of the kind {kind.name}",
        )


def load(kind: Kind, source: Path, config: Any, *, new_head: bool) -> Any:
    """A torch model in fp32 from a folder with safetensors; nothing is fetched or unpickled.

    Args:
        kind: of the model.
        source: an encoder or a trained model.
        config: what `config` gave.
        new_head: a head that the folder lacks is drawn from torch's global generator. So is the
            pooler that a head reads: its matrices are then named in the configuration, `drawn`.

    Raises:
        IntegrityError: weights are missing, or of another shape, and `new_head` is false.
        SettingsError: no model of this architecture is one of that kind.
    """
    import transformers

    require(kind, config.to_dict(), source.name)
    model, lacking = loaded(getattr(transformers, kind.auto), source, config)
    if lacking and not new_head:
        raise IntegrityError(
            f"The model lacks {len(lacking)} weights, first {lacking[0]}",
            where=str(source),
            fix=f"name the folder of a trained {kind.name} model, not of an encoder",
        )
    pooler = f"{model.base_model_prefix}.pooler."
    drawn = sorted({name.rpartition(".")[0] for name in lacking if name.startswith(pooler)})
    if drawn:  # kept with the model: a later turn moves it, too
        model.config.drawn = drawn
    return model


def loaded(auto: Any, source: Path, config: Any) -> tuple[Any, list[str]]:
    """A model as `load` has it, and the names of the weights that the folder lacks, sorted.

    Raises:
        IntegrityError: the weights are cut off or cannot be read.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        model, found = auto.from_pretrained(
            source,
            config=config,
            dtype="float32",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except (SafetensorError, OSError) as error:
        raise _unreadable(source, "weights", error) from error
    return model, sorted({*found["missing_keys"], *(each[0] for each in found["mismatched_keys"])})


def _unreadable(source: Path, part: str, error: Exception) -> IntegrityError:
    return IntegrityError(
        f"The {part} of {source.name} cannot be read: {' '.join(str(error).split())[:200]}",
        where=str(source),
        fix="copy the folder again, whole: config.json, safetensors; no pickle or code is opened",
    )


def classifier(source: Path, spec: Mapping[str, Any], problem: str) -> Any:
    """A model with one output a label, from an encoder or a model with fewer labels.

    Args:
        source: as `load`.
        spec: `dropout`; `new_head` (default true); `labels`, in the order of the outputs. Without
            `labels` the model has those of its folder.
        problem: transformers' problem_type, which chooses the loss.

    Raises:
        DataError: one of several labels is to be told, and there is only one.
        IntegrityError: `new_head` is false and the folder has no head, or one for labels with
            which `labels` do not begin.
    """
    own = config(source, spec)
    own.problem_type = problem
    labels = list(spec.get("labels") or _held(own))
    if problem == SINGLE and len(labels) < 2:
        raise DataError(
            f"All rows have one label, {labels[0]!r:.80}: there is nothing to tell apart",
            where=str(source),
            fix="open an episode with rows of a second label, or use the recipe multilabel",
        )
    return _labelled(CLASSIFIER, source, spec, own, labels)


def tagger(source: Path, spec: Mapping[str, Any]) -> Any:
    """A model with one output a label for each token. `spec` and errors as `classifier`.

    Raises:
        DataError: there is no label but that of tokens outside.
        IntegrityError: as `classifier`.
    """
    own = config(source, spec)
    labels = list(spec.get("labels") or _held(own))
    if len(labels) < 2:
        raise DataError(
            "No row has a tag: there is nothing to find",
            where=str(source),
            fix="open an episode whose rows have tags",
        )
    return _labelled(TAGGER, source, spec, own, labels)


def _held(config: Any) -> list[str]:
    return [config.id2label[at] for at in sorted(config.id2label)]


def _labelled(
    kind: Kind, source: Path, spec: Mapping[str, Any], own: Any, labels: Sequence[str]
) -> Any:
    """A model with these labels: those of the folder's head, if it has one, and new ones."""
    held = _held(own)
    if spec.get("new_head", True):
        return load(kind, source, _named(own, labels), new_head=True)
    if labels[: len(held)] != held:
        raise IntegrityError(
            f"The model's labels are {', '.join(held)[:200]}, with which those asked for, "
            f"{', '.join(labels)[:200]}, do not begin",
            where=str(source),
            fix="labels of a base keep their order; new ones come after them",
        )
    model = load(kind, source, own, new_head=False)
    return model if labels == held else _grown(kind, model, labels)


def regressor(source: Path, spec: Mapping[str, Any], kind: Kind = REGRESSOR) -> Any:
    """A model with one output, a number. `spec` and errors as `classifier`, without labels."""
    own = config(source, spec)
    own.problem_type = "regression"
    new_head = bool(spec.get("new_head", True))
    return load(kind, source, _named(own, ["value"]), new_head=new_head)


def _named(config: Any, labels: Sequence[str]) -> Any:
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: at for at, label in enumerate(labels)}
    return config


def _grown(kind: Kind, model: Any, labels: Sequence[str]) -> Any:
    """A model with more labels: drawn anew, then every weight of the old one put in its place.

    What has one row for each label keeps its first rows; all else keeps its shape.
    """
    from copy import deepcopy

    import torch
    import transformers

    auto = getattr(transformers, kind.auto)
    larger = auto.from_config(_named(deepcopy(model.config), labels), dtype=torch.float32)
    old = model.state_dict()
    with torch.no_grad():
        for name, weight in larger.state_dict().items():
            (weight[: len(old[name])] if weight.dim() else weight).copy_(old[name])
    return larger


def segments(config: Any) -> bool:
    """Whether a model tells the first of two texts from the second by the type of their tokens.

    RoBERTa has a table of one type, DeBERTa and DistilBERT have none.
    """
    return bool(getattr(config, "type_vocab_size", 0) > 1)


def graph(
    model: Any, outputs: tuple[str, ...], *, per_token: bool, per_label: bool = False
) -> ExportSpec:
    """The one graph of a model with a head: token ids and their mask in, `outputs` out."""
    typed = ("token_type_ids",) if segments(model.config) else ()
    inputs = ("input_ids", *typed, "attention_mask")
    return ExportSpec("model", inputs, outputs, per_token, per_label)
