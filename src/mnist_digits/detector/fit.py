"""The training of the two networks that read, on scenes that are made as they are needed.

    fit(recipe, digits) -> DetectorRun

Both learn from the same scenes, each seen once: the detector from whole ones and from quarters,
the look from crops around digits, around other things, and around what the detector proposes.
A scene is seeded by its number, so a resumed training sees the scenes that it would have seen.
"""

from __future__ import annotations

import copy
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
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from ..classifier.device import uses_bfloat16
from ..classifier.optimization import adamw_one_cycle, optimizer_state, restore_optimizer
from ..classifier.recipe import DetectorRecipe
from ..data.dataset import Digits
from ..errors import CheckpointError, TrainingError
from ..files import write_whole
from ..synthesis.scene import scene
from ..synthesis.templates import LETTERS, OF_WORDS, Templates, letters, load_templates
from . import loss as losses
from .networks import SEPARATOR, DetectNet, LookNet, crops, places_of
from .truth import Geometry, Labels, Lesson, collated, heat_and_geometry, labelled, lesson

# The name of a run's file.
STATE = "detector.safetensors"
# How many of the detector's peaks in a scene are looked at; and the score that they must exceed.
PEAKS, MIN_SCORE = 12, 0.05
# The random state is seeded anew in each step, by a number that no run with another seed uses.
STEPS = 10**6


class Networks(nn.Module):
    """The detector and the look, trained together."""

    def __init__(self) -> None:
        super().__init__()
        self.detect = DetectNet()
        self.look = LookNet()


class LessonSet(Dataset[Lesson]):
    """Scenes by number, as lessons."""

    def __init__(self, templates: Templates, recipe: DetectorRecipe) -> None:
        self.templates, self.recipe = templates, recipe

    def __len__(self) -> int:
        return self.recipe.scenes

    def __getitem__(self, number: int) -> Lesson:
        random = np.random.default_rng((self.recipe.seed, number))
        return lesson(scene(random, self.templates), random)


@dataclass
class DetectorRun:
    """A training of both networks, finished or not.

    `model` has the averaged weights; `history` the mean losses of each part of the training;
    `state` is what a resumed training needs beside the averaged weights.
    """

    recipe: DetectorRecipe
    model: Networks
    steps: int
    history: list[dict[str, float]]
    state: dict[str, Tensor]


def fit(
    recipe: DetectorRecipe,
    digits: Digits,
    resume: DetectorRun | None = None,
    start: Networks | None = None,
    device: torch.device | None = None,
    workers: int = 1,
    on_part: Callable[[DetectorRun], None] | None = None,
    steps_per_part: int = 50,
) -> DetectorRun:
    """Train both networks on scenes with these digits.

    Args:
        resume: a run by this recipe to go on with.
        start: networks whose weights a new run begins with, instead of random ones.
        device: the CPU if not given.
        workers: processes that make scenes; 0 makes them in this one.
        on_part: called after every `steps_per_part` steps, and the last one, with the run so far.

    Raises:
        TrainingError: the loss or a weight became infinite or not a number.
    """
    device = device or torch.device("cpu")
    bfloat16 = uses_bfloat16(recipe.precision, device)
    run, model, average, optimizer, schedule = _begin(recipe, resume, start, device)
    started, parts = time.perf_counter(), []
    for lessons in _batches(recipe, digits, run.steps, workers, device):
        with (
            torch.random.fork_rng(devices=[]),
            torch.autocast(device.type, torch.bfloat16, enabled=bfloat16),
        ):
            torch.manual_seed(STEPS * recipe.seed + run.steps)
            values = _losses(model, lessons)
        optimizer.zero_grad()
        values[:5].sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        run.steps += 1
        parts.append(values.detach())
        if len(parts) == steps_per_part or run.steps == recipe.steps:
            _check_finite(run, parts)
            run.history.append(_summary(run, parts, time.perf_counter() - started))
            run.state = _state(model, average, optimizer)
            if on_part:
                on_part(run)
            started, parts = time.perf_counter(), []
    return run


def _losses(model: Networks, lessons: Lesson) -> Tensor:
    """The five losses, and the shares of digits and of others that the look names right, (7,).

    The detector learns from whole scenes and from their quarters, because in use it sees small
    pictures, too, and parts of pictures. The look learns from the scenes' places, and from what
    the detector proposes.
    """
    truth = heat_and_geometry(lessons)
    pixels = lessons.pixels.contiguous(memory_format=torch.channels_last)
    output = model.detect(pixels).float()
    of_quarters = model.detect(_cut(pixels)).float()
    detected = losses.detect_loss(output, truth)
    detected = (detected + losses.detect_loss(of_quarters, Geometry(*map(_cut, truth)))) / 2
    with torch.no_grad():
        places = torch.cat([_numbered(lessons.places), _peaks(output)])
        labels = labelled(places, lessons)
        known = labels.classes >= 0
        labels = Labels(*(part[known] for part in labels))
        seen = crops(lessons.pixels, places[known], lessons.inside())
    answers = model.look(seen.contiguous(memory_format=torch.channels_last))
    right = (answers[0].argmax(dim=1) == labels.classes).float()
    digit = (labels.classes < SEPARATOR).float()
    shares = [(right * part).sum() / part.sum().clamp_min(1) for part in (digit, 1 - digit)]
    return torch.cat([detected, losses.look_loss(answers, labels), torch.stack(shares)])


