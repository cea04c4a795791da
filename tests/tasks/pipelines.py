"""A project with a small pipeline of its own, for DVC and Git as they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

from onward.project import Project

PIPELINE = """\
# kept as it is
stages:
  good:
    cmd: python stage.py good
    deps: [data, stage.py]
    outs: [out.txt]
  after:
    cmd: python stage.py after
    deps: [out.txt, stage.py]
    outs: [after.txt]
  bad:
    cmd: python stage.py bad
    deps: [stage.py]
    outs: [bad.txt]
  typed:
    cmd: python stage.py typed
    outs: [typed.txt]
  hangs:
    cmd: python stage.py hangs
    outs: [hangs.txt]
  hungry:
    cmd: python stage.py good
    deps: [absent]
    outs: [hungry.txt]
  full:
    cmd: python stage.py full
    outs: [full.txt]
  always:
    cmd: python stage.py always
    always_changed: true
    outs: [always.txt]
"""

STAGE = """\
import os, sys, time
from pathlib import Path
what = sys.argv[1]
print("begin", what)
print("to stderr", file=sys.stderr)
if what == "bad":
    print("a last word")
    sys.exit(7)
if what == "full":
    raise OSError(28, "No space left on device")
if what == "typed":
    from onward.errors import ValidationFailed
    from onward.stages.entry import start
    def run(project):
        raise ValidationFailed("3 rows are blank", where="rows 1-3", fix="mend them")
    start("typed", run)
if what == "hangs":
    Path("pid").write_text(str(os.getpid()))
    print("hanging")
    while True:
        time.sleep(60)
Path(sys.argv[1] + ".txt" if what != "good" else "out.txt").write_text("made")
"""


def make(root: Path) -> Project:
    """A project with a small pipeline and two files of data."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text("project:\n  name: toy_qa\ngit:\n  commit: true\n")
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "stage.py").write_text(STAGE)
    (root / "data" / "0001-a").mkdir(parents=True)
    (root / "data" / "0001-a" / "train.txt").write_text("train rows\n")
    (root / "data" / "0001-a" / "heldout.txt").write_text("held-out rows\n")
    return Project(root)


def git(project: Project, *arguments: str) -> str:
    command = ["git", "-C", str(project.root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
