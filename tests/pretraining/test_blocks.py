"""Sources, held-out text and blocks: read, compared, cut and masked."""

from __future__ import annotations

import gzip
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from onward import recipes
from onward.episodes.values import Fault
from onward.errors import FormatError
from onward.learning import encoder, features
from onward.learning.features import Features
from onward.pretraining import blocks, overlap, sources
from onward.pretraining.blocks import CAUSAL, MASKED, Told
from onward.pretraining.overlap import Held
from onward.recipes.shapes import NOTHING
from tests import toys


@pytest.fixture(scope="module")
def tokenizer(toy_encoder: Path) -> Any:
    return encoder.tokenizer(toy_encoder)


def packed(texts: list[str], tokenizer: Any, objective: str, length: int) -> Features:
    parts = [one for part in blocks.encode(texts, tokenizer, objective, length) for one in part]
    return Features.of(pa.Table.from_pylist(parts, schema=features.schema(parts[0])))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "one\ntext\n\n\n two \n", ["one\ntext", " two "]),
        ("a.txt", "one\ntwo\n", ["one", "two"]),
        ("a.txt", "\n \none\ntwo\n\n\n", ["one", "two"]),  # all of the file was one text
        ("a.txt.gz", "one\n\ntwo\n", ["one", "two"]),
        ("a.csv", "id,Content\n1,one\n2,two\n", ["one", "two"]),
        ("a.txt.csv", "id,Content\n1,one\n2,two\n", ["one", "two"]),  # ids and all were texts
        ("A.TXT", "one\n\ntwo\n", ["one", "two"]),
    ],
)
def test_texts_of_a_file(tmp_path: Path, name: str, content: str, expected: list[str]) -> None:
    data = content.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert [text for _, text in sources.read(tmp_path / name, 100)] == expected


def test_bytes_of_another_encoding_cost_their_text_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"good\n\nbad \xff\nstill\n\ngood again\n")
    first, bad, last = (value for _, value in sources.read(tmp_path / "a.txt", 100))
    assert (first, last) == ("good", "good again")
    assert isinstance(bad, Fault) and bad.reason == "invalid-encoding"


def test_rows_without_the_column_of_texts_are_counted(tmp_path: Path) -> None:
    """D03, D05: a row of JSON lines may lack what the others have."""
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"body": "two"}\n{"text": "three"}\n')
    found = sources.Texts(tmp_path / "a.jsonl", 100, Held())
    assert list(found) == ["one", "three"]
    assert found.left_out == {"missing-field": 1} and found.seen == 3
    assert [(one["line"], one["reason"]) for one in found.samples] == [(2, "missing-field")]


def test_a_file_in_another_encoding_is_refused_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("博物館\n\n開放\n".encode("big5"))
    with pytest.raises(FormatError, match="is not UTF-8"):
        list(sources.read(tmp_path / "a.txt", 100))


@pytest.mark.parametrize(
    ("held", "text", "found"),
    [
        ("how old is the museum", "i asked how old is the museum today", True),
        ("how old is the museum", "i asked how old the museum is today", False),
        ("who was she", "nobody knew who was she", False),
        ("who was she", "who was she", True),
        (" ".join("abcdefghijklmnop"), "x " + " ".join("bcdefghijklmn") + " y", True),
        (" ".join("abcdefghijklmnop"), "x " + " ".join("bcdefghijklm") + " y", False),
        ("北京是中国的首都", "大家都知道北京是中国的首都", True),
    ],
)
def test_a_text_holds_a_held_out_one(held: str, text: str, found: bool) -> None:
    """D09: 13 words in a row, or all of a shorter one; a word less is another text."""
    known = Held()
    known.add("0001-a", held)
    assert known.within(text) == ("0001-a" if found else "")


SENTENCE = "in this town the smog of so many cars has caused more asthma than any war"


