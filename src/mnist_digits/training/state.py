"""The state of an unfinished training: what it needs, beside the weights, to be resumed.

It is captured between two epochs. It holds the optimizer's moments and step counts, from which
the learning rate follows. It holds no random state: every epoch sets its own seed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .model import DigitNet
from .optimization import KEPT, optimizer_state

# A state is made of numbers: that of the device is an index into these.
DEVICES = ("cpu", "cuda", "mps")


def capture(model: DigitNet, optimizer: torch.optim.Optimizer, images: int) -> dict[str, Tensor]:
    """The state by name; the optimizer's tensors are not copied, and change when it goes on.

    Args:
        images: how many there are to train on: a resumed training must have as many.
    """
    environment = {
        "images": images,
        "threads": torch.get_num_threads(),
        "deterministic": int(torch.are_deterministic_algorithms_enabled()),
        "device": DEVICES.index(next(model.parameters()).device.type),
    }
    numbers = {name: torch.tensor(value) for name, value in environment.items()}
    return numbers | optimizer_state(model, optimizer)


def expected(model: DigitNet) -> dict[str, Tensor]:
    """Tensors of the names, shapes and types of the state of a training of the model."""
    whole, fraction = torch.empty((), dtype=torch.int64), torch.empty(())
    state = dict.fromkeys(("images", "threads", "deterministic", "device"), whole)
    for number, parameter in enumerate(model.parameters()):
        tensors = (fraction, parameter, parameter)
        state |= {f"optimizer.{number}.{n}": t for n, t in zip(KEPT, tensors, strict=True)}
    return state
