"""The generation loop over a model that says what it is told to: no library is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from onward.config import Evaluate, parse
from onward.recipes import generated
from onward.runtime.generation import END, LENGTH, STOP, Rules, Token, choose, generate, run, stream

PIECES = ["</s>", "a", "b", "ab", "c", "ST", "OP", "S", "T", "O", "P", " ", "é"]
"""What each token says."""


class Told:
    """A model that goes on with the tokens that each prompt names, then ends."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []
        self.kept: list[list[int]] = []

    def start(self, batch: Sequence[dict[str, Any]]) -> NDArray[np.float32]:
        self.rows = [[*feature["input_ids"], 0] for feature in batch]
        return self._logits()

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        assert len(tokens) == len(self.rows)
        self.rows = [row[1:] or [0] for row in self.rows]
        return self._logits()

    def keep(self, rows: Sequence[int]) -> None:
        self.kept.append(list(rows))
        self.rows = [self.rows[at] for at in rows]

    def _logits(self) -> NDArray[np.float32]:
        made = np.zeros((len(self.rows), len(PIECES)), dtype=np.float32)
        made[np.arange(len(self.rows)), [row[0] for row in self.rows]] = 5
        return made


def rules(**how: Any) -> Rules:
    said = {"max_new_tokens": 20, "end": frozenset({0}), "text": text}
    return Rules(**{**said, **how})


def text(tokens: Sequence[int]) -> str:
    return "".join(PIECES[token] for token in tokens)


def ids(*words: str) -> dict[str, list[int]]:
    return {"input_ids": [PIECES.index(word) for word in words]}


def test_rows_of_a_batch_end_by_themselves_and_leave_it() -> None:
    model = Told()
    batch = [ids("a", "b", "c"), ids("b"), ids("a", "a")]
    found = generate(model, batch, rules())
    assert [one["tokens"].tolist() for one in found] == [[1, 2, 4, 0], [2, 0], [1, 1, 0]]
    assert [int(one["ended"][0]) for one in found] == [END, END, END]
    assert model.kept == [[0, 2], [0]]
    alone = [generate(Told(), [feature], rules())[0] for feature in batch]
    for one, other in zip(found, alone, strict=True):
        assert one["logprobs"] == pytest.approx(other["logprobs"])


def test_an_empty_generation_is_an_end_token_alone() -> None:
    (found,) = generate(Told(), [ids()], rules())
    assert found["tokens"].tolist() == [0] and int(found["ended"][0]) == END
    assert found["tokens"].dtype == np.int64 and found["logprobs"].dtype == np.float32


@pytest.mark.parametrize("split", [["ST", "OP"], ["S", "T", "O", "P"], ["a", "S", "T", "OP"]])
def test_a_stop_string_ends_a_row_wherever_tokens_part_it(split: list[str]) -> None:
    (found,) = generate(Told(), [ids("a", *split, "b", "b")], rules(stop=("STOP",)))
    assert text(found["tokens"]) == "a" + "".join(split)
    assert int(found["ended"][0]) == STOP


def test_a_stop_string_that_never_comes_changes_nothing() -> None:
    batch = [ids("S", "T", "a")]
    (found,) = generate(Told(), batch, rules(stop=("STOP",)))
    (other,) = generate(Told(), batch, rules())
    assert found["tokens"].tolist() == other["tokens"].tolist()
    assert int(found["ended"][0]) == END


def test_no_row_is_longer_than_max_new_tokens() -> None:
    (found,) = generate(Told(), [ids("a", "b", "c")], rules(max_new_tokens=2))
    assert found["tokens"].tolist() == [1, 2] and int(found["ended"][0]) == LENGTH


@given(
    st.lists(st.sampled_from(PIECES[1:]), max_size=12),
    st.sampled_from([("STOP",), ("ab", "ST"), ()]),
)
def test_streamed_pieces_are_the_whole_text_before_the_stop(
    words: list[str], stop: tuple[str, ...]
) -> None:
    how = rules(stop=stop)
    (found,) = generate(Told(), [ids(*words)], how)
    tokens = found["tokens"].tolist()
    whole = text(tokens[:-1] if int(found["ended"][0]) == END else tokens)
    before = generated.cut(whole, stop)
    assert "".join(stream(Told(), ids(*words), how)) == (whole if before is None else before)


def test_streaming_holds_back_a_character_that_is_not_whole() -> None:
    """Bytes of one character may lie in several tokens; decoders write U+FFFD until all came."""
    halves = {1: "x\ufffd", 2: "xé"}
    how = rules(text=lambda tokens: halves.get(len(tokens), "xé!"))
    assert list(stream(Told(), ids("a", "a", "a"), how)) == ["x", "é", "!"]


