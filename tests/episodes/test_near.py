"""Near repetitions: what is accused has that similarity, and what has it is found (D09)."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

import numpy as np
import pytest

from onward.episodes import near, shingles, sketches
from onward.episodes.rows import normalised
from tests.episodes.texts import passage


def jaccard(one: str, other: str) -> float:
    """By its definition, on lower-case letters and spaces alone."""
    if min(len(one), len(other)) < 200:
        sides = [{text[at : at + 5] for at in range(len(text) - 4)} for text in (one, other)]
    else:
        split = [text.split() for text in (one, other)]
        sides = [{tuple(w[at : at + 3]) for at in range(len(w) - 2)} for w in split]
    return len(sides[0] & sides[1]) / len(sides[0] | sides[1])


def changed(text: str, chance: random.Random) -> str:
    """With up to a quarter other words."""
    words = text.split()
    for _ in range(chance.randrange(len(words) // 4 + 1)):
        words[chance.randrange(len(words))] = chance.choice(["alba", "oslo", "fox"])
    return " ".join(words)


def population(seed: int, words: int) -> tuple[list[str], list[str]]:
    chance = random.Random(seed)
    old = [passage(seed * 1_000 + n, words) for n in range(120)]
    return old, [changed(chance.choice(old), chance) for _ in range(120)]


def blocks(texts: list[str], where: str) -> Iterator[near.Block]:
    lines = (
        (n, kind, signature)
        for n, text in enumerate(texts)
        for kind, signature in near.signed(text)
    )
    return near.blocks(lines, lambda ns: {n: near.Text(texts[n], f"i{n}") for n in ns}, where)


def found(new: list[str], old: list[str], threshold: float) -> dict[int, near.Near]:
    listed = list(near.pairs(blocks(new, "new"), lambda: blocks(old, "the old {}"), threshold))
    assert len({one.number for one in listed}) == len(listed), "named once"
    return {one.number: one for one in listed}


@pytest.mark.parametrize("threshold", [0.7, 0.9])
@pytest.mark.parametrize("words", [15, 40, 150])
def test_d09_all_pairs_above_the_threshold_and_no_other(words: int, threshold: float) -> None:
    old, new = population(words, words)
    best = [max(jaccard(text, other) for other in old) for text in new]
    accused = found(new, old, threshold)
    assert set(accused) == {n for n, share in enumerate(best) if share >= threshold}
    assert 5 < len(accused) < 120, "both happen"
    for n, one in accused.items():
        assert one.share == pytest.approx(jaccard(new[n], old[int(one.id[1:])]))
        assert one.share >= threshold


def test_d09_what_is_just_as_similar_as_the_threshold_is_accused() -> None:
    long = passage(1, 60)
    other = " ".join([*long.split()[:-1], "alba"])
    share = shingles.similarity(other, long)
    assert 0.9 < share < 1 and set(found([other], [long], share)) == {0}


def test_blocks_of_any_size_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = population(3, 40)
    whole = found(new, old, 0.8)
    monkeypatch.setattr(near, "BLOCK", 7)
    assert {n: one.share >= 0.8 for n, one in found(new, old, 0.8).items()} == dict.fromkeys(
        whole, True
    )


def test_texts_on_both_sides_of_the_border_between_characters_and_words_are_compared() -> None:
    """One of 199 and one of 203 characters."""
    long = passage(1, 80)[:203]
    assert set(found([long[:199]], [long], 0.9)) == {0}
    assert set(found([long], [long[:199]], 0.9)) == {0}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "請問我的卡在哪裡，我昨天在銀行把它弄丟了。",
            "請問我的卡在哪裡，我昨天在銀行把它弄丟了！",
        ),
        ("Where is my card?", "WHERE is my card"),
        ("a", "A."),
        ("\u1e9b\u0323 is", "\u1e69 is"),
    ],
)
def test_d12_texts_that_read_the_same_are_the_same(one: str, other: str) -> None:
    assert shingles.similarity(one, other) == 1.0
    assert set(found([one], [other], 0.9)) == {0}


def test_long_texts_without_spaces_are_compared_by_three_characters() -> None:
    text = "".join(chr(0x4E00 + n) for n in range(300))
    assert shingles.similarity(text, text[:150] + "一" + text[151:]) == pytest.approx(295 / 301)


def test_hashes_stand_for_shingles() -> None:
    for kind in shingles.KINDS:
        plain = normalised(passage(5, 200))
        hashes = shingles.hashes(plain, kind)
        assert len(set(hashes.tolist())) == len(shingles.shingles(plain, kind))


def test_the_share_of_equal_bytes_estimates_the_similarity() -> None:
    old, new = population(9, 100)
    signed = [dict(near.signed(text))["words"] for text in (*old, *new)]
    table = np.array([np.frombuffer(signature, np.uint8) for signature in signed])
    errors = [
        float((table[n] == table[120 + m]).mean()) - jaccard(old[n], new[m])
        for n in range(120)
        for m in range(120)
    ]
    assert abs(float(np.mean(errors))) < 0.01
    assert float(np.max(np.abs(errors))) < 5 * 0.5 / np.sqrt(sketches.PERMUTATIONS)


def test_a_signature_is_the_same_for_ever() -> None:
    """Kept ones are compared with new ones: other bytes need another VERSION."""
    joined = b"".join(signature for _, signature in near.signed(passage(1, 50)))
    assert len(joined) == 2 * sketches.PERMUTATIONS
    known = {"minhash-affine32-128x8-1": "959493a19af2abe4"}
    assert hashlib.sha256(joined).hexdigest()[:16] == known[sketches.VERSION]


# Scripts without spaces

ZH = (
    "在歐洲梵語的學術研究由德國學者陸特和漢斯雷頓開創後來威廉瓊斯發現印歐語系也要歸功於對梵語的研究"
)


def test_a_text_without_spaces_is_compared_by_its_characters_as_words() -> None:
    assert shingles.kinds(normalised(ZH)) == shingles.kinds(normalised(ZH * 20)) == ("words",)
    changed = ZH[:20] + "甲" + ZH[21:]
    assert 0.85 < shingles.similarity(ZH, changed) < 0.9
    assert shingles.similarity(ZH, "「" + "，".join([ZH[:9], ZH[9:]]) + "」。") > 0.8
    assert shingles.similarity(ZH, ZH[::-1]) == 0.0


def test_a_pair_on_both_sides_of_the_border_between_scripts_is_still_compared() -> None:
    left = "the word 梵語研究 of old"
    one, other = normalised(left + " x"), normalised(left.replace(" old", ""))
    assert set(shingles.kinds(one)) & set(shingles.kinds(other))
