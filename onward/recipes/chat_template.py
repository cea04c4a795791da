"""Conversations as text, by the template that a model's tokenizer brings, and where answers end.

>>> fields("{{ bos_token }}{% for m in messages %}{{ m.content }}{{ mood }}{% endfor %}")
['mood']
>>> fields("{% if mood is defined %}{{ mood }}{% endif %}")
[]
>>> fields("{% if tools %}{% set mood = 'x' %}{% endif %}{{ mood }}")
['mood']

The tokenizer applies its own template. One that needs a field which nothing gives it is refused
by name: Jinja would write nothing in its place, and nobody would see. One that writes today's date
is given a fixed one, so that a row is the same tokens on every day. A model without a template is
given DEFAULT, which needs no token that a tokenizer may lack.

What a row says cannot change who speaks: the names of special tokens in it are broken up, and those
of DEFAULT's roles where a line begins with one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from onward.errors import SettingsError
from onward.recipes import special_tokens

DEFAULT = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\\n' }}"
    "{% else %}{{ 'Assistant: ' + message['content'] + eos_token + '\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""For a model that brings no template."""

_GIVEN = frozenset(
    "messages add_generation_prompt continue_final_message tools documents raise_exception "
    "strftime_now bos_token eos_token unk_token sep_token pad_token cls_token mask_token".split()
)
"""What transformers gives a template."""

_DAY = "{% macro strftime_now(form) %}2024-01-01{% endmacro %}"
"""Goes before a template that asks for the date."""

_ROLE = re.compile(r"^(\s*(?:User|Assistant)):", re.MULTILINE)
"""What DEFAULT writes before a turn."""

_PROBES = (1, 2, 3, 4)
"""Turns of the conversations that a template is tried with; odd ones are to be gone on from."""

_MARK = "\u2042"
"""Stands for an answer, to see what a template writes around it."""


def fields(template: str) -> list[str]:
    """The fields that a template needs and is not given, sorted.

    One that the template asks for (`is defined`, `default`, `if`) or sets somewhere is needed only
    where a conversation of _PROBES would print it unset: a template may set a name in each branch,
    as many do. What this does not cover: a name that it sets, and prints unset in others alone.

    Raises:
        SettingsError: it is no Jinja template.
    """
    from jinja2 import TemplateError, meta

    template = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", template)
    printed: set[str] = set()
    environment = _environment(printed)
    try:
        tree = environment.parse(template)
        unknown = meta.find_undeclared_variables(tree) - _GIVEN
        hedged = unknown & _hedged(tree)
        if hedged:
            _try(environment.from_string(template))
    except TemplateError as error:
        raise _refused(f"is no Jinja template: {str(error)[:120]}") from error
    return sorted((unknown - hedged) | (hedged & printed))


def _environment(printed: set[str]) -> Any:
    """As transformers has it, with loops that `break`; takes note of names that print nothing."""
    from jinja2 import Undefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import missing

    class Lacking(Undefined):
        def __str__(self) -> str:
            if self._undefined_obj is missing and self._undefined_name:
                printed.add(self._undefined_name)
            return ""

    return ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
        undefined=Lacking,
    )


def _hedged(tree: Any) -> set[str]:
    """Names that a template sets somewhere, has a default for, or looks at in a condition."""
    from jinja2 import nodes

    kept = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    kept |= {macro.name for macro in tree.find_all(nodes.Macro)}
    for found in tree.find_all((nodes.Test, nodes.Filter)):
        if found.name in ("defined", "undefined", "default", "d"):
            kept |= {found.node.name} if isinstance(found.node, nodes.Name) else set()
    for branch in tree.find_all((nodes.If, nodes.CondExpr)):
        kept |= {name.name for name in nodes.Tuple([branch.test], "load").find_all(nodes.Name)}
    return kept


def _try(template: Any) -> None:
    """Apply it to _PROBES; what it refuses of them it will refuse again where it is used."""
    from jinja2 import TemplateError

    def refuse(why: str) -> None:
        raise TemplateError(why)

    given: dict[str, Any] = dict.fromkeys((name for name in _GIVEN if name.endswith("_token")), "")
    given |= {"tools": None, "documents": None, "raise_exception": refuse}
    for turns in _PROBES:
        said = [{"role": ("user", "assistant")[at % 2], "content": "?"} for at in range(turns)]
        with suppress(TemplateError, ValueError, TypeError):
            asking = bool(turns % 2)
            template.render(
                messages=said, add_generation_prompt=asking, strftime_now=lambda _: "", **given
            )


