"""Values written into params.yaml: each at its place, and all else byte for byte as it was.

>>> changed("finetune:\\n    epochs: 2 # few\\n", {"finetune.epochs": 3.5, "evaluate.n_best": 2})
'finetune:\\n    epochs: 3.5 # few\\nevaluate:\\n  n_best: 2\\n'

A value that is there is replaced in the text; a key that is not gets a line at the end of its
block. Where that does not read back as meant (an alias, a block in braces that lacks the key) the
library writes the file anew, which keeps comments and may move spaces.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode

from onward import files
from onward.errors import SettingsError


def apply(params: Path, values: Mapping[str, Any]) -> None:
    """Write block.key -> value into params.yaml; all else, comments too, stays as it is.

    Raises:
        SettingsError: as `changed`.
        DiskFull: the old file is untouched.
    """
    files.write_text(params, changed(params.read_bytes().decode(), values))


def changed(text: str, values: Mapping[str, Any]) -> str:
    """The text of a params.yaml with these values.

    Raises:
        SettingsError: another block would change with one of them.
    """
    for key, value in values.items():
        block, _, name = key.partition(".")
        before = _plain().load(text) or {}
        meant = {**before, block: {**(before.get(block) or {}), name: value}}
        put = _put(text, block, name, _shown(value))
        if put is None or not _reads_as(put, meant):
            put = _dumped(text, block, name, value)
        if not _reads_as(put, meant):
            raise SettingsError(
                f"{key} cannot be written alone: its block is another's, too, by an alias",
                where="params.yaml",
                fix=f"write `{name}: {_shown(value)}` into the block {block} yourself",
            )
        text = put
    return text


def _plain() -> Any:
    return YAML(typ="safe", pure=True)


def _reads_as(text: str, meant: Mapping[str, Any]) -> bool:
    try:
        return bool(_plain().load(text) == meant)
    except YAMLError:
        return False


def _shown(value: Any) -> str:
    """A value in a line."""
    yaml, out = _plain(), io.StringIO()
    yaml.default_flow_style, yaml.width = True, 2**31
    yaml.dump([value], out)
    return out.getvalue().strip()[1:-1]


def _put(text: str, block: str, name: str, shown: str) -> str | None:
    """The text with a value in its place, or with a line for it; None where it has neither."""
    root = _plain().compose(text)
    end = "\r\n" if "\r\n" in text else "\n"
    if root is None or _value(root, block) is None:
        return _line(text, len(text), f"{block}:{end}  {name}: {shown}", end)
    held = _value(root, block)
    if isinstance(held, ScalarNode) and not held.value:
        return _line(text, held.end_mark.index, f"  {name}: {shown}", end)
    if not isinstance(held, MappingNode) or not held.value:
        return None
    old = _value(held, name)
    if old is not None:
        start, stop = old.start_mark.index, old.end_mark.index
        return f"{text[:start]}{'' if stop > start else ' '}{shown}{text[stop:]}"
    indent = " " * held.value[0][0].start_mark.column
    return _line(text, _end(held), f"{indent}{name}: {shown}", end)


def _value(held: Any, name: str) -> Any:
    """The node of a key of a mapping; None where it has no such key."""
    return next((value for key, value in held.value if key.value == name), None)


def _end(node: Any) -> int:
    """Behind the last character of a value; what the library takes for it may be the next key."""
    if isinstance(node, ScalarNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _line(text: str, at: int, line: str, end: str) -> str:
    """The text with a line of its own after the one that holds the character before `at`."""
    start = text.find("\n", max(0, at - 1)) + 1 or len(text)
    before = text[:start]
    between = end if before and not before.endswith("\n") else ""
    return f"{before}{between}{line}{end}{text[start:]}"


def _dumped(text: str, block: str, name: str, value: Any) -> str:
    """The text as the library writes it, with a value."""
    yaml, out = YAML(), io.StringIO()
    yaml.preserve_quotes, yaml.width = True, 2**31
    held = yaml.load(text)
    if held.get(block) is None:
        held[block] = {}
    held[block][name] = value
    yaml.dump(held, out)
    return out.getvalue()
