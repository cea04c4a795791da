"""Names, genders or places of a text exchanged, consistently, and with one way back.

>>> from onward.quality.lists import load
>>> gender = exchanges(load("swaps"), load("language"))["gender"]
>>> gender.apply("John lost his hat, and Mary gave him hers.")[0]
'Mary lost her hat, and John gave her his.'

A row is exchanged in all its texts alike; the places of its answers move along, and an answer that
holds an exchanged word is exchanged with it. What this does not cover: names that the list lacks,
lower-case names, words that agree with what was exchanged (a "Roman" stays one), pronouns of
anybody whose name did not change, and any language but English; of a translation, see `across`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onward.errors import SettingsError
from onward.quality.words import words
from onward.recipes.shapes import Row

KINDS = ("names", "gender", "places")
TEXTS = ("context", "question", "text", "pair")
TEXT_LISTS = ("history", "options", "references")
OFFSETS = {
    "text": (("starts", "ends"), ("head_start", "head_end"), ("tail_start", "tail_end")),
    "context": (("starts", None),),
}
"""Text -> columns that hold places in it, first and end; an end of None follows from `answers`."""
ACROSS = {"translation": "names and places that the references write as the text does"}
"""Recipes whose gold is of another language than the text, and what of them is exchanged."""
_OWN = {"him", "his", "her", "hers"}
_OPEN = re.compile(r"\b(?:her|his)\s*$", re.IGNORECASE)
_EITHER = re.compile(r"(?:\s+or\s+|/)(?:his|her)\b", re.IGNORECASE)
_FOLLOWS = re.compile(r"\s+(?:(?P<word>[^\W\d_]+)(?P<joined>-\w)?|\d)")
_BEFORE_NOUNS = {"most", "only", "other", "very"}
"""Function words that stand between a possessive and its noun."""
_LETTERS = re.compile(r"(?<!\w)[^\W\d_]+(?!\w)")
"""A word that can be exchanged: letters alone, and no part of something longer."""


@dataclass(frozen=True)
class Edit:
    """One exchanged word: where it stood in the text before, and the words before and after."""

    start: int
    old: str
    new: str


@dataclass(frozen=True)
class Exchange:
    """Words and their partners; names as they are written, other words in any case."""

    partner: Mapping[str, str]
    any_case: frozenset[str]
    closing: frozenset[str]
    """Words that end a noun phrase: "her" before one of them is an object, not a possessive."""

    def apply(self, text: str) -> tuple[str, list[Edit]]:
        """The exchanged text, and what was exchanged, in order."""
        edits = []
        for match in _LETTERS.finditer(text):
            new = self._new(match[0], text[match.end() :])
            if new is not None:
                edits.append(Edit(match.start(), match[0], new))
        return _edited(text, [(edit.start, edit.old, edit.new) for edit in edits]), edits

    def _new(self, word: str, after: str) -> str | None:
        if word in self.partner and word not in self.any_case:
            return self.partner[word]
        folded = word.lower()
        if folded in _OWN and "him" in self.any_case:
            return _cased(word, self._pronoun(folded, after))
        if folded in self.any_case:
            return _cased(word, self.partner[folded])
        return None

    def open_ended(self, text: str) -> bool:
        """Whether it ends in "her" or "his", whose partner hangs on what would follow."""
        return "him" in self.any_case and _OPEN.search(text) is not None

    def _pronoun(self, word: str, after: str) -> str:
        """English has one word where its partner has two: what follows tells them apart."""
        if word in ("him", "hers"):
            return "her" if word == "him" else "his"
        if word == "her":
            return "his" if self._possessive(after) else "him"
        return "her" if self._possessive(after) else "hers"

    def _possessive(self, after: str) -> bool:
        """Whether a noun follows, perhaps after "or her", a number, or a word of its own."""
        both = _EITHER.match(after)
        follows = _FOLLOWS.match(after[both.end() :] if both else after)
        if follows is None or follows["word"] is None or follows["joined"]:
            return follows is not None
        word = follows["word"].lower()
        return word in _BEFORE_NOUNS or word not in self.closing

    def neutral(self, text: str) -> list[str]:
        """The words of a text, both partners as one: equal for a text and its exchange."""
        names = {word.lower(): word for word in self.partner}
        return [self._neutral(word, names) for word in words(text)]

    def _neutral(self, word: str, names: Mapping[str, str]) -> str:
        bare, mark, ending = word.partition("'")
        if bare in _OWN and "him" in self.any_case:
            return "|".join(sorted(_OWN))
        if bare in names:
            pair = sorted((names[bare], self.partner[names[bare]]))
            return "|".join(pair) + mark + ending
        return word


def exchanges(
    lists: Mapping[str, Any], language: Mapping[str, Sequence[str]]
) -> dict[str, Exchange]:
    """Kind -> what it exchanges, from the lists of swaps.yaml and language.yaml.

    Raises:
        SettingsError: a word stands twice in a kind, so there would be no way back, or is not one.
    """
    closing = frozenset(
        word
        for name in (
            "determiners",
            "prepositions",
            "auxiliaries",
            "conjunctions",
            "pronouns",
            "others",
        )
        for word in language.get(name, ())
    )
    nothing: frozenset[str] = frozenset()
    own = frozenset(word for pair in lists["gender"] for word in pair)
    return {
        "names": Exchange(_partners("names", lists["names"]), nothing, closing),
        "gender": Exchange(
            _partners("gender", [*lists["gender"], *lists["gender_names"]]), own, closing
        ),
        "places": Exchange(_partners("places", lists["places"]), nothing, closing),
    }


def _partners(kind: str, pairs: Sequence[Sequence[str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one, other in pairs:
        for word, partner in ((one, other), (other, one)):
            if word in found:
                raise _no_pair(
                    f"{word!r} stands twice among the {kind} that are exchanged",
                    "a word has one partner, or there is no way back: leave one pair out",
                )
            if not _LETTERS.fullmatch(word):
                raise _no_pair(
                    f"{word!r:.60} among the {kind} that are exchanged is not one word of letters",
                    "words are exchanged one by one: leave the pair out",
                )
            found[word] = partner
    return found


def _no_pair(what: str, fix: str) -> SettingsError:
    where = "onward/quality/vocabulary/swaps.yaml and quality.measure.lists"
    return SettingsError(what, where=where, fix=fix)


def across(row: Row, exchange: Exchange) -> Row | None:
    """A text and its translations exchanged; None where they do not have the same of its words.

    What agrees in gender would have to change in a language that the lists do not know, so words
    that are exchanged in any case leave a row out.

    >>> from onward.quality.lists import load
    >>> kinds = exchanges(load("swaps"), load("language"))
    >>> across({"text": "Emily came.", "references": ["Emily kam."]}, kinds["names"])
    {'text': 'Lakisha came.', 'references': ['Lakisha kam.']}
    """
    text, edits = exchange.apply(row["text"])
    told = [exchange.apply(reference) for reference in row["references"]]
    words_of = [sorted(edit.old for edit in found) for found in (edits, *(f for _, f in told))]
    if exchange.any_case or not edits or any(one != words_of[0] for one in words_of):
        return None
    return {**row, "text": text, "references": [reference for reference, _ in told]}


def exchanged(row: Row, exchange: Exchange) -> Row | None:
    """The row with all its texts and answers exchanged; None where nothing that is asked is
    exchanged, in turns before neither, an answer begins or ends inside an exchanged word, or a
    reference ends before what would tell its exchange."""
    made, edits = dict(row), {name: exchange.apply(row[name]) for name in TEXTS if row.get(name)}
    lists = {n: [exchange.apply(text) for text in row[n]] for n in TEXT_LISTS if row.get(n)}
    if not any(found for _, found in (*edits.values(), *lists.get("history", ()))):
        return None
    made |= {name: text for name, (text, _) in edits.items()}
    made |= {name: [text for text, _ in told] for name, told in lists.items()}
    if any(map(exchange.open_ended, row.get("references") or ())):
        return None
    for name, (text, found) in edits.items():
        for first, end in OFFSETS.get(name, ()):
            if first in row and not _move(row, made, text, found, first, end):
                return None
    return made


def _move(
    row: Row, made: Row, text: str, edits: Sequence[Edit], first: str, end: str | None
) -> bool:
    """Move the places of one pair of columns; False where one lies inside an exchanged word."""
    several = isinstance(row[first], Sequence)
    starts = list(row[first]) if several else [row[first]]
    if end is None:
        ends = [at + len(one) for at, one in zip(starts, row["answers"], strict=True)]
    else:
        ends = list(row[end]) if several else [row[end]]
    moved = [(_moved(at, edits), _moved(to, edits)) for at, to in zip(starts, ends, strict=True)]
    if any(at is None or to is None for at, to in moved):
        return False
    made[first] = [at for at, _ in moved] if several else moved[0][0]
    if end is None:
        made["answers"] = [text[at:to] for at, to in moved]
    else:
        made[end] = [to for _, to in moved] if several else moved[0][1]
    return True


def _moved(place: int, edits: Sequence[Edit]) -> int | None:
    """Where a place lies in the exchanged text; None: inside a word that was exchanged."""
    if any(edit.start < place < edit.start + len(edit.old) for edit in edits):
        return None
    return place + sum(len(e.new) - len(e.old) for e in edits if e.start + len(e.old) <= place)


def _edited(text: str, edits: Sequence[tuple[int, str, str]]) -> str:
    parts, last = [], 0
    for start, old, new in edits:
        parts += [text[last:start], new]
        last = start + len(old)
    return "".join([*parts, text[last:]])


def _cased(word: str, new: str) -> str:
    """A word written as another one is."""
    written: Callable[[str], str] = str.upper if word.isupper() and len(word) > 1 else str
    return written(new[:1].upper() + new[1:] if word[:1].isupper() else new)
