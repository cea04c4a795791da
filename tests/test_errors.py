"""Every error crosses a process border and keeps its class, and the docstring's tree is true."""

from __future__ import annotations

import json
import re

import pytest

from onward import errors
from onward.errors import OnwardError

KINDS = sorted(errors._tree(OnwardError), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_round_trip(kind: type[OnwardError]) -> None:
    sent = kind("what", where="here", fix="do that", details={"rows": [1, 2], "who": "ana"})
    got = OnwardError.from_json(json.loads(json.dumps(sent.to_json())))
    assert type(got) is kind
    assert (got.what, got.where, got.fix, got.details) == (
        "what", "here", "do that", {"rows": [1, 2], "who": "ana"}
    )  # fmt: skip
    assert got.exit_code == kind.exit_code


def test_an_unknown_class_becomes_a_defect_of_ours() -> None:
    got = OnwardError.from_json({"error": "FromTheFuture", "what": "boom"})
    assert type(got) is errors.InternalError
    assert got.what == "boom"


@pytest.mark.parametrize("data", [{}, {"details": None}, {"what": 3, "where": None}])
def test_a_damaged_record_still_makes_an_error(data: dict[str, object]) -> None:
    assert isinstance(OnwardError.from_json(data), errors.InternalError)


def test_a_class_of_another_module_is_never_made() -> None:
    """S01: a name from a file picks among our own classes only."""
    assert type(OnwardError.from_json({"error": "SystemExit", "what": ""})) is errors.InternalError


def test_lines_are_what_where_and_what_to_do() -> None:
    assert OnwardError("a", where="b", fix="c").lines() == ["a", "b", "c"]
    assert OnwardError("a").lines() == ["a"]


def test_exit_codes() -> None:
    """0 promoted, 2 refused or undecided, 3 usage or settings, 4 cancelled, 1 failure."""
    assert errors.UsageError.exit_code == errors.SettingsError.exit_code == 3
    assert errors.Withdrawn.exit_code == 2
    assert errors.Cancelled.exit_code == 4
    own = {errors.UsageError, errors.SettingsError, errors.Withdrawn, errors.Cancelled}
    others = set(KINDS) - own
    assert {kind.exit_code for kind in others} == {1}


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn: list[tuple[str, str]] = []
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"( {4}[ │├└─]*)([A-Z]\w+)", line):
            depth = len(found[1])
            parent = above.get(max((d for d in above if d < depth), default=-1), "Exception")
            drawn.append((found[2], parent))
            above = {d: name for d, name in above.items() if d < depth} | {depth: found[2]}
    assert sorted(drawn) == sorted((kind.__name__, kind.__bases__[0].__name__) for kind in KINDS)
