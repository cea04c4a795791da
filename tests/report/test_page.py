"""The page: self-contained, escaped, the same bytes for the same facts, with good empty states."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from onward import files
from onward.evaluation.checks import FAILED, WITHDRAWN, Check, Verdict
from onward.report import heat
from onward.report.page import write
from tests.report import projects

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "</title></style></svg><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "<!-- -->]]>",
    "\u202eevil\u200b",
]
TAGS = set(
    "html head meta title style body header main section h1 h2 h3 h4 p b time ul li span code div "
    "small svg rect line circle text g table thead tbody tr th td article bdi del ins mark".split()
)
ATTRIBUTES = set(
    "lang charset http-equiv content name class id datetime aria-labelledby aria-hidden aria-label "
    "dir role width height x y x1 x2 y1 y2 cx cy r fill-opacity".split()
)


class Page(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.classes: set[str] = set()
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.classes |= set((dict(attrs).get("class") or "").split())

    def handle_data(self, data: str) -> None:
        self.texts.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(text for text in self.texts if text)


def _page(project: projects.Project) -> tuple[Page, str]:
    html = write(project, now=projects.NOW).read_text(encoding="utf-8")
    return Page(html), html


def test_the_page_of_a_lively_project(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    page, html = _page(project)
    assert write(project, now=projects.NOW) == tmp_path / "report" / "index.html"
    assert (
        "v4 serves against the rule (law change) and its files are intact; turn 9 was refused"
        in page.text
    )
    assert "As of 22 Nov 2026, 14:02 UTC" in page.text
    assert "F1 71.4 on 2,100 held-out rows of 3 episodes, worst: support 63.0" in page.text
    for command in ("onward gate --show 9", "onward episode list --quarantined"):
        assert f"<code>{command}</code>" in html
    assert html.count('class="bar ') == 6 + 3  # four checks, with and without an answer; budgets
    assert page.tags.count("article") == 10
    assert "<del>in 1066</del><ins>no answer</ins>" in html
    assert "<mark>Westminster Abbey</mark>" in html
    # Rows may be of a script that runs from right to left, whatever the page's own does.
    shown = ('<h4 dir="auto">', '<p class="change" dir="auto">', '<p class="context" dir="auto">')
    assert [html.count(one) for one in shown] == [10, 10, 10]
    assert "Right: <bdi>Westminster Abbey</bdi> ·" in html


def test_the_table_below_the_heat_map_has_the_episodes_whole_names(tmp_path: Path) -> None:
    html = _page(projects.lively(tmp_path))[1]
    assert "<th>encyclopedia <small>200 rows</small></th>" in html


def test_the_second_half_of_the_page(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    page, html = _page(project)
    assert html.count('<g class="now">') == 3 and html.count('<g class="before">') == 2
    assert "v1 on science: F1 21.0 on 200 rows, not learned yet" in page.text
    assert "v5 on support: never scored" in page.text
    assert "forgetting +0.5 [" in page.text  # best 75.5, 76.0 and 64.0, now 74.0, 77.0 and 63.0
    assert "v4 ● !" in page.text and "v5 ↩" in page.text
    assert "p95, ms" in page.text and "41.5" in page.text and "310" in page.text
    assert "Left out, because their files are not on this machine" in page.text
    assert "replay x single x lora" in page.text and "version v3" in page.text
    assert "<code>git checkout 1af8080aa0c1</code> <code>dvc checkout</code>" in html
    assert '<td class="why">version v3</td>' in html, "an encoder's name pushed the rest out"
    assert "v3 is not on this machine" in page.text
    assert page.tags.index("table") < page.tags.index("article")


def test_a_damaged_matrix_is_told_and_the_page_is_drawn(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    path = project.version("v4") / "matrix.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    page, _ = _page(project)
    assert "matrix.parquet is not a readable ledger" in page.text
    assert page.tags.count("article") == 10


def test_every_mark_that_is_drawn_is_in_the_key_and_no_other(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    assert "● promoted ✗ refused ! forced ? undecided ↩ rollback SEQ" in _page(project)[0].text
    projects.append(project, "withdrawn", episode="0002-science", reason="wrong labels")
    assert "↩ rollback – withdrawn SEQ" in _page(project)[0].text
    assert "● serves ! forced ↩ rolled back from See onward matrix" in _page(project)[0].text


def test_the_heat_map_s_key_has_no_mark_that_is_not_drawn(tmp_path: Path) -> None:
    project = projects.empty(tmp_path)
    projects.turn(project, ["0001-faq"], [])
    projects.append(project, "promoted", version="v1", champion=None, episodes=["0001-faq"])
    projects.version(project, "v1", {"0001-faq": 70.0}, 1, {("v1", "0001-faq"): 70.0})
    assert "● serves See onward matrix" in _page(project)[0].text


def test_versions_that_cannot_be_compared_are_not_told_as_never_promoted(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    for episode in ("0001-encyclopedia", "0002-science", "0003-support"):
        projects.append(project, "withdrawn", episode=episode, reason="wrong labels")
    text = _page(project)[0].text
    assert "Of v1, v2, v3, v4, v5 nothing can be compared" in text
    assert "will stand here as points" not in text


def test_equal_facts_give_equal_bytes(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    assert _page(project)[1] == _page(project)[1]


def test_it_stands_alone(tmp_path: Path) -> None:
    """No script, no address, no style but its own: nothing is loaded from anywhere."""
    page, html = _page(projects.lively(tmp_path))
    assert set(page.tags) <= TAGS
    assert page.attributes <= ATTRIBUTES
    assert "default-src &#39;none&#39;" in html
    assert not re.search(r"https?://|url\(|@import|src=|href=", html)


def test_nothing_yet(tmp_path: Path) -> None:
    page, _ = _page(projects.empty(tmp_path))
    assert "Nothing serves yet, and no episode is open." in page.text
    assert "onward episode open NAME FILE" in page.text
    assert "No turn was judged yet." in page.text
    assert "svg" not in page.tags


def test_opened_but_not_judged(tmp_path: Path) -> None:
    project = projects.empty(tmp_path)
    projects.turn(project, [], ["0001-encyclopedia"])
    page, _ = _page(project)
    assert "Nothing serves yet, and no turn was judged." in page.text
    assert "encyclopedia can be learned onward run" in page.text


def test_first_champion(tmp_path: Path) -> None:
    project = projects.empty(tmp_path)
    made = projects.turn(project, [], ["0001-encyclopedia"])
    unit = projects.scored("0001-encyclopedia", 300, 0, known=False, seed=1)
    verdict = projects.judged([unit], champion=None)
    projects.keep(project, verdict, version="v1", turn_id=made.id)
    page, _ = _page(project)
    assert "F1 of the first champion" in page.text
    assert "p95 change" not in page.text


def test_a_refusal_without_rows_promises_no_bars_and_no_examples(tmp_path: Path) -> None:
    """It said "bars show 100% intervals" and named commands that show nothing."""
    project = projects.empty(tmp_path)
    made = projects.turn(project, [], ["0001-a"])
    note = "candidate c0ffee was withdrawn: slow"
    checks = (Check("evidence", WITHDRAWN, FAILED, note=note),)
    verdict = Verdict("refused", "accuracy", checks, (note,), 0.0, "c", None, made.id)
    projects.keep(project, verdict, version=None, turn_id=made.id)
    page, _ = _page(project)
    assert "was withdrawn: slow" in page.text and "rests on no rows" in page.text
    assert "intervals" not in page.text
    assert "--examples" not in page.text and "--replay" not in page.text


def test_a_champion_that_is_damaged(tmp_path: Path) -> None:
    """I2: the page is still drawn, says so, and names the command."""
    project = projects.lively(tmp_path)
    card = project.version("v4") / "card.json"
    card.write_bytes(card.read_bytes() + b" ")
    page, _ = _page(project)
    assert "v4 serves against the rule (law change) and something is wrong: card.json" in page.text
    assert "onward repair" in page.text
    assert "bad" in page.classes


def test_a_verdict_that_is_not_on_this_machine(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    files.remove(project.verdict(9))
    page, _ = _page(project)
    assert "9 is not on this machine, or is incomplete" in page.text
    assert "`dvc pull` fetches it" in page.text


def test_examples_of_another_candidate_are_not_shown(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    files.write_json(project.made("evaluate") / "summary.json", {"candidate": "e" * 64})
    page, _ = _page(project)
    assert page.tags.count("article") == 0
    assert "onward gate --examples 9" in page.text


def test_answers_without_a_place_are_not_said_to_be_marked(tmp_path: Path) -> None:
    """A number or labels are marked in no text; a row without labels is no question."""
    project = projects.lively(tmp_path)
    page, _ = _page(project)
    assert "the right answer marked in its context." in page.text
    inputs, gone = {"text": "it was seen"}, {"text": "", "score": 0.0, "no_answer": True}
    row = projects.example("t1", inputs=inputs, answers=[], after=gone)
    projects.examples(project, [row], [])
    path = project.made("evaluate") / "examples.json"
    told = {"placed": None, "nothing": "no label", "score": "chrF"}
    files.write_json(path, {**files.read_json(path), **told})
    page, _ = _page(project)
    assert "marked" not in page.text
    assert "Against v7: before now . A row's score is chrF." in page.text
    assert "Right: no label" in page.text and "no answer" not in page.text


def test_rows_that_all_score_as_before_are_not_said_to_be_gone(tmp_path: Path) -> None:
    """Of a turn that changed no answer the page said that its rows are not there any more."""
    project = projects.lively(tmp_path)
    projects.examples(project, [], [])
    page, _ = _page(project)
    assert "Every row scores as with v7." in page.text
    assert "are not in turn/evaluate any more" not in page.text


def test_what_a_candidate_could_not_read_is_said(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    path = project.made("evaluate") / "summary.json"
    page, _ = _page(project)
    assert "lost a part" not in page.text and "solved examples" not in page.text
    shots = {"wanted": 4, "mean": 0.62, "rows": 150, "none": 105}
    files.write_json(path, {**files.read_json(path), "inputs_cut": 108, "shots": shots})
    page, _ = _page(project)
    assert "108 held-out rows were too long for the window and lost a part." in page.text
    assert "a prompt has 0.62 on average; 105 of 150 rows have none." in page.text


@pytest.mark.parametrize("text", HOSTILE)
def test_s07_markup_is_text(text: str, tmp_path: Path) -> None:
    """In rows, ids, reasons, names and errors; in elements, attributes and SVG."""
    project = projects.lively(tmp_path)
    before = set(_page(project)[0].tags)
    files.write_text(project.params, f"project: {{name: {files.canonical(text).decode()}}}\n")
    units = [projects.scored(text, 300, -9, known=True, seed=8),
             projects.scored("0004-faq", 300, 8, known=False, seed=9)]  # fmt: skip
    verdict = projects.judged(units, champion="v4")
    projects.keep(project, verdict, version=None, turn_id="z", by=text, reason=text)
    hostile = projects.example(text, question=text, context=f"a {text} b", answers=[text])
    hostile["marked"] = [2, 2 + len(text)]
    for side in ("before", "after"):
        hostile[side] = {**hostile[side], "text": f"{side} {text}"}
    projects.examples(project, [hostile] * 2, [hostile] * 2)
    projects.append(project, "rollback", by=text, reason=text, champion="v4", version="v3")
    files.write_json(project.error("prepare"), {"what": text, "fix": text})
    files.remove(project.version("v4"))
    cells_ = {("v4", text): 50.0, ("v1", text): 40.0, ("v4", "0002-science"): 50.0}
    card = {name: {"name": text, "kind": text, "md5": text} for name in ("base", "data")}
    card |= {"revision": text, "learning": [{"episode": text}], "candidate": text}
    card |= {"parameters": {"strategy": {"rows": text}, "finetune": {"seed": text}}}
    card |= {"latency": projects.CARD["latency"]}
    projects.version(project, "v4", {text: 50.0}, 8, cells_, **card)
    projects.append(project, "withdrawn", episode=text, reason=text)
    page, html = _page(project)
    assert set(page.tags) <= before | {"p"}
    assert page.attributes <= ATTRIBUTES
    assert page.tags.count("style") == 1
    assert " ".join(text.split()) in page.text
    assert page.text.count("rolled back from v4 because of") == 2  # the sentence and the title
    if set(text) & set("<>\"'"):
        assert text not in html


def test_every_expression_of_the_templates_is_escaped() -> None:
    from onward.report import page

    folder = Path(page.__file__).parent / "templates"
    templates = {path.name: path.read_text() for path in folder.glob("*.html")}
    assert set(templates) == {
        "by_label.html", "lineage.html", "matrix.html", "page.html", "quality.html",
        "scatter.html", "turns.html",
    }  # fmt: skip
    for name, template in templates.items():
        assert re.findall(r"\|\s*safe", template) == ["| safe"] * (name == "page.html")
        assert "autoescape" not in template
    assert "{{ css | safe }}" in templates["page.html"]
    assert page._environment().autoescape is True


def _luminance(colour: tuple[float, ...]) -> float:
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def _over(css: str, below: str, opacity: float = 1.0) -> str:
    """A colour, its own opacity included, as it looks over another."""
    opacity *= int(css[7:], 16) / 255 if len(css) > 7 else 1.0
    pairs = [(int(css[at : at + 2], 16), int(below[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(a * opacity + b * (1 - opacity)):02x}" for a, b in pairs)


def _contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it; 4.5 is what text of this size needs."""
    bright = [
        _luminance(tuple(int(c[at : at + 2], 16) / 255 for at in (1, 3, 5))) for c in (one, other)
    ]
    return (max(bright) + 0.05) / (min(bright) + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(theme: int) -> None:
    css = (Path(heat.__file__).parent / "templates" / "page.css").read_text()
    block = css.split(":root {")[theme + 1].partition("}")[0]
    colour = dict(re.findall(r"--(\w+): (#\w+)", block))
    (cell,) = re.findall(r"\.heat \.fill \{ fill: (#\w+)", css)
    card = colour["card"]
    behind = {
        "ink": [card, colour["mark"], *(_over(cell, card, at) for at in (heat.PALE, heat.DARK))],
        "bad": [card, _over(colour["gone"], card)],
        "good": [card, _over(colour["come"], card)],
        **{name: [card, colour["paper"]] for name in ("soft", "open", "told", "force")},
    }
    found = {(name, one): _contrast(colour[name], one) for name in behind for one in behind[name]}
    assert min(found.values()) >= 4.5, found
