"""One question, answered by the champion.

    ask(Project.find(), {"question": "Who wrote it?", "context": "Ada wrote it."}).text
    ask(Project.find(), {"text": "where is my card?"}).prediction["label"]

What is asked with depends on the project's recipe. The answer is a span of the context, one or
more of the champion's labels, or a number, and nothing else: what a text says cannot change who
answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onward import config, files, recipes
from onward.errors import ProviderError, UsageError
from onward.project import Project
from onward.registry import versions
from onward.registry.versions import Champion
from onward.runtime import asking
from onward.runtime.session import Session


@dataclass(frozen=True)
class Answer:
    """A prediction with what was asked and the version, variant and provider that gave it.

    `vocabulary` are all labels that the version can give, in their order; empty for recipes
    without labels. A later version has these and perhaps more. `cut` says that a part of the texts
    was not read, because they are longer than `window` tokens.
    """

    recipe: str
    inputs: dict[str, str | list[str]]
    prediction: dict[str, Any]
    vocabulary: tuple[str, ...]
    version: str
    variant: str
    provider: str
    cut: bool
    window: int

    @property
    def text(self) -> str:
        """The answer as people read it."""
        return str(self.prediction["text"])

    def to_json(self) -> dict[str, Any]:
        """recipe, inputs, the prediction's own fields, vocabulary, version, variant, provider, cut.

        The prediction's fields: text, probability, no_answer, n_best; start and end
        (extractive), label (classification), labels (multilabel), value
        (regression) or option (choice, its place).
        """
        return {
            **self.prediction,
            "recipe": self.recipe,
            "inputs": self.inputs,
            "vocabulary": list(self.vocabulary),
            "version": self.version,
            "variant": self.variant,
            "provider": self.provider,
            "cut": self.cut,
        }


def open_champion(project: Project, *, provider: str | None = None, threads: int = 2) -> Session:
    """A session on the champion's package, in the variant chosen when it was promoted.

    Raises:
        UsageError: nothing was promoted yet.
        ProviderError: it was promoted on CUDA, which cannot be used here.
        IntegrityError: a file of the version differs from what the pointer names.
        MissingFiles: the version is not on this machine.
    """
    return _session(_champion(project), provider, threads)


def _champion(project: Project) -> Champion:
    champion = versions.champion(project)
    if champion is None:
        raise UsageError(
            "Nothing serves yet: no version was promoted",
            where=str(project.champion),
            fix="`onward run` learns the open episodes and promotes what passes the gate",
        )
    return champion


def _session(champion: Champion, provider: str | None, threads: int) -> Session:
    named = files.read_json(champion.folder / files.MANIFEST)["files"]
    sealed = named[f"package/{files.MANIFEST}"]["sha256"]
    serving = files.read_json(champion.package / "serving.json")
    chosen = provider or serving.get("provider", "auto")
    try:
        return Session(champion.package, provider=chosen, threads=threads, manifest=sealed)
    except ProviderError as error:
        if provider is not None:
            raise
        raise ProviderError(
            error.what,
            where=f"{champion.version} was timed and promoted on {chosen}",
            fix="ask it where CUDA works, or set benchmark.provider to cpu and promote anew",
        ) from error


def ask(
    project: Project,
    inputs: Mapping[str, str | list[str]],
    *,
    provider: str | None = None,
    threads: int = 2,
) -> Answer:
    """Answer one row's texts.

    Args:
        project: whose champion.
        inputs: texts by the recipe's names: question and context, text and perhaps pair, or
            question and options.
        provider: auto, cpu or cuda; None takes what was chosen at promotion.
        threads: of one query on a CPU.

    Raises:
        UsageError: a text is missing, or the recipe knows none of its name; no champion.
    """
    recipe = config.read(project.params, config.Identity).recipe
    asking.row(recipes.get(recipe), inputs)  # before a model is loaded
    champion = _champion(project)
    session = _session(champion, provider, threads)
    return Answer(
        recipe=recipe,
        inputs=dict(inputs),
        prediction=session.answer(inputs),
        vocabulary=session.labels,
        version=champion.version,
        variant=session.variant,
        provider=session.provider,
        cut=session.cut(inputs),
        window=session.prepare.max_length,
    )
