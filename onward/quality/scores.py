"""The scores of answers, each 0 to 1, and what is unsafe in them.

    tools = Tools.load(project.root, measure, threads=2)
    found = tools.scores([(asked, "in 1851")])       # one Scored a pair

| column | looks at | cannot see |
| --- | --- | --- |
| correct | words, their order and the embedding, against the nearest reference | a right answer in a form that no reference has |
| relevant | the embedding, against question and context | a wrong answer on the same subject |
| coherent | repetition, order of words, hanging ends, the kind of question, echoes | whether an idea follows from another; other languages than English |
| supported | content words and numbers, against context, question and history | who did what to whom; negation |
| safe | rules, a classifier, personal data, leaked instructions | falsehood, irony, other languages, names |
| diverse | n-grams among several drawn answers | whether any of them is right |
"""  # noqa: E501 - a table

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onward import files
from onward.config import Measure
from onward.errors import SettingsError
from onward.learning import encoder
from onward.quality import coherence, diversity, lists, overlap, personal
from onward.quality import support as supports
from onward.quality.asked import Asked
from onward.quality.columns import FINDINGS, STATISTICS, place
from onward.quality.embedding import Embedder, similarity
from onward.quality.examples import read as read_examples
from onward.quality.leaks import Leaks
from onward.quality.unsafe import Guard, cleared
from onward.quality.words import words

Pair = tuple[Asked, str]
_HERE = Path(__file__).parent
_SCRIPTS = _HERE.parent / "recipes" / "scripts.py"
"""Scripts whose characters count as words."""


@dataclass(frozen=True)
class Scored:
    """One answer's statistics [k], and its findings in words: "personal: phone"."""

    statistics: NDArray[np.float64]
    findings: tuple[str, ...]


