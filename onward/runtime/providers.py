"""Where a graph runs: CUDA where it works, else the CPU, and never the CPU for CUDA unsaid.

>>> pick("cpu")
'cpu'
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from onward.errors import ProviderError, UsageError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def pick(asked: str) -> str:
    """cpu or cuda for auto, cpu or cuda; on the CUDA path its libraries are loaded first.

    Raises:
        UsageError: another word.
        ProviderError: cuda was asked for, and there is no device or no build for it.
    """
    if asked not in ("auto", "cpu", "cuda"):
        raise UsageError(
            f"There is no provider {asked!r}", where="provider", fix="use auto, cpu or cuda"
        )
    if asked == "cpu":
        return "cpu"
    missing = _missing_for_cuda()
    if missing and asked == "cuda":
        raise _no_cuda(missing)
    if missing:
        return "cpu"
    import onnxruntime

    onnxruntime.preload_dlls()
    return "cuda"


def names(device: str) -> list[Any]:
    """ONNX Runtime's providers for a device; CUDA keeps the CPU for nodes it has no kernel for."""
    # TF32 would change logits by 1e-2: what is served must be what was proved.
    return [CPU] if device == "cpu" else [(CUDA, {"use_tf32": "0"}), CPU]


def confirm(asked: str, got: list[str]) -> str:
    """The device a session really got: ONNX Runtime falls back to the CPU with a log line only.

    Raises:
        ProviderError: cuda was asked for and the session runs on something else.
    """
    if got and got[0] == CUDA:
        return "cuda"
    if asked == "cuda":
        raise _no_cuda(f"the session started on {', '.join(got) or 'nothing'}")
    return "cpu"


def _missing_for_cuda() -> str:
    """What stands in the way of CUDA, or an empty string."""
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        return "this onnxruntime was built without CUDA"
    return "" if devices() else "there is no NVIDIA device or driver"


@functools.cache
def devices() -> int:
    """How many CUDA devices the driver reports; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _no_cuda(why: str) -> ProviderError:
    return ProviderError(
        f"CUDA was asked for and cannot be used: {why}",
        where="provider: cuda",
        fix="set the provider to auto or cpu, or install onnxruntime-gpu with CUDA and cuDNN",
    )
