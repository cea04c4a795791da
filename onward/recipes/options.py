"""Rows with options: how they are encoded, and a model that learns which option of a row is right.

>>> letter(0), letter(25), letter(26)
('A', 'Z', 'AA')

For an answer each option is a feature of its own and gets one number. For training all options of
a row are one feature, their tokens one after the other, because their numbers compete: the loss of
a row is the cross-entropy of the softmax over them, as in Talmor et al. 2019 (CommonsenseQA) and
in transformers' models for multiple choice, here for any number of options a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

from onward.config import Prepare
from onward.recipes.shapes import INPUTS, Feature, Row

MISSING = -1e4
"""The number of an option that a row does not have: no softmax sees it."""


def letter(place: int) -> str:
    """A place as people name it: A, B, ..., Z, AA, AB, ..."""
    first = letter(place // 26 - 1) if place >= 26 else ""
    return first + chr(ord("A") + place % 26)


def unanswerable(row: Row) -> str:
    """Why a row that only asks cannot be answered; "" where it can."""
    found = [option.strip() for option in row["options"]]
    if len(found) < 2:
        return f"There are two options or more to choose from, not {len(found)}"
    if not all(found):
        return "An option is empty"
    double = next((one for one in found if found.count(one) > 1), None)
    return "" if double is None else f"The option {double!r:.60} stands there twice"


def encode(
    rows: Sequence[Row], tokenizer: Any, settings: Prepare, *, labels: Sequence[str] | None
) -> list[Feature]:
    """Each option of each row, or with its target each row, as one feature.

    What is read with an option is at most `settings.max_length` tokens long: the question and, as
    a second text, the option; or the context and, as a second text, question and option. What is
    longer loses the context's end, then the question's beginning, and the option's end last of
    all, because nothing else tells a row's options apart: `inputs_cut` counts these rows.

    Args:
        rows: canonical rows.
        tokenizer: of transformers.
        settings: max_length.
        labels: where given (empty: options are no labels), features to learn from.

    Returns:
        Without `labels`, in the order of rows and options: row (index in `rows`), option,
        input_ids, attention_mask and, where the tokenizer makes them, token_type_ids (lists of T
        integers). With `labels` one a row: the lists of all its options joined, ends (where each
        option's part ends) and answer (the right one's place).
    """
    found = _tokens(rows, tokenizer, settings.max_length)
    if labels is None:
        return [
            {**one, "row": at, "option": place}
            for at, parts in enumerate(found)
            for place, one in enumerate(parts)
        ]
    return [
        {name: list(chain.from_iterable(one[name] for one in parts)) for name in parts[0]}
        | {
            "row": at,
            "ends": list(accumulate(len(one["input_ids"]) for one in parts)),
            "answer": int(row["answer"]),
        }
        for at, (row, parts) in enumerate(zip(rows, found, strict=True))
    ]


def inputs_cut(rows: Sequence[Row], tokenizer: Any, settings: Prepare) -> int:
    """How many rows have an option with which they are too long, and lose an end."""
    found = _tokens(rows, tokenizer)
    longest = (max(len(one["input_ids"]) for one in parts) for parts in found)
    return sum(length > settings.max_length for length in longest)


def _tokens(
    rows: Sequence[Row], tokenizer: Any, most: int | None = None
) -> list[list[dict[str, list[int]]]]:
    """The tokenizer's lists of every option of every row, cut to `most` tokens each."""
    pairs = [(row, *pair) for row in rows for pair in _pairs(row)]
    if not pairs:
        return [[] for _ in rows]
    asked, first, second = (list(side) for side in zip(*pairs, strict=True))
    how = {"padding": False, "truncation": False, "verbose": False}
    made = tokenizer(
        first, second, return_attention_mask=True, return_offsets_mapping=most is not None, **how
    )
    names = [name for name in INPUTS if name in made]

    def lists(n: int) -> dict[str, list[int]]:
        found = {name: made[name][n] for name in names}
        over = 0 if most is None else len(found["input_ids"]) - most
        if over <= 0:
            return found
        ends = [end for _, end in made["offset_mapping"][n]]
        lost = set(_expendable(asked[n], made.sequence_ids(n), ends)[:over])
        return {
            name: [token for at, token in enumerate(tokens) if at not in lost]
            for name, tokens in found.items()
        }

    every = map(lists, range(len(pairs)))
    return [[next(every) for _ in row["options"]] for row in rows]


def _expendable(row: Row, sides: Sequence[int | None], ends: Sequence[int]) -> list[int]:
    """The places of a pair's tokens in the order in which they may be missed.

    Args:
        row: whose texts they are.
        sides: of each token, the text that it is of; None: one between them.
        ends: where it ends in its text, in characters.
    """
    first = [at for at, side in enumerate(sides) if side == 0]
    second = [at for at, side in enumerate(sides) if side == 1]
    if row["context"] is None:
        return [*first, *reversed(second)]
    begins = len(row["question"]) + 1
    question = [at for at in second if ends[at] <= begins]
    option = [at for at in second if ends[at] > begins]
    return [*reversed(first), *question, *reversed(option)]


def _pairs(row: Row) -> list[tuple[str, str]]:
    """The two texts that are read with each option."""
    if row["context"] is None:
        return [(row["question"], option) for option in row["options"]]
    return [(row["context"], f"{row['question']} {option}") for option in row["options"]]


def model(scored: Any) -> Any:
    """A model with one output that also takes rows of options.

    Its `forward` takes two keywords more: `groups`, int64 [B], how many of the N sequences of a
    batch are the options of each row, and `labels`, int64 [B]. With `groups` its logits are
    [B, most options], MISSING where a row has fewer, and with `labels` too its loss is the mean
    cross-entropy over rows. Without, they are [N, 1].
    """
    import torch

    plain = type(scored)

    class Choosing(plain):  # type: ignore[misc, valid-type]
        def forward(
            self, *inputs: Any, groups: Any = None, labels: Any = None, **named: Any
        ) -> Any:
            """As above."""
            made = super().forward(*inputs, **named)
            if groups is None:
                return made
            made["logits"] = _by_row(made["logits"].squeeze(-1), groups)
            if labels is not None:
                loss = torch.nn.functional.cross_entropy(made["logits"].float(), labels)
                made = type(made)(loss=loss, **made)
            return made

    # The configuration names the class that can read the saved weights.
    Choosing.__name__ = plain.__name__
    scored.__class__ = Choosing
    return scored


def _by_row(scores: Any, groups: Any) -> Any:
    """Numbers [N] of all options as [B, most options], MISSING where a row has fewer."""
    import torch

    places = torch.arange(int(groups.max()), device=groups.device)
    there = places[None, :] < groups[:, None]
    table = scores.new_full(there.shape, MISSING)
    table[there] = scores
    return table
