"""What scenes teach: tensors of a scene, places to look at, and what is there.

lesson(scene, random) -> Lesson, batched by `collated`
heat_and_geometry(lessons) -> what DetectNet is to give
labelled(proposals, lessons) -> what LookNet is to give for each
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..reading.detection import CROP
from ..synthesis.canvas import HIDDEN, SIDE
from ..synthesis.scene import Scene
from .networks import CROP_SIZES, MINUS, NONE, SEPARATOR, SIZE_UNIT, STRIDE, cut_out

# The classes of marks, by their kinds.
MARKS = {"separator": SEPARATOR, "minus": MINUS, "other": NONE}
# Places of a scene that are looked at, beside those that the detector proposes; and how many of
# them are digits, if there are any.
PLACES, DIGITS = 16, 8
# A digit of which fewer pixels are seen need not be detected.
MINIMUM_INK = 6


@dataclass
class Lesson:
    """A scene, or a batch of them (with a leading dimension), as tensors.

    Attributes:
        pixels: uint8 (3, 256, 256).
        owner: int16 (256, 256), as in `Scene`.
        digits: float32 (D, 8): label, x, y, size, and the box x0, y0, x1, y1; label -1 for one
            that is not to be detected, and where a batch is filled up.
        marks: float32 (M, 4): class, x, y, size; class -1 where a batch is filled up.
        places: float32 (16, 3): x, y and size of proposals, right and wrong ones.
        extent: float32 (2,), width and height of the picture; beyond it is filled up.
    """

    pixels: Tensor
    owner: Tensor
    digits: Tensor
    marks: Tensor
    places: Tensor
    extent: Tensor

    def inside(self) -> Tensor:
        """Where the pictures of a batch are, float32 (N, 1, 256, 256)."""
        along = torch.arange(SIDE, device=self.extent.device)
        wide, high = self.extent[:, :1], self.extent[:, 1:]
        return ((along < wide)[:, None] & (along < high)[:, :, None]).float()[:, None]

    def to(self, device: torch.device) -> Lesson:
        return Lesson(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))


def lesson(made: Scene, random: np.random.Generator) -> Lesson:
    """A scene as tensors, with places that are worth a look."""
    digits = np.array([[d.label, d.x, d.y, d.size, *d.box] for d in made.digits], np.float32)
    digits = digits.reshape(-1, 8)
    inked = np.bincount(made.owner[made.owner >= 0].ravel(), minlength=len(digits))
    digits[inked[: len(digits)] < MINIMUM_INK, 0] = -1
    digits[:, 4:] = digits[:, 4:].clip(0, [*made.extent] * 2)
    marks = [[MARKS[mark.kind], mark.x, mark.y, mark.size] for mark in made.marks]
    marked = np.array(marks, np.float32).reshape(-1, 4)
    wide, high = made.extent
    places = _places(made.pixels[:high, :wide], digits, marked, random)
    return Lesson(
        torch.from_numpy(made.pixels.transpose(2, 0, 1).copy()),
        torch.from_numpy(made.owner),
        torch.from_numpy(digits),
        torch.from_numpy(marked),
        torch.from_numpy(places),
        torch.tensor(made.extent, dtype=torch.float32),
    )


def _places(
    pixels: NDArray[np.uint8],
    digits: NDArray[np.float32],
    marks: NDArray[np.float32],
    random: np.random.Generator,
) -> NDArray[np.float32]:
    """Places at digits, and as many where there may be none, (16, 3)."""
    live, gone = digits[digits[:, 0] >= 0, 1:4], digits[digits[:, 0] < 0, 1:4]
    # If there are only a few digits, each is looked at several times.
    taken = np.resize(random.permutation(len(live)), DIGITS if len(live) else 0)
    right = [_shaken(live[k], random, 0.06, 0.13) for k in taken]
    usual = float(np.median(live[:, 2])) if len(live) else 0.0
    wrong = [_shaken(place, random, 0.05, 0.2) for place in gone]
    for kind, x, y, size in marks:
        # A point or a dash is looked at in the size of the scene's digits.
        seen = usual if kind != NONE and usual else size
        wrong.append(_shaken(np.array([x, y, seen]), random, 0.06, 0.25))
    wrong += [_displaced(place, random) for place in live]
    wrong = [wrong[k] for k in random.permutation(len(wrong))]
    missing = PLACES - len(right)
    others = [_anywhere(pixels, random) for _ in range(max(1, missing - len(wrong)))]
    chosen = [*right, *wrong[: missing - len(others)], *others]
    return np.array(chosen, np.float32)


def _shaken(
    place: NDArray[np.floating], random: np.random.Generator, away: float, growth: float
) -> NDArray[np.floating]:
    """A place with its middle and its size changed at random.

    The standard deviations: `away`, in sizes, and `growth`, of the size's logarithm.
    """
    x, y, size = place
    across, down = random.normal(0, away, 2) * size
    return np.array([x + across, y + down, size * np.exp(random.normal(0, growth))])


def _displaced(place: NDArray[np.floating], random: np.random.Generator) -> NDArray[np.floating]:
    """A place beside a digit, or at a part of it (the loop of a 9), or far too small or large."""
    x, y, size = place
    side, kind = random.choice([-1, 1]), random.integers(4)
    if kind == 0:
        return _shaken(
            np.array([x + side * random.uniform(0.3, 0.65) * size, y, size]), random, 0.05, 0.15
        )
    if kind <= 2:
        part = random.uniform(0.35, 0.65)
        away = side * (1 - part) / 2 * size
        return _shaken(np.array([x, y + away, part * size]), random, 0.1, 0.1)
    return _shaken(np.array([x, y, size * random.choice([0.4, 2.4])]), random, 0.1, 0.15)


def _anywhere(pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.floating]:
    """A random place, or the best of eight: where the picture changes most."""
    green = np.pad(pixels[:, :, 1], 2, "edge").astype(np.float32)
    spots = random.integers(2, np.array(green.shape[::-1]) - 2, (random.choice([1, 8]), 2))
    x, y = spots.T
    change = np.abs(green[y, x + 2] - green[y, x - 2]) + np.abs(green[y + 2, x] - green[y - 2, x])
    best = spots[change.argmax()] - 2
    return np.array([*best, np.exp(random.uniform(np.log(12), np.log(150)))])


def collated(lessons: list[Lesson]) -> Lesson:
    """A batch; digits and marks are filled up with rows of -1."""

    def filled(parts: list[Tensor]) -> Tensor:
        most = max(1, *(len(part) for part in parts))
        rows = [functional.pad(p, (0, 0, 0, most - len(p)), value=-1) for p in parts]
        return torch.stack(rows)

    return Lesson(
        torch.stack([one.pixels for one in lessons]),
        torch.stack([one.owner for one in lessons]),
        filled([one.digits for one in lessons]),
        filled([one.marks for one in lessons]),
        torch.stack([one.places for one in lessons]),
        torch.stack([one.extent for one in lessons]),
    )


class Geometry(NamedTuple):
    """What DetectNet is to give, for N scenes.

    Attributes:
        heat: float32 (N, 64, 64), 1 at a digit's middle, falling off like a Gaussian.
        counts: bool (N, 64, 64), where the heat counts: not at hidden digits.
        offsets: float32 (N, 3, 64, 64), to the nearest middle, and its log size.
        near: bool (N, 64, 64), where those count: at middles and beside them.
    """

    heat: Tensor
    counts: Tensor
    offsets: Tensor
    near: Tensor


def heat_and_geometry(lessons: Lesson) -> Geometry:
    """The targets of the detector."""
    label, x, y, size = (value[:, :, None, None] for value in lessons.digits[:, :, :4].unbind(2))
    side = lessons.pixels.shape[2] // STRIDE
    places = (torch.arange(side, device=x.device) + 0.5) * STRIDE
    across, down = x - places[None, None, None, :], y - places[None, None, :, None]
    spread = (0.1 * size).clamp_min(3.2)
    far = (across**2 + down**2) / (2 * spread**2) + 1e6 * (label < 0)
    least, nearest = far.min(dim=1, keepdim=True)
    values = (across, down, (size.clamp_min(1) / SIZE_UNIT).log())
    offsets = [value.expand_as(far).gather(1, nearest) for value in values]
    heat = (-least).exp()[:, 0]
    # The place that holds a middle has a heat of 1, wherever in the place the middle lies.
    half = STRIDE / 2
    within = (across > -half) & (across <= half) & (down > -half) & (down <= half) & (label >= 0)
    within = within.any(dim=1)
    hidden = (lessons.owner == HIDDEN).float()[:, None]
    counts = functional.max_pool2d(hidden, 5 * STRIDE, STRIDE, 2 * STRIDE)[:, 0, :side, :side] == 0
    heat = torch.where(within, 1.0, heat.clamp_max(0.99))
    beside = (across.abs() <= 1.5 * STRIDE) & (down.abs() <= 1.5 * STRIDE) & (label >= 0)
    return Geometry(heat, counts | within, torch.cat(offsets, dim=1), beside.any(dim=1))


class Labels(NamedTuple):
    """What LookNet is to give for P proposals.

    Attributes:
        classes: int64 (P,), of what is in the middle; -1 where that cannot be said.
        ink: float32 (P, 56, 56), 0 or 1, of the digit in the middle.
        boxes: float32 (P, 4), x0, y0, x1, y1 from the middle, in sizes of the proposal.
    """

    classes: Tensor
    ink: Tensor
    boxes: Tensor


def labelled(proposals: Tensor, lessons: Lesson) -> Labels:
    """What is in the middle of proposals, (P, 4): the scene's number, x, y and size.

    A proposal belongs to a digit if its middle and its size fit that digit, and no other nearly
    as well. It is no digit if they are far from fitting any, or fit two about equally badly, as
    they do between them. What lies in between is left open.
    """
    number = proposals[:, 0].long()
    x, y, size = (value[:, None] for value in proposals[:, 1:].unbind(1))
    digits, marks = lessons.digits[number], lessons.marks[number]
    label, at_x, at_y, high = digits[:, :, :4].unbind(2)
    wide = digits[:, :, 6] - digits[:, :, 4]
    miss = torch.hypot((x - at_x) / (0.12 * high + 0.2 * wide), (y - at_y) / (0.25 * high))
    miss = torch.maximum(miss, (size / high.clamp_min(1)).log().abs() / 0.4)
    miss = torch.where(label < 0, 99.0, miss)
    order = miss.sort(dim=1)
    best, owner = order.values[:, 0], order.indices[:, 0]
    other = order.values[:, 1] if miss.shape[1] > 1 else torch.full_like(best, 99.0)
    alone = other > 1.3 * best + 0.3
    is_digit = (best < 1) & alone
    classes = torch.where(is_digit, label.gather(1, owner[:, None])[:, 0], -1.0)
    kind, mark_x, mark_y, _ = marks.unbind(2)
    apart = torch.hypot(x - mark_x, y - mark_y) / size + 99.0 * (kind < 0)
    nearest = apart.min(dim=1)
    its_kind = kind.gather(1, nearest.indices[:, None])[:, 0]
    other_class = torch.where(nearest.values < 0.15, its_kind, float(NONE))
    free = ((best > 1.4) | ((best > 0.7) & ~alone)) & ~_hidden_in(proposals, lessons.owner)
    classes = torch.where(free, other_class, classes).long()
    boxes = digits[:, :, 4:].gather(1, owner[:, None, None].expand(-1, 1, 4))[:, 0]
    boxes = (boxes - proposals[:, [1, 2, 1, 2]]) / proposals[:, 3:]
    ink = torch.zeros(len(proposals), CROP, CROP, device=x.device)
    mine = lessons.owner[number[is_digit]] == owner[is_digit].to(torch.int16)[:, None, None]
    ink[is_digit] = _ink_of(proposals[is_digit], mine)
    return Labels(classes, ink, boxes)


def _hidden_in(proposals: Tensor, owner: Tensor) -> Tensor:
    """Whether digits that do not count reach into proposals."""
    share = cut_out((owner == HIDDEN).float()[:, None], proposals, 1, 8)
    return share.amax(dim=(1, 2, 3)) > 0.02


def _ink_of(proposals: Tensor, masks: Tensor) -> Tensor:
    """The masks (P, 256, 256) as crops (P, 56, 56) of 0 and 1; fine strokes are made thicker.

    Strokes thinner than MNIST's would fade away in the frames that the classifier reads.
    """
    number = torch.arange(len(proposals), device=proposals.device).to(proposals)
    numbered = torch.cat([number[:, None], proposals[:, 1:]], dim=1)
    seen = cut_out(masks.float()[:, None], numbered, CROP_SIZES, CROP)
    ink = (seen > 0.35 * seen.amax(dim=(2, 3), keepdim=True).clamp_min(1e-6)).float()
    area = ink.sum(dim=(2, 3), keepdim=True)
    rim = (ink.diff(dim=2).abs().sum(dim=(2, 3)) + ink.diff(dim=3).abs().sum(dim=(2, 3))) / 2
    fine = area < 2.3 * rim[:, :, None, None]
    thicker = functional.max_pool2d(ink, 3, 1, 1)
    return torch.where(fine, thicker, ink)[:, 0]
