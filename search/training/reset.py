"""What a process carries from one trial to the next, reset and checked.

A reused worker must start each trial as a fresh one would. ``fit`` leaves these
alone or puts them back; a library, or a trial that was cut off, may not.
"""

from __future__ import annotations

import gc
import random

import numpy as np
import torch

from search.training import warp
from search.training.memory import give_back

_LEFT_ON_GPU = (2 * 2 * 32 + 32) * 2**20
"""Bytes that may stay allocated on a GPU between trials.

Two threads (forward, backward) have a cuBLAS and a cuBLASLt workspace each, of up
to 32 MiB on Hopper, less elsewhere. They are freed below where torch can do it; a
torch that cannot keeps these 128 MiB for good, and that is no leak. 32 MiB more
are for small tensors of libraries. What a trial leaves behind (a model, its
moments, a batch) is larger, or adds up to more within a few trials.
"""


def reset(*, threads: int, kept: int = 0) -> tuple[str, ...]:
    """Put the process's state back and say what cannot be put back.

    Args:
        threads: Of torch within an operation, >= 1.
        kept: Bytes on the GPU that are to stay there between trials.

    Returns:
        What is still wrong, in sentences; a process with any should not be
        reused. Empty when all is well.
    """
    gc.collect()
    give_back()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    if torch.are_deterministic_algorithms_enabled():  # the call imports torch's compiler
        torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    torch.clear_autocast_cache()
    warp._moments.cache_clear()
    if torch.cuda.is_available():
        _free_workspaces()
        torch.cuda.empty_cache()
    return leftovers(threads=threads, kept=kept)


def _free_workspaces() -> None:
    """Give back what cuBLAS works in; it is allocated again when needed.

    torch has no public call for it; its own CUDA graphs use this one.
    """
    free = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
    if free is not None:
        free()


def leftovers(*, threads: int, kept: int = 0) -> tuple[str, ...]:
    """What differs from a fresh process, in sentences; changes nothing."""
    checks = [
        (torch.get_num_threads() == threads, f"torch has {torch.get_num_threads()} threads"),
        (torch.is_grad_enabled(), "gradients are switched off"),
        (not torch.is_inference_mode_enabled(), "inference mode is on"),
        (not torch.is_autocast_enabled("cpu"), "autocast is on for the CPU"),
        (not torch.is_autocast_enabled("cuda"), "autocast is on for the GPU"),
        (torch.get_default_dtype() == torch.float32, "the default dtype is not float32"),
        (torch.get_default_device().type == "cpu", "the default device is not the CPU"),
        (not torch.are_deterministic_algorithms_enabled(), "deterministic mode is on"),
        (not torch.backends.cudnn.benchmark, "cuDNN's benchmark mode is on"),
    ]
    if torch.cuda.is_available():
        left = torch.cuda.memory_allocated() - kept
        checks.append((left <= _LEFT_ON_GPU, f"{left / 2**20:.0f} MiB are left on the GPU"))
    return tuple(text for good, text in checks if not good)
