"""`onward pretrain`: the encoder goes on reading unlabelled text before it is tuned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.output import Json, answer, here, require_file
from onward.wording import counted


def pretrain(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Plain, such as support-mails.")],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .txt file, or one with a column of texts; the guide says more."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Let the encoder read a file of unlabelled texts.

    Texts that a held-out row is in are left out, and a part is kept back: perplexity on it, before
    and after, is reported. The result lies in models/pretrained/NAME, under DVC. Killed, the same
    command goes on from the last checkpoint. How it reads is set in the block `pretrain` of
    params.yaml.
    """
    import functools

    from onward import allocation
    from onward.pretraining.pretrain import pretrain as read
    from tasks import versions

    require_file(source)
    allocation.keep()
    found = read(here(), name, source, keep=functools.partial(versions.add, here()))
    answer(as_json, found, *_told(found))


def _told(found: dict[str, Any]) -> list[str]:
    counts, told = found["counts"], found["perplexity"]
    left = ", ".join(f"{n:,} {reason}" for reason, n in counts["left_out"].items())
    head = " (its head alone learned)" if found["new_head"] else ""
    return [
        f"{'There already: ' if found['already'] else ''}models/pretrained/{found['name']}",
        f"  texts       {counts['texts']:,} learned, {counts['heldout']:,} kept back"
        + (f"; left out: {left}" if left else ""),
        f"  perplexity  {told['before']:.2f}{head} -> {told['after']:.2f}, {found['objective']}, "
        f"on {counted(counts['heldout_blocks'], 'block')} kept back",
        f"Next  set project.encoder to models/pretrained/{found['name']} in params.yaml, "
        "then `onward run --fresh`",
    ]


COMMANDS = (pretrain,)
