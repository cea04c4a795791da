"""Git: the revision for cards, and commits and tags that `gto show` and `dvc artifacts` read.

Our pointer is the truth and the tags follow it. Each promotion is one commit, tagged
`NAME@vN.0.0`; `NAME#prod#K` with the highest K marks the version that serves, also after a
rollback. DVC finds the package through the artifact's path in the dvc.yaml of the tagged commit,
so the path is the version's own. GTO orders tags by whole seconds: each new one is dated at least
one second after all before it, whatever the clock says.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML

from onward import config, files
from onward.config import Identity
from onward.errors import Conflict, InternalError, UsageError
from onward.project import Project, safe_name

OURS = (
    *(".dvc", ".gitignore", "data.dvc", "dvc.lock", "dvc.yaml"),
    *("params.yaml", "prompts", "models"),
)
"""What a promotion commits: the state that made the version, what keeps DVC's files out of Git,
and nothing else."""
_WRITTEN = ("data.dvc", "dvc.lock", "models")


def revision(project: Project) -> tuple[str, bool] | None:
    """Git's sha of HEAD and whether files differ from it; None: no Git, or no commit yet.

    What runs write themselves (data.dvc, dvc.lock, models/) does not count as a difference.
    """
    if shutil.which("git") is None:
        return None
    found = _run(project, "rev-parse", "--verify", "--quiet", "HEAD", check=False)
    if found.returncode != 0:
        return None
    others = [f":(exclude){name}" for name in _WRITTEN]
    status = _git(project, "status", "--porcelain", "--untracked-files=no", "--", ".", *others)
    return found.stdout.strip(), bool(status.strip())


def commit_promotion(project: Project, version: str, seq: int, message: str) -> str:
    """Commit our files and let the tags say that `version` serves. Returns the version's commit.

    The same call again does nothing, so a run that was killed before it is completed by it. Other
    files, staged or not, are left alone.

    Args:
        project: whose pointer names `version`.
        version: a version just promoted or rolled back to.
        seq: the journal's number, for the tags' messages.
        message: the commit's.

    Raises:
        UsageError: there is no Git repository, or Git does not know who commits.
        Conflict: the version is tagged in another line of history.
    """
    _in_git(project)
    name = config.read(project.params, Identity).name
    if not _committed(project):
        _declare(project, name, version)
        present = [path for path in OURS if _holds(project.root / path)]
        _git(project, "add", "--", *present)
        _git(project, "commit", "--quiet", "--message", message, "--", *present)
    commit = _register(project, name, version, seq)
    _assign(project, name, version, seq, commit)
    return commit


def require_committer(project: Project) -> None:
    """With `git.commit`, refuse where `commit_promotion` would, before anything serves.

    Raises:
        UsageError: there is no Git or no repository, Git does not know who commits, or the
            project's name cannot stand in a tag.
    """
    if not config.read(project.params, config.GitSettings).commit:
        return
    try:
        safe_name(config.read(project.params, Identity).name, "project")
    except UsageError as error:
        fix = "write such a name in params.yaml, project.name, or set git.commit to false"
        raise UsageError(f"{error.what}'s tags", where=error.where, fix=fix) from error
    _in_git(project)
    for who in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
        _git(project, "var", who)


def _committed(project: Project) -> bool:
    """Whether HEAD has this very pointer. What changed since belongs to the next promotion."""
    head = _run(project, "show", "HEAD:./models/champion.json", check=False)
    return head.returncode == 0 and head.stdout == project.champion.read_text(encoding="utf-8")


def _holds(path: Path) -> bool:
    """Whether there is something to commit: Git refuses an empty folder by name."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def _in_git(project: Project) -> None:
    if _run(project, "rev-parse", "--git-dir", check=False).returncode != 0:
        raise UsageError(
            "git.commit is set, but this is not a Git repository",
            where=str(project.root),
            fix="`git init`, or set git.commit to false in params.yaml",
        )


