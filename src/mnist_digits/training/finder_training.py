"""The finder's training, on scenes that are made as they are needed and seen once.

A scene is seeded by its number, so a resumed training sees the scenes that it would have seen.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from ..data.dataset import Digits
from ..errors import CheckpointError, TrainingError
from ..files import write_whole
from .device import uses_bfloat16
from .finder_model import OFFSET_UNIT, SIZE_UNIT, FinderNet
from .optimization import adamw_one_cycle, optimizer_state, restore_optimizer
from .recipe import FinderRecipe
from .scenes.canvas import SIDE
from .scenes.glyphs import LETTERS, OF_WORDS, Glyphs, letters, load_glyphs
from .scenes.scene import Scene, scene
from .state import group, prefixed

# The name of a run's file.
STATE = "finder.safetensors"

# Pixels, ink, votes, and where votes count, as `targets` gives them; of N scenes or one.
Batch = tuple[Tensor, Tensor, Tensor, Tensor]


class SceneSet(Dataset[Batch]):
    """Scenes by number, as `targets`."""

    def __init__(self, glyphs: Glyphs, recipe: FinderRecipe) -> None:
        self.glyphs, self.recipe = glyphs, recipe

    def __len__(self) -> int:
        return self.recipe.scenes

    def __getitem__(self, number: int) -> Batch:
        made = scene(np.random.default_rng((self.recipe.seed, number)), self.glyphs)
        return targets(made)


def targets(made: Scene) -> Batch:
    """A scene as tensors: pixels, and the targets of the network's outputs.

    Pixels uint8 (3, H, W); ink uint8 (1, H/2, W/2), 1 for ink, 2 for what the loss ignores;
    votes float32 (3, H/4, W/4), as `FinderNet` gives them; and 1 where they count, on ink,
    uint8 (1, H/4, W/4).
    """
    halves = made.owner.reshape(SIDE // 2, 2, SIDE // 2, 2)
    owner = halves.max(axis=(1, 3))
    hidden = (owner < 0) & (halves.min(axis=(1, 3)) == -2)
    ink = np.where(hidden, 2, owner >= 0).astype(np.uint8)
    quarter = owner.reshape(SIDE // 4, 2, SIDE // 4, 2).max(axis=(1, 3))
    votes = np.zeros((3, *quarter.shape), np.float32)
    if made.digits:
        table = np.array([[d.x, d.y, d.size] for d in made.digits], np.float32)[quarter.clip(-1)]
        y, x = np.mgrid[: SIDE // 4, : SIDE // 4].astype(np.float32) * 4 + 1.5
        votes[0] = (table[:, :, 0] - x) / OFFSET_UNIT
        votes[1] = (table[:, :, 1] - y) / OFFSET_UNIT
        votes[2] = np.log(table[:, :, 2] / SIZE_UNIT)
    counts = quarter >= 0
    pixels = torch.from_numpy(made.pixels.transpose(2, 0, 1).copy())
    return (
        pixels,
        torch.from_numpy(ink)[None],
        torch.from_numpy(votes * counts),
        torch.from_numpy(counts.astype(np.uint8))[None],
    )


def quartered(batch: Batch) -> Batch:
    """Each scene cut into four quarters: the finder also looks at parts of pictures."""

    def cut(part: Tensor) -> Tensor:
        rows = torch.cat(part.tensor_split(2, dim=2))
        return torch.cat(rows.tensor_split(2, dim=3))

    pixels, ink, votes, counts = map(cut, batch)
    return pixels, ink, votes, counts


def finder_loss(
    ink: Tensor, votes: Tensor, truth: Tensor, true_votes: Tensor, counts: Tensor
) -> Tensor:
    """The losses of a batch, (3,): cross-entropy and Dice loss of the ink, smooth L1 of the votes.

    Args:
        ink, votes: the network's outputs.
        truth, true_votes, counts: ink, votes and where they count, from `targets`.

    Dice: Milletari, Navab and Ahmadi, "V-Net", 2016.
    """
    valid, wanted = (truth < 2).float(), (truth == 1).float()
    weight = torch.where(truth == 1, 2.0, 1.0)
    entropy = functional.binary_cross_entropy_with_logits(ink, wanted, weight, reduction="none")
    probability = ink.sigmoid() * valid
    both = (probability * wanted).sum(dim=(1, 2, 3))
    either = probability.sum(dim=(1, 2, 3)) + wanted.sum(dim=(1, 2, 3))
    dice = 1 - (2 * both + 1) / (either + 1)
    miss = functional.smooth_l1_loss(votes, true_votes, beta=0.1, reduction="none") * counts
    return torch.stack(
        [(entropy * valid).mean(), dice.mean(), miss.sum() / counts.sum().clamp_min(1)]
    )


@dataclass
class FinderRun:
    """A finder's training, finished or not.

    `model` has the averaged weights; `history` the mean losses of each part of the training;
    `state` is what a resumed training needs beside the averaged weights.
    """

    recipe: FinderRecipe
    model: FinderNet
    steps: int
    history: list[dict[str, float]]
    state: dict[str, Tensor]


def train_finder(
    recipe: FinderRecipe,
    digits: Digits,
    resume: FinderRun | None = None,
    device: torch.device | None = None,
    workers: int = 1,
    on_part: Callable[[FinderRun], None] | None = None,
    steps_per_part: int = 100,
) -> FinderRun:
    """Train a finder on scenes with these digits.

    Args:
        resume: a run by this recipe to go on with.
        device: the CPU if not given.
        workers: processes that make scenes; 0 makes them in this one.
        on_part: called after every `steps_per_part` steps, and the last one, with the run so far.

    Raises:
        TrainingError: the loss or a weight became infinite or not a number.
    """
    device = device or torch.device("cpu")
    bfloat16 = uses_bfloat16(recipe.precision, device)
    run, model, average, optimizer, schedule = _begin(recipe, resume, device)
    started, losses = time.perf_counter(), []
    for pixels, *truth in _batches(recipe, digits, run.steps, workers, device):
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            ink, votes = model(pixels)
        loss = finder_loss(ink.float(), votes.float(), *truth)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        run.steps += 1
        losses.append(loss.detach())
        if len(losses) == steps_per_part or run.steps == recipe.steps:
            _check_finite(run, losses)
            run.history.append(_summary(run, losses, time.perf_counter() - started))
            run.state = _state(model, average, optimizer)
            if on_part:
                on_part(run)
            started, losses = time.perf_counter(), []
    return run


def _begin(
    recipe: FinderRecipe, resume: FinderRun | None, device: torch.device
) -> tuple[FinderRun, FinderNet, AveragedModel, torch.optim.Optimizer, LRScheduler]:
    """A new run, or a copy of the one to resume; its network, average, optimizer and schedule."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = FinderNet(recipe.widths)
    model = model.to(device).to(memory_format=torch.channels_last)
    averaging = get_ema_multi_avg_fn(recipe.ema_decay)
    average = AveragedModel(model, multi_avg_fn=averaging, use_buffers=True)
    optimizer, schedule = adamw_one_cycle(model, recipe, recipe.steps, (0.9, 0.999))
    run = FinderRun(recipe, cast(FinderNet, average.module), 0, [], {})
    if resume:
        model.load_state_dict(group("live.", resume.state))
        average.module.load_state_dict(resume.model.state_dict())
        average.n_averaged.copy_(resume.state["averaged"])
        restore_optimizer(resume.state, model, optimizer, schedule)
        run.steps, run.history = resume.steps, [*resume.history]
    return run, model, average, optimizer, schedule


