"""The panel on answers: what was measured of the judged candidate, escaped, and of no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onward import files
from onward.report import page, quality
from tests.report.projects import CANDIDATE, NOW, lively

SUMMARY: dict[str, Any] = {
    "candidate": CANDIDATE,
    "before": "v4",
    "metric": "f1",
    "quality": {
        "units": {
            "all": {
                "before": {"correct": 61.25, "diverse": None, "personal": 0.0},
                "after": {"correct": 66.0, "diverse": None, "personal": 2.0},
            }
        },
        "unsafe": [{"unit": "0001-<b>", "row": "f" * 64, "findings": ["personal: email"]}],
    },
    "bias": {
        "kinds": [
            {"swap": "gender", "rows": 40, "plain": 70.0, "swapped": 66.5, "gap": -3.5,
             "changed_percent": 12.5}
        ]
    },
}  # fmt: skip


def test_s07_the_panel_shows_scores_unsafe_rows_and_exchanges(tmp_path: Path) -> None:
    project = lively(tmp_path)
    path = project.made("evaluate") / "summary.json"
    assert "Quality of the answers</h2>" not in page.write(project, now=NOW).read_text()
    files.write_json(path, SUMMARY)
    html = page.write(project, now=NOW).read_text()
    for told in (
        "<td>correct</td><td>61.2</td><td>66.0</td>",
        "<td>personal</td><td>0 answers</td><td>2 answers</td>",
        f"<li>0001-&lt;b&gt; {'f' * 12}: personal: email</li>",
        "<td>gender</td><td>40</td><td>70.0</td><td>66.5</td><td>−3.5</td><td>12.5%</td>",
    ):
        assert told in html
    assert "diverse" not in html
    assert "<th>F1 as they are</th><th>F1 exchanged</th>" in html
    side = {"personal": 1.0}
    first = {"units": {"all": {"before": side, "after": side}}}
    files.write_json(
        path, {**SUMMARY, "metric": "accuracy", "before": "baseline", "quality": first}
    )
    html = page.write(project, now=NOW).read_text()
    assert "<th>Accuracy as they are</th><th>Accuracy exchanged</th>" in html
    assert "<th>the trivial baseline</th><th>Candidate</th>" in html
    assert "<td>personal</td><td>1 answer</td><td>1 answer</td>" in html


def test_another_candidates_answers_are_not_shown(tmp_path: Path) -> None:
    project = lively(tmp_path)
    files.write_json(project.made("evaluate") / "summary.json", {**SUMMARY, "candidate": "d" * 64})
    assert quality.read(project, CANDIDATE) is None
    files.write_json(project.made("evaluate") / "summary.json", {"candidate": CANDIDATE})
    assert quality.read(project, CANDIDATE) is None
