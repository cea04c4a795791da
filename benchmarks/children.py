"""What benchmarks of a training's processes share: a small model, and a process to train it in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

LABELS = 77

MODEL = f"""
import json, sys, torch
from transformers import BertConfig, BertForSequenceClassification
torch.manual_seed(0)
model = BertForSequenceClassification(BertConfig(
    hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536,
    num_labels={LABELS}))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
"""
"""Of MiniLM's size, with drawn weights."""


def printed(code: str, env: Mapping[str, str], *arguments: str) -> Any:
    """The JSON in the last line that code prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])
