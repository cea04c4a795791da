"""Take a model that was fine-tuned elsewhere as the first champion's candidate.

The folder is copied to models/adopted/NAME and the turn's base names it (kind "adopted"). The
stage finetune then hands the model on as it is instead of training, so that evaluation, gates,
export and benchmark are those of any candidate. What it was trained on is not known, so the
version's card says that it learned none of our episodes, and the next turn teaches it all.

What this does not cover: whether the model was trained on rows that are held out here. Whoever
adopts it must know that.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from onward import files, locks, recipes
from onward.episodes.turn import Base, Turn, compose
from onward.errors import SettingsError, UsageError
from onward.project import Project
from onward.registry import journal, versions
from onward.registry.finish import finish

_SHORT = 12
_NAMELESS = re.compile(r"LABEL_[0-9]+")
"""What transformers calls a label that nobody named."""


def adopt(
    project: Project,
    source: Path,
    reason: str = "",
    *,
    by: str = "",
    keep: Callable[[Path], object] | None = None,
) -> Turn:
    """Write the turn whose candidate is the model in a folder. The same folder again: no change.

    Args:
        project: one without a champion, with at least one episode open.
        source: config.json, model.safetensors and a fast tokenizer.
        reason: why; kept in the journal.
        by: who; default the user's name.
        keep: puts the copied folder under DVC.

    Returns:
        The turn, as written.

    Raises:
        UsageError: a champion serves already, or no episode is open.
        SettingsError: the folder holds pickles only, code of its own, no fast tokenizer, or, for a
            recipe with labels, no names for them.
        IntegrityError: it has no trained head for the project's recipe.
        Busy: another process changes the registry.
    """
    from onward.learning import encoder

    with locks.held(project.run_lock, f"adopting {source.name}"):
        finish(project)
        _check(project, source)
        sha256 = encoder.fingerprint(source)
        base = Base(kind="adopted", name=sha256[:_SHORT], sha256=sha256)
        copied = _copy(project, source, base)
        if keep is not None:
            keep(copied)
        composed = compose(project, Turn.read(project).data.model_dump(), fresh=True)
        turn = composed.model_copy(update={"base": base})
        # The line first: a death in between leaves a line of a turn that is not, which harms
        # nothing. A turn without it would be judged, and its version count as trained on episodes.
        _journal(project, turn, source, reason, by)
        turn.write(project)
        return turn


def _check(project: Project, source: Path) -> None:
    from onward.learning import encoder, models

    at = versions.pointer(project)
    if at is not None:
        raise UsageError(
            f"{at.version} serves already; a model can be adopted only as the first champion",
            where=str(project.champion),
            fix="`onward new DIR` begins a project for it",
        )
    if not (source / "config.json").is_file():
        raise UsageError(
            f"There is no model in {source}",
            where=str(source / "config.json"),
            fix="give a folder that `save_pretrained` wrote",
        )
    encoder.check(source)
    found = models.kind(source)
    if found != "single":
        raise SettingsError(
            f"The model is of structure {found}: it is more than one set of weights",
            where=str(source / models.STRUCTURE),
            fix="adopt one with its weights merged",
        )
    recipe = recipes.get(Turn.read(project).recipe)
    _check_labels(recipe.labels_of(source), source)
    recipe.build(source, {"new_head": False})


def _check_labels(labels: Sequence[str], source: Path) -> None:
    """Labels are how the rows of episodes and the model's outputs find each other: names only."""
    wrong = [label for label in labels if _NAMELESS.fullmatch(label) or not label.strip()]
    wrong += [label for label in labels if labels.count(label) > 1]
    if wrong:
        raise SettingsError(
            f"The model's label {wrong[0]!r} is not the name of a label",
            where=f"{source / 'config.json'}, id2label",
            fix="write the labels' names, as the episodes spell them, into id2label and label2id, "
            "in the order of the head's outputs",
        )


def _copy(project: Project, source: Path, base: Base) -> Path:
    from onward.learning import encoder

    target = project.root / "models" / "adopted" / base.name
    if target.exists():
        files.verify(target)
        return target
    weights = sorted(source.glob("model*.safetensors"))
    names = [*encoder.MODEL_FILES, *encoder.TOKENIZER_FILES]
    wanted = [*weights, *(source / name for name in names if (source / name).is_file())]
    files.ensure_space(target.parent, 2 * sum(path.stat().st_size for path in wanted))
    with files.building(target) as built:
        for path in wanted:
            shutil.copyfile(path, built / path.name)
    return target


def _journal(project: Project, turn: Turn, source: Path, reason: str, by: str) -> None:
    """Once a turn: a killed adoption that is repeated must not be journaled twice."""
    for line in journal.lines(project):
        if line["what"] == "adopted" and line["turn"] == turn.id:
            return
    journal.append(
        project,
        "adopted",
        by=by,
        reason=reason,
        turn=turn.id,
        model=turn.base.sha256,
        source=source.name,
    )
