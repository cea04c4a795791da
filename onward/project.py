"""Project(root): every path of a project, and the rule for names.

>>> Project(Path("/p")).turn
PosixPath('/p/models/turn.json')
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from onward.errors import UsageError

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")


def safe_name(name: str, kind: str) -> str:
    """The name itself, where it is one that can stand in a path, a tag and a page.

    Raises:
        UsageError: it is not 1 to 64 of a-z, 0-9, '-' and '_', starting and ending with one of
            the former.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name {'an' if kind[0] in 'aeiou' else 'a'} {kind}",
            where="names are 1 to 64 of a-z, 0-9, '-' and '_', starting and ending in a-z or 0-9",
            fix="choose a plain name such as support-2026",
        )
    return name


@dataclass(frozen=True)
class Project:
    """One folder, one recipe, one encoder family, one line of versions."""

    root: Path

    @staticmethod
    def find(start: Path | None = None) -> Project:
        """The project that `start` (or the current folder) lies in.

        Raises:
            UsageError: no folder upwards holds both params.yaml and dvc.yaml.
        """
        at = (start or Path.cwd()).resolve()
        for folder in (at, *at.parents):
            if (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file():
                return Project(folder)
        raise UsageError(
            "This is not a project of Onward",
            where=str(at),
            fix="change into one, or make one with `onward new DIR`",
        )

    # What people edit and Git keeps
    def prompt(self, name: str) -> Path:
        """prompts/NAME.yaml: a prompt template; see onward/learning/prompts.py."""
        return self.root / "prompts" / f"{name}.yaml"

    @property
    def params(self) -> Path:
        """params.yaml: one block per stage."""
        return self.root / "params.yaml"

    @property
    def pipeline(self) -> Path:
        """dvc.yaml: the one definition of the pipeline."""
        return self.root / "dvc.yaml"

    @property
    def data_pointer(self) -> Path:
        """data.dvc: the version of data/ that Git names."""
        return self.root / "data.dvc"

    @property
    def turn(self) -> Path:
        """models/turn.json: base, known and learning episodes of this try."""
        return self.root / "models" / "turn.json"

    @property
    def champion(self) -> Path:
        """models/champion.json: the one pointer to what serves."""
        return self.root / "models" / "champion.json"

    @property
    def journal(self) -> Path:
        """models/journal.jsonl: append-only, one line a verdict, rollback or withdrawal."""
        return self.root / "models" / "journal.jsonl"

    # What DVC keeps
    @property
    def data(self) -> Path:
        """data/: the episodes."""
        return self.root / "data"

    def episode(self, folder: str) -> Path:
        """data/NUMBER-NAME: one episode."""
        return self.data / folder

    @property
    def registry(self) -> Path:
        """models/registry/: promoted versions."""
        return self.root / "models" / "registry"

    def version(self, name: str) -> Path:
        """models/registry/vN."""
        if not re.fullmatch(r"v[1-9][0-9]{0,5}", name):
            raise UsageError(
                f"{name!r} is not a version",
                where="versions are v1, v2, ...",
                fix="`onward rollback` lists them",
            )
        return self.registry / name

    @property
    def verdicts(self) -> Path:
        """models/verdicts/: rows and settings of every verdict, by SEQ."""
        return self.root / "models" / "verdicts"

    def verdict(self, seq: int) -> Path:
        """models/verdicts/SEQ."""
        return self.verdicts / str(seq)

    # What the stages of this turn make
    def made(self, stage: str) -> Path:
        """turn/STAGE: the outputs of one DVC stage."""
        return self.root / "turn" / stage

    def study(self, name: str) -> Path:
        """studies/NAME: results, table and figures of one study. Git and DVC leave it out."""
        return self.root / "studies" / safe_name(name, "study")

    # What may be deleted at any time
    @property
    def private(self) -> Path:
        """.onward/: locks, unfinished work, caches, logs. Never a stage output."""
        return self.root / ".onward"

    @property
    def cache(self) -> Path:
        """.onward/cache: content-addressed, safe to delete."""
        return self.private / "cache"

    def work(self, key: str) -> Path:
        """.onward/work/KEY: unfinished training of exactly these inputs."""
        return self.private / "work" / key

    def error(self, stage: str) -> Path:
        """.onward/errors/STAGE.json: the typed error of the stage's last failed run."""
        return self.private / "errors" / f"{stage}.json"

    @property
    def run_lock(self) -> Path:
        """Held by whoever changes the turn, the pointer or the journal."""
        return self.private / "run.lock"

    @property
    def train_lock(self) -> Path:
        """Held by the trainer itself, whoever started it."""
        return self.private / "train.lock"

    @property
    def stages_at_work(self) -> Path:
        """A lock for each process of a stage, held as long as it runs."""
        return self.private / "stages"
