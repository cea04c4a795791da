"""models/turn.json: one try to improve. Its base, the episodes the base knows, and those to learn.

Stages depend on this file and not on the champion's pointer. It is written when an episode is
opened or withdrawn, by `run --fresh`, and by a rollback whose base was withdrawn.

>>> turn = Turn(recipe="extractive", base=Base(kind="pretrained", name="toy", sha256="00"),
...     learning=(Named(episode="0001-a", manifest="11"),),
...     data=Data(md5="2.dir", size=1, nfiles=1))
>>> turn.learning_episodes, len(turn.id)
(['0001-a'], 64)

What this does not cover: rows that are wrong but sealed; validation looks at those.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from onward import config, files
from onward.episodes import rows as parquet
from onward.episodes.folders import Folder, folders, manifest_of, require_recipe
from onward.errors import IntegrityError, SettingsError, UsageError, Withdrawn
from onward.project import Project
from onward.recipes.shapes import Row

Side = Literal["train", "heldout"]

ALL_LEARNED = "every open episode is learned already"
"""Why a turn with nothing to learn is not run."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Base(_Part):
    """What training starts from: a pretrained encoder, a version, or a model that is adopted as is.

    sha256 is the version's manifest's, else the folder's fingerprint.
    """

    kind: Literal["pretrained", "version", "adopted"]
    name: str
    sha256: str


class Named(_Part):
    """An episode's folder and the sha256 of its manifest."""

    episode: str
    manifest: str


class Data(_Part):
    """The out entry of data.dvc."""

    md5: str
    size: int
    nfiles: int


