"""The pictures of a comparison: what is drawn where, and that it is drawn at all."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from onward.study import compared


def row(name: str, score: float, trainable: int, seconds: float) -> dict[str, Any]:
    told = {"value": score, "low": score - 4.0, "high": score + 2.0}
    return {"name": name, "score": told, "trainable": trainable, "seconds": seconds}


TABLE = {
    "metric": "accuracy",
    "rows": [
        row("full", 80.0, 20_000_000, 300.0),
        row("lora", 75.0, 70_000, 90.0),
        row("bitfit", 60.0, 900, 30.0),
    ],
}


@pytest.mark.parametrize(
    ("name", "key", "across"),
    [
        ("score_and_weights", "trainable", "weights that move"),
        ("score_and_time", "seconds", "seconds of fine-tuning"),
    ],
)
def test_each_score_lies_above_what_it_cost(name: str, key: str, across: str) -> None:
    assert compared.PICTURES[name] == key
    figure = compared._figure(TABLE, key)
    (axis,) = figure.axes
    assert (axis.get_xlabel(), axis.get_ylabel()) == (across, "accuracy")
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "linear")
    rows: Any = TABLE["rows"]
    points = {(one[key], one["score"]["value"]) for one in rows}
    drawn = [tuple(held.lines[0].get_xydata()[0]) for held in axis.containers]
    assert set(drawn) == points
    assert {text.get_text(): text.xy for text in axis.texts} == {
        one["name"]: (one[key], one["score"]["value"]) for one in rows
    }
    for held, one in zip(axis.containers, rows, strict=True):
        (bar,) = held.lines[2]
        (ends,) = bar.get_segments()
        low, high = one["score"]["low"], one["score"]["high"]
        assert ends.tolist() == [[one[key], low], [one[key], high]]


@pytest.mark.parametrize("key", ["trainable", "seconds"])
def test_each_point_is_seen_in_the_picture(key: str) -> None:
    """In its colour, where its numbers say: no picture is blank or cut."""
    figure = compared._figure(TABLE, key)
    data = compared._png(figure)
    image = imread(io.BytesIO(data), format="png")[..., :3]
    (axis,) = figure.axes
    rows: Any = TABLE["rows"]
    for number, one in enumerate(rows):
        across, up = axis.transData.transform((one[key], one["score"]["value"]))
        seen = image[image.shape[0] - 1 - round(up), round(across)]
        assert np.allclose(seen, to_rgb(f"C{number}"), atol=0.02)
    assert compared._png(compared._figure(TABLE, key)) == data
