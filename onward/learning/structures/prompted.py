"""A candidate without training: a prompt for a model that writes, or labels told by their names.

For a model that writes, the base's weights stand as they are, and prompt.json beside them says how
a question is put: see onward/learning/prompts.py.

For classification, a text's label is the one whose name (or description) has the embedding nearest
to the text's (zero-shot classification as in Yin et al. 2019, by sentence embeddings as in Reimers
and Gurevych 2019). That is a closed-form head: with the projection [I, -I] the features are the
positive and the negative part of an embedding, and with the columns [L, -L], L a label's embedding,
a logit is their cosine over TEMPERATURE. So it is stored, exported and served as one.

What this does not cover: how sure the labels are; TEMPERATURE is fitted to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from onward.errors import SettingsError
from onward.learning import closed_form, models, pooled, prompts, tunings
from onward.learning.curves import Course
from onward.learning.features import Features
from onward.learning.job import Job
from onward.learning.remember import describe
from onward.learning.structures.analytic import require_labels
from onward.learning.trainer import Trained
from onward.recipes import prompting

TEMPERATURE = 0.05

_COURSE = Course(every=1, points=[[0, 0.0]], last=0.0)


def fit(job: Job) -> Trained:
    """The base with the prompt that `finetune.prompt` names.

    Raises:
        MissingFiles, SettingsError: the template or its retriever is not there or not usable.
        DataError: all rows have one label.
    """
    return _labelled(job) if job.labels else _asked(job)


def _asked(job: Job) -> Trained:
    models.require_single(job.source)
    prompts.read(job.project, job.settings.prompt, prompts.WORDS)  # before a model is loaded
    model = job.build().eval()
    sizes = tunings.sizes(model) | {"trainable": 0}
    return Trained(model, _COURSE, 0, 0, "fp32", sizes, save=partial(_save, job, model))


def _save(job: Job, model: Any, folder: Path) -> None:
    models.save(model, job.source, folder)
    prompts.write(job, folder)


def _labelled(job: Job) -> Trained:
    import torch

    require_labels(job)
    models.require_no_parts(job.source)
    template, sha256 = prompts.read(job.project, job.settings.prompt, prompts.LABELS)
    encoder = pooled.encoder(job.source)
    texts = label_texts(template, job.labels)
    embedded = _embedded(job, encoder, texts) / TEMPERATURE
    one = torch.eye(encoder.config.hidden_size)
    both = torch.cat([one, -one], dim=1)
    columns = torch.cat([embedded, -embedded], dim=1).T.contiguous()
    model = closed_form.assemble(encoder, both, columns, job.labels)
    about = {"similarity": True, "prompt": {"name": job.settings.prompt, "sha256": sha256}}
    every = sum(tensor.numel() for tensor in model.state_dict().values())
    return Trained(
        model,
        _COURSE,
        0,
        0,
        "fp32",
        {"parameters": every, "trainable": 0},
        save=lambda folder: closed_form.save(model, job.source, folder, about),
    )


def label_texts(template: prompts.Template, labels: Sequence[str]) -> list[str]:
    """The text of each label: its description, or its name in the template's wording.

    >>> label_texts(prompts.Template(label="About {label}."), ["card_arrival"])
    ['About card arrival.']

    Raises:
        SettingsError: a description is of a label that there is not.
    """
    unknown = sorted(set(template.descriptions) - set(labels))
    if unknown:
        raise SettingsError(
            f"The template describes {unknown[0]!r:.80}, which is none of the labels",
            where="descriptions of the prompt template",
            fix=f"labels are {', '.join(labels)[:300]}",
        )
    return [
        template.descriptions.get(label)
        or prompting.worded(template.label, label=label.replace("_", " "))
        for label in labels
    ]


def _embedded(job: Job, encoder: Any, texts: Sequence[str]) -> Any:
    """Embeddings of label texts, [C, D], read as the rows' texts are."""
    import numpy as np

    window = int(job.prepared.manifest["window"]["max_length"])
    tokenizer = job.tokenizer()
    encoded = tokenizer(list(texts), truncation=True, max_length=window)["input_ids"]
    ends = np.cumsum([0, *(len(tokens) for tokens in encoded)])
    flat = np.concatenate([np.asarray(tokens) for tokens in encoded])
    data = Features({"row": np.arange(len(texts))}, {"input_ids": (flat, ends)})
    return pooled.embed(encoder, data, job.collate(), job.settings.threads)


def remember(job: Job, trained: Trained, folder: Path) -> None:
    """Nothing was learned, so no row is kept; the memory says which episodes it is of."""
    describe(job, [], folder)
