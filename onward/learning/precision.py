"""Which number format training multiplies in: bf16 only where the hardware does.

On a processor without bf16 instructions it is emulated, several times slower than fp32.
"""

from __future__ import annotations

from pathlib import Path

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