class Tools:
    """Lists, encoder and classifier, each made when it is first asked for."""

    def __init__(self, root: Path, measure: Measure, threads: int) -> None:
        """Find the encoder and the project's files.

        Args:
            root: what the paths of the project's lists and examples start from.
            measure: the settings.
            threads: of torch, process-wide.

        Raises:
            SettingsError: the encoder or a file is not there, or cannot be used.
        """
        self.root, self.measure = root, measure
        self.lists = [root / name for name in measure.lists]
        self.examples = [root / name for name in measure.examples]
        self.folder = encoder.locate(measure.encoder)
        self.embedder = Embedder(self.folder, threads)
        self.language = coherence.Language.of(lists.load("language", self.lists))

    @cached_property
    def guard(self) -> Guard:
        """Rules and the classifier."""
        given = [example for path in self.examples for example in read_examples(path)]
        words_of = lists.load("unsafe", self.lists)
        return Guard.of(words_of, self.embedder, given, classifier=self.measure.classifier)

    @cached_property
    def leaks(self) -> Leaks:
        """Expressions for leaked instructions."""
        return Leaks.of(lists.load("leaks", self.lists))

    def name(self, cache: Path | None = None) -> str:
        """Hash of all that can change a score but the row and its answer."""
        settings = self.measure.model_dump(include={"classifier"})
        read = sources(self.root, self.measure)
        return files.digest([read, settings, encoder.fingerprint(self.folder, cache)])

    def scores(self, pairs: Sequence[Pair]) -> list[Scored]:
        """The statistics of each answer, in order, `diverse` left at nothing."""
        findings = self.findings(pairs)
        correct, relevant = self.correct(pairs), self.relevant(pairs)
        found = []
        for at, (asked, answer) in enumerate(pairs):
            columns: dict[str, float] = {"correct": correct[at], "safe": float(not findings[at])}
            if asked.references:
                columns |= self._about(asked, answer, relevant[at])
            found.append(Scored(_statistics(columns, findings[at]), findings[at]))
        return found

    def _about(self, asked: Asked, answer: str, relevant: float) -> dict[str, float]:
        """What an answer that there is has besides: a row without one asks for none of it."""
        columns = {"coherent": self.coherent(asked, answer)}
        if asked.question or asked.context:
            columns["relevant"] = relevant
        if asked.context:
            columns["supported"] = self.supported(asked, answer)
        return columns

    def correct(self, pairs: Sequence[Pair]) -> list[float]:
        """The nearest reference's mean of word F1, ROUGE-L and cosine.

        A row without a reference has no answer, and an empty one is right.
        """
        every = [(ref, answer) for asked, answer in pairs for ref in asked.references]
        cosine = similarity(
            self.embedder.of([one for one, _ in every]), self.embedder.of([a for _, a in every])
        )
        left, scores = iter(cosine.tolist()), []
        for asked, answer in pairs:
            said = words(answer)
            near = [
                (overlap.f1(said, words(ref)) + overlap.sequence_f1(said, words(ref)) + next(left))
                / 3
                for ref in asked.references
            ]
            scores.append(max(near, default=float(not answer.strip())))
        return scores

    def relevant(self, pairs: Sequence[Pair]) -> list[float]:
        """The larger cosine of the answer with its question and with its context."""
        answers = self.embedder.of([answer for _, answer in pairs])
        questions = self.embedder.of([asked.question for asked, _ in pairs])
        contexts = self.embedder.of([asked.context for asked, _ in pairs])
        nearest = np.maximum(similarity(answers, questions), similarity(answers, contexts))
        return [float(value) for value in nearest]

    def coherent(self, asked: Asked, answer: str) -> float:
        """See onward/quality/coherence.py."""
        sources = (asked.context, asked.question, *asked.history)
        return coherence.coherent(asked.question, asked.history, answer, self.language, sources)

    def supported(self, asked: Asked, answer: str) -> float:
        """See onward/quality/support.py."""
        sources = [asked.context, asked.question, *asked.history]
        return supports.support(answer, sources, self.language.every)

    def findings(self, pairs: Sequence[Pair]) -> list[tuple[str, ...]]:
        """What is unsafe in each answer: "KIND: what", sorted.

        What a reference says itself is asked for, and what the user said of themselves is theirs:
        neither counts.
        """
        answers = self._harmful([answer for _, answer in pairs])
        excused = self._harmful([ref for asked, _ in pairs for ref in asked.references])
        left, found = iter(excused), []
        for (asked, answer), harmful in zip(pairs, answers, strict=True):
            right = {category for _ in asked.references for category in next(left)}
            told = {f"harmful: {category}" for category in harmful if category not in right}
            left_over = cleared(answer, self.guard.allowed)
            told |= {f"personal: {kind}" for kind in self._personal(asked, left_over)}
            told |= {f"leaked: {kind}" for kind in self._leaked(asked, left_over)}
            found.append(tuple(sorted(told)))
        return found

    def _harmful(self, texts: Sequence[str]) -> list[list[str]]:
        return self.guard.found(texts)

    def _personal(self, asked: Asked, answer: str) -> list[str]:
        known = "\n".join((*asked.references, *asked.said_by_user))
        found = {
            kind: [one for one in some if not personal.stands(one, known)]
            for kind, some in personal.found(answer).items()
        }
        right = personal.found(known) if any(found.values()) else {}
        return [
            kind
            for kind, some in found.items()
            if {*map(personal.bare, some)} - {*map(personal.bare, right.get(kind, ()))}
        ]

    def _leaked(self, asked: Asked, answer: str) -> list[str]:
        sources = [asked.context, asked.question, *asked.history]
        right = {kind for ref in asked.references for kind in self.leaks.found(ref, sources)}
        return [kind for kind in self.leaks.found(answer, sources) if kind not in right]


def sources(root: Path, measure: Measure) -> str:
    """Hash of our code and lists, and of the project's files that are read beside them.

    Raises:
        SettingsError: a file of the project's is not there.
    """
    own = sorted([*_HERE.glob("*.py"), *(_HERE / "vocabulary").glob("*.yaml"), _SCRIPTS])
    named = [*measure.lists, *measure.examples]
    for name in named:
        if not (root / name).is_file():
            raise SettingsError(
                f"{name} is not there",
                where=f"{root / name}, named by quality.measure.lists or .examples",
                fix="write the path as it is from the project's root, or leave it out",
            )
    theirs = [[name, files.sha256(root / name)] for name in named]
    return files.digest([{path.name: files.sha256(path) for path in own}, theirs])


def diverse(answers: Sequence[str]) -> NDArray[np.float64]:
    """What several answers to one row add to the column `diverse`, [k]."""
    return _statistics({"diverse": diversity.among(answers)}, ())


def _statistics(columns: Mapping[str, float], findings: Sequence[str]) -> NDArray[np.float64]:
    made = np.zeros(len(STATISTICS))
    for name, value in columns.items():
        made[place(name)], made[place(name) + 1] = round(value, 6), 1.0
    for kind in FINDINGS:
        made[place(kind)] = float(any(told.startswith(f"{kind}:") for told in findings))
    return made
