"""The device to train on, its precision, and operations that give the same bits each time."""

from __future__ import annotations

import os

import torch

from ..errors import TrainingError


def pick_device(name: str = "auto") -> torch.device:
    """The device of this name; `auto` takes a GPU (CUDA, then MPS) where there is one.

    Raises:
        TrainingError: there is no such device here.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    here = [kind for kind, is_here in available.items() if is_here] + ["cpu"]
    if name == "auto":
        return torch.device(here[0])
    try:
        device = torch.device(name)
        # Asked for by a real allocation: it also refuses a cuda:7 that is not there.
        if device.type in here:
            return torch.empty(0, device=device).device
    except RuntimeError:
        pass
    raise TrainingError(f"there is no device {name!r} here: choose {' or '.join(here)}")


def use_deterministic_operations() -> None:
    """Make torch use deterministic operations in this process, so that GPUs repeat every bit, too.

    CPUs repeat every bit anyway. These operations are slower; torch warns of each operation that
    has no deterministic version.
    """
    # Read when cuBLAS starts: it is deterministic only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether to multiply in bfloat16: `auto` does on GPUs that have it.

    Not on CPUs, where it was not measured to be faster. The choice depends on the device only,
    never on a measurement: a run must come out the same each time.
    """
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bfloat16"
