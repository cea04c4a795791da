"""Sides: known keys keep theirs for ever, and no training row is a held-out row (D09)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.config import Episode
from onward.episodes import rows as parquet
from onward.episodes import split
from onward.episodes.folders import folders
from onward.episodes.open import open_episode, withdraw
from onward.episodes.rows import normalised
from onward.episodes.split import draw
from onward.errors import DataError, UsageError
from onward.project import Project
from tests.episodes import deliveries
from tests.episodes.conftest import Opener

SPARE = deliveries.goods(60, 9_000)
"""Rows under forty titles of their own, so that both sides of any delivery hold some."""


def sides(project: Project) -> dict[str, list[dict[str, Any]]]:
    """Both sides of all episodes together."""
    return {
        side: [r for f in folders(project)
               for r in parquet.read(project.episode(f.folder) / f"{side}.parquet")]
        for side in ("train", "heldout")
    }  # fmt: skip


def row(title: str | None, context: str, question: str = "Who?") -> dict[str, Any]:
    return {"title": title, "context": context, "question": question, "answers": ["Alba"]}


def side_of(project: Project, question: str) -> str | None:
    found = [s for s, there in sides(project).items() for r in there if r["question"] == question]
    return found[0] if found else None


def refuse_leaks(project: Project) -> None:
    both = sides(project)
    exact = [{(r["question"], r["context"]) for r in both[s]} for s in ("train", "heldout")]
    folded = [{(normalised(q), normalised(c)) for q, c in pairs} for pairs in exact]
    contexts = [{context for _, context in pairs} for pairs in folded]
    titles = [{normalised(r["title"]) for r in both[s] if r["title"]} for s in both]
    for train, heldout in (exact, folded, contexts, titles):
        assert not train & heldout


def test_rows_are_drawn_by_title_and_about_the_share_that_was_asked_for() -> None:
    keys = [n.to_bytes(16, "big") for n in range(4_000)]
    for percent in (10.0, 35.0, 90.0):
        drawn = [draw(key, Episode(heldout_percent=percent)) for key in keys]
        assert abs(drawn.count("heldout") / 40 - percent) < 3
    assert [draw(k, Episode(seed=1)) for k in keys] != [draw(k, Episode(seed=2)) for k in keys]


def test_all_rows_of_a_title_are_on_one_side(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    opener("a", deliveries.jsonl(tmp_path / "a.jsonl", deliveries.goods(400)))
    refuse_leaks(project)
    both = sides(project)
    assert both["train"] and both["heldout"]


@pytest.mark.parametrize("change", [str.upper, lambda t: f"  {t}!", lambda t: t.replace(" ", "_")])
def test_a_known_title_keeps_its_side_also_in_another_spelling(
    project: Project, opener: Opener, tmp_path: Path, change: Any
) -> None:
    opener("a", deliveries.jsonl(tmp_path / "a.jsonl", deliveries.goods(80)))
    before = {r["title"]: side for side, there in sides(project).items() for r in there}
    later = [{**r, "title": change(r["title"])} for r in deliveries.goods(80, 500)]
    opener("b", deliveries.jsonl(tmp_path / "b.jsonl", later))
    for side, there in sides(project).items():
        assert all(before[f"Title {int(r['id'][1:]) % 40}"] == side for r in there)


def test_a_known_context_keeps_its_side_when_a_title_joins_it(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    there = [row(None, f"Alba saw {n}.") for n in range(40)]
    opener("a", deliveries.jsonl(tmp_path / "a.jsonl", there))
    before = {r["context"]: side for side, rows in sides(project).items() for r in rows}
    titled = [row(f"T{n}", f"ALBA saw {n}", f"More {n}?") for n in range(40)]
    titled = [{**r, "answers": ["ALBA"]} for r in titled]
    opened = opener("b", deliveries.jsonl(tmp_path / "b.jsonl", titled))
    assert opened.counts["quarantined"] == 0
    assert all(side_of(project, f"More {n}?") == before[f"Alba saw {n}."] for n in range(40))


def test_d09_a_row_whose_title_and_context_are_on_two_sides_is_quarantined(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    opener("a", deliveries.jsonl(tmp_path / "a.jsonl", deliveries.goods(80)))
    both = sides(project)
    train, heldout = both["train"][0], both["heldout"][0]
    crossed = [
        row(train["title"], heldout["context"], "X1?") | {"answers": heldout["answers"]},
        row(heldout["title"], train["context"], "X2?") | {"answers": train["answers"]},
    ]
    path = deliveries.jsonl(tmp_path / "b.jsonl", [*SPARE, *crossed])
    opened = opener("b", path)
    assert opened.reasons == {"straddles": 2}
    refuse_leaks(project)


def test_d09_one_new_context_under_two_titles_stays_on_one_side(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    shared = [row(f"T{n}", "Alba is everywhere.", f"Q{n}?") for n in range(15)]
    opened = opener("a", deliveries.jsonl(tmp_path / "a.jsonl", [*SPARE, *shared]))
    assert 0 < opened.reasons["straddles"] < 15
    kept = [s for s, there in sides(project).items() if shared_of(there)]
    assert kept == ["heldout"], "tests are scarcer than training rows"
    refuse_leaks(project)


def shared_of(there: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [r for r in there if r["context"] == "Alba is everywhere."]


def test_a_new_context_of_corrected_rows_of_both_sides_is_held_out(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    opener("a", deliveries.jsonl(tmp_path / "a.jsonl", deliveries.goods(80)))
    ids = {side: there[0]["id"] for side, there in sides(project).items()}
    mended = [row(None, "Alba is everywhere.", f"{s}?") | {"id": i} for s, i in ids.items()]
    path = deliveries.jsonl(tmp_path / "b.jsonl", [*SPARE, *mended])
    opened = opener("b", path, corrects="a")
    assert opened.reasons == {"straddles": 1}
    assert side_of(project, "heldout?") == "heldout" and side_of(project, "train?") is None


def test_d09_a_corrected_row_moves_no_known_context(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    """A held-out row comes again with a context that is learned: it goes, the context stays."""
    opener("a", deliveries.jsonl(tmp_path / "a.jsonl", deliveries.goods(80)))
    both = sides(project)
    train, heldout = both["train"][0], both["heldout"][0]
    moved = row(None, train["context"], "X?") | {"id": heldout["id"], "answers": train["answers"]}
    path = deliveries.jsonl(tmp_path / "b.jsonl", [*SPARE, moved])
    opened = opener("b", path, corrects="a")
    assert opened.reasons == {"straddles": 1} and side_of(project, "X?") is None
    refuse_leaks(project)


@settings(max_examples=25)
@given(
    links=st.lists(
        st.tuples(st.sampled_from([None, "A", "a!", "B", "C", "D"]), st.integers(0, 6)),
        min_size=1,
        max_size=30,
    ),
    seed=st.integers(0, 10**6),
)
def test_the_order_of_rows_changes_no_side(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    project: Project,
    links: list[tuple[str | None, int]],
    seed: int,
) -> None:
    tmp_path = tmp_path_factory.mktemp("order")
    there = [row(t, f"Alba {c}.", f"Q{n}?") for n, (t, c) in enumerate(links)]
    found = []
    for name in ("one", "other"):
        opened = deliveries.project(
            tmp_path / name, deliveries.PARAMS + "  max_quarantined_percent: 100\n"
        )
        open_episode(opened, "a", deliveries.jsonl(tmp_path / "a.jsonl", [*SPARE, *there]),
                     keep=deliveries.keep)  # fmt: skip
        found.append({s: {parquet.row_hash(r) for r in rows} for s, rows in sides(opened).items()})
        refuse_leaks(opened)
        random.Random(seed).shuffle(there)
    assert found[0] == found[1]


LINK = st.tuples(
    st.sampled_from([None, "Ana", "ana", "Bo", "Cy", "Dee"]),
    st.sampled_from(["One alba.", "ONE  alba", "Two alba.", "Three alba.", "three alba!"]),
    st.integers(0, 3),
)  # fmt: skip


@settings(max_examples=20)
@given(
    episodes=st.lists(
        st.tuples(st.lists(LINK, max_size=12), st.booleans(), st.integers(1, 99)),
        min_size=2,
        max_size=4,
    )
)
def test_d09_no_training_row_is_held_out_over_any_sequence_of_episodes(
    tmp_path_factory: pytest.TempPathFactory,
    project: Project,
    episodes: list[tuple[list[tuple[str | None, str, int]], bool, int]],
) -> None:
    tmp_path = tmp_path_factory.mktemp("sequence")
    there = Project(tmp_path / "project")
    for number, (links, withdrawn, percent) in enumerate(episodes):
        # The share may change between episodes: known keys still keep their side.
        params = deliveries.PARAMS.replace("35", str(percent)) + "  max_quarantined_percent: 100\n"
        deliveries.project(there.root, params)
        spare = deliveries.goods(60, 10_000 * (number + 1))
        spare = [{**r, "title": f"{r['id']}"} for r in spare]
        rows = [row(t, c, f"Q{q}?") | {"answers": ["alba"]} for t, c, q in links]
        path = deliveries.jsonl(tmp_path / f"{number}.jsonl", [*spare, *rows])
        try:
            opened = open_episode(there, f"e{number}", path, keep=deliveries.keep)
        except DataError as error:
            assert "No row would be" in error.what  # a share of 1 % may draw none
            continue
        if withdrawn and len(folders(there)) > 1:
            withdraw(there, opened.folder, "a test", "ana", deliveries.keep)
    refuse_leaks(there)


PLAIN = deliveries.PARAMS.replace("recipe: extractive", "recipe: classification")


def labelled(column: str, values: int, rows: int = 120) -> list[dict[str, Any]]:
    """Rows of a text and its label, with a column of so many values."""
    return [
        {"text": f"Text {n} of the file.", "label": "ab"[n % 2], column: f"Value {n % values}"}
        for n in range(rows)
    ]


@pytest.mark.parametrize(
    ("column", "values", "title"),
    [
        ("source", 3, False),
        ("Topic", 1, False),
        ("group", 9, False),
        ("source", 40, True),
        ("title", 5, True),
        ("document_title", 5, True),
    ],
)
def test_few_topics_or_sources_are_no_titles(
    project: Project, tmp_path: Path, column: str, values: int, title: bool
) -> None:
    """A third of three sources was held out: the model was judged on what it never saw."""
    there = deliveries.project(project.root, PLAIN)
    source = deliveries.jsonl(tmp_path / "a.jsonl", labelled(column, values))
    if values > 1:  # a person may say either
        said = {"title": "" if title else column}
        other = open_episode(there, "a", source, mapping=said, keep=deliveries.keep, dry_run=True)
        assert other.source["mapping"].get("title") == (None if title else column)
    found = open_episode(there, "a", source, keep=deliveries.keep)
    assert found.source["mapping"].get("title") == (column if title else None)
    assert found.unread == ([] if title else [column])
    of = {side: {row["title"] for row in rows} for side, rows in sides(project).items()}
    assert not of["train"] & of["heldout"] if title else of["train"] == of["heldout"] == {None}
    # A column by which an episode was split stays the title.
    if title and column == "source":
        few = deliveries.jsonl(tmp_path / "b.jsonl", labelled(column, 40, 8))
        more = open_episode(there, "b", few, keep=deliveries.keep, dry_run=True)
        assert more.source["mapping"]["title"] == column


def test_a_later_episode_changes_nothing_of_what_is_open_already(
    project: Project, tmp_path: Path
) -> None:
    """Few topics, then many: the first delivery was said to be open with other columns."""
    there = deliveries.project(project.root, PLAIN)
    few = deliveries.jsonl(tmp_path / "a.jsonl", labelled("topic", 3))
    many = [{**row, "text": f"More {row['text']}"} for row in labelled("topic", 40)]
    open_episode(there, "a", few, keep=deliveries.keep)
    more = deliveries.jsonl(tmp_path / "b.jsonl", many)
    assert "title" in open_episode(there, "b", more, keep=deliveries.keep).source["mapping"]
    assert open_episode(there, "a", few, keep=deliveries.keep).already_open
    assert open_episode(there, "b", more, keep=deliveries.keep).already_open


def test_no_title_is_one_of_several_columns(project: Project, tmp_path: Path) -> None:
    rows = [{**row, "source2": row["source1"]} for row in labelled("source1", 60)]
    source = deliveries.jsonl(tmp_path / "a.jsonl", rows)
    there = deliveries.project(project.root, PLAIN)
    found = open_episode(there, "a", source, keep=deliveries.keep, dry_run=True)
    assert found.source["mapping"] == {"text": "text", "label": "label"}


def test_a_field_that_a_row_needs_cannot_be_left_out(project: Project, tmp_path: Path) -> None:
    there = deliveries.project(project.root, PLAIN)
    source = deliveries.jsonl(tmp_path / "a.jsonl", labelled("source", 3))
    for field in ("text", "label"):
        with pytest.raises(UsageError, match=f"A row needs its {field}"):
            open_episode(there, "a", source, mapping={field: ""}, keep=deliveries.keep)


def test_a_share_that_leaves_a_side_one_title_is_split_by_text() -> None:
    titles = [f"Title {n}" for n in range(30)]
    drawn = [draw(parquet.title_key(f"title {n}"), Episode(seed=13)) for n in range(30)]
    held = [title for title, side in zip(titles, drawn, strict=True) if side == "heldout"]
    rest = [title for title in titles if title not in held]
    assert not split.few([*rest[:10], *held[:2]], Episode(seed=13))
    assert split.few([*rest[:11], held[0]], Episode(seed=13))
    assert split.few([*rest[:7], *held[:2], *titles[:1] * 90], Episode(seed=13))


@pytest.mark.parametrize("title", ["Only one", None])
def test_few_titles_leave_a_side_empty_and_the_error_says_what_to_do(
    project: Project, opener: Opener, tmp_path: Path, title: str | None
) -> None:
    there = [row(title, "Alba." if title is None else f"Alba {n}.", f"Q{n}?") for n in range(50)]
    with pytest.raises(DataError, match="rows 50, titles or contexts 1") as caught:
        opener("a", deliveries.jsonl(tmp_path / "a.jsonl", there))
    assert "heldout_percent" in caught.value.what + caught.value.fix
    assert ("`--map title=`" in caught.value.fix) == (title is not None)
    assert not project.turn.exists() and not list(
        project.data.iterdir() if project.data.exists() else []
    )