def _batches(
    recipe: FinderRecipe, digits: Digits, start: int, workers: int, device: torch.device
) -> Iterator[Batch]:
    """The batches of scenes from step `start` on, every fourth in quarters, on the device."""
    if start == recipe.steps:
        return  # before digits are drawn for it
    # OpenCV's threads do not live on in the processes that make scenes, which would wait for them.
    cv2.setNumThreads(1)
    glyphs = load_glyphs(digits, recipe.synthetic, recipe.seed)
    for alphabet in (LETTERS, OF_WORDS):
        letters(alphabet)  # made once, before the processes part
    loader = DataLoader(
        SceneSet(glyphs, recipe),
        recipe.batch_size,
        sampler=range(
            start * recipe.batch_size, min(recipe.steps * recipe.batch_size, recipe.scenes)
        ),
        num_workers=workers,
        prefetch_factor=8 if workers else None,
    )
    for step, batch in enumerate(loader, start):
        parts = quartered(batch) if step % 4 == 3 else batch
        pixels, ink, votes, counts = (part.to(device, non_blocking=True) for part in parts)
        yield pixels.contiguous(memory_format=torch.channels_last), ink, votes, counts


def _check_finite(run: FinderRun, losses: list[Tensor]) -> None:
    """Before anything is saved of a part with these losses (3,)."""
    if not all(value.isfinite().all() for value in (*losses, *run.model.state_dict().values())):
        raise TrainingError(
            f"the loss or the weights became infinite in the {len(losses)} steps up to step "
            f"{run.steps}: choose a lower learning rate"
        )


def _summary(run: FinderRun, losses: list[Tensor], seconds: float) -> dict[str, float]:
    """Mean losses (3,) of the last steps, and how many scenes were seen a second."""
    ink, dice, votes = torch.stack(losses).mean(dim=0).tolist()
    pace = len(losses) * run.recipe.batch_size / seconds
    return {"step": run.steps, "ink": ink, "dice": dice, "votes": votes, "scenes_per_second": pace}


def _state(
    model: FinderNet, average: AveragedModel, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """What a resumed training needs beside the averaged weights; not copied."""
    state = prefixed("live.", model.state_dict()) | optimizer_state(model, optimizer)
    return state | {"averaged": average.n_averaged}


def save_finder(run: FinderRun, file: Path) -> None:
    """Write a run, finished or not, to one file: weights, state, recipe and history."""
    from safetensors.torch import save

    weights = prefixed("model.", run.model.state_dict())
    about = {"recipe": dataclasses.asdict(run.recipe), "steps": run.steps, "history": run.history}
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in (weights | run.state).items()}
    write_whole(file, save(tensors, {"finder": json.dumps(about)}))


def load_finder(file: Path) -> FinderRun:
    """The run that `save_finder` wrote.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as content:
            about = json.loads(content.metadata()["finder"])
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        values = about["recipe"].items()
        recipe = FinderRecipe(**{FinderRecipe.old_names.get(name, name): v for name, v in values})
        model = FinderNet(recipe.widths)
        model.load_state_dict(group("model.", tensors))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{file} is no finder's run: {error}") from error
    state = {k: v for k, v in tensors.items() if not k.startswith("model.")}
    return FinderRun(recipe, model.eval(), about["steps"], about["history"], state)
