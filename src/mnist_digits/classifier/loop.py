"""train(recipe, digits) -> Run: the training loop of all networks that classify digits.

The whole data set is one tensor on the device, and batches are taken from it by index. The
loop waits for the device only once an epoch: the losses of the steps stay there until then.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ..data.dataset import Digits
from ..errors import TrainingError
from ..synthesis.handwriting import draw, with_flags
from ..synthesis.negatives import negatives
from .augmentation import augment
from .evaluation import evaluate
from .model import DigitNet
from .optimization import adamw_one_cycle, capture, restore_optimizer
from .recipe import Recipe
from .step import Step
from .temperature import set_temperature, split_calibration

# They forget sooner than the usual 0.9 and 0.999: one epoch of FAST is 240 steps, too few for
# an average over 1,000.
BETAS = (0.7, 0.9)


@dataclass(frozen=True)
class Epoch:
    """The measurements of one pass over the training images.

    `loss` and `train_accuracy` are means over the augmented images, in training mode,
    while the weights changed; `loss_curve` and `accuracy_curve` are the same over each
    twentieth of the epoch. `validation_accuracy` is that of the network after the epoch.
    `learning_rate` is the highest of the epoch's steps. `seconds` are those of training since its
    start.
    """

    epoch: int
    loss: float
    train_accuracy: float
    validation_accuracy: float | None
    learning_rate: float
    images_per_second: float
    seconds: float
    loss_curve: list[float]
    accuracy_curve: list[float]


@dataclass
class Run:
    """A training and its outcome; `result` is empty until the run has been evaluated.

    `state` is what a resumed training needs beside the weights; it holds the training's own
    tensors, which the next step changes, so save it in `on_epoch`. `held_out` tells whether the
    validation slice was kept from the training.
    """

    recipe: Recipe
    model: DigitNet
    history: list[Epoch] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict, repr=False)
    held_out: bool = False

    @property
    def training_seconds(self) -> float:
        """From the data in memory to the last weights, without validation and `on_epoch`."""
        return self.history[-1].seconds if self.history else 0.0

    def facts(self) -> dict[str, Any]:
        """What `result` says of the run itself; a file of the run does not store it twice."""
        return {
            "temperature": float(self.model.temperature),
            "validation_accuracy": self.history[-1].validation_accuracy if self.history else None,
            "held_out": self.held_out,
            "training_seconds": self.training_seconds,
            "seed": self.recipe.seed,
            "recipe": json.loads(self.recipe.to_json()),
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
        }


def train(
    recipe: Recipe,
    dataset: Digits,
    validation: Digits | None = None,
    model: DigitNet | None = None,
    resume: Run | None = None,
    on_epoch: Callable[[Run], None] | None = None,
) -> Run:
    """Train a network by the recipe, on the device where the dataset lies.

    The same recipe, data, machine, thread count and versions give the same weights, bit
    for bit. The caller's random state is left as it was. On a terminal a bar shows how
    far the epoch is.

    The network learns from all but the recipe's `calibration_fraction` of the dataset; on those
    its temperature is fitted after the last epoch.

    Args:
        validation: measured after every epoch; nothing is chosen by it here.
        model: go on from its weights, in place, instead of random ones.
        resume: a run by this recipe on these digits that was stopped after an epoch: go on with
            it. The weights become those of a run that was never stopped, bit for bit.
        on_epoch: called after every epoch with the run so far.

    Raises:
        TrainingError: there are not two images, the run to resume is another one, or the loss
            became infinite or not a number.
    """
    if len(dataset) < 2:
        raise TrainingError("there must be two images at least to train on")
    if resume:
        _check_resumable(resume, recipe, dataset)
    started, image_count = time.perf_counter(), len(dataset)
    device = dataset.device
    dataset, calibration = split_calibration(dataset, recipe.calibration_fraction)
    dataset, others = _with_detected(dataset, recipe)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(recipe.seed)
        run, model, optimizer, schedule = _begin(recipe, dataset, model, resume)
        run.held_out = validation is not None
        step = Step(model, optimizer, recipe)
        for epoch in range(len(run.history) + 1, recipe.epochs + 1):
            model.train()
            step_sums: list[Tensor] = []
            learning_rates: list[float | Tensor] = []
            for images, labels in _batches(dataset, others, _in_epoch(recipe, epoch), epoch):
                step_sums.append(step(images, labels))
                learning_rates.append(schedule.get_last_lr()[0])
                schedule.step()

            sums = torch.stack(step_sums).cpu().double()  # the only wait for the device
            if calibration and epoch == recipe.epochs:
                set_temperature(model, calibration)
            seconds = time.perf_counter() - started
            rates = [float(rate) for rate in learning_rates]
            run.history.append(_epoch(run, sums, rates, len(dataset), seconds, validation))
            run.state = capture(model, optimizer, image_count)
            if on_epoch:
                on_epoch(run)
            started = time.perf_counter()  # validation and on_epoch are not training
    return run


def _begin(
    recipe: Recipe, dataset: Digits, model: DigitNet | None, resume: Run | None
) -> tuple[Run, DigitNet, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """A new run, or a copy of the one to resume, its network, optimizer and schedule."""
    model = (model or DigitNet(recipe)).to(dataset.device).to(memory_format=torch.channels_last)
    steps = recipe.epochs * _steps_per_epoch(recipe, len(dataset))
    optimizer, schedule = adamw_one_cycle(model, recipe, steps, BETAS)
    run = Run(recipe, model)
    if resume:
        model.load_state_dict(resume.model.state_dict())
        restore_optimizer(resume.state, model, optimizer, schedule)
        run.history = [*resume.history]
        run.state = capture(model, optimizer, int(resume.state["images"]))
    return run, model, optimizer, schedule


def _check_resumable(resume: Run, recipe: Recipe, dataset: Digits) -> None:
    if resume.recipe != recipe:
        raise TrainingError("a run is resumed by the recipe that it was begun with")
    if not resume.state or not resume.history:
        raise TrainingError("this run has no state to go on from: it is finished, or was not begun")
    images = int(resume.state["images"])
    if images != len(dataset):
        raise TrainingError(f"this run was begun on {images:,} images, not on {len(dataset):,}")
    learned = len(split_calibration(dataset, recipe.calibration_fraction)[0])
    steps_per_epoch = _steps_per_epoch(recipe, learned + round(recipe.detected_ratio * learned))
    if float(resume.state["optimizer.0.step"]) != len(resume.history) * steps_per_epoch:
        raise TrainingError("the state of this run does not fit its history: it is damaged")


def _steps_per_epoch(recipe: Recipe, images: int) -> int:
    return max(1, images // recipe.batch_size)


def _with_detected(dataset: Digits, recipe: Recipe) -> tuple[Digits, Tensor]:
    """The dataset with the recipe's ratio of digits detected in scenes; images of other things."""
    if not recipe.detected_ratio:
        return dataset, dataset.images[:0]
    # It imports the reader, which other recipes do not need.
    from ..synthesis.detected_digits import with_detected

    return with_detected(dataset, recipe.detected_ratio, recipe.seed)


