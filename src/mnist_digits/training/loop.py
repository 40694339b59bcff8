"""train(recipe, digits) -> Run: the only training loop of the project.

The whole data set is one tensor on the device, batches are taken from it by index, and
the loop waits for the device once an epoch: what each step gave is kept there until then.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from ..data.dataset import Digits
from ..errors import TrainingError
from .augmentation import augment
from .evaluation import evaluate
from .handwriting import draw, with_flags
from .model import DigitNet, Ensemble
from .negatives import negatives
from .recipe import Recipe
from .state import capture, restore


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images gave.

    `loss` and `train_accuracy` are means over the images as they were trained on:
    augmented, in training mode, while the weights changed; `loss_curve` and
    `accuracy_curve` are the same over each twentieth of the epoch. `validation_accuracy`
    is of the weights that the run would end with here: in an ensemble, of all members so far.
    `learning_rate` is the highest of the epoch's steps. `seconds` count from the start of
    the training.
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
    """A training and what came of it; `result` is there once it has been evaluated.

    `training_seconds` go from the data in memory to the final weights; validation, and
    whatever `on_epoch` does, are left out. `state` is what a resumed training needs beside
    the weights; it holds the training's own tensors, so it is to be saved in `on_epoch`.
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

    Args:
        validation: measured after every epoch; nothing is chosen by it here.
        model: go on from its weights, in place, instead of random ones; not for an
            ensemble.
        resume: a run by this recipe on these digits that was stopped after an epoch: go on with
            it. The weights become those of a run that was never stopped, bit for bit.
        on_epoch: called after every epoch with the run so far: its history, and the
            weights that it would end with if it ended there.

    Raises:
        TrainingError: there are not two images, an ensemble was given a model, the run to resume
            is another one, or the loss became infinite or not a number.
    """
    if len(dataset) < 2:
        raise TrainingError("there must be two images at least to train on")
    if resume:
        _check_resumable(resume, recipe, dataset)
    if recipe.ensemble_size > 1:
        if model:
            raise TrainingError("an ensemble cannot go on from one network: leave out the model")
        return _train_ensemble(recipe, dataset, validation, resume, on_epoch)
    started = time.perf_counter()
    device, bfloat16 = dataset.device, uses_bfloat16(recipe.precision, dataset.device)
    given, steps_per_epoch = len(dataset), _steps_per_epoch(recipe, dataset)
    others = dataset.images[:0]
    if recipe.found:
        from .found import with_found  # with what reads pictures, which others do not need

        dataset, others = with_found(dataset, recipe.found, recipe.seed)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(recipe.seed)
        model = (model or DigitNet(recipe)).to(device).to(memory_format=torch.channels_last)
        optimizer, schedule = _optimization(model, recipe, recipe.epochs * steps_per_epoch)
        run = Run(recipe, model, held_out=validation is not None)
        if resume:
            restore(resume.state, resume.model.state_dict(), model, optimizer, schedule)
            run.history, run.training_seconds = [*resume.history], resume.training_seconds
            run.state = capture(model, optimizer, given)

        for number in range(len(run.history) + 1, recipe.epochs + 1):
            # Every epoch has its own seed, so that it does not matter what came before it.
            torch.manual_seed(recipe.seed + 1_000_003 * number)
            # Of nearly the same size: none is tiny, which batch norm would not bear.
            batches = torch.randperm(len(dataset), device=device).tensor_split(steps_per_epoch)
            log: list[Tensor] = []
            rates: list[float] = []
            model.train()
            title = f"epoch {number} of {recipe.epochs}"
            for batch in tqdm(batches, title, leave=False, disable=None):
                digits = dataset[batch]
                images = augment(_examples(digits, recipe, others), recipe)
                with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                    logits = model(images.contiguous(memory_format=torch.channels_last)).float()
                loss = _loss(logits, digits.labels, recipe)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                rates.append(float(schedule.get_last_lr()[0]))
                schedule.step()
                hits = (logits[: len(batch)].argmax(dim=1) == digits.labels).float().mean()
                log.append(torch.stack([loss.detach(), hits]) * len(batch))

            steps = torch.stack(log).cpu().double()  # the only wait for the device
            run.training_seconds += time.perf_counter() - started
            accuracy = evaluate(run.model, validation).accuracy if validation else None
            run.history.append(_epoch(run, steps, len(dataset), rates, accuracy))
            run.state = capture(model, optimizer, given)
            if on_epoch:
                on_epoch(run)
            # The clock stood still for validation and for whoever looked on.
            started = time.perf_counter()
    return run


def _check_resumable(resume: Run, recipe: Recipe, dataset: Digits) -> None:
    if resume.recipe != recipe:
        raise TrainingError("a run is resumed by the recipe that it was begun with")
    if not resume.state or not resume.history:
        raise TrainingError("this run has no state to go on from: it is finished, or was not begun")
    images = int(resume.state["images"])
    if images != len(dataset):
        raise TrainingError(f"this run was begun on {images:,} images, not on {len(dataset):,}")
    epochs = (len(resume.history) - 1) % recipe.epochs + 1
    if float(resume.state["optimizer.0.step"]) != epochs * _steps_per_epoch(recipe, dataset):
        raise TrainingError("the state of this run does not fit its history: it is damaged")


def _steps_per_epoch(recipe: Recipe, dataset: Digits) -> int:
    count = len(dataset) + round(recipe.found * len(dataset))
    return max(1, count // recipe.batch_size)


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
        members.append(train(alone, digits, resume=begun, on_epoch=watch))
        begun = None
    return _merged(recipe, members, validation is not None)


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


def _examples(digits: Digits, recipe: Recipe, others: Tensor) -> Tensor:
    """The images (N, 1, 28, 28), some drawn anew, followed by the recipe's share of negatives.

    A quarter of the negatives is of the others (M, 1, 28, 28), if there are any.
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


