"""The flow `study` against a real local server: its states, and the table that it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from onward import files
from onward.errors import UsageError
from onward.project import Project
from tests import toys
from tests.flows import projects

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def listing(opened: Project, tmp_path: Path) -> str:
    """Two episodes as files, to be compared with the settings of a toy project."""
    projects.change(opened.root, finetune={"first_epochs": 1, "epochs": 1})
    for name, seed in (("one", 1), ("two", 2)):
        rows = [
            {**row, "answers": row["answers"][:1], "starts": row["starts"][:1]}
            for row in toys.toy_rows(60, seed=seed)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    episodes = [{"name": name, "file": f"{name}.jsonl"} for name in ("one", "two")]
    files.write_json(tmp_path / "sequence.json", {"episodes": episodes})
    return str(tmp_path / "sequence.json")


def study(project: Project, listing: str, **asked: Any) -> Any:
    from flows.study import study as flow

    return flow(
        str(project.root),
        listing=listing,
        combinations="naive",
        seeds="0",
        return_state=True,
        **asked,
    )


def page(api: str) -> str:
    """The newest table on the dashboard."""
    wanted = {"artifacts": {"key": {"any_": ["study"]}}, "sort": "CREATED_DESC", "limit": 1}
    (found,) = httpx.post(f"{api}/artifacts/filter", json=wanted).json()
    return str(found["data"])


def test_without_minutes_nothing_is_begun_and_it_says_what_is_left(
    opened: Project, listing: str, connected: str
) -> None:
    state = study(opened, listing, minutes=0.0)
    assert (state.name, state.type.value) == ("Unfinished", "COMPLETED")
    assert state.message == "1 trial is left; finished: nothing yet"
    assert "| combination |" in page(connected)


def test_I4_words_that_cannot_be_read_are_a_failure(
    opened: Project, listing: str, connected: str
) -> None:
    state = study(opened, listing, name="other", select=False, minutes=0.0)
    assert state.name == "Unfinished"
    from flows.study import study as flow

    state = flow(str(opened.root), listing=listing, combinations="nave", return_state=True)
    assert (state.name, state.type.value) == ("Failed", "FAILED")
    assert isinstance(state.result(raise_on_failure=False), UsageError)


@pytest.mark.slow
def test_what_is_left_is_run_and_shown(opened: Project, listing: str, connected: str) -> None:
    state = study(opened, listing)
    assert (state.name, state.type.value) == ("Compared", "COMPLETED")
    assert state.message == "naive"
    shown = page(connected)
    assert "| naive | 1 |" in shown and "data:image/png;base64," in shown
