"""The finder's training: scenes made as they are needed, never the same one twice.

A scene follows from its number, so a training that was stopped goes on with the very scenes that it
would have seen.
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
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from ..data.dataset import Digits
from ..errors import CheckpointError
from ..files import write_whole
from .finder_model import OFFSET_UNIT, SIZE_UNIT, FinderNet
from .recipe import FinderRecipe
from .scenes.canvas import SIDE
from .scenes.glyphs import LETTERS, OF_WORDS, Glyphs, letters, load_glyphs
from .scenes.scene import Scene, scene

# The file of a run.
STATE = "finder.safetensors"

Batch = tuple[Tensor, Tensor, Tensor, Tensor]


class SceneSet(Dataset[Batch]):
    """Scenes by number, as the network is to see them."""

    def __init__(self, glyphs: Glyphs, recipe: FinderRecipe) -> None:
        self.glyphs, self.recipe = glyphs, recipe

    def __len__(self) -> int:
        return self.recipe.scenes

    def __getitem__(self, number: int) -> Batch:
        made = scene(np.random.default_rng((self.recipe.seed, number)), self.glyphs)
        return targets(made)


def targets(made: Scene) -> Batch:
    """A scene as tensors: pixels, and what the network is to give.

    Pixels uint8 (3, H, W); ink uint8 (1, H/2, W/2), 1 for ink, 2 for what does not count; votes
    float32 (3, H/4, W/4), and uint8 (1, H/4, W/4), where they count.
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
    """Each scene as its four quarters: digits are cut off, as where a part is looked at."""

    def cut(part: Tensor) -> Tensor:
        rows = torch.cat(part.tensor_split(2, dim=2))
        return torch.cat(rows.tensor_split(2, dim=3))

    pixels, ink, votes, counts = map(cut, batch)
    return pixels, ink, votes, counts


def finder_loss(
    ink: Tensor, votes: Tensor, truth: Tensor, true_votes: Tensor, counts: Tensor
) -> Tensor:
    """Losses of a batch, (3,): of the ink its cross-entropy and its Dice loss, of the votes L1.

    The truth is as `targets` gives it.

    Dice: Milletari, Navab and Ahmadi, "V-Net", 2016.
    """
    seen, wanted = (truth < 2).float(), (truth == 1).float()
    weight = torch.where(truth == 1, 2.0, 1.0)
    entropy = functional.binary_cross_entropy_with_logits(ink, wanted, weight, reduction="none")
    probability = ink.sigmoid() * seen
    both = (probability * wanted).sum(dim=(1, 2, 3))
    either = probability.sum(dim=(1, 2, 3)) + wanted.sum(dim=(1, 2, 3))
    dice = 1 - (2 * both + 1) / (either + 1)
    miss = functional.smooth_l1_loss(votes, true_votes, beta=0.1, reduction="none") * counts
    return torch.stack(
        [(entropy * seen).mean(), dice.mean(), miss.sum() / counts.sum().clamp_min(1)]
    )


@dataclass
class FinderRun:
    """A finder's training and what came of it: after how many steps, and the mean losses."""

    recipe: FinderRecipe
    model: FinderNet
    steps: int
    history: list[dict[str, float]]
    state: dict[str, Tensor]


