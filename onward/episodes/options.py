"""The options of a question and which of them is right, in the shapes that they come in.

>>> read({"options": ["red", "blue"], "answer": "B"}, 100)
(['red', 'blue'], 1, '')
>>> read({"options": {"label": ["1", "2"], "text": ["red", "blue"]}, "answer": 1}, 100)
(['red', 'blue'], 0, '')

Options are a list of texts, a list of {label, text}, the dict {label: [...], text: [...]}, the
JSON of one of these, or a text split by a stated separator; or {label: text}, as columns of one
option each become, where a label without a text is no option of the row. The answer is the right
one's label, where options have labels; its text; its letter (A is the first); or its place, counted
from 0. Labels say what a number means: beside A, B, C it may count from 0 or from 1, and is none of
them. Where an answer can be read as two different options, the row is not taken: nothing tells
which is meant.

A row alone cannot say whether its answer counts from 0 or from 1; all rows of a file can
(`counting`), and `renumbered` puts what they say into a row.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from onward.episodes.incoming import Unreadable, loads
from onward.episodes.values import Fault, sound

_LETTER = re.compile(r"\(?([A-Za-z])[.):]?")
_PLACE = re.compile(r"[0-9]{1,6}", re.ASCII)


def read(fields: Mapping[str, Any], max_chars: int) -> tuple[list[str], int, str]:
    """The options, the place of the right one, and the kind of repair ("" for none).

    Raises:
        Fault: there are fewer than two options, two are equal, one is blank, or the answer is none
            of them, or may be two of them.
    """
    texts, names, letters = _split(_opened(fields.get("options")))
    tidied = [_option(text, max_chars) for text in texts]
    if len(tidied) < 2:
        raise Fault("too-few-options", f"there are {len(tidied)} options")
    first: dict[str, int] = {}
    for place, option in enumerate(tidied):
        if first.setdefault(option, place) != place:
            raise Fault(
                "equal-options", f"options {first[option]} and {place} are both {option[:60]!r}"
            )
    repair = "" if tidied == [str(text) for text in texts] else "option-tidied"
    return tidied, _place(fields.get("answer"), tidied, names, letters), repair


def apart(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields with question and options apart, where the options lie within the question.

    So CommonsenseQA, ARC and OpenBookQA have it: {"stem": ..., "choices": [...]}.
    """
    asked = fields.get("question")
    if isinstance(asked, str) and asked.startswith('{"'):
        asked = _opened(asked)
    if not isinstance(asked, dict):
        return fields
    return {"options": asked.get("choices"), **fields, "question": asked.get("stem")}


@dataclass(frozen=True)
class Numbered:
    """A row whose answer is a number that may count its options."""

    number: int
    names: list[str]
    """The options' labels, by place; empty where they have none."""
    here: list[bool]
    """Whether the row has the option, by place."""
    same: int | None
    """The place of the option whose text is that number."""

    @property
    def own(self) -> int | None:
        """The number of the first option by the labels; None where they are no numbers."""
        return int(self.names[0]) if self.counts else None if self.names else 0

    @property
    def counts(self) -> bool:
        """Whether the labels are numbers."""
        return any(_PLACE.fullmatch(name) for name in self.names)

    def fits(self, first: int) -> bool:
        """Whether it is one of the row's options, where `first` is the first one's number."""
        return 0 <= self.number - first < len(self.here) and self.here[self.number - first]


def numbered(fields: Mapping[str, Any]) -> Numbered | None:
    """The answer as a number; None where it is none, or labels give numbers a meaning of their own.

    Raises:
        Fault: the options cannot be read.
    """
    fields = apart(fields)
    answer, value = fields.get("answer"), _opened(fields.get("options"))
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        answer = f"{answer:.15g}" if abs(answer) < 10**6 else ""
    said = answer.strip() if isinstance(answer, str) else ""
    if not _PLACE.fullmatch(said):
        return None
    if isinstance(value, dict) and not isinstance(value.get("text"), list):
        texts, names = list(value.values()), [str(name).strip() for name in value]
    else:
        texts, names, _ = _split(value)
    each = [str(text).strip() for text in texts]
    same = each.index(said) if said in each else None
    found = Numbered(int(said), names, [text is not None for text in texts], same)
    runs = [[str(n + first) for n in range(len(names))] for first in (0, 1)]
    return None if found.counts and names not in runs else found


def renumbered(fields: Mapping[str, Any], first: int) -> Mapping[str, Any]:
    """The fields with an answer that is a number as the options' own labels or places have it.

    Args:
        fields: canonical field -> value as it came.
        first: the number of the first option in the answers of the file.

    Raises:
        Fault: the number is none of the row's options, or the text of another one.
    """
    row = numbered(fields)
    if row is None or row.own == first:
        return fields
    place = row.number - first
    if not row.fits(first):
        what = f"{row.number} counts from {first} in this file; write the right option's letter"
        raise Fault("answer-not-an-option", what)
    if row.same not in (None, place):
        raise Fault(
            "answer-two-options",
            f"{row.number} may be option {row.same} (its text) and option {place} (counted from "
            f"{first}, as in the whole file)",
        )
    return {**apart(fields), "answer": row.names[place] if row.names else place}


