"""AdamW with a learning rate that rises and falls once, and the state to resume a training from.

Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019. Smith and Topin,
"Super-Convergence", 2018.

The state is captured between two epochs. It holds the optimizer's moments and step counts, from
which the learning rate follows. It holds no random state: every epoch sets its own seed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from .model import DigitNet
from .recipe import DetectorRecipe, Recipe

# What AdamW keeps of each parameter; the last two have its shape.
KEPT = ("step", "exp_avg", "exp_avg_sq")


def adamw_one_cycle(
    model: nn.Module,
    recipe: Recipe | DetectorRecipe,
    steps: int,
    betas: tuple[float, float],
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """The optimizer and the schedule of a training of so many steps."""
    device = next(model.parameters()).device
    on_gpu = device.type == "cuda"
    # There the rate and the count of steps are tensors, or a step could not be recorded.
    rate = torch.tensor(recipe.learning_rate, device=device) if on_gpu else recipe.learning_rate
    optimizer = torch.optim.AdamW(
        model.parameters(),
        rate,
        betas=betas,
        weight_decay=recipe.weight_decay,
        capturable=on_gpu,
        fused=on_gpu or None,
    )
    # If the rate rose for exactly one step, OneCycleLR would divide by 0.
    warmup = 0.0 if recipe.warmup * (steps + 1) == 1 else recipe.warmup
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, steps + 1, pct_start=warmup, cycle_momentum=False
    )
    return optimizer, schedule


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What AdamW keeps, by name: its own tensors, which change when the training goes on."""
    return {
        f"optimizer.{number}.{name}": optimizer.state[parameter][name]
        for number, parameter in enumerate(model.parameters())
        for name in KEPT
    }


def restore_optimizer(
    state: dict[str, Tensor],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: LRScheduler,
) -> None:
    """Put back what `optimizer_state` took, and set the schedule to the same step."""
    for number, parameter in enumerate(model.parameters()):
        step, *moments = (state[f"optimizer.{number}.{name}"] for name in KEPT)
        # In the parameter's memory layout: the last bits could depend on it.
        laid = [torch.empty_like(parameter).detach().copy_(moment) for moment in moments]
        if optimizer.defaults["capturable"]:
            step = step.to(parameter.device)
        optimizer.state[parameter] = dict(zip(KEPT, [step.clone(), *laid], strict=True))
    done = int(state["optimizer.0.step"])
    schedule.load_state_dict({**schedule.state_dict(), "last_epoch": done - 1, "_step_count": done})
    schedule.step()


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
