"""Which number format training multiplies in: bf16 only where the hardware does.

On a processor without bf16 instructions it is emulated, several times slower than fp32. With them,
the fused attention's backward pass is what falls behind: it gains nothing from the format.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NATIVE = {"amx_bf16", "avx512_bf16"}


def resolve(setting: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """`fp32` or `bf16` for finetune.precision; `auto` is bf16 where it is native."""
    if setting != "auto":
        return setting
    import torch

    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = on_processor(cpuinfo)
    return "bf16" if native else "fp32"


def on_processor(cpuinfo: Path) -> bool:
    """Whether the processor that this file describes multiplies bf16 natively."""
    if not cpuinfo.is_file():
        return False
    for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("flags"):
            return bool(_NATIVE & set(line.split()))
    return False


_FUSED, _PLAIN = "sdpa", "eager"


@contextmanager
def attention(model: Any, number: str) -> Iterator[None]:
    """Inside, an encoder that trains in bf16 on a processor has plain attention, not the fused one.

    The same function in other kernels, whose backward pass is shorter (decision 0008). A language
    model keeps its own: what it holds of long texts would outgrow what it saves.
    """
    import torch

    config = model.config
    change = (
        number == "bf16"
        and not torch.cuda.is_available()
        and config._attn_implementation == _FUSED
        and getattr(config, "is_decoder", True) is False
        and not config.is_encoder_decoder
    )
    if not change:
        yield
        return
    model.set_attn_implementation(_PLAIN)
    try:
        yield
    finally:
        model.set_attn_implementation(_FUSED)