def by_letter(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields with the right option's letter for its place, counted from 0.

    So a row is sent again: a number would be read with all others of that file, which may count
    from 1.
    """
    place = fields.get("answer")
    if isinstance(place, int) and place < len(ascii_uppercase):
        return {**fields, "answer": ascii_uppercase[place]}
    return fields


def _opened(value: Any) -> Any:
    """The list or object that a text is the JSON of."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return loads(value)
    except Unreadable as error:
        raise Fault(error.reason, f"options: {error}") from None


def _split(value: Any) -> tuple[list[Any], list[str], list[str]]:
    """Texts, the labels that came with them, and letters that stand for those labels."""
    if value is None or value == "":
        raise Fault("missing-field", "options are missing")
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        texts, names = value["text"], value.get("label") or value.get("labels") or []
        if names and len(names) != len(texts):
            raise Fault("wrong-type", f"{len(texts)} options have {len(names)} labels")
        return list(texts), [str(name).strip() for name in names], []
    if isinstance(value, dict) and value:  # {"A": "red", "B": "blue"}
        return _labelled(value)
    if not isinstance(value, list | tuple):
        raise Fault("wrong-type", "options are not a list; a separator splits a text (--separator)")
    if value and all(isinstance(one, dict) for one in value):
        names = [str(one.get("label", "")).strip() for one in value]
        return [one.get("text") for one in value], names if all(names) else [], []
    return list(value), [], []


def _labelled(value: Mapping[str, Any]) -> tuple[list[Any], list[str], list[str]]:
    """Of an object: the options that the row has; letters where its labels are numbers or such."""
    names = [str(name).strip() for name in value]
    counted = all(_PLACE.fullmatch(name) for name in names) and len(names) <= len(ascii_uppercase)
    letters = list(ascii_uppercase[: len(names)]) if counted else [one.upper() for one in names]
    here = [place for place, text in enumerate(value.values()) if text is not None]
    texts = list(value.values())
    return [texts[at] for at in here], [names[at] for at in here], [letters[at] for at in here]


def _option(value: Any, max_chars: int) -> str:
    """One option; a number or a truth value is one by its name, and so is a sign such as +."""
    if value is None:
        raise Fault("missing-field", "an option is null")
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, int | float):
        value = _number(value)
    found = unicodedata.normalize("NFC", sound(value, "an option", max_chars).strip())
    if all(unicodedata.category(character)[0] in "CZ" for character in found):
        raise Fault("blank", "an option holds nothing to read")
    return found


def _number(value: float) -> str:
    """A number's name: a whole one has all its digits, however many."""
    if isinstance(value, int):
        try:
            return str(value)
        except ValueError:
            raise Fault("wrong-type", "a number has more digits than can be read") from None
    return f"{value:.15g}"


def _place(
    answer: Any, options: Sequence[str], names: Sequence[str], letters: Sequence[str]
) -> int:
    if answer is None or answer == "":
        raise Fault("answer-missing", "answer is missing")
    found = _readings(answer, options, names, letters)
    if not found:
        told = f" {', '.join(names)[:60]}" if names else ""
        raise Fault("answer-not-an-option", f"{str(answer)[:60]!r} is none of the options{told}")
    if len(found) > 1:
        shown = " and ".join(f"option {place} ({why})" for place, why in sorted(found.items()))
        raise Fault("answer-two-options", f"{str(answer)[:60]!r} may be {shown}")
    return next(iter(found))


def _readings(
    answer: Any, options: Sequence[str], names: Sequence[str], letters: Sequence[str]
) -> dict[int, str]:
    """Place -> how the answer says so, of all ways to read it. Labels stand for letter and place.

    Raises:
        Fault: it is no text and no number.
    """
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    if isinstance(answer, bool):
        answer = str(answer).lower()
    if isinstance(answer, int | float):
        answer = _number(answer)
    if not isinstance(answer, str):
        raise Fault("wrong-type", f"answer is {type(answer).__name__}, not a text or a place")
    said = unicodedata.normalize("NFC", str(answer).strip())
    found = {options.index(said): "its text"} if said in options else {}
    if said in names:
        return {names.index(said): "its label"} | found
    letter, place = _LETTER.fullmatch(said), _PLACE.fullmatch(said)
    if names:
        if letter and letter[1].upper() in letters:
            found.setdefault(letters.index(letter[1].upper()), "its letter")
        return found
    at = ord(letter[1].upper()) - ord("A") if letter else int(said) if place else len(options)
    if at < len(options):
        found.setdefault(at, "its letter" if letter else "its place, from 0")
    return found
