"""What a process carries from one trial to the next, reset and checked.

A reused worker must start each trial as a fresh one would. ``fit`` leaves these
alone or puts them back; a library, or a trial that was cut off, may not.
"""

from __future__ import annotations

import gc
import random

import numpy as np
import torch

_LEFT_ON_GPU = 64 * 2**20
"""Bytes that may stay allocated on a GPU between trials."""


def reset(*, threads: int) -> tuple[str, ...]:
    """Put the process's state back and say what cannot be put back.

    Args:
        threads: Of torch within an operation, >= 1.

    Returns:
        What is still wrong, in sentences; a process with any should not be
        reused. Empty when all is well.
    """
    gc.collect()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    torch.clear_autocast_cache()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return leftovers(threads=threads)


def leftovers(*, threads: int) -> tuple[str, ...]:
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
        left = torch.cuda.memory_allocated()
        checks.append((left <= _LEFT_ON_GPU, f"{left / 2**20:.0f} MiB are left on the GPU"))
    return tuple(text for good, text in checks if not good)
