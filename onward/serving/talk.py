"""A conversation with the champion: each answer is history to the next question.

    talk = Talk.begin(Project.find(), {"context": "Ana came in May."})
    "".join(talk.pieces("Who came?"))

What an answer says comes in pieces, as it is written. An empty answer is no turn: a model would
learn from it to say nothing. A conversation longer than the model's window loses its oldest turns,
as when it is asked in one; `cut` says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType

from onward import config, recipes
from onward.errors import UsageError
from onward.project import Project
from onward.recipes import prompting
from onward.recipes.shapes import Inputs
from onward.runtime import asking
from onward.runtime.generation import Pieces
from onward.runtime.session import Session
from onward.serving.ask import open_champion


@dataclass
class Talk:
    """One conversation."""

    recipe: ModuleType
    session: Session
    given: Inputs
    """What stays from question to question, such as the context."""
    history: list[str] = field(default_factory=list)
    said: str = ""
    """All of the last answer."""
    ended: str = ""
    """How it ended, as a prediction's `ended`."""
    cut: bool = False
    """Whether a part of what was before it was not read."""

    @staticmethod
    def begin(project: Project, given: Inputs) -> Talk:
        """Open the champion once for all questions.

        Args:
            project: of the recipe chat.
            given: context and history by the recipe's names.

        Raises:
            UsageError: the recipe has no history, or what is given is not the recipe's.
        """
        name = config.read(project.params, config.Identity).recipe
        recipe = recipes.get(name)
        if "history" not in asking.names(recipe):
            raise UsageError(
                f"A model of the recipe {name} answers one question at a time",
                where="--talk",
                fix=f"`{asking.usage(recipe)}`",
            )
        asking.row(recipe, {**given, "question": "?"})  # before a model is loaded
        rest = {key: value for key, value in given.items() if key != "history"}
        return Talk(recipe, open_champion(project), rest, list(given.get("history", [])))

    def pieces(self, question: str) -> Iterator[str]:
        """The answer as it is written; with the last piece it has become history."""
        asked = {**self.given, "history": self.history, "question": question}
        heard = _Heard(self.session.stream(asked))
        self.said, self.cut = "", self.session.cut(asked)
        for piece in heard:
            self.said += piece
            yield piece
        self.ended = heard.ended
        prompt = prompting.of(self.session.tokenizer)
        answer = prompting.taken(self.said.strip(), prompt.take if prompt else "")
        if answer:
            self.history += [question, answer]


class _Heard:
    """Pieces as they come, and how they ended when all have."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces, self.ended = pieces, ""

    def __iter__(self) -> Iterator[str]:
        self.ended = yield from self._pieces