@pytest.mark.parametrize(
    ("recipe", "row"),
    [
        (
            "relation",
            {
                "text": SENTENCE,
                **{"head_start": 17, "head_end": 21, "tail_start": 53, "tail_end": 59},
            },
        ),
        ("chat", {"question": "Why?", "context": None, "history": ["What is it?", SENTENCE]}),
    ],
)
def test_what_a_row_of_any_recipe_asks_is_held_out(
    recipe: str, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marks of entities hid a sentence of relation, and turns before a question were not held."""
    monkeypatch.setattr(
        overlap, "folders", lambda _: [SimpleNamespace(folder="0001-a", carved=False)]
    )
    monkeypatch.setattr(overlap.parquet, "read", lambda _: [row])
    project: Any = SimpleNamespace(episode=Path)
    held = overlap.held_out(project, recipes.get(recipe))
    assert held.within(f"they say that {SENTENCE} that was") == "0001-a"


def test_blocks_hold_every_token_once(tokenizer: Any) -> None:
    texts = [row["context"] for row in toys.toy_rows(20, 4)]
    whole = [i for text in texts for i in [*tokenizer(text)["input_ids"][1:-1], 3]]
    found = packed(texts, tokenizer, MASKED, 16)
    inner = [list(found[at]["input_ids"][1:-1]) for at in range(len(found))]
    assert [i for part in inner for i in part] == whole[: sum(map(len, inner))]
    assert sum(map(len, inner)) > len(whole) - blocks.SHORTEST
    assert set(found.lengths[:-1]) == {16}
    assert {found[at]["input_ids"][0] for at in range(len(found))} == {tokenizer.cls_token_id}


@pytest.mark.parametrize("objective", [MASKED, CAUSAL])
def test_names_of_special_tokens_in_a_text_are_no_tokens(objective: str, tokenizer: Any) -> None:
    texts = ["the [MASK] note [SEP] says that [PAD] it was [UNK] seen near a box"]
    found = packed(texts, tokenizer, objective, 64)[0]["input_ids"]
    special = [i for i in found if i in tokenizer.all_special_ids and i != tokenizer.unk_token_id]
    marks = [tokenizer.cls_token_id, *2 * [tokenizer.sep_token_id]]  # those of the block
    assert special == (marks if objective == MASKED else [])
    broken = tokenizer("the [ MASK] note [ SEP]", add_special_tokens=False)["input_ids"]
    assert list(found)[objective == MASKED :][: len(broken)] == broken


def test_masks_are_a_share_of_the_words_and_of_each_pass_their_own(tokenizer: Any) -> None:
    texts = [row["context"] for row in toys.toy_rows(400, 4)]
    told = Told(packed(texts, tokenizer, MASKED, 64), tokenizer, MASKED, passes=2, seed=5)
    first = [told[at] for at in range(len(told) // 2)]
    tokens = np.concatenate([one["labels"] for one in first])
    given = np.concatenate([one["input_ids"] for one in first])
    chosen = tokens != NOTHING
    assert 0.13 < chosen.mean() < 0.17
    assert 0.76 < (given[chosen] == tokenizer.mask_token_id).mean() < 0.84
    assert 0.07 < (given[chosen] == tokens[chosen]).mean() < 0.13
    assert not np.isin(tokens[chosen], tokenizer.all_special_ids).any()
    again = Told(packed(texts, tokenizer, MASKED, 64), tokenizer, MASKED, passes=2, seed=5)
    assert all((again[at]["labels"] == first[at]["labels"]).all() for at in range(len(first)))
    second = np.concatenate([told[at]["labels"] for at in range(len(first), len(told))])
    assert (tokens != second).mean() > 0.2


def test_no_mark_is_to_be_told_where_a_text_cannot_be_read(tokenizer: Any) -> None:
    """All of such a block was masked, its first and last mark included."""
    strange, plain = " ".join("博物館於一八五一年開放" * 9), "the note was seen near a box"
    assert not list(blocks.encode([strange], tokenizer, MASKED, 32))
    found = packed([plain, strange, plain], tokenizer, MASKED, 32)
    ids = [one["row"] for one in map(found.__getitem__, range(len(found)))]
    assert ids == [0, 1], "the blocks between the two are left out"
    unread = [tokenizer.cls_token_id, *8 * [tokenizer.unk_token_id], tokenizer.sep_token_id]
    made = [{"row": 0, "input_ids": unread}, {"row": 1, "input_ids": [*unread[:-1], 9, 3]}]
    told = Told(
        Features.of(pa.Table.from_pylist(made, schema=features.schema(made[0]))), tokenizer, MASKED
    )
    assert (told[0]["labels"] == NOTHING).all() and (told[0]["input_ids"] == unread).all()
    assert told[1]["labels"].tolist() == [*9 * [NOTHING], 9, NOTHING]


def test_a_causal_model_is_to_tell_every_token(tokenizer: Any) -> None:
    made = packed(["the note says that it was seen near a box"], tokenizer, CAUSAL, 16)
    found = Told(made, tokenizer, CAUSAL)
    assert (found[0]["input_ids"] == found[0]["labels"]).all()