def _refused(why: str) -> SettingsError:
    return SettingsError(
        f"The model's chat template {why}",
        where="chat_template.jinja, or chat_template in tokenizer_config.json, of project.encoder",
        fix=f"a template may use {', '.join(sorted(_GIVEN)[:4])} ...; without any, a plain one is "
        "used",
    )


def render(tokenizer: Any, messages: Sequence[dict[str, str]]) -> str:
    """The text that a model is to go on from.

    What the template writes before an answer belongs to it, such as the empty reasoning of models
    that may reason. Space alone does not: it is a part of the answer's first token.

    Args:
        tokenizer: of transformers.
        messages: role (user or assistant) and content of each turn, the user's last.

    Raises:
        SettingsError: the template needs a field that nothing gives, or refuses the messages.
    """
    start = _applied(tokenizer, messages, asking=True)
    whole = _applied(tokenizer, [*messages, _told(_MARK)], asking=False)
    if not whole.startswith(start):
        return start
    before, found, _ = whole[len(start) :].partition(_MARK)
    return start + before.rstrip(" ") if found and before.strip() else start


def answered(tokenizer: Any, messages: Sequence[dict[str, str]], answer: str) -> str:
    """What follows `render` where the answer is known, up to the next turn. Raises as `render`.

    Templates that write an answer of the past in another way than one to come (without its
    reasoning, say) get the answer and the token that ends it.
    """
    whole = _applied(tokenizer, [*messages, _told(answer)], asking=False)
    start = render(tokenizer, messages)
    if whole.startswith(start) and answer.strip() in whole[len(start) :]:
        return whole[len(start) :]
    return f"{answer}{tokenizer.convert_ids_to_tokens(ends(tokenizer)[0])}"


def _told(answer: str) -> dict[str, str]:
    return {"role": "assistant", "content": answer}


def ends(tokenizer: Any, own: Sequence[int | None] = ()) -> list[int]:
    """The tokens that end an answer: what the template writes after one, and the text's end.

    Args:
        tokenizer: of transformers.
        own: tokens that a model names itself; one that stands for text is none, such as a number
            that an architecture takes where nothing was said.

    Raises:
        SettingsError: the tokenizer has none.
    """
    told = [{"role": "user", "content": "?"}, _told(_MARK)]
    after = _applied(tokenizer, told, asking=False).rpartition(_MARK)[2]
    special = special_tokens.named(tokenizer)
    following = tokenizer(after, add_special_tokens=False)["input_ids"]
    found = [token for token in following[:1] if token in special]
    if tokenizer.eos_token_id is not None:
        found.append(tokenizer.eos_token_id)
    found += [token for token in own if token in special]
    if not found:
        raise SettingsError(
            "The model's tokenizer has no token that ends an answer",
            where="project.encoder: tokenizer_config.json, eos_token",
            fix="choose a model that was trained to write, or name its eos_token",
        )
    return list(dict.fromkeys(found))


def plain(tokenizer: Any, text: str) -> str:
    """A text of a row in which no special token stands: each is broken by a space.

    So are the roles that DEFAULT writes at the head of a line, where it is what is used.
    """
    if not tokenizer.chat_template:
        text = _ROLE.sub(r"\1 :", text)
    return special_tokens.broken(text, special_tokens.named(tokenizer).values())


def _applied(tokenizer: Any, messages: Sequence[dict[str, str]], *, asking: bool) -> str:
    from jinja2 import TemplateError

    template = tokenizer.chat_template or DEFAULT
    if not isinstance(template, str):
        raise _refused("is one of several, and nothing says which")
    _check(template)
    template = f"{_DAY}{template}" if "strftime_now" in template else template
    said = [{**one, "content": plain(tokenizer, one["content"])} for one in messages]
    try:
        found: str = tokenizer.apply_chat_template(
            said,
            chat_template=template,
            tokenize=False,
            add_generation_prompt=asking,
            **({} if tokenizer.eos_token else {"eos_token": ""}),
        )
    except (TemplateError, ValueError, TypeError) as error:
        raise _refused(f"cannot be applied: {' '.join(str(error).split())[:120]}") from error
    return found


@lru_cache(maxsize=8)
def _check(template: str) -> None:
    lacking = fields(template)
    if lacking:
        raise _refused(f"has an unknown field: {', '.join(lacking)[:200]}")