def train_finder(
    recipe: FinderRecipe,
    digits: Digits,
    resume: FinderRun | None = None,
    model: FinderNet | None = None,
    device: torch.device | None = None,
    workers: int = 1,
    on_part: Callable[[FinderRun], None] | None = None,
    steps_per_part: int = 100,
) -> FinderRun:
    """Train a finder on scenes with these digits.

    Args:
        resume: a run by this recipe to go on with.
        model: go on from its weights, in place, instead of random ones.
        workers: processes that make scenes.
        on_part: called after every hundred steps, with the run so far.
    """
    device = device or torch.device("cpu")
    total = recipe.steps
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = (
            (model or FinderNet(recipe.widths))
            .train()
            .to(device)
            .to(memory_format=torch.channels_last)
        )
    average = AveragedModel(
        model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay), use_buffers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total + 1, pct_start=recipe.warmup, cycle_momentum=False
    )
    run = FinderRun(recipe, cast(FinderNet, average.module), 0, [], {})
    if resume:
        _restore(resume, model, average, optimizer, schedule)
        run.steps, run.history = resume.steps, [*resume.history]
    started, losses = time.perf_counter(), []
    for batch in _batches(recipe, digits, run.steps, workers):
        batch = quartered(batch) if run.steps % 4 == 3 else batch
        pixels, *truth = (part.to(device, non_blocking=True) for part in batch)
        with torch.autocast(device.type, torch.bfloat16):
            ink, votes = model(pixels.contiguous(memory_format=torch.channels_last))
        loss = finder_loss(ink.float(), votes.float(), *truth)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        run.steps += 1
        losses.append(loss.detach())
        if len(losses) == steps_per_part or run.steps == total:
            mean = torch.stack(losses).mean(dim=0).tolist()
            pace = len(losses) * recipe.batch_size / (time.perf_counter() - started)
            values = zip(("ink", "dice", "votes"), mean, strict=True)
            run.history.append({"step": run.steps, **dict(values), "scenes_per_second": pace})
            run.state = _state(model, average, optimizer)
            if on_part:
                on_part(run)
            started, losses = time.perf_counter(), []
    return run


def _batches(recipe: FinderRecipe, digits: Digits, start: int, workers: int) -> Iterator[Batch]:
    """The batches of scenes from the `start`th on."""
    # OpenCV's threads do not live on in the processes that make scenes, which would wait for them.
    cv2.setNumThreads(1)
    glyphs = load_glyphs(digits, recipe.synthetic, recipe.seed)
    for alphabet in (LETTERS, OF_WORDS):
        letters(alphabet)  # made once, before the processes part
    yield from DataLoader(
        SceneSet(glyphs, recipe),
        recipe.batch_size,
        sampler=range(start * recipe.batch_size, recipe.steps * recipe.batch_size),
        num_workers=workers,
        prefetch_factor=8 if workers else None,
    )


def _state(
    model: FinderNet, average: AveragedModel, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    state = {f"live.{name}": value for name, value in model.state_dict().items()}
    state["averaged"] = average.n_averaged
    for number, parameter in enumerate(model.parameters()):
        for name, value in optimizer.state[parameter].items():
            state[f"optimizer.{number}.{name}"] = value
    return state


def _restore(
    resume: FinderRun,
    model: FinderNet,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    state = resume.state
    model.load_state_dict({k[5:]: v for k, v in state.items() if k.startswith("live.")})
    average.module.load_state_dict(resume.model.state_dict())
    average.n_averaged.copy_(state["averaged"])
    for number, parameter in enumerate(model.parameters()):
        names = ("step", "exp_avg", "exp_avg_sq")
        step, *moments = (state[f"optimizer.{number}.{name}"] for name in names)
        laid = [torch.empty_like(parameter).detach().copy_(moment) for moment in moments]
        optimizer.state[parameter] = dict(zip(names, [step.clone(), *laid], strict=True))
    done = {"last_epoch": resume.steps - 1, "_step_count": resume.steps}
    schedule.load_state_dict({**schedule.state_dict(), **done})
    schedule.step()


def save_finder(run: FinderRun, file: Path) -> None:
    """Write a run, finished or not, to one file: weights, state, recipe and history."""
    from safetensors.torch import save

    weights = {f"model.{name}": value for name, value in run.model.state_dict().items()}
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
        weights = {k[6:]: v for k, v in tensors.items() if k.startswith("model.")}
        model.load_state_dict(weights)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{file} is no finder's run: {error}") from error
    state = {k: v for k, v in tensors.items() if not k.startswith("model.")}
    return FinderRun(recipe, model.eval(), about["steps"], about["history"], state)
