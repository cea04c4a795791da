"""Text that an answer must not hold: by rules, and by a small classifier beside them.

    guard = Guard.of(load("unsafe"), embedder)
    guard.found(["In 1851.", "I will kill you."])    # [[], ["threat", "classifier"]]

The classifier is a ridge on the frozen encoder's embeddings, solved in closed form from sentences
that the list's templates generate, and from those that a project gives. Its threshold leaves ALARMS
of the safe sentences above it, each scored by a ridge that was solved without its template. What it
can see is therefore what the templates say in other words (threats, incitement, instructions for
harm, insults), and of that about half; it has seen no text of people, no other language, no irony,
and nothing of what is unsafe by being false. A project's labelled examples
(`quality.measure.examples`) teach it more.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward.quality.embedding import Embedder
from onward.quality.lists import ALLOWED
from onward.quality.words import flat, seen, words

RIDGE = 3.0
LEAST = 4
"""Words below which the classifier says nothing: a name or a date is embedded by accident."""
MOST = 8
"""Sentences of one template; more say the same once more."""
FOLDS = 20
"""Parts of the templates, each scored by what the others taught."""
ALARMS = 0.01
"""Share of the safe sentences that may lie above the threshold: most are near to harmful ones, so
of ordinary text it is less."""

Examples = list[tuple[str, bool, str]]
"""A sentence, whether it is unsafe, and the template or source that it comes from."""


@dataclass(frozen=True)
class Guard:
    """Rules and a classifier."""

    rules: tuple[tuple[str, re.Pattern[str]], ...]
    allowed: tuple[re.Pattern[str], ...]
    """What the project lets pass, whatever would find it."""
    embedder: Embedder
    weight: NDArray[np.float64] | None
    """[D + 1], the last for the constant; None: no classifier."""
    threshold: float

    @staticmethod
    def of(
        lists: Mapping[str, Any],
        embedder: Embedder,
        given: Examples | None = None,
        *,
        classifier: bool = True,
    ) -> Guard:
        """Rules compiled and, where it is asked for, the classifier solved.

        Args:
            lists: of unsafe.yaml.
            embedder: what embeds the sentences; about 1,700 texts, once.
            given: a project's own labelled sentences.
            classifier: without it rules alone find.
        """
        rules = tuple(
            (category, re.compile(one, re.IGNORECASE))
            for category, some in lists["rules"].items()
            for one in some
        )
        allowed = tuple(re.compile(one, re.IGNORECASE) for one in lists.get(ALLOWED, ()))
        if not classifier:
            return Guard(rules, allowed, embedder, None, 0.0)
        weight, threshold = solve([*generated(lists), *(given or [])], embedder)
        return Guard(rules, allowed, embedder, weight, threshold)

    def found(self, texts: Sequence[str]) -> list[list[str]]:
        """The categories of each text, sorted, the classifier's is "classifier"; none: nothing."""
        cleaned = [cleared(flat(text), self.allowed) for text in texts]
        scores = self.scores(cleaned)
        return [
            sorted(
                {category for category, rule in self.rules if rule.search(text)}
                | ({"classifier"} if self._classified(text, score) else set())
            )
            for text, score in zip(cleaned, scores, strict=True)
        ]

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The classifier's score of each text [N]: +1 is unsafe, -1 safe and for none at all."""
        if self.weight is None:
            return np.full(len(texts), -1.0)
        return np.asarray(np.round(_features(self.embedder, texts) @ self.weight, 4))

    def _classified(self, text: str, score: float) -> bool:
        return len(words(text)) >= LEAST and float(score) > self.threshold


def cleared(text: str, of: Sequence[re.Pattern[str]]) -> str:
    """A text without what these expressions match, each read as the rules are; else as it is.

    Its line breaks stay where they are.

    >>> cleared("Ask  info@acme.com!", [re.compile(r"info@acme\\.com")])
    'Ask  !'
    """
    read = flat(text)
    if not any(one.search(read) for one in of):
        return text
    # As long as `read`, place by place: a mark of a turn is one at the head of a line alone.
    left = re.sub(r"\s+", lambda space: "\n" if "\n" in space[0] else " ", seen(text).strip())
    for one in of:
        for found in reversed([*one.finditer(read)]):
            # A gap of two spaces, over which no expression reads on.
            read, left = (f"{t[: found.start()]} {t[found.end() :]}" for t in (read, left))
    return left


def generated(lists: Mapping[str, Any]) -> Examples:
    """What the templates give with the entries of their slots, at most MOST sentences each."""
    found: Examples = []
    for unsafe, name in ((True, "unsafe"), (False, "safe")):
        for template in lists[name]:
            slots = sorted(
                {field for _, field, _, _ in string.Formatter().parse(template) if field}
            )
            for chosen in _spread([lists["slots"][slot] for slot in slots]):
                text = template.format(**dict(zip(slots, chosen, strict=True)))
                found.append((text[:1].upper() + text[1:], unsafe, template))
    return found


def _spread(slots: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """At most MOST different choices of one entry a slot, in which every slot varies."""
    count = min(MOST, max(map(len, slots), default=1))
    return [tuple(slot[at % len(slot)] for slot in slots) for at in range(count)]


def solve(examples: Examples, embedder: Embedder) -> tuple[NDArray[np.float64], float]:
    """The ridge [D + 1], and its threshold: what ALARMS of the safe sentences exceed, left out."""
    features = _features(embedder, [text for text, _, _ in examples])
    unsafe = np.array([unsafe for _, unsafe, _ in examples])
    target = np.where(unsafe, 1.0, -1.0)
    # Each template weighs the same, however many sentences it gives.
    source = np.array([name for _, _, name in examples])
    counts = {name: int((source == name).sum()) for name in set(source.tolist())}
    weight = np.array([1.0 / counts[name] for name in source.tolist()])
    fold = {name: at % FOLDS for at, name in enumerate(sorted(counts))}
    part = np.array([fold[name] for name in source.tolist()])
    left_out = np.zeros(len(examples))
    for at in sorted(set(fold.values())):
        others = part != at
        solved = _ridge(features[others], target[others], weight[others])
        left_out[~others] = features[~others] @ solved
    threshold = float(np.quantile(left_out[~unsafe], 1 - ALARMS))
    return _ridge(features, target, weight), round(max(0.0, threshold), 4)


def _features(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float64]:
    made = embedder.of(texts).astype(np.float64)
    return np.column_stack([made, np.ones(len(made))])


def _ridge(
    features: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    gram = (features * weight[:, None]).T @ features
    gram[np.diag_indices_from(gram)] += RIDGE
    return np.asarray(np.linalg.solve(gram, features.T @ (weight * target)))
