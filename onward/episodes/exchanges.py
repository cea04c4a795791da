"""Questions with generated answers, and conversations: the shapes in which they come.

>>> said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
>>> [one["question"] for one in several({"messages": said})]
['Hi']
>>> several({"messages": "Ann: Hi\\nBob: Hello!\\nAnn: Bye\\nBob: See you."})[1]["history"]
['Hi', 'Hello!']

A conversation is a list of {role, content} or {from, value} (ShareGPT), or a text with a line
"SPEAKER: ..." for each turn, where the first speaker asks and the second answers. It becomes one
row for each answer, with all that was said before as its history. A system message, or a column of
it, is its context, before one that it has already.

What is no row: an unanswered last message. What cannot be taken at all: a conversation that the
assistant begins, two messages of one role in a row, other roles, or a third speaker.

A row's id is its conversation's with the number of the exchange, so that a correction with more
exchanges replaces the first ones. What this does not cover: a correction with fewer leaves the last
ones of the old, which then have to be withdrawn with their episode.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from onward.episodes.references import listed
from onward.episodes.rows import is_blank
from onward.episodes.values import Fault, given_id, opened, optional, readable, text

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
_ROLES = {
    "user": USER,
    "human": USER,
    "prompter": USER,
    "assistant": ASSISTANT,
    "gpt": ASSISTANT,
    "model": ASSISTANT,
    "bot": ASSISTANT,
    "system": SYSTEM,
    "developer": SYSTEM,
}
_SPEAKER = re.compile(r"(#[^#\n]{1,40}#|[^\s:#][^:#\n]{0,40}):\s*(.*)")

Said = tuple[str, str]
"""Role and content of one message."""


def read(fields: Mapping[str, Any], most: int) -> tuple[dict[str, Any], str]:
    """context, history, question and references of one answer; no repair.

    Args:
        fields: canonical field -> value as it came, without `messages`: see `several`.
        most: characters that a text may have.

    Raises:
        Fault: a text is missing or blank, or the history does not end with an answer.
    """
    history = opened(fields.get("history"))
    history = [] if history is None or history == "" else history
    if not isinstance(history, list | tuple):
        raise Fault("wrong-type", "history is not a list of messages")
    said = [readable(one, "a message", most) for one in history]
    if len(said) % 2:
        raise Fault("turns-unclear", f"history has {len(said)} messages, not questions and answers")
    return {
        "context": optional(fields, "context", most),
        "history": said,
        "question": text(fields, "question", most),
        "references": listed(fields, most),
    }, ""


def several(fields: Mapping[str, Any], instruction: str | None = None) -> list[dict[str, Any]]:
    """The rows of a conversation, one an answer; of fields without one a single row.

    Args:
        fields: canonical field -> value as it came.
        instruction: a system message that all rows share; it is left out, because it belongs to
            the template.

    Raises:
        Fault: nothing tells who asks and who answers, or a system message is no text.
    """
    told, context = fields.get("system"), fields.get("context")
    if fields.get("messages") is None:
        whole = {name: value for name, value in fields.items() if name != "system"}
        return [whole if told is None else {**whole, "context": _led(told, context, instruction)}]
    said = messages(opened(fields["messages"]))
    if said and said[0][0] == SYSTEM:
        told = said.pop(0)[1]
    context = _led(told, context, instruction)
    if len(said) < 2:
        raise Fault("answer-missing", "the conversation holds no answer")
    for number, (role, _) in enumerate(said, 1):
        if role != (USER, ASSISTANT)[(number - 1) % 2]:
            raise Fault(
                "turns-unclear", f"message {number} is of {role}: user and assistant take turns"
            )
    texts, identity = [content for _, content in said], given_id(fields.get("id"))
    rows = [
        {"context": context, "history": texts[: at - 1], "question": texts[at - 1]}
        | {"references": [texts[at]], "title": fields.get("title"), "id": identity}
        for at in range(1, len(texts), 2)
    ]
    if isinstance(identity, str):
        for number, row in enumerate(rows, 1):
            row["id"] = f"{identity}/{number}"
    return rows


def _led(told: Any, context: Any, instruction: str | None) -> Any:
    """The context after what the system is told; alone where all rows are told the same.

    Raises:
        Fault: what it is told is no text.
    """
    if told is None or told == instruction:
        return context
    if not isinstance(told, str):
        raise Fault("wrong-type", f"system is {type(told).__name__}, not text")
    if context is None or context == "" or is_blank(told):
        return context or told
    return f"{told}\n\n{context}" if isinstance(context, str) else context


def system(fields: Mapping[str, Any]) -> str | None:
    """The system message of a row; None where it has none or cannot be read."""
    told = fields.get("system")
    if fields.get("messages") is not None:
        try:
            said = messages(opened(fields["messages"]))
        except Fault:
            return None
        told = said[0][1] if said and said[0][0] == SYSTEM else told
    return told if isinstance(told, str) else None


def messages(value: Any) -> list[Said]:
    """Role and content of every message of a conversation. Raises Fault: it is none."""
    if isinstance(value, str):
        return _spoken(value)
    if not isinstance(value, list | tuple):
        raise Fault("wrong-type", f"messages is {type(value).__name__}, not a list")
    return [_message(item, number) for number, item in enumerate(value, 1)]


def _message(item: Any, number: int) -> Said:
    if not isinstance(item, Mapping):
        raise Fault("wrong-type", f"message {number} is not an object")
    told = item.get("role", item.get("from"))
    role = _ROLES.get(str(told).strip().lower())
    if role is None or (role == SYSTEM and number > 1):
        raise Fault("turns-unclear", f"message {number} has the role {str(told)[:40]!r}")
    content = item.get("content", item.get("value"))
    if isinstance(content, list | tuple):
        content = "\n".join(_part(part, number) for part in content)
    if not isinstance(content, str):
        raise Fault("wrong-type", f"the content of message {number} is not text")
    return role, content


def _part(part: Any, number: int) -> str:
    """The text of one part of a message that comes in parts."""
    found = part.get("text") if isinstance(part, Mapping) else part
    if not isinstance(found, str):
        raise Fault("wrong-type", f"message {number} has a part that is not text")
    return found


def _spoken(dialogue: str) -> list[Said]:
    """Who said what in a text: lines of one speaker in a row are one message."""
    turns: list[tuple[str, list[str]]] = []
    for line in dialogue.strip().splitlines():
        found = _SPEAKER.fullmatch(line.strip())
        if found is not None and (not turns or turns[-1][0] != found[1]):
            turns.append((found[1], [found[2]]))
        elif turns:
            turns[-1][1].append(found[2] if found else line.strip())
        else:
            raise Fault("turns-unclear", "the dialogue does not begin with a line SPEAKER: ...")
    speakers = list(dict.fromkeys(speaker for speaker, _ in turns))
    if len(speakers) > 2:
        raise Fault("turns-unclear", f"{len(speakers)} speakers: nothing tells who answers")
    roles: Sequence[str] = (USER, ASSISTANT)
    return [(roles[speakers.index(speaker)], "\n".join(lines)) for speaker, lines in turns]
