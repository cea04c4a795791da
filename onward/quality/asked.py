"""What a row asks, whatever its recipe: question, context, history and right answers.

>>> row = {"question": "When?", "context": "In 1851.", "answers": ["1851"]}
>>> of("extractive", row)
Asked(question='When?', context='In 1851.', history=(), references=('1851',))
"""

from __future__ import annotations

from dataclasses import dataclass

from onward.recipes.shapes import Row

CONTEXT = {
    "chat": "context",
    "extractive": "context",
    "summarization": "text",
    "translation": None,
}
"""Recipe whose answers are text -> the column that they rest on. A translation rests on a text of
another language, with which its words cannot be compared."""


@dataclass(frozen=True)
class Asked:
    """The texts that an answer is held against; what a recipe does not have is empty."""

    question: str
    context: str
    history: tuple[str, ...]
    """Earlier turns, alternating, the user's first."""
    references: tuple[str, ...]

    @property
    def said_by_user(self) -> tuple[str, ...]:
        """What the one who asks has said."""
        return (self.question, *self.history[::2])


def of(recipe: str, row: Row) -> Asked:
    """The texts of a row of one of the recipes in CONTEXT."""
    column = CONTEXT[recipe]
    return Asked(
        question=row.get("question") or "",
        context=(row.get(column) or "") if column else "",
        history=tuple(row.get("history") or ()),
        references=tuple(row.get("references", row.get("answers")) or ()),
    )
