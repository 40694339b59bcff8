"""train(recipe, digits) -> Run: the only training loop of the project.

The whole data set is one tensor on the device, batches are taken from it by index, and
nothing inside an epoch waits for the device: losses and hits are summed there and read
once, when the epoch is over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from .augmentation import augment
from .dataset import Digits
from .errors import TrainingError
from .evaluation import evaluate
from .model import DigitNet
from .recipe import Recipe


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images gave.

    `loss` and `train_accuracy` are means over the images as they were trained on:
    augmented, in training mode, while the weights changed. `validation_accuracy` is of
    the weights that the run would end with here. `seconds` count from the start of the
    training, validation left out; `learning_rate` is that of
    the step to come.
    """

    epoch: int
    loss: float
    train_accuracy: float
    validation_accuracy: float | None
    learning_rate: float
    images_per_second: float
    seconds: float


@dataclass
class Run:
    """A training and what came of it; `result` is there once it has been evaluated."""

    recipe: Recipe
    model: DigitNet
    history: list[Epoch] = field(default_factory=list)
    training_seconds: float = 0.0
    result: dict[str, Any] = field(default_factory=dict)


def train(
    recipe: Recipe,
    train: Digits,
    validation: Digits | None = None,
    model: DigitNet | None = None,
    on_epoch: Callable[[Run], None] | None = None,
) -> Run:
    """Train a network by the recipe, on the device where `train` lies.

    The same recipe, data, machine, thread count and versions give the same weights, bit
    for bit. The caller's random state is left as it was. On a terminal a bar shows how
    far the epoch is.

    Args:
        validation: measured after every epoch; nothing is chosen by it here.
        model: go on from its weights, in place, instead of random ones.
        on_epoch: called after every epoch with the run so far: its history, and the
            weights that it would end with if it ended there.

    Raises:
        TrainingError: the loss became infinite or not a number.
    """
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[train.device] if train.device.type == "cuda" else []):
        torch.manual_seed(recipe.seed)
        learner = Learner(recipe, model or DigitNet(recipe), train)
        run = Run(recipe, learner.result)
        for number in range(1, recipe.epochs + 1):
            # Every epoch has its own seed, so that it does not matter what came before it.
            torch.manual_seed(recipe.seed + 1_000_003 * number)
            loss, accuracy = learner.one_epoch(f"epoch {number} of {recipe.epochs}")
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss became {loss} in epoch {number}, with a learning rate of up to "
                    f"{recipe.learning_rate:g}: choose a lower one"
                )
            seconds = time.perf_counter() - started
            run.training_seconds += seconds
            run.history.append(
                Epoch(
                    epoch=number,
                    loss=loss,
                    train_accuracy=accuracy,
                    validation_accuracy=evaluate(run.model, validation).accuracy
                    if validation
                    else None,
                    learning_rate=learner.learning_rate,
                    images_per_second=len(train) / seconds,
                    seconds=run.training_seconds,
                )
            )
            if on_epoch:
                on_epoch(run)
            # The clock stood still for validation and for whoever looked on.
            started = time.perf_counter()
    return run


class Learner:
    """What changes in a training: weights, their average, optimiser, learning rate.

    Adam with decoupled weight decay (Loshchilov and Hutter, 2019) on cross-entropy with
    smoothed labels (Szegedy et al., 2016); the learning rate rises and falls once (Smith
    and Topin, 2018). Where the recipe says so, the result is the moving average of the
    weights (Polyak and Juditsky, 1992), else the weights themselves.
    """

    def __init__(self, recipe: Recipe, model: DigitNet, digits: Digits) -> None:
        self.recipe, self.digits = recipe, digits
        self.bfloat16 = uses_bfloat16(recipe.precision, digits.device)
        self.steps_per_epoch = math.ceil(len(digits) / recipe.batch_size)
        self.model = model.to(digits.device).to(memory_format=torch.channels_last)
        self.result, self.average = self.model, None
        if recipe.average_decay:
            rule = get_ema_multi_avg_fn(recipe.average_decay)
            self.average = AveragedModel(self.model, multi_avg_fn=rule, use_buffers=True)
            self.result = self.average.module
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), betas=(0.7, 0.9), weight_decay=recipe.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            max_lr=recipe.learning_rate,
            total_steps=recipe.epochs * self.steps_per_epoch + 1,
            pct_start=recipe.warmup,
            cycle_momentum=False,
        )

    @property
    def learning_rate(self) -> float:
        """Of the step to come."""
        return float(self.schedule.get_last_lr()[0])

    def one_epoch(self, title: str) -> tuple[float, float]:
        """Pass over all the images once, in random order: mean loss and accuracy."""
        device = self.digits.device
        totals = torch.zeros(2, device=device)
        order = torch.randperm(len(self.digits), device=device)
        self.model.train()
        # Batches of nearly the same size, none tiny at the end.
        batches = order.tensor_split(self.steps_per_epoch)
        for batch in tqdm(batches, title, leave=False, disable=None):
            totals += self.step(self.digits[batch])
        loss, accuracy = (totals / len(self.digits)).tolist()
        return loss, accuracy

    def step(self, digits: Digits) -> Tensor:
        """Learn from one batch; returns (sum of losses, number of hits), on the device."""
        images = augment(digits.images, self.recipe)
        with torch.autocast(digits.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits = self.model(images.contiguous(memory_format=torch.channels_last))
        loss = functional.cross_entropy(
            logits.float(), digits.labels, label_smoothing=self.recipe.label_smoothing
        )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        if self.average:
            self.average.update_parameters(self.model)
        hits = (logits.argmax(dim=1) == digits.labels).sum()
        return torch.stack([loss.detach() * len(digits), hits])


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


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether to multiply in bfloat16: `auto` does on GPUs that have it.

    Not on CPUs, where it has not been measured to pay. The choice depends on nothing but
    the device, never on a trial: a run must come out the same each time.
    """
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bfloat16"