def _in_epoch(recipe: Recipe, epoch: int) -> Recipe:
    """The recipe as it is in this epoch, from 1: the last ones may have geometry alone."""
    if epoch <= recipe.epochs - round(recipe.geometry_only_fraction * recipe.epochs):
        return recipe
    return replace(
        recipe, elastic=0, synthetic_fraction=0, flagged_ones=0, appearance=0, negatives=0
    )


def _batches(
    dataset: Digits, others: Tensor, recipe: Recipe, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch's batches, in a new order: augmented images and the labels of the digits.

    Negatives, which have no label, come after the digits: (M, 1, 28, 28) and (N,), N <= M.
    """
    # Each epoch has a seed of its own, so that a resumed run need not repeat those before.
    torch.manual_seed(recipe.seed + 1_000_003 * epoch)
    order = torch.randperm(len(dataset), device=dataset.device)
    # Of nearly the same size: none is tiny, which batch norm would not bear.
    parts = order.tensor_split(_steps_per_epoch(recipe, len(dataset)))
    for part in tqdm(parts, f"epoch {epoch} of {recipe.epochs}", leave=False, disable=None):
        digits = dataset[part]
        images = augment(_examples(digits, recipe, others), recipe)
        yield images.contiguous(memory_format=torch.channels_last), digits.labels


def _examples(digits: Digits, recipe: Recipe, others: Tensor) -> Tensor:
    """The recipe's mix (M, 1, 28, 28): some of the digits synthetic, negatives after them.

    A quarter of the negatives is taken from `others` (K, 1, 28, 28), if there are any.
    """
    images = digits.images
    synthetic_count = round(recipe.synthetic_fraction * len(digits))
    if synthetic_count:
        images = torch.cat(
            [draw(digits.labels[:synthetic_count]), images[synthetic_count:].float()]
        )
    if recipe.flagged_ones:
        images = with_flags(images, digits.labels, recipe.flagged_ones)
    count = round(recipe.negatives * len(digits))
    if count:
        none = negatives(digits.images[:count], digits.labels[:count])
        if len(others):
            picks = torch.randint(len(others), (count // 4,), device=others.device)
            none[: count // 4] = others[picks].float()
        images = torch.cat([images.float(), none])
    return images


def _epoch(
    run: Run,
    sums: Tensor,
    learning_rates: list[float],
    images: int,
    seconds: float,
    validation: Digits | None,
) -> Epoch:
    """What an epoch of `images` images gave; `sums` (S, 2) are those of its S steps.

    Raises:
        TrainingError: the loss or a weight is infinite or not a number.
    """
    _check_finite(run, sums, learning_rates)
    loss, accuracy = (sums.sum(dim=0) / images).tolist()
    # Batches differ by an image at most: they count alike.
    parts = torch.stack([part.mean(dim=0) for part in sums.tensor_split(min(20, len(sums)))])
    curves = parts * len(sums) / images
    return Epoch(
        epoch=len(run.history) + 1,
        loss=loss,
        train_accuracy=accuracy,
        validation_accuracy=evaluate(run.model, validation).accuracy if validation else None,
        learning_rate=max(learning_rates),
        images_per_second=images / seconds,
        seconds=run.training_seconds + seconds,
        loss_curve=curves[:, 0].tolist(),
        accuracy_curve=curves[:, 1].tolist(),
    )


def _check_finite(run: Run, sums: Tensor, learning_rates: list[float]) -> None:
    losses = sums[:, 0]
    step = len(losses) - 1
    if not losses.isfinite().all():
        step = int((~losses.isfinite()).nonzero()[0, 0])
        what = f"loss became {losses[step].item()}"
    # The last step's loss is of the weights before it: what became of them shows only here.
    elif not all(value.isfinite().all() for value in run.model.state_dict().values()):
        what = "weights became infinite"
    else:
        return
    raise TrainingError(
        f"the {what} in epoch {len(run.history) + 1}, step {step + 1}, at a learning rate of "
        f"{learning_rates[step]:.3g}: choose a lower one"
    )
