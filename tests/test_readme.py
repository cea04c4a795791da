"""The README's commands exist and do what it says: on a toy project, and `make run` for real."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import toys
from tests.flows import projects

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks() -> list[list[str]]:
    """The commands of each shell block, without their comments."""
    found = re.findall(r"```sh\n(.*?)```", README, flags=re.S)
    return [[line.split(" #")[0].strip() for line in block.splitlines() if line] for block in found]


def block_with(command: str) -> list[str]:
    (found,) = [block for block in blocks() if command in block]
    return found


def test_every_command_of_the_readme_exists(tmp_path: Path) -> None:
    project = projects.opened(tmp_path).root
    for words in (shlex.split(line) for block in blocks() for line in block):
        if words[0] == "make":
            done = subprocess.run(["make", "-n", words[1]], cwd=ROOT, capture_output=True)
            assert done.returncode == 0, done.stderr
        elif words[0] == "onward":
            name = words[1:3] if words[1:2] in (["episode"], ["server"]) else words[1:2]
            projects.onward(project, *name, "--help")
        else:
            assert words[0] in ("dvc", "prefect"), words


def test_what_the_readme_says_to_do_next_works_on_a_toy_project(tmp_path: Path) -> None:
    project = projects.promoted(tmp_path).root
    demo = project / ".onward" / "demo"
    demo.mkdir()
    toys.write_jsonl(demo / "science.jsonl", projects.rows(2, "city"))
    try:
        for line in block_with("onward history"):
            words = shlex.split(line)[1:]
            code = None if words[:1] == ["run"] else 0
            done = projects.onward(project, *words, code=code)
            assert done.returncode in (0, 2), line + done.stdout + done.stderr
    finally:
        projects.onward(project, "server", "stop", code=None)
    assert (project / "report" / "index.html").is_file()


def test_the_readme_without_prefect_works_on_a_toy_project(tmp_path: Path) -> None:
    project = projects.opened(tmp_path).root
    lines = block_with("dvc repro")
    assert lines == ["make data", "dvc repro", "onward gate", "onward promote"]
    projects.dvc(project, "repro")
    projects.onward(project, "gate")
    assert "v1" in projects.onward(project, "promote").stdout


def test_the_tree_of_the_readme_is_the_tree() -> None:
    tree = README.split("## The tree")[1].split("```")[1]
    parent = Path()
    for line in tree.strip().splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            parent = Path(name) if name.endswith("/") else Path()
        path = ROOT / (parent / name if line.startswith(" ") else Path(name))
        assert path.exists(), f"{path} is in the README and nowhere else"


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_make_run_promotes_in_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "onward"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    downloads = ROOT / ".onward" / "downloads"
    if downloads.is_dir():
        shutil.copytree(downloads, clone / ".onward" / "downloads")
    env = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    try:
        first = subprocess.run(["make", "run"], cwd=clone, env=env, capture_output=True, text=True)
        assert first.returncode == 0, first.stdout + first.stderr
        assert "v1" in first.stdout
        committed = subprocess.run(
            ["git", "diff", "--exit-code", "data.dvc", "models/turn.json"], cwd=clone
        )
        assert committed.returncode == 0, "the demo data is not the committed one"
        again = subprocess.run(["make", "run"], cwd=clone, env=env, capture_output=True, text=True)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "othing to do" in again.stdout
    finally:
        subprocess.run(["make", "stop"], cwd=clone, env=env)
