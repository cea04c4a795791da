"""One question, answered by the champion from a given context.

    ask(Project.find(), "Who wrote it?", "Ada wrote it.").text

The answer is a span of the context and nothing else, so what a context says cannot change who
answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onward import files
from onward.errors import UsageError
from onward.project import Project
from onward.registry import versions
from onward.runtime.session import Session


@dataclass(frozen=True)
class Answer:
    """An answer with the version, variant and provider that gave it."""

    text: str
    start: int
    end: int
    probability: float
    no_answer: bool
    n_best: list[dict[str, Any]]
    version: str
    variant: str
    provider: str


def open_champion(project: Project, *, provider: str | None = None, threads: int = 2) -> Session:
    """A session on the champion's package, in the variant chosen when it was promoted.

    Raises:
        UsageError: nothing was promoted yet.
        IntegrityError: a file of the version differs from what the pointer names.
        MissingFiles: the version is not on this machine.
    """
    champion = versions.champion(project)
    if champion is None:
        raise UsageError(
            "Nothing serves yet: no version was promoted",
            where=str(project.champion),
            fix="`onward run` learns the open episodes and promotes what passes the gate",
        )
    named = files.read_json(champion.folder / files.MANIFEST)["files"]
    sealed = named[f"package/{files.MANIFEST}"]["sha256"]
    serving = files.read_json(champion.package / "serving.json")
    return Session(
        champion.package,
        provider=provider or serving.get("provider", "auto"),
        threads=threads,
        manifest=sealed,
    )


def ask(
    project: Project,
    question: str,
    context: str | None,
    *,
    provider: str | None = None,
    threads: int = 2,
) -> Answer:
    """Answer one question about one context.

    Raises:
        UsageError: no question, no context, or no champion.
    """
    if not question.strip():
        raise UsageError("The question is empty", where="question", fix="ask something")
    if context is None or not context.strip():
        raise UsageError(
            "There is no context to answer from",
            where="context",
            fix="give --context TEXT or --context FILE: the answer is a span of it",
        )
    pointer = versions.pointer(project)
    session = open_champion(project, provider=provider, threads=threads)
    found = session.answer(question, context)
    return Answer(
        text=found["text"],
        start=found["start"],
        end=found["end"],
        probability=found["probability"],
        no_answer=found["no_answer"],
        n_best=found["n_best"],
        version=pointer.version if pointer else "",
        variant=session.variant,
        provider=session.provider,
    )
