"""A Hypothesis state machine drives the registry against a plain model of it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from onward import files
from onward.errors import UsageError, Withdrawn
from onward.registry import journal, versions
from onward.registry.finish import finish
from onward.registry.promote import record
from onward.registry.rollback import reinstate, rollback, targets
from onward.registry.verify import verify_all
from tests.registry import turns


class Registry(RuleBasedStateMachine):
    """The model: what each version holds, who serves, what is withdrawn, how many lines."""

    made = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.project = turns.project(self.root / "project")
        self.holds: dict[str, str] = {}
        self.serving: str | None = None
        self.returned = False
        """Whether what serves does so by a rollback: the same again changes nothing then."""
        self.withdrawn: set[str] = set()
        self.lines = 0
        self.fresh = 0
        self._fsync, os.fsync = os.fsync, lambda descriptor: None  # type: ignore[assignment]

    def teardown(self) -> None:
        os.fsync = self._fsync
        shutil.rmtree(self.root)

    def _served(self) -> str | None:
        return self.holds[self.serving] if self.serving else None

    @rule(target=made)
    def promote_something_new(self) -> str:
        self.fresh += 1
        return self._promote(f"content {self.fresh}")

    @rule(target=made, version=consumes(made))
    def promote_what_was_made_before(self, version: str) -> str:
        content = self.holds[version]
        if content in self.withdrawn:
            with pytest.raises(Withdrawn):
                turns.promoted(self.project, content)
            finish(self.project)
            return version
        if content == self._served():
            turns.promoted(self.project, content)
            return version
        return self._promote(content)

    def _promote(self, content: str) -> str:
        champion = turns.promoted(self.project, content)
        self.lines += 1
        name = f"v{len(self.holds) + 1}"
        assert (champion.version, champion.seq) == (name, self.lines)
        self.holds[name], self.serving, self.returned = content, name, False
        return name

    @rule()
    def refuse_something(self) -> None:
        self.fresh += 1
        turns.candidate(self.project, f"content {self.fresh}")
        judged = turns.verdict(self.project, "refused", self.serving)
        seq = journal.next_seq(self.project)
        turns.keep_verdict(self.project, seq, judged)
        record(self.project, judged, seq, keep=turns.kept)
        self.lines += 1

    @rule(version=made)
    def roll_back(self, version: str) -> None:
        def attempt() -> None:
            rollback(self.project, version, "slow", probe=turns.answers)

        if self.holds[version] in self.withdrawn:
            with pytest.raises(Withdrawn):
                attempt()
        elif version == self.serving and self.returned:
            attempt()
        elif self.holds[version] == self._served():
            with pytest.raises(UsageError):
                attempt()
        else:
            attempt()
            self.lines += 1
            self.withdrawn.add(str(self._served()))
            self.serving, self.returned = version, True

    @rule(version=made)
    def let_return(self, version: str) -> None:
        if self.holds[version] in self.withdrawn:
            reinstate(self.project, version, "measured again")
            self.lines += 1
            self.withdrawn.discard(self.holds[version])
        else:
            with pytest.raises(UsageError):
                reinstate(self.project, version, "measured again")

    @rule(target=made, nth=st.integers(1, 90))
    def die_while_promoting(self, nth: int) -> str:
        """Whatever was reached, the same command again ends as if undisturbed."""
        self.fresh += 1
        content, count = f"content {self.fresh}", 0

        def strike(kind: str, path: Path) -> None:
            nonlocal count
            count += 1
            if count == nth:
                raise OSError(errno.EIO, "injected")

        turns.candidate(self.project, content)
        files.operation = strike
        try:
            turns.promoted_as_made(self.project)
        except OSError:
            pass
        finally:
            files.operation = files._untouched
        turns.promoted_as_made(self.project)
        self.lines += 1
        name = f"v{len(self.holds) + 1}"
        self.holds[name], self.serving, self.returned = content, name, False
        return name

    @invariant()
    def the_registry_is_the_model(self) -> None:
        champion = versions.champion(self.project)
        assert (champion.version if champion else None) == self.serving
        assert versions.versions(self.project) == list(self.holds)
        assert [line["seq"] for line in journal.lines(self.project)] == list(
            range(1, self.lines + 1)
        )
        ids = {name: versions.card(self.project, name)["candidate"] for name in self.holds}
        withdrawn = {ids[name] for name, content in self.holds.items() if content in self.withdrawn}
        assert set(journal.withdrawn_candidates(self.project)) == withdrawn
        assert self._served() not in self.withdrawn
        usable = {t.version for t in targets(self.project) if t.problem is None}
        assert usable == {
            name
            for name, content in self.holds.items()
            if content not in self.withdrawn and content != self._served()
        }
        assert verify_all(self.project) == []


class TestRegistry(Registry.TestCase):  # type: ignore[name-defined, misc]
    settings: Any = settings(
        max_examples=12,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
