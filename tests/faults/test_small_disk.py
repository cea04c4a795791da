"""F04 on a real file system that is too small: a tmpfs of 1 MiB in a namespace of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MOUNTED = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" -c "$3" "$1"'

CHILD = """
import sys
from pathlib import Path
from onward import files
from onward.errors import DiskFull
from onward.registry import versions
from onward.registry.verify import verify_all
from tests.registry import turns

project = turns.project(Path(sys.argv[1]) / "project")
turns.promoted(project, "first")
before = project.champion.read_bytes()

weights = bytes(300_000)
with files.building(project.made("finetune"), replace=True) as folder:
    files.write_bytes(folder / "model" / "model.safetensors", weights)
    files.write_json(folder / "spec.json", {})

def refused():
    try:
        turns.promoted_as_made(project)
    except DiskFull as error:
        print(error.what)
        assert error.details["free"] < 1 << 20
    else:
        raise SystemExit("it fitted")
    assert project.champion.read_bytes() == before
    assert versions.champion(project).version == "v1"
    assert versions.versions(project) == ["v1"]

refused()
files.ensure_space = lambda folder, needed: None
(project.root / "ballast").write_bytes(bytes(300_000))
refused()
from onward.registry.finish import finish
finish(project)
assert verify_all(project) == []
print("done")
"""


def _namespaces() -> bool:
    command = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not _namespaces(), reason="needs user namespaces to mount a tmpfs")
def test_f04_a_promotion_that_does_not_fit(tmp_path: Path) -> None:
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNTED, "sh"]
    done = subprocess.run(
        [*command, str(tmp_path), sys.executable, CHILD],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    lines = done.stdout.splitlines()
    assert lines[-1:] == ["done"], done.stdout + done.stderr
    assert lines[0].startswith("Not enough disk space")
    assert lines[1].startswith("The disk is full")