def test_an_answer_that_stops_at_its_longest_ends_with_a_whole_character() -> None:
    """Three tokens of which the last two begin a character: nobody is shown U+FFFD."""
    settings = parse({}, Evaluate, where="test")

    class Tokenizer:
        def decode(self, tokens: list[int], **how: bool) -> str:
            return ("", "x", "x\ufffd", "x\ufffd")[len(tokens)]

    how = rules(max_new_tokens=3, text=lambda tokens: Tokenizer().decode(list(tokens)))
    (one,) = generate(Told(), [ids("a", "a", "a", "a")], how)
    told = generated.told(one, settings, Tokenizer())
    assert (told["text"], told["ended"], len(told["tokens"])) == ("x", "length", 3)
    assert "".join(stream(Told(), ids("a", "a", "a", "a"), how)) == "x"


FALLBACK = ["</s>", "▁Hello", "▁wor", "ld", *(f"<0x{one:02X}>" for one in "😀\n".encode())]
"""A vocabulary that falls back to bytes, as many of SentencePiece do."""


@pytest.mark.parametrize(
    "tokens",
    [
        [1, 4, 5, 6, 7, 2, 3],
        [1, 8, 1],
        [1, 4, 5, 6, 7, 4, 5, 2, 3],
        [1, 8, 4, 1, 2, 3],
        [4, 5, 1, 6, 7],
        [1, 4, 5, 6, 7],
        [1, 9, 2, 3],  # the tokenizer has no name for the second
    ],
)
def test_streaming_goes_on_after_bytes_that_are_no_character(tokens: list[int]) -> None:
    """A run of bytes is read anew with each: what was U+FFFD is a character, or the other way."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    fast = Tokenizer(models.WordLevel({name: n for n, name in enumerate(FALLBACK)}, FALLBACK[0]))
    fast.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=fast, eos_token="</s>")
    how = Rules.of(Evaluate(max_new_tokens=20), end=[0], tokenizer=tokenizer)
    pieces = list(stream(Told(), {"input_ids": tokens}, how))
    assert "".join(pieces) == generated.text(tokens, tokenizer) and len(pieces) > 1


def test_of_equal_logits_the_lowest_token_is_taken() -> None:
    assert choose(np.zeros(4, dtype=np.float32), rules(), None)[0] == 0


def test_log_probabilities_are_the_models_whatever_the_temperature() -> None:
    logits = np.array([1.0, 3.0, 2.0], dtype=np.float32)
    expected = np.log(np.exp(logits) / np.exp(logits).sum())
    token, logprob = choose(logits, rules(), None)
    assert token == 1 and logprob == pytest.approx(expected[1], abs=1e-6)
    for seed in range(5):
        drawn, logprob = choose(logits, rules(temperature=3.0), np.random.default_rng(seed))
        assert logprob == pytest.approx(expected[drawn], abs=1e-6)


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.2], dtype=np.float32))
    chance = np.random.default_rng(0)
    drawn = [choose(logits, rules(temperature=1.0), chance)[0] for _ in range(4000)]
    assert np.bincount(drawn) / 4000 == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


def test_draws_depend_on_the_seed_and_on_the_rows_own_prompt_alone() -> None:
    prompts = [ids(word) for word in "abc"]

    def drawn(batch: list[dict[str, list[int]]], seed: int) -> list[list[int]]:
        how = rules(temperature=1e6, seed=seed, end=frozenset(), max_new_tokens=12)
        return [made["tokens"].tolist() for made in generate(Told(), batch, how)]

    together = drawn(prompts, 1)
    assert together == [drawn([prompt], 1)[0] for prompt in prompts]
    assert len({tuple(tokens) for tokens in (*together, *drawn(prompts, 2))}) == 6


@pytest.mark.parametrize(("top_p", "kept"), [(0.5, {0}), (0.51, {0, 1}), (0.81, {0, 1, 2})])
def test_top_p_leaves_out_what_comes_after_its_share(top_p: float, kept: set[int]) -> None:
    logits = np.log(np.array([0.5, 0.3, 0.2], dtype=np.float64)).astype(np.float32)
    how = rules(temperature=1.0, top_p=top_p - 1e-3)
    chance = np.random.default_rng(0)
    assert {choose(logits, how, chance)[0] for _ in range(300)} == kept


def test_the_loop_yields_tokens_step_by_step() -> None:
    steps = list(run(Told(), [ids("a"), ids("b", "c")], rules()))
    assert [[one.row for one in step] for step in steps] == [[0, 1], [0, 1], [1]]
    assert all(isinstance(one, Token) for step in steps for one in step)
    assert [one.ended for one in steps[1]] == [END, None]


def test_a_prediction_says_text_end_and_tokens() -> None:
    class Tokenizer:
        def decode(self, tokens: list[int], **how: bool) -> str:
            return text(tokens)

    settings = parse({"stop": ["ST"]}, Evaluate, where="test")
    (one,) = generate(Told(), [ids(" ", "a", "ST")], rules(stop=("ST",)))
    told = generated.told(one, settings, Tokenizer())
    assert (told["text"], told["ended"], told["no_answer"]) == ("a", "stop", False)
    assert told["tokens"] == one["tokens"].tolist() and len(told["logprobs"]) == 3
    (none,) = generate(Told(), [ids(" ")], rules())
    told = generated.told(none, settings, Tokenizer())
    assert (told["text"], told["ended"], told["no_answer"]) == ("", "end", True)