class Turn(_Part):
    """One try to improve."""

    schema_: int = 1
    recipe: str
    base: Base
    known: tuple[Named, ...] = ()
    learning: tuple[Named, ...] = ()
    data: Data

    @property
    def known_episodes(self) -> list[str]:
        """Folders of the episodes that the base has learned."""
        return [named.episode for named in self.known]

    @property
    def learning_episodes(self) -> list[str]:
        """Folders of all others that are not withdrawn."""
        return [named.episode for named in self.learning]

    @property
    def id(self) -> str:
        """sha256 (hex) of the turn."""
        return files.digest(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The content of models/turn.json."""
        value = self.model_dump(mode="json")
        return {"schema": value.pop("schema_"), **value}

    @staticmethod
    def read(project: Project) -> Turn:
        """The present turn.

        Raises:
            UsageError: no episode was opened yet.
            IntegrityError: the file is not a turn that this code knows.
        """
        if not project.turn.exists():
            raise UsageError(
                "There is no turn: no episode is open",
                where=str(project.turn),
                fix="`onward episode open NAME FILE` opens one and writes the turn",
            )
        return parse(files.read_json(project.turn), where=str(project.turn))

    def write(self, project: Project) -> None:
        """Write models/turn.json. The run lock must be held."""
        files.write_json(project.turn, self.to_json())


def parse(value: Any, *, where: str) -> Turn:
    """The turn of a JSON value. Raises IntegrityError where it is none."""
    try:
        if not isinstance(value, dict) or value.get("schema") != 1:
            raise ValueError("its schema is not 1")
        plain = {("schema_" if key == "schema" else key): v for key, v in value.items()}
        for key in ("known", "learning"):
            plain[key] = tuple(plain[key])
        return Turn.model_validate(plain)
    except (ValidationError, ValueError, TypeError, KeyError) as error:
        raise IntegrityError(
            f"turn.json is not a turn this release knows: {' '.join(str(error).split())[:200]}",
            where=where,
            fix="`git checkout models/turn.json` brings the committed one back",
        ) from error


def compose(
    project: Project,
    data: dict[str, Any],
    *,
    fresh: bool = False,
    without: tuple[str, ...] = (),
) -> Turn:
    """The turn that follows from the champion, the episodes in data/ and the journal.

    The base is the champion where none of the episodes it learned is withdrawn, else the
    pretrained encoder, which knows nothing. An episode all of whose rows a later one replaced is
    left out.

    Args:
        project: whose turn.
        data: the out entry of data.dvc: md5, size, nfiles.
        fresh: start from the pretrained encoder over all episodes.
        without: episodes to leave out beside the withdrawn ones.

    Raises:
        UsageError: no episode is left.
        SettingsError: the episodes are of another recipe than project.recipe.
        IntegrityError, MissingFiles: the champion learned an episode that is not the one here.
    """
    identity = config.read(project.params, config.Identity)
    require_recipe(project, identity.recipe)
    gone = {*withdrawn(project), *without}
    open_ones = _not_replaced([f for f in folders(project) if f.folder not in gone])
    base, learned = _base(project, gone, fresh)
    known = [f for f in open_ones if f.folder in learned]
    if not open_ones:
        raise UsageError(
            "No episode would be left to learn",
            where=str(project.data),
            fix="open another episode first, then withdraw this one",
        )
    _same_as_learned(project, learned)
    return Turn(
        recipe=identity.recipe,
        base=base,
        known=tuple(Named(episode=f.folder, manifest=f.sha256) for f in known),
        learning=tuple(
            Named(episode=f.folder, manifest=f.sha256) for f in open_ones if f not in known
        ),
        data=Data(**{key: data[key] for key in ("md5", "size", "nfiles")}),
    )


def _base(project: Project, gone: set[str], fresh: bool) -> tuple[Base, dict[str, str]]:
    """The base, and what it learned: episode -> sha256 of its manifest."""
    from onward.registry import versions

    champion = None if fresh else versions.champion(project, check=False)
    if champion is not None:
        learned = {line["episode"]: line["manifest"] for line in champion.card["learned"]}
        if not gone & set(learned):
            return Base(kind="version", name=champion.version, sha256=champion.manifest), learned
    from onward.learning import encoder

    name = config.read(project.params, config.Identity).encoder
    fingerprint = encoder.fingerprint(encoder.locate(name, project.root))
    return Base(kind="pretrained", name=name, sha256=fingerprint), {}


def _same_as_learned(project: Project, learned: dict[str, str]) -> None:
    for folder, manifest in learned.items():
        files.verify(project.episode(folder), manifest)


def _not_replaced(open_ones: list[Folder]) -> list[Folder]:
    """Without the episodes whose every row a later one of them replaces."""
    return [f for f in open_ones if not any(f.folder in later.emptied for later in open_ones)]


def withdrawn(project: Project) -> dict[str, str]:
    """Folder -> reason of every withdrawn episode."""
    from onward.registry import journal

    return journal.withdrawn_episodes(project)


def require_settings(project: Project, turn: Turn, *, fresh: bool = False) -> None:
    """Refuse a recipe or an encoder that was changed since the turn was written.

    Args:
        project: whose params.yaml.
        turn: the present one.
        fresh: it will be written anew, from the encoder that is set now.

    Raises:
        SettingsError: project.recipe or project.encoder is not the turn's.
    """
    identity = config.read(project.params, config.Identity)
    if identity.recipe != turn.recipe:
        raise SettingsError(
            f"project.recipe is {identity.recipe!r}, and the open episodes are for {turn.recipe!r}",
            where=f"{project.params}: project.recipe",
            fix=f"set it back; for another kind of task make a project of its own with "
            f"`onward new DIR --recipe {identity.recipe}`",
        )
    begun = None if fresh else _encoder(project, turn)
    if begun is not None and begun != identity.encoder:
        raise SettingsError(
            f"project.encoder is {identity.encoder!r}, and the turn goes on from {begun!r}",
            where=f"{project.params}: project.encoder",
            fix="`onward run --fresh` starts from the other one over all episodes; or set it back",
        )


def _encoder(project: Project, turn: Turn) -> str | None:
    """What project.encoder was when the turn's base was made; None where that is not known."""
    if turn.base.kind == "pretrained":
        return turn.base.name
    card = project.version(turn.base.name) / "card.json" if turn.base.kind == "version" else None
    if card is None or not card.is_file():
        return None
    found = files.read_json(card).get("parameters", {}).get("project")
    return None if found is None else str(found.get("encoder", config.Identity().encoder))


def check(project: Project, turn: Turn) -> None:
    """Hash every file of the turn's episodes against the manifests that the turn names.

    Nothing is remembered between calls: a corrupt file may keep its size, time and inode.

    Raises:
        MissingFiles: an episode is not on this machine (`dvc pull`); nothing is changed.
        IntegrityError: a file is changed, missing or extra (`onward repair`).
    """
    for named in (*turn.known, *turn.learning):
        files.verify(project.episode(named.episode), named.manifest)


def require_wanted(project: Project, turn: Turn) -> None:
    """Refuse a turn that a withdrawal did not reach, because it died.

    Raises:
        Withdrawn: the turn names an episode that was withdrawn.
    """
    gone = withdrawn(project)
    for episode in (*turn.known_episodes, *turn.learning_episodes):
        if episode in gone:
            raise Withdrawn(
                f"The turn names {episode}, which was withdrawn: {gone[episode]}",
                where=str(project.turn),
                fix="`onward run` composes the turn without it; so does withdrawing it once more",
            )


def corrected(project: Project, turn: Turn) -> set[str]:
    """The known episodes of which one that is to be learned replaces rows."""
    named = (
        earlier
        for episode in turn.learning_episodes
        for earlier in manifest_of(project, episode).get("replaces", [])
    )
    return set(turn.known_episodes).intersection(named)


def rows(project: Project, episode: str, side: Side) -> list[Row]:
    """The rows of one side of an episode, without those that a later episode of the turn corrects.

    Raises:
        MissingFiles, DataError: the file is not there or cannot be read.
    """
    return list(stream(project, episode, side))


def stream(
    project: Project, episode: str, side: Side, among: Collection[str] | None = None
) -> Iterator[Row]:
    """`rows`, a batch in memory at a time; without those that an episode of `among` corrects, where
    an earlier turn is meant."""
    if among is None:
        later = replacing(project).get(episode, ())
    else:
        later = tuple(f for f in among if episode in manifest_of(project, f).get("replaces", []))
    dropped = _ids(project, later)
    path = project.episode(episode) / f"{side}.parquet"
    return (row for row in parquet.read(path) if row["id"] not in dropped)


def _ids(project: Project, episodes: Iterable[str]) -> set[str]:
    ids: set[str] = set()
    for folder in episodes:
        for side in ("train", "heldout"):
            path = project.episode(folder) / f"{side}.parquet"
            ids.update(row["id"] for row in parquet.read(path, ["id"]))
    return ids


def replacing(project: Project) -> Mapping[str, tuple[str, ...]]:
    """Episode -> those of the turn that replace rows of it, in the turn's order.

    Raises:
        MissingFiles: an episode's manifest is not there.
        UsageError, IntegrityError: as `Turn.read`.
    """
    told = project.turn.read_bytes() if project.turn.exists() else b""
    return _replacing(project, told)


@lru_cache(maxsize=8)
def _replacing(project: Project, told: bytes) -> Mapping[str, tuple[str, ...]]:
    """`replacing` for these bytes of turn.json, which name each manifest by its hash: with hundreds
    of episodes, every one of them read for every one would be all that a start does."""
    turn = Turn.read(project)
    found: dict[str, list[str]] = {}
    for folder in (*turn.known_episodes, *turn.learning_episodes):
        for earlier in manifest_of(project, folder).get("replaces", []):
            found.setdefault(earlier, []).append(folder)
    return MappingProxyType({earlier: tuple(later) for earlier, later in found.items()})
