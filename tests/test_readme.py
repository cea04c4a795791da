"""The README's commands and `make run` do what they say: on toy projects, and once for real."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cli import main
from onward import config, demo
from onward.config import Gate
from onward.evaluation.statistics import rows_needed
from onward.project import Project
from tests import toys
from tests.flows import projects

ROOT = Path(__file__).parents[1]
WHEEL = ROOT / ".onward" / "downloads" / demo.WHEEL
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


def commands(
    group: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], tuple[set[str], int]]]:
    """(words, (options, how many arguments it must have)) of every command line that there is."""
    needed = [each for each in group.params if each.required and each.opts[0][:1] != "-"]
    yield path, ({name for each in group.params for name in each.opts}, len(needed))
    for name, below in getattr(group, "commands", {}).items():
        yield from commands(below, (*path, name))


def test_every_command_and_option_that_a_page_names_exists() -> None:
    known = dict(commands(typer.main.get_command(main.app)))
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for line in re.findall(r"(?:^|`|&& )onward ([a-z][^`\n]*)", page.read_text(), flags=re.M):
            words = line.split(" #")[0].split()
            path = tuple(words[:2]) if tuple(words[:2]) in known else tuple(words[:1])
            assert path in known, f"{page.name}: onward {line}"
            options, needed = known[path]
            asked = {word for word in words if re.fullmatch(r"--[a-z-]+", word)}
            assert asked <= options | {"--help"}, f"{page.name}: onward {line}"
            given = list(itertools.takewhile(lambda word: word[0] != "-", words[len(path) :]))
            # A command may be named without any argument, but with some it has all.
            assert not given or len(given) >= needed, f"{page.name}: onward {line}"


def test_every_setting_that_a_page_names_exists() -> None:
    names = "|".join(re.escape(name) for name in config.BLOCKS)
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for block, keys in re.findall(rf"`({names})\.([a-z0-9_.]+)", page.read_text()):
            kind: Any = config.BLOCKS[block]
            for key in keys.removesuffix(".").split("."):
                assert key in kind.model_fields, f"{page.name}: {block}.{keys}"
                kind = kind.model_fields[key].annotation


def test_the_guide_s_held_out_rows_are_those_of_the_gate_s_formula() -> None:
    guide = (ROOT / "docs" / "guide.md").read_text()
    (rows, error), *_ = re.findall(r"on (\d+) rows has a standard error of ([\d.]+)", guide)
    told = re.findall(r"^\| (\d+)(?: points)? \| ([\d,]+) \|$", guide, flags=re.M)
    assert len(told) == 3
    for margin, needed in told:
        found = rows_needed(int(rows), float(error), float(margin), Gate().level, 100.0)
        assert float(f"{found:.2g}") == float(needed.replace(",", "")), margin


def test_what_the_readme_says_to_do_next_works_on_a_toy_project(tmp_path: Path) -> None:
    project = projects.promoted(tmp_path).root
    for line in block_with("onward history"):
        projects.onward(project, *shlex.split(line)[1:])
    assert (project / "report" / "index.html").is_file()


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile, without those of what it needs."""
    rules = (ROOT / "Makefile").read_text().split(f"\n{target}: ")[1]
    lines = itertools.takewhile(lambda line: line.startswith("\t"), rules.splitlines()[1:])
    return [line.strip().removeprefix("@") for line in lines]


def make(project: Path, target: str) -> str:
    """Run a target's commands on another project; returns what they print."""
    said = ""
    for line in recipe(target):
        command = line.replace("$(BIN)/onward", f"{sys.executable} -m cli")
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=project,
            env=projects.clean(project),
            capture_output=True,
            text=True,
        )
        said += done.stdout
        assert done.returncode == 0, line + said + done.stderr
    return said


@pytest.mark.timeout(1200)
def test_make_run_goes_through_both_episodes_on_a_toy_project(tmp_path: Path) -> None:
    """From where the first episode is promoted. Then once more, with nothing to do."""
    project = projects.promoted(tmp_path).root
    projects.change(project, gate={"gain": 5.0})
    (project / ".onward" / "demo").mkdir()
    toys.write_jsonl(project / ".onward" / "demo" / "science.jsonl", projects.rows(3, "city"))
    try:
        first = make(project, "run")
        matrix = json.loads(projects.onward(project, "matrix", "--json").stdout)
        again = make(project, "run")
    finally:
        projects.onward(project, "server", "stop", code=None)
    assert "Nothing to do: v1 serves" in first and "v2 serves" in first
    assert [one["name"] for one in matrix["versions"]] == ["v1", "v2"]
    assert matrix["units"] == ["0001-first", "0002-science"]
    assert {"forgetting", "backward", "forward"} <= set(matrix["measures"])
    assert first.count("forgetting") == 2  # in the summary of the run, and by `onward matrix`
    assert "already open" in again and "Nothing to do: v2 serves" in again
    assert "train" not in again


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


@pytest.mark.skipif(not WHEEL.exists(), reason="`make data` has not fetched the demo's wheel")
def test_opening_both_episodes_makes_the_committed_data(tmp_path: Path) -> None:
    """data.dvc is that of both; turn.json that of the first, which a fresh clone begins with."""
    project = tmp_path / "demo"
    projects.onward(tmp_path, "new", str(project))
    shutil.copy(ROOT / "params.yaml", project / "params.yaml")
    (project / ".onward" / "downloads").mkdir(parents=True)
    (project / ".onward" / "downloads" / WHEEL.name).symlink_to(WHEEL)
    sources = demo.build(Project(project))
    committed = json.loads(at_head("models/turn.json"))
    for name, source in sources.items():
        projects.onward(project, "episode", "open", name, str(source))
        if name == "encyclopedia":
            assert json.loads((project / "models" / "turn.json").read_text()) == committed
    assert (project / "data.dvc").read_text() == at_head("data.dvc")


def at_head(path: str) -> str:
    """What Git has of a file that `make run` changes."""
    shown = subprocess.run(
        ["git", "show", f"HEAD:{path}"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return shown.stdout


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_make_run_learns_both_episodes_in_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "onward"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    downloads = ROOT / ".onward" / "downloads"
    if downloads.is_dir():
        shutil.copytree(downloads, clone / ".onward" / "downloads")
    env = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    try:
        first = subprocess.run(["make", "run"], cwd=clone, env=env, capture_output=True, text=True)
        assert first.returncode == 0, first.stdout + first.stderr
        assert "v1 serves" in first.stdout and "forgetting" in first.stdout
        committed = subprocess.run(["git", "diff", "--exit-code", "data.dvc"], cwd=clone)
        assert committed.returncode == 0, "the demo data is not the committed one"
        turn = json.loads((clone / "models" / "turn.json").read_text())
        assert [one["episode"] for one in turn["known"]] == ["0001-encyclopedia"]
        assert [one["episode"] for one in turn["learning"]] == ["0002-science"]
        again = subprocess.run(["make", "run"], cwd=clone, env=env, capture_output=True, text=True)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "othing to do" in again.stdout
    finally:
        subprocess.run(["make", "stop"], cwd=clone, env=env)
