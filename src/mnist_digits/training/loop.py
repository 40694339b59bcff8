"""train(recipe, digits) -> Run: the training loop of all networks that classify digits.

The whole data set is one tensor on the device, and batches are taken from it by index. The
loop waits for the device only once an epoch: the losses of the steps stay there until then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor
from tqdm import tqdm

from ..data.dataset import Digits
from ..errors import TrainingError
from .augmentation import augment
from .evaluation import evaluate
from .handwriting import draw, with_flags
from .model import DigitNet, Ensemble
from .negatives import negatives
from .optimization import adamw_one_cycle, restore_optimizer
from .recipe import Recipe
from .state import capture
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
    twentieth of the epoch. `validation_accuracy` is that of the network after the epoch: in an
    ensemble, of all members so far. `learning_rate` is the highest of the epoch's steps.
    `seconds` are those of training since its start.
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

    `training_seconds` go from the data in memory to the final weights, without validation
    and `on_epoch`. `state` is what a resumed training needs beside the weights; it holds
    the training's own tensors, which the next step changes, so save it in `on_epoch`.
    `held_out` tells whether the validation slice was kept from the training.
    """

    recipe: Recipe
    model: DigitNet | Ensemble
    history: list[Epoch] = field(default_factory=list)
    training_seconds: float = 0.0
    result: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict, repr=False)
    held_out: bool = False


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
        model: go on from its weights, in place, instead of random ones; not for an
            ensemble.
        resume: a run by this recipe on these digits that was stopped after an epoch: go on with
            it. The weights become those of a run that was never stopped, bit for bit.
        on_epoch: called after every epoch with the run so far.

    Raises:
        TrainingError: there are not two images, an ensemble was given a model, the run to resume
            is another one, or the loss became infinite or not a number.
    """
    if len(dataset) < 2:
        raise TrainingError("there must be two images at least to train on")
    if resume:
        _check_resumable(resume, recipe, dataset)
    if recipe.ensemble_size == 1:
        return _train_network(recipe, dataset, validation, model, resume, on_epoch)
    if model:
        raise TrainingError("an ensemble cannot go on from one network: leave out the model")
    return _train_ensemble(recipe, dataset, validation, resume, on_epoch)


def _train_network(
    recipe: Recipe,
    dataset: Digits,
    validation: Digits | None,
    model: DigitNet | None,
    resume: Run | None,
    on_epoch: Callable[[Run], None] | None,
) -> Run:
    """The training loop of one network; the arguments are those of `train`."""
    started, image_count = time.perf_counter(), len(dataset)
    device = dataset.device
    dataset, calibration = split_calibration(dataset, recipe.calibration_fraction)
    dataset, others = _with_found(dataset, recipe)
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
            run.training_seconds += time.perf_counter() - started
            rates = [float(rate) for rate in learning_rates]
            run.history.append(_epoch(run, sums, rates, len(dataset), validation))
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
        run.history, run.training_seconds = [*resume.history], resume.training_seconds
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
    epochs = (len(resume.history) - 1) % recipe.epochs + 1
    learned = len(split_calibration(dataset, recipe.calibration_fraction)[0])
    steps_per_epoch = _steps_per_epoch(recipe, learned + round(recipe.found * learned))
    if float(resume.state["optimizer.0.step"]) != epochs * steps_per_epoch:
        raise TrainingError("the state of this run does not fit its history: it is damaged")


def _steps_per_epoch(recipe: Recipe, images: int) -> int:
    return max(1, images // recipe.batch_size)


def _with_found(dataset: Digits, recipe: Recipe) -> tuple[Digits, Tensor]:
    """The dataset with the recipe's share of digits found in scenes, and images of no digit."""
    if not recipe.found:
        return dataset, dataset.images[:0]
    from .found import with_found  # with what reads pictures, which other recipes do not need

    return with_found(dataset, recipe.found, recipe.seed)


def _in_epoch(recipe: Recipe, epoch: int) -> Recipe:
    """The recipe as it is in this epoch, from 1: the last ones may have geometry alone."""
    if epoch <= recipe.epochs - round(recipe.clean_fraction * recipe.epochs):
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
    """The recipe's mix (M, 1, 28, 28): some of the digits drawn anew, negatives after them.

    A quarter of the negatives is taken from `others` (K, 1, 28, 28), if there are any.
    """
    images = digits.images
    drawn = round(recipe.synthetic_fraction * len(digits))
    if drawn:
        images = torch.cat([draw(digits.labels[:drawn]), images[drawn:].float()])
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
    seconds = run.training_seconds - (run.history[-1].seconds if run.history else 0)
    return Epoch(
        epoch=len(run.history) + 1,
        loss=loss,
        train_accuracy=accuracy,
        validation_accuracy=evaluate(run.model, validation).accuracy if validation else None,
        learning_rate=max(learning_rates),
        images_per_second=images / seconds,
        seconds=run.training_seconds,
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


def _train_ensemble(
    recipe: Recipe,
    digits: Digits,
    validation: Digits | None,
    resume: Run | None,
    on_epoch: Callable[[Run], None] | None,
) -> Run:
    """Train the members one after the other, each a run of its own with the next seed."""
    members = _split(resume) if resume else []
    for member in members:
        member.model.to(digits.device)
    begun = members.pop() if members and len(members[-1].history) < recipe.epochs else None

    def watch(latest: Run) -> None:
        if validation:
            whole = Ensemble([*(member.model for member in members), latest.model])
            accuracy = evaluate(whole, validation).accuracy
            latest.history[-1] = replace(latest.history[-1], validation_accuracy=accuracy)
        if on_epoch:
            on_epoch(_merged(recipe, [*members, latest], validation is not None))

    for number in range(len(members), recipe.ensemble_size):
        alone = _member(recipe, number)
        # Without the validation slice: all members together are measured on it, not each alone.
        members.append(_train_network(alone, digits, None, None, begun, watch))
        begun = None
    run, started = _merged(recipe, members, validation is not None), time.perf_counter()
    _, calibration = split_calibration(digits, recipe.calibration_fraction)
    if calibration:
        set_temperature(run.model, calibration)
    run.training_seconds += time.perf_counter() - started
    run.history[-1] = replace(run.history[-1], seconds=run.training_seconds)
    return run


def _member(recipe: Recipe, number: int) -> Recipe:
    return replace(recipe, ensemble_size=1, seed=(recipe.seed + number) % 2**32)


def _merged(recipe: Recipe, members: list[Run], held_out: bool) -> Run:
    """The ensemble of the members so far; their epochs, in a row, are its history."""
    run = Run(recipe, Ensemble(member.model for member in members), held_out=held_out)
    run.state = members[-1].state
    for member in members:
        for epoch in member.history:
            number, seconds = len(run.history) + 1, run.training_seconds + epoch.seconds
            run.history.append(replace(epoch, epoch=number, seconds=seconds))
        run.training_seconds += member.training_seconds
    return run


def _split(ensemble: Run) -> list[Run]:
    """The members that `_merged` has put together; only the last one has a state."""
    members: list[Run] = []
    recipe, before = ensemble.recipe, 0.0
    for number, model in enumerate(cast(Ensemble, ensemble.model).members):
        first = number * recipe.epochs
        history = [
            replace(epoch, epoch=epoch.epoch - first, seconds=epoch.seconds - before)
            for epoch in ensemble.history[first : first + recipe.epochs]
        ]
        network, spent = cast(DigitNet, model), history[-1].seconds
        members.append(Run(_member(recipe, number), network, history, spent))
        before += spent
    members[-1].state = ensemble.state
    return members