def _loss(logits: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """Cross-entropy of the digits' logits; of those after them, with all digits alike."""
    digits, others = logits[: len(labels)], logits[len(labels) :]
    loss = functional.cross_entropy(digits, labels, label_smoothing=recipe.label_smoothing)
    if len(others):
        loss = loss - recipe.negatives * others.log_softmax(dim=1).mean()
    return loss


def _optimization(
    model: DigitNet, recipe: Recipe, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam with decoupled weight decay, and a learning rate that rises and falls once.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019. Smith and Topin,
    "Super-Convergence", 2018. Betas of .7 and .9 forget sooner than the usual ones: one
    epoch is 240 steps, too few for an average over 1,000.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), betas=(0.7, 0.9), weight_decay=recipe.weight_decay
    )
    # A rise of no step at all would be divided by.
    warmup = 0.0 if recipe.warmup * (steps + 1) == 1 else recipe.warmup
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=recipe.learning_rate,
        total_steps=steps + 1,
        pct_start=warmup,
        cycle_momentum=False,
    )
    return optimizer, schedule


def _epoch(
    run: Run,
    steps: Tensor,
    images: int,
    learning_rates: list[float],
    validation_accuracy: float | None,
) -> Epoch:
    """Sum up an epoch of `images` images from `steps` (S, 2): each step's losses and hits.

    Raises:
        TrainingError: the loss or a weight is infinite or not a number.
    """
    number = len(run.history) + 1
    loss, accuracy = (steps.sum(dim=0) / images).tolist()
    if not math.isfinite(loss):
        step = int((~steps[:, 0].isfinite()).nonzero()[0, 0])
        raise _diverged(f"loss became {steps[step, 0].item()}", number, step, learning_rates)
    # The last step's loss is of the weights before it: what became of them shows only here.
    if not all(bool(value.isfinite().all()) for value in run.model.state_dict().values()):
        raise _diverged("weights became infinite", number, len(steps) - 1, learning_rates)
    parts = steps.tensor_split(min(20, len(steps)))
    # Batches differ by an image at most.
    curve = torch.stack([part.mean(dim=0) for part in parts]) * len(steps) / images
    seconds = run.training_seconds - (run.history[-1].seconds if run.history else 0)
    return Epoch(
        epoch=number,
        loss=loss,
        train_accuracy=accuracy,
        validation_accuracy=validation_accuracy,
        learning_rate=max(learning_rates),
        images_per_second=images / seconds,
        seconds=run.training_seconds,
        loss_curve=curve[:, 0].tolist(),
        accuracy_curve=curve[:, 1].tolist(),
    )


def _diverged(what: str, epoch: int, step: int, learning_rates: list[float]) -> TrainingError:
    return TrainingError(
        f"the {what} in epoch {epoch}, step {step + 1}, at a learning rate of "
        f"{learning_rates[step]:.3g}: choose a lower one"
    )


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
    """From now on in this process, take operations that give the same bits each time on a GPU, too.

    On a CPU they do anyway. They are slower; where there is none torch warns, and names it.
    """
    # Read when cuBLAS starts: it must be told how much memory it may use.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether to multiply in bfloat16: `auto` does on GPUs that have it.

    Not on CPUs, where it has not been measured to pay. The choice depends on nothing but
    the device, never on a trial: a run must come out the same each time.
    """
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bfloat16"
