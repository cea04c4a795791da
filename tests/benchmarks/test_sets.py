"""A benchmark whose public set is not here says so, and which option names its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import banking77_episodes, recipe_entries, recipes_chat, recipes_choice, tunings

READ: dict[str, Callable[[Path], Any]] = {
    "episodes": lambda at: banking77_episodes.rows(at / "banking77", "train"),
    "choice": recipes_choice.sides,
    "chat": recipes_chat.dialogsum,
    "squad": recipes_chat.squad_extracted,
    "tunings": lambda at: tunings.banking77(at, smoke=True),
    "chinese": recipe_entries.CHINESE.sides,
    **{entry.name: entry.sides for entry in recipe_entries.ENTRIES},
}


@pytest.mark.parametrize("name", READ)
def test_a_set_that_is_not_here_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        READ[name](tmp_path)
    told = str(ended.value)
    assert told.startswith(f"There is no {tmp_path}") and "--datasets DIR" in told
    assert "\n" not in told
