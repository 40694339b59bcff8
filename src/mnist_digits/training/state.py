"""What a training needs, beside the weights, to go on as if it had never stopped.

Taken between two epochs. Every epoch has its own seed and a new order of the images, so no random
state is among it; the learning rate follows from the number of steps.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from .model import DigitNet
from .recipe import Recipe

# What AdamW keeps of each parameter; the last two have its shape.
KEPT = ("step", "exp_avg", "exp_avg_sq")
# A state is made of numbers: this is what that of the device means.
DEVICES = ("cpu", "cuda", "mps")


def capture(model: DigitNet, optimizer: torch.optim.Optimizer, images: int) -> dict[str, Tensor]:
    """The state by name; its tensors are the training's own, and change when it goes on.

    Args:
        images: how many there are to train on: a resumed training must have as many.
    """
    environment = {
        "images": images,
        "threads": torch.get_num_threads(),
        "deterministic": int(torch.are_deterministic_algorithms_enabled()),
        "device": DEVICES.index(next(model.parameters()).device.type),
    }
    state = {name: torch.tensor(value) for name, value in environment.items()}
    for number, parameter in enumerate(model.parameters()):
        for name in KEPT:
            state[f"optimizer.{number}.{name}"] = optimizer.state[parameter][name]
    return state


def restore(
    state: dict[str, Tensor],
    weights: dict[str, Tensor],
    model: DigitNet,
    optimizer: torch.optim.Optimizer,
    schedule: LRScheduler,
) -> None:
    """Put back the weights, and what `capture` took."""
    model.load_state_dict(weights)
    for number, parameter in enumerate(model.parameters()):
        step, *moments = (state[f"optimizer.{number}.{name}"] for name in KEPT)
        # In the layout of the parameter: bits could depend on it.
        laid = [torch.empty_like(parameter).detach().copy_(moment) for moment in moments]
        optimizer.state[parameter] = dict(zip(KEPT, [step.clone(), *laid], strict=True))
    done = int(state["optimizer.0.step"])
    schedule.load_state_dict({**schedule.state_dict(), "last_epoch": done - 1, "_step_count": done})
    schedule.step()


def expected(recipe: Recipe) -> dict[str, Tensor]:
    """Tensors without memory, of the names, shapes and types that the recipe's state has."""
    with torch.device("meta"):
        model = DigitNet(recipe)
        whole, fraction = torch.empty((), dtype=torch.int64), torch.empty(())
    state = dict.fromkeys(("images", "threads", "deterministic", "device"), whole)
    for number, parameter in enumerate(model.parameters()):
        tensors = (fraction, parameter, parameter)
        state |= {f"optimizer.{number}.{n}": t for n, t in zip(KEPT, tensors, strict=True)}
    return state
