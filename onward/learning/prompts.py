"""Prompt templates of a project, and what a candidate keeps of one.

A template is prompts/NAME.yaml, versioned like every file of a project, and `finetune.prompt` names
it. Its fields: `question` and `answer` (wordings), `take` (the mark before an answer), `shots`
(examples before a question) for the recipe chat; `label` (a wording with {label}) and
`descriptions` (label -> text) for classification. The candidate keeps all of it in prompt.json,
with the template's sha256, its examples and their embeddings; and the retriever that finds the
nearest ones as a graph, so that it serves where no model library is.

Examples are drawn from the rows that the turn trains on: held-out rows are never among them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from onward import files
from onward.config import Settings, parse
from onward.errors import MissingFiles, SettingsError
from onward.learning import encoder, models, pooled
from onward.learning.job import Job
from onward.learning.rows import sample
from onward.project import Project
from onward.recipes import heads, prompting
from onward.recipes.prompting import ANSWERING, ASKING
from onward.recipes.shapes import ExportSpec, Row
from onward.runtime import graph as graphs
from onward.runtime import prompts as served

WORDS = ("question", "answer", "take", "shots")
"""Keys of a template for a model that writes."""

LABELS = ("label", "descriptions")
"""Keys of one that tells labels by their names."""

_OPSET = 20
_KEPT = ("question", "context", "history", "references")


class Template(Settings):
    """A prompt template."""

    block: ClassVar[str] = "prompt"
    question: str = "{context}\n\n{question}"
    answer: str = "{answer}"
    take: str = ""
    shots: int = Field(0, ge=0, le=32)
    label: str = "{label}"
    descriptions: dict[str, str] = Field(default_factory=dict)

    @field_validator("question", "answer", "label")
    @classmethod
    def _known(cls, wording: str, info: Any) -> str:
        named = f"prompt.{info.field_name}"
        known = {"question": ASKING, "answer": ANSWERING, "label": {"label"}}[info.field_name]
        try:
            held = prompting.fields(wording)
        except ValueError as error:
            raise ValueError(f"{named} cannot be read: {error}") from error
        unknown = sorted(set(held) - known)
        if unknown:
            there = ", ".join(sorted(known))
            raise ValueError(f"{named} has an unknown field {unknown[0]!r}; there are: {there}")
        if info.field_name not in held:
            raise ValueError(f"{named} lacks the field {{{info.field_name}}}")
        return wording


def read(project: Project, name: str, keys: Sequence[str] = ()) -> tuple[Template, str]:
    """A template and the sha256 of its file; the plain one and "" where no name is given.

    Args:
        project: whose.
        name: `finetune.prompt`.
        keys: what a candidate is made of: WORDS or LABELS; of none, all may stand in the file.

    Raises:
        MissingFiles: there is no such file.
        SettingsError: it is not plain YAML, has an unknown key or field, or lacks one: which; or a
            key that would do nothing.
    """
    if not name:
        return Template.model_validate({}), ""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    file = project.prompt(name)
    if not file.is_file():
        known = sorted(one.stem for one in file.parent.glob("*.yaml"))
        raise MissingFiles(
            f"There is no prompt template {name!r}",
            where=str(file),
            fix=f"write it, or name one of {', '.join(known) or 'those in prompts/'}",
        )
    try:
        values = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8")) or {}
    except (YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{file.name} is not plain YAML: {' '.join(str(error).split())[:200]}",
            where=str(file),
            fix="plain keys and texts only; quote a text that holds a colon",
        ) from error
    template = parse(values, Template, where=str(file))
    idle = sorted(template.model_fields_set - set(keys or Template.model_fields))
    if idle:
        raise SettingsError(
            f"{file.name} says {idle[0]}, which a project of this recipe does not read",
            where=str(file),
            fix=f"of a template are read here: {', '.join(keys)}; name another in finetune.prompt",
        )
    return template, files.sha256(file)


def write(job: Job, folder: Path) -> None:
    """Write prompt.json and, with examples, the retriever into a model's folder.

    Raises:
        MissingFiles, SettingsError: as `read`, or the retriever is not on this machine.
    """
    template, sha256 = read(job.project, job.settings.prompt, WORDS)
    rows = _pool(job) if template.shots else []
    told: dict[str, Any] = {
        "schema": served.SCHEMA,
        "name": job.settings.prompt,
        "sha256": sha256,
        **template.model_dump(include=set(WORDS)),
        "retriever": "",
        "examples": rows,
        "embedded": "",
        "width": 0,
    }
    if rows:
        told["retriever"] = _retriever(job.settings.retriever, folder)
        found = served.Retriever.of(
            {name: (folder / name).read_bytes() for name in served.RETRIEVER}, where=str(folder)
        )
        embedded = found.embed([prompting.key(row) for row in rows])
        told["embedded"] = base64.b64encode(embedded.astype("<f4").tobytes()).decode()
        told["width"] = int(np.shape(embedded)[1])
    files.write_json(folder / served.NAME, told)


def described(folder: Path) -> dict[str, Any]:
    """What a candidate's spec says of the prompt in its model's folder; nothing without one."""
    if (folder / served.NAME).is_file():
        told = files.read_json(folder / served.NAME)
        about = {key: told[key] for key in ("name", "sha256", "shots", "retriever")}
        return {"prompt": {**about, "examples": len(told["examples"])}}
    prompt = models.describe(folder).get("prompt")
    return {} if prompt is None else {"prompt": prompt}


def _pool(job: Job) -> list[Row]:
    """The rows that examples are taken from: a draw by hash, so the same in every order."""
    drawn = sample(job.rows(), job.settings.prompt_rows, job.draw)
    return [{name: row[name] for name in _KEPT} for _, row in drawn]


def _retriever(name: str, folder: Path) -> str:
    """Write the encoder that finds near examples as a graph; returns its fingerprint."""
    source = encoder.locate(name)
    model = embedder(pooled.encoder(source))
    inputs = tuple(model.names)
    spec = ExportSpec("retriever", inputs, ("embedding",), per_token=False)
    graph = graphs.export(model, spec, opset=_OPSET)
    for file, data in zip(
        served.RETRIEVER, (graph.model, (source / "tokenizer.json").read_bytes()), strict=True
    ):
        files.write_bytes(folder / file, data)
    return encoder.fingerprint(source)


def embedder(model: Any) -> Any:
    """A module from token ids and their mask to mean-pooled embeddings [B, D] of length one."""
    import torch

    segments = heads.segments(model.config)

    class Embedder(torch.nn.Module):
        names = ("input_ids", *(("token_type_ids",) if segments else ()), "attention_mask")

        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.config = model, model.config

        def forward(
            self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None, **_: Any
        ) -> dict[str, Any]:
            inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
            if token_type_ids is not None:
                inputs["token_type_ids"] = token_type_ids
            hidden = self.encoder(**inputs).last_hidden_state
            return {"embedding": pooled.mean(hidden, attention_mask)}

    return Embedder().eval()
