"""Generation: one loop over a model that says what the next token is likely to be.

    rules = Rules.of(evaluate, end=plan.end, tokenizer=tokenizer)
    outputs = generate(Steps(graphs, plan), batch, rules)     # tokens, logprobs and ended of each
    for piece in stream(Steps(graphs, plan), feature, rules):  # text as it comes
        print(piece, end="")

The loop neither knows torch nor ONNX Runtime: both answer the same `Steps` through the key-value
cache, so under greedy decoding they give the same tokens, and under sampling the same draws.

Declared behaviour: the first end token ends a row and is its last token; so a generation may hold
nothing but an end token, whose text is empty. A stop string ends a row wherever in the tokens it
begins and ends; one that never comes changes nothing. At the latest a row ends with
`max_new_tokens` tokens. Of equal logits the one with the lowest id is taken. A row's draws depend
on the seed and its own prompt alone, not on what else is in the batch.
"""

from __future__ import annotations

import re
from collections import abc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from onward.config import Evaluate
from onward.recipes import generated
from onward.recipes.shapes import Feature

Logits = NDArray[np.float32]
Outputs = dict[str, NDArray[Any]]
Pieces = abc.Generator[str, None, str]
"""Of a text, as they come; returns how it ended, one of `generated.ENDS`."""

END, STOP, LENGTH = range(len(generated.ENDS))

_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
"""How tokenizers that fall back to bytes name one."""


class Stepper(Protocol):
    """A model in the middle of answering a batch."""

    def start(self, batch: Sequence[Feature]) -> Logits:
        """Read the prompts; the logits [B, V] of the first token of each."""

    def step(self, tokens: NDArray[np.int64]) -> Logits:
        """Append a token [B] to each row; the logits [B, V] of the next one."""

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows of the batch alone."""


class Generator(Protocol):
    """A runner whose model generates."""

    def steps(self, settings: Evaluate) -> Stepper:
        """The model, ready to be given a batch."""


@dataclass(frozen=True)
class Rules:
    """How the next token is chosen and when a row ends."""

    max_new_tokens: int
    end: frozenset[int]
    """Tokens that end a row."""
    text: Callable[[Sequence[int]], str]
    """What tokens say; asked only where there are stop strings, and for streaming."""
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    """0: always the likeliest token."""
    top_p: float = 1.0
    """Of the likeliest tokens as many as have this probability together are drawn from
    (Holtzman et al. 2020)."""
    seed: int = 0
    byte: Callable[[int], bool] = lambda token: False
    """Whether a token is a byte of a character; asked only for streaming."""

    @staticmethod
    def of(settings: Evaluate, *, end: Sequence[int], tokenizer: Any) -> Rules:
        """The rules of the block `evaluate`, for a model with these end tokens."""
        return Rules(
            max_new_tokens=settings.max_new_tokens,
            end=frozenset(end),
            text=lambda tokens: generated.text(tokens, tokenizer),
            stop=tuple(settings.stop),
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=settings.seed,
            # A model may have more tokens than its tokenizer has names for.
            byte=lambda token: bool(_BYTE.fullmatch(tokenizer.convert_ids_to_tokens(token) or "")),
        )


class Token(NamedTuple):
    """One token of one row; `logprob` is the model's own, whatever the temperature."""

    row: int
    token: int
    logprob: float
    ended: int | None
    """A place in `generated.ENDS`; None while the row goes on."""


def run(model: Stepper, batch: Sequence[Feature], rules: Rules) -> Iterator[list[Token]]:
    """The loop: after each step the token of every row that has not ended yet."""
    chance = [_chance(rules, feature) for feature in batch]
    written: list[list[int]] = [[] for _ in batch]
    rows = list(range(len(batch)))
    logits = model.start(batch)
    while True:
        made = []
        for at, row in enumerate(rows):
            token, logprob = choose(logits[at], rules, chance[row])
            written[row].append(token)
            made.append(Token(row, token, logprob, _ended(written[row], rules)))
        yield made
        going = [at for at, one in enumerate(made) if one.ended is None]
        if not going:
            return
        if len(going) < len(rows):
            model.keep(going)
            rows = [rows[at] for at in going]
        logits = model.step(np.array([written[row][-1] for row in rows], dtype=np.int64))