def _cut(part: Tensor) -> Tensor:
    """Each scene's four quarters, for tensors (N, ..., H, W)."""
    rows = torch.cat(part.tensor_split(2, dim=-2))
    return torch.cat(rows.tensor_split(2, dim=-1))


def _numbered(places: Tensor) -> Tensor:
    """Places (N, P, 3) of N scenes as proposals (N * P, 4), each with the scene's number."""
    number = torch.arange(len(places), device=places.device, dtype=places.dtype)
    number = number[:, None, None].expand(-1, places.shape[1], 1)
    return torch.cat([number, places], dim=2).flatten(0, 1)


def _peaks(output: Tensor) -> Tensor:
    """Proposals (P, 4) of the detector: the best peaks of each scene's heat."""
    places = places_of(output).flatten(2)
    score = places[:, 3]
    # Chance helps to choose: in a scene of many digits, the best peaks are seldom wrong.
    luck = score.clamp(max=0.6) * torch.rand_like(score) * (score > MIN_SCORE)
    best, index = luck.topk(PEAKS)
    chosen = places[:, :3].gather(2, index[:, None].expand(-1, 3, -1)).transpose(1, 2)
    return _numbered(chosen)[best.flatten() > 0]


def _begin(
    recipe: DetectorRecipe,
    resume: DetectorRun | None,
    start: Networks | None,
    device: torch.device,
) -> tuple[DetectorRun, Networks, AveragedModel, torch.optim.Optimizer, LRScheduler]:
    """A new run, or a copy of the one to resume; its networks, average, optimizer, schedule."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = Networks()
    if start:
        model.load_state_dict(start.state_dict())
    model = model.to(device).to(memory_format=torch.channels_last)
    averaging = get_ema_multi_avg_fn(recipe.ema_decay)
    average = AveragedModel(model, multi_avg_fn=averaging, use_buffers=True)
    optimizer, schedule = adamw_one_cycle(model, recipe, recipe.steps, (0.9, 0.999))
    run = DetectorRun(recipe, cast(Networks, average.module), 0, [], {})
    if resume:
        model.load_state_dict(_group("live.", resume.state))
        average.module.load_state_dict(resume.model.state_dict())
        average.n_averaged.copy_(resume.state["averaged"])
        restore_optimizer(resume.state, model, optimizer, schedule)
        run.steps, run.history = resume.steps, [*resume.history]
    return run, model, average, optimizer, schedule


def _batches(
    recipe: DetectorRecipe, digits: Digits, begin: int, workers: int, device: torch.device
) -> Iterator[Lesson]:
    """The batches of scenes from step `begin` on, on the device."""
    if begin == recipe.steps:
        return  # before templates are made for it
    # The processes that make scenes do not have OpenCV's threads, but would wait for them.
    cv2.setNumThreads(1)
    templates = load_templates(digits.to(device), recipe.synthetic, recipe.seed)
    for alphabet in (LETTERS, OF_WORDS):
        letters(alphabet)  # made once, before the processes part
    loader = DataLoader(
        LessonSet(templates, recipe),
        recipe.batch_size,
        sampler=range(begin * recipe.batch_size, recipe.steps * recipe.batch_size),
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        collate_fn=collated,
    )
    for lessons in loader:
        yield lessons.to(device)


def _check_finite(run: DetectorRun, parts: list[Tensor]) -> None:
    """Raise a TrainingError if one of these losses, or a weight, is not finite."""
    if not all(value.isfinite().all() for value in (*parts, *run.model.state_dict().values())):
        raise TrainingError(
            f"the loss or the weights became infinite in the {len(parts)} steps up to step "
            f"{run.steps}: choose a lower learning rate"
        )


def _summary(run: DetectorRun, parts: list[Tensor], seconds: float) -> dict[str, float]:
    """The means of the last steps' values (7,), and how many scenes were seen in a second."""
    names = (*losses.DETECT, *losses.LOOK, "digits_right", "others_right")
    means = torch.stack(parts).mean(dim=0).tolist()
    pace = len(parts) * run.recipe.batch_size / seconds
    return {
        "step": run.steps,
        **dict(zip(names, means, strict=True)),
        "scenes_per_second": pace,
    }


def _state(
    model: Networks, average: AveragedModel, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """What a resumed training needs beside the averaged weights; not copied."""
    state = model.state_dict(prefix="live.") | optimizer_state(model, optimizer)
    return state | {"averaged": average.n_averaged}


def save_detector(run: DetectorRun, file: Path) -> None:
    """Write a run, finished or not, to one file: weights, state, recipe and history."""
    from safetensors.torch import save

    weights = run.model.state_dict(prefix="model.")
    about = {"recipe": dataclasses.asdict(run.recipe), "steps": run.steps, "history": run.history}
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in (weights | run.state).items()}
    write_whole(file, save(tensors, {"detector": json.dumps(about)}))


def weights_alone(run: DetectorRun) -> DetectorRun:
    """A run to start others from: its averaged weights, as float16, and how it ended."""
    model = copy.deepcopy(run.model).half()
    return DetectorRun(run.recipe, model, run.steps, run.history[-1:], {})


def load_detector(file: Path) -> DetectorRun:
    """The run that `save_detector` wrote.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as content:
            about = json.loads(content.metadata()["detector"])
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        recipe, model = DetectorRecipe(**about["recipe"]), Networks()
        model.load_state_dict(_group("model.", tensors))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{file} is no detector's run: {error}") from error
    state = {k: v for k, v in tensors.items() if not k.startswith("model.")}
    return DetectorRun(recipe, model.eval(), about["steps"], about["history"], state)


def _group(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
