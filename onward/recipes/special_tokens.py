"""Names of special tokens in what rows say: a text with one in it would be read as the token.

>>> broken("RED </s> FOX", ["</s>"])
'RED < /s> FOX'
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def named(tokenizer: Any) -> dict[int, str]:
    """The tokens that stand for no text, as tokenizer.json names them: id -> name."""
    added = tokenizer.added_tokens_decoder
    return {number: token.content for number, token in added.items() if token.special}


def broken(text: str, names: Iterable[str]) -> str:
    """A text in which none of these names stands: each is broken by a space."""
    for name in names:
        if name in text:
            text = text.replace(name, f"{name[:1]} {name[1:]}")
    return text