def generate(model: Stepper, batch: Sequence[Feature], rules: Rules) -> list[Outputs]:
    """For each feature tokens int64 [n], logprobs float32 [n] and ended int64 [1]."""
    found: list[list[Token]] = [[] for _ in batch]
    for made in run(model, batch, rules):
        for one in made:
            found[one.row].append(one)
    return [
        {
            "tokens": np.array([one.token for one in row], dtype=np.int64),
            "logprobs": np.array([one.logprob for one in row], dtype=np.float32),
            "ended": np.array([row[-1].ended], dtype=np.int64),
        }
        for row in found
    ]


def stream(model: Stepper, feature: Feature, rules: Rules) -> Pieces:
    """One row's text, piece by piece, as soon as tokens have surely said it.

    Held back is what may yet become a stop string, and characters whose bytes are not all there: a
    run of bytes is read anew with each, until something else follows. The pieces of text joined are
    the text before the stop string, if one comes.
    """
    tokens: list[int] = []
    said = ""
    for (one,) in run(model, [feature], rules):
        tokens.append(one.token)
        told = tokens[:-1] if one.ended == END else tokens[:]
        while one.ended is None and told and rules.byte(told[-1]):
            told.pop()
        whole = rules.text(told)
        before = generated.cut(whole, rules.stop)
        if before is not None:
            whole = before
        elif one.ended is None:
            whole = _sure(whole, rules.stop)
        elif one.ended == LENGTH:
            whole = generated.complete(whole)
        if len(whole) > len(said) and whole.startswith(said):
            yield whole[len(said) :]
            said = whole
    return generated.ENDS[one.ended or END]


class First:
    """A generating runner that says its first step's logits alone, so that they can be compared."""

    def __init__(self, runner: Generator, settings: Evaluate) -> None:
        self.runner, self.settings = runner, settings

    @staticmethod
    def of(runner: Any, settings: Evaluate) -> Any:
        """The runner itself where it does not generate."""
        return First(runner, settings) if runner.generates else runner

    def predict(self, batch: list[Feature]) -> list[Outputs]:
        """logits [V] of each feature."""
        return [{"logits": row} for row in self.runner.steps(self.settings).start(batch)]


def choose(logits: Logits, rules: Rules, chance: np.random.Generator | None) -> tuple[int, float]:
    """The next token of one row and its log-probability under the model.

    Args:
        logits: [V].
        rules: temperature and top_p.
        chance: what is drawn from; None takes the likeliest, the first of equal ones.
    """
    highest = int(np.argmax(logits))
    shifted = logits - logits[highest]
    total = float(np.log(np.exp(shifted).sum(dtype=np.float64)))
    if chance is None:
        return highest, -total
    shares = np.exp(shifted.astype(np.float64) / rules.temperature)
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")
    summed = np.cumsum(shares[order])
    # At least one token; those after the one with which top_p is reached are left out.
    kept = min(int(np.searchsorted(summed, rules.top_p)) + 1, len(order))
    drawn = chance.random() * summed[kept - 1]
    token = int(order[min(int(np.searchsorted(summed[:kept], drawn, side="right")), kept - 1)])
    return token, float(shifted[token]) - total


def _chance(rules: Rules, feature: Feature) -> np.random.Generator | None:
    if rules.temperature == 0:
        return None
    return np.random.default_rng([rules.seed, *map(int, feature["input_ids"])])


def _ended(tokens: list[int], rules: Rules) -> int | None:
    if tokens[-1] in rules.end:
        return END
    if rules.stop and generated.cut(rules.text(tokens), rules.stop) is not None:
        return STOP
    return LENGTH if len(tokens) >= rules.max_new_tokens else None


def _sure(whole: str, stop: Sequence[str]) -> str:
    """A text without an end that may yet become something else."""
    whole = generated.complete(whole)
    held = max(
        (size for one in stop for size in range(1, len(one)) if whole.endswith(one[:size])),
        default=0,
    )
    return whole[: len(whole) - held]