def _declare(project: Project, name: str, version: str) -> None:
    """Name the version's package as the artifact in dvc.yaml; all other bytes stay."""
    text = project.pipeline.read_text(encoding="utf-8")
    path = f"models/registry/{version}/package"
    # A name such as 2026 is a number in YAML, and DVC reads no pipeline that has one for a name.
    key = name if YAML(typ="safe", pure=True).load(name) == name else f'"{name}"'
    block = f"  {key}:\n    path: {path}\n    type: model\n"
    own = re.compile(
        rf"(?m)(^artifacts:\n(?:[ #].*\n)*?  {re.escape(key)}:\n(?:    .*\n)*?    path: ).*$"
    )
    if own.search(text):
        changed = own.sub(lambda match: match[1] + path, text)
    elif re.search(r"(?m)^artifacts:\n", text):
        changed = re.sub(r"(?m)^artifacts:\n", lambda match: match[0] + block, text)
    else:
        changed = f"{text.rstrip()}\nartifacts:\n{block}"
    if changed != text:
        files.write_text(project.pipeline, changed)


def _register(project: Project, name: str, version: str, seq: int) -> str:
    """The commit of the version, tagged now where it is not yet."""
    tag = f"{name}@{version}.0.0"
    found = _run(project, "rev-parse", "--verify", "--quiet", f"{tag}^{{commit}}", check=False)
    if found.returncode != 0:
        commit = _git(project, "rev-parse", "HEAD").strip()
        text = f"Registering artifact {name} version {version}.0.0 (SEQ {seq})"
        _tag(project, name, tag, text, commit)
        return commit
    commit = found.stdout.strip()
    known = _run(project, "merge-base", "--is-ancestor", commit, "HEAD", check=False)
    if known.returncode != 0:
        raise Conflict(
            f"The tag {tag} belongs to another line of history",
            where=commit,
            fix=f"`git tag -d {tag}` where it is a leftover, or set git.commit to false",
        )
    return commit


def _assign(project: Project, name: str, version: str, seq: int, commit: str) -> None:
    """Mark the version's commit as prod, unless the last assignment does already."""
    listed = _git(project, "tag", "--list", f"{name}#*").split()
    ends = [(tag.rpartition("#")[2], tag) for tag in listed]
    numbers = {int(end): tag for end, tag in ends if re.fullmatch("[0-9]{1,9}", end)}
    stages = {number: tag for number, tag in numbers.items() if tag.startswith(f"{name}#prod#")}
    if stages:
        last = stages[max(stages)]
        if _git(project, "rev-parse", f"{last}^{{commit}}").strip() == commit:
            return
    tag = f"{name}#prod#{max(numbers, default=0) + 1}"
    text = f"Assigning stage prod to artifact {name} version {version}.0.0 (SEQ {seq})"
    _tag(project, name, tag, text, commit)


def _tag(project: Project, name: str, tag: str, message: str, commit: str) -> None:
    """An annotated tag, as GTO makes them, dated after every other tag of this name."""
    form = "--format=%(taggerdate:unix)"
    dates = _git(project, "tag", "--list", form, f"{name}@*", f"{name}#*").split()
    when = max([int(time.time()), *(int(date) + 1 for date in dates)])
    _git(
        project,
        "tag",
        "--annotate",
        "--message",
        message,
        tag,
        commit,
        env={"GIT_COMMITTER_DATE": f"{when} +0000"},
    )


def _git(project: Project, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    return _run(project, *arguments, env=env).stdout


def _run(
    project: Project, *arguments: str, check: bool = True, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(
            ["git", "-C", str(project.root), *arguments],
            capture_output=True,
            encoding="utf-8",  # as Git writes, whatever the locale
            errors="surrogateescape",
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **(env or {})},
        )
    except FileNotFoundError:
        raise UsageError(
            "Git is not on this machine",
            where="git.commit in params.yaml",
            fix="install Git, or set git.commit to false",
        ) from None
    if check and done.returncode != 0:
        # Of a commit that has nothing to do, and of hooks, the reason stands on stdout.
        said = " ".join((done.stderr.strip() or done.stdout).split())[-300:]
        if "tell me who you are" in said or "empty ident" in said:
            raise UsageError(
                "Git does not know who commits",
                where=str(project.root),
                fix="`git config user.name ...` and `git config user.email ...`, then run again",
            )
        raise InternalError(
            f"git {arguments[0]} failed: {said}",
            where=str(project.root),
            fix="mend it in Git and run the command again: it continues where it stopped",
        )
    return done
