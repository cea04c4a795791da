"""Conversations as tokens: the prompt of a row, cut to the window, and the answer after it.

The context stands before the first turn that is kept, so that a template needs no system role;
where a prompt has a wording of its own, it stands where that says. A prompt is at most three
quarters of the window, the rest is kept for the answer. One that is longer loses whole turns, the
oldest first, and an example all of its turns at once; then the context loses its end. `encode` in
`chat` makes features of what stands here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from onward.config import Prepare
from onward.errors import DataError
from onward.recipes import chat_template, prompting
from onward.recipes.shapes import Row

_KEPT_FREE = 4
"""One part in so many of the window is kept for the answer."""

_SLACK = 8
"""Tokens by which a context is cut further where a first cut was not enough."""


@dataclass(frozen=True)
class Prompt:
    """What a model is given to go on from."""

    messages: list[dict[str, str]]
    tokens: list[int]
    cut: bool
    """Whether turns of the row's own or an end of its context were left out."""
    shots: int = 0
    """Examples that stand in it."""


def messages(row: Row, drop: int = 0, context: str | None = None) -> list[dict[str, str]]:
    """The turns of a row as role and content, the user's question last.

    Args:
        row: of the recipe chat.
        drop: pairs of turns left out, from the oldest.
        context: in place of the row's, where that was cut.

    >>> row = {"context": "A fox ran.", "history": ["What?", "A fox."], "question": "And then?"}
    >>> [one["content"] for one in messages(row, drop=1)]
    ['A fox ran.\\n\\nAnd then?']
    """
    said = [*row["history"][2 * drop :], row["question"]]
    before = row["context"] if context is None else context
    if prompting.WORDING in row:
        said[-1] = prompting.worded(row[prompting.WORDING], question=said[-1], context=before)
    elif before:
        said[0] = f"{before}\n\n{said[0]}"
    return [
        {"role": ("user", "assistant")[place % 2], "content": words}
        for place, words in enumerate(said)
    ]


def room(window: int) -> int:
    """The most tokens of a prompt."""
    return window - window // _KEPT_FREE


def prompts(rows: Sequence[Row], tokenizer: Any, settings: Prepare) -> Iterator[Prompt]:
    """The prompt of each row, in their order.

    Raises:
        DataError: a question alone is longer than a prompt may be.
        SettingsError: the tokenizer's template cannot be used.
    """
    most = room(settings.max_length)
    whole = [messages(row) for row in rows]
    for row, said, tokens in zip(rows, whole, _tokens(whole, tokenizer), strict=True):
        if len(tokens) <= most:
            yield Prompt(said, tokens, cut=False, shots=len(row.get(prompting.SHOTS, ())))
        else:
            yield _shortened(row, tokenizer, most)


def _shortened(row: Row, tokenizer: Any, most: int) -> Prompt:
    def tried(drop: int, context: str | None = None) -> Prompt:
        said = messages(row, drop, context)
        shots = sum(start >= drop for start in starts[:-1])
        # Examples are no part of the row: they are counted by themselves.
        own = drop > starts[-1] or context is not None
        return Prompt(said, _tokens([said], tokenizer)[0], cut=own, shots=shots)

    pairs = len(row["history"]) // 2
    starts = list(accumulate(row.get(prompting.SHOTS, ()), initial=0))
    drops = [*starts, *range(starts[-1] + 1, pairs + 1)]
    # Fewer turns are fewer tokens, so the fewest to leave out are found by halving.
    found = tried(drops[bisect_left(drops[:-1], True, key=lambda n: len(tried(n).tokens) <= most)])
    if len(found.tokens) <= most:
        return found
    bare = len(tried(pairs, "").tokens)
    if bare > most:
        raise DataError(
            f"A question of {bare} tokens is longer than a prompt may be, {most}",
            where=f"row {row['id'] or 'asked'}: {row['question'][:60]!r}",
            fix="raise prepare.max_length, or ask in fewer words",
        )
    # As the template writes it: names of special tokens in it are many tokens then.
    context = chat_template.plain(tokenizer, row["context"])
    places = tokenizer(context, add_special_tokens=False, return_offsets_mapping=True)
    ends = [end for _, end in places["offset_mapping"]]
    # There may be room for more than it has, and yet not for all that comes with it.
    for left in range(min(most - bare, len(ends)), 0, -_SLACK):
        found = tried(pairs, context[: ends[left - 1]])
        if len(found.tokens) <= most:
            return found
    return tried(pairs, "")


def counted(prompts: Iterable[Prompt], wanted: int) -> dict[str, Any]:
    """What a window did to the prompts of rows.

    Args:
        prompts: of rows.
        wanted: examples that each should have.

    Returns:
        inputs_cut: rows that lost turns of their own or an end of their context; and where
            examples are wanted, shots: how many, those that a prompt has on average, the rows, and
            those whose prompt has none.
    """
    cut, shots = 0, Counter[int]()
    for prompt in prompts:
        cut += prompt.cut
        shots[prompt.shots] += 1
    if not wanted or not shots:
        return {"inputs_cut": cut}
    mean = sum(n * rows for n, rows in shots.items()) / shots.total()
    about = {"wanted": wanted, "mean": round(mean, 2), "rows": shots.total(), "none": shots[0]}
    return {"inputs_cut": cut, "shots": about}


def answer(prompt: Prompt, text: str, tokenizer: Any, window: int) -> list[int]:
    """The tokens of an answer after a prompt, the one that ends it last.

    One that the window has no room for loses its end, and then nothing says that it ended.
    """
    told = chat_template.plain(tokenizer, text)
    written = chat_template.answered(tokenizer, prompt.messages, told)
    tokens: list[int] = tokenizer(written, add_special_tokens=False)["input_ids"]
    stops = chat_template.ends(tokenizer)
    end = next((at for at, token in enumerate(tokens) if token in stops), None)
    tokens = [*tokens, stops[0]] if end is None else tokens[: end + 1]
    return tokens[: window - len(prompt.tokens)]


def _tokens(said: Sequence[list[dict[str, str]]], tokenizer: Any) -> list[list[int]]:
    if not said:
        return []
    texts = [chat_template.render(tokenizer, one) for one in said]
    # Marks that begin a text are the template's to write.
    found: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return found
