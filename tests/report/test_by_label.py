"""The panel on labels: the weakest first, escaped, with the calibration picture; of no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onward import files
from onward.recipes import class_report
from onward.report import by_label, page
from tests.report.projects import CANDIDATE, NOW, lively


def summary() -> dict[str, Any]:
    gold, told = ["<b>", "<b>", "c"], ["<b>", "c", "c"]
    found = class_report.by_class([{one} for one in gold], [{one} for one in told])
    sure = class_report.calibration([0.9, 0.9, 0.3], [True, False, True])
    return {"candidate": CANDIDATE, **found, "calibration": sure}


def test_s07_labels_and_calibration_are_shown(tmp_path: Path) -> None:
    project = lively(tmp_path)
    assert "By label</h2>" not in page.write(project, now=NOW).read_text()
    files.write_json(project.made("evaluate") / "summary.json", summary())
    html = page.write(project, now=NOW).read_text()
    for told in (
        '<td class="why"><bdi>&lt;b&gt;</bdi></td><td>2</td><td>100.0</td>',
        "<td>50.0</td><td>66.7</td>",
        "Macro F1 66.7.",
        '<circle cx="198.0" cy="110.0" r="12.0"><title>2 rows, 90% sure, right in 50%</title>',
        "<title>1 row, 30% sure, right in 100%</title>",
        "error 50.0 points",
    ):
        assert told in html, told


def test_places_of_options_are_not_called_labels(tmp_path: Path) -> None:
    project = lively(tmp_path)
    files.write_json(project.made("evaluate") / "summary.json", summary())
    assert "By label</h2>" in page.write(project, now=NOW).read_text()
    project.params.write_text("project: {name: qa-demo, recipe: choice}\n")
    html = page.write(project, now=NOW).read_text()
    assert "By right option</h2>" in html and "<th>Right option</th>" in html


def test_of_tags_entities_are_counted_and_not_rows(tmp_path: Path) -> None:
    """Five names in two rows were told as 5 rows."""
    project = lively(tmp_path)
    spans = [{(0, 1, "name"), (2, 3, "name"), (4, 5, "name")}, {(0, 1, "name"), (2, 3, "name")}]
    found = class_report.by_class(spans, spans, lambda span: str(span[2]))
    files.write_json(project.made("evaluate") / "summary.json", {"candidate": CANDIDATE, **found})
    assert "<th>Rows</th><th>Precision" in page.write(project, now=NOW).read_text()
    project.params.write_text("project: {name: qa-demo, recipe: tagging}\n")
    html = page.write(project, now=NOW).read_text()
    assert "<th>Entities</th><th>Precision" in html and "</td><td>5</td>" in html


def test_the_weakest_come_first_and_others_are_counted(tmp_path: Path) -> None:
    project = lively(tmp_path)
    classes = [
        {"label": f"l{n:02d}", "rows": 3, "precision": 50.0, "recall": 50.0, "f1": 100.0 - n}
        for n in range(30)
    ]
    path = project.made("evaluate") / "summary.json"
    files.write_json(path, {"candidate": CANDIDATE, "classes": classes, "macro_f1": 70.0})
    found = by_label.read(project, CANDIDATE)
    assert found is not None and found.classes[0]["label"] == "l29" and len(found.classes) == 20
    assert (found.of, found.bins, found.ece) == (30, (), None)
    html = page.write(project, now=NOW).read_text()
    assert "The 20 weakest of 30." in html and "Calibration" not in html


def test_another_candidates_labels_are_not_shown(tmp_path: Path) -> None:
    project = lively(tmp_path)
    path = project.made("evaluate") / "summary.json"
    assert by_label.read(project, CANDIDATE) is None
    files.write_json(path, {**summary(), "candidate": "d" * 64})
    assert by_label.read(project, CANDIDATE) is None
    files.write_json(path, {"candidate": CANDIDATE})
    assert by_label.read(project, CANDIDATE) is None
