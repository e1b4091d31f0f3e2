"""How much memory a trial took at its peak; giving back what it left free; when it ran out."""

from __future__ import annotations

import ctypes
import errno
import resource
from pathlib import Path

import torch

from search.training.faults import OutOfMemory

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_SAID = (
    "can't allocate memory",  # torch on a CPU
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "STATUS_ALLOC_FAILED",  # cuBLAS, cuDNN
)
"""In the text of a RuntimeError that is one of memory."""


def restart_peak(device: torch.device) -> None:
    """Forget earlier peaks, so that a reused process reports each trial's own.

    Where the system cannot forget (anything but Linux), the peak stays that of
    the process's life.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        try:
            _CLEAR.write_text("5", encoding="ascii")
        except OSError:
            return


def peak_memory_mb(device: torch.device) -> float:
    """Peak since :func:`restart_peak`, in units of 2**20 bytes: of torch's memory
    on a GPU, else of the process's resident memory, mapped files included."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def give_back() -> None:
    """Return freed memory of the host to the system, where the C library can.

    glibc keeps what one large trial freed for ever; beside it, other trials would
    have less. Costs milliseconds where there is nothing to return.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def out_of_memory(error: Exception) -> OutOfMemory | None:
    """What torch, Python or the system says of missing memory, as ours; else None."""
    if isinstance(error, OutOfMemory):
        return error
    known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    said = isinstance(error, RuntimeError) and any(text in str(error) for text in _SAID)
    refused = isinstance(error, OSError) and error.errno == errno.ENOMEM
    if not (known or said or refused):
        return None
    return OutOfMemory(str(error).splitlines()[0] if str(error) else "out of memory")
