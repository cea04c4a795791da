"""What is asked in a conversation, and what is to be said: the shapes in which it comes.

>>> read({"question": "And then?", "history": ["Who came?", "Ana."], "references": "She left."}, 99)
({'context': None, 'history': ['Who came?', 'Ana.'], 'question': 'And then?', \
'references': ['She left.']}, '')
>>> said = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ana."}]
>>> read({"messages": said}, 99)[0]["references"]
['Ana.']

A row has a question and its right answers, perhaps a context and the turns before it; or it has a
whole conversation as `messages`, of which the last answer is the one to learn. A turn is a text,
or an object with role (or from) and content (or value, or text); a system message is the context.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onward.episodes import references
from onward.episodes.values import Fault, opened, optional, readable, text

_ROLES = {
    "user": ("user", "human", "prompter", "question"),
    "assistant": ("assistant", "gpt", "model", "bot", "chatbot", "answer"),
    "system": ("system",),
}
"""Who speaks -> the names that sources give it."""

_WHO, _WHAT = ("role", "from", "speaker"), ("content", "value", "text")


def read(fields: Mapping[str, Any], most: int) -> tuple[dict[str, Any], str]:
    """context, history, question and references; no repair.

    Args:
        fields: canonical field -> value as it came.
        most: characters that a text may have.

    Raises:
        Fault: a text is missing, or user and assistant do not speak by turns.
    """
    said = opened(fields.get("messages"))
    if said is not None and fields.get("question") is None:
        return _conversation(said, most), ""
    return {
        "context": optional(fields, "context", most),
        "history": history(fields.get("history"), most),
        "question": text(fields, "question", most),
        "references": references.listed(fields, most),
    }, ""


def history(value: Any, most: int) -> list[str]:
    """The turns before a question, the user's first and the assistant's last; none where None.

    Raises:
        Fault: it is no list of texts or turns, or they do not alternate.
    """
    value = opened(value)
    if value is None or value == "":
        return []
    _, turns = _turns(value, most)
    if len(turns) % 2:
        raise Fault("uneven-history", f"{len(turns)} turns: the last is not the assistant's")
    return turns


def _conversation(value: Any, most: int) -> dict[str, Any]:
    context, turns = _turns(value, most)
    if len(turns) % 2 or not turns:
        raise Fault("answer-missing", "the conversation does not end with an answer")
    *before, question, answer = turns
    found = {"context": context, "history": before, "question": question}
    return {**found, "references": [answer]}


def _turns(value: Any, most: int) -> tuple[str | None, list[str]]:
    """What a system message says, and the turns, the user's first. Raises Fault."""
    if not isinstance(value, list | tuple):
        raise Fault("wrong-type", f"a conversation is a list, not {type(value).__name__}")
    said = [_turn(item, place, most) for place, item in enumerate(value)]
    system = [words for role, words in said if role == "system"]
    spoken = [(role, words) for role, words in said if role != "system"]
    for place, (role, _) in enumerate(spoken):
        if role not in ("", ("user", "assistant")[place % 2]):
            raise Fault("uneven-history", f"turn {place + 1} is the {role}'s")
    return ("\n".join(system) or None), [words for _, words in spoken]


def _turn(item: Any, place: int, most: int) -> tuple[str, str]:
    """Who speaks ("" where a turn is a bare text), and what."""
    name = f"turn {place + 1}"
    if not isinstance(item, Mapping):
        return "", readable(item, name, most)
    told = next((item[key] for key in _WHO if item.get(key) is not None), None)
    role = next((role for role, names in _ROLES.items() if str(told).casefold() in names), None)
    if role is None:
        raise Fault("wrong-type", f"{name} is by {str(told)[:40]!r}, not user or assistant")
    return role, readable(next((item[key] for key in _WHAT if key in item), None), name, most)
