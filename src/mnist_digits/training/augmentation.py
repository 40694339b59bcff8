"""Random geometry and appearance, a batch at a time, on the device.

Geometry: every image is rotated, sheared, scaled, shifted and bent by amounts drawn from the
recipe's ranges, all in one bilinear resampling. Appearance: a part of the batch goes through
what pens, paper and cameras do. Which images a change falls on is drawn as a list of fixed
length, so that the device is never waited for.

Overlap with public robustness tests, for whoever measures on them: MNIST-C also rotates,
shears, scales, shifts, brightens, blurs, adds noise, lines and patches. None of its
functions is used or imitated here, but the kinds are the same; its zigzags, splashes, fog
and glass are met here only by distant relatives.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from .recipe import Recipe

# Of the images whose appearance changes, so many go through each of the changes.
SHARE = 0.2


def augment(images: Tensor, recipe: Recipe) -> Tensor:
    """Images (N, 1, 28, 28), 0 to 255, each changed in its own way: float32, same shape.

    Where the recipe asks for no change they come back as they are. What is moved in from
    outside is 0, the ground. Draws from torch's global random state.
    """
    if recipe.rotation or recipe.shear or recipe.scale or recipe.shift or recipe.elastic:
        images = _moved(images.float(), recipe)
    if recipe.appearance:
        images = _with_new_looks(images.float() / 255, recipe.appearance) * 255
    return images


def _moved(pixels: Tensor, recipe: Recipe) -> Tensor:
    count, device = len(pixels), pixels.device
    # A product of matrices: affine_grid gives the same in twenty times the time on a CPU.
    flat = random_affine(count, recipe, device) @ _homogeneous(device)
    if recipe.elastic:
        amount = recipe.elastic / 14 * torch.rand(count, 1, 1, device=device)
        flat = flat + amount * waves(count, 2, 5, device).flatten(2)
    grid = flat.view(count, 2, 28, 28).permute(0, 2, 3, 1)
    return functional.grid_sample(pixels, grid, align_corners=False)


@cache
def _homogeneous(device: torch.device) -> Tensor:
    """The places of the pixels, (3, 784): x and y from -1 to 1 across the image, and 1."""
    line = (torch.arange(28, device=device) + 0.5) / 14 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)]).flatten(1)


def random_affine(count: int, recipe: Recipe, device: torch.device) -> Tensor:
    """Affine maps (count, 2, 3) from a place in the result to the place it is taken from.

    Places are as `affine_grid` has them: from -1 to 1 across the image.
    """
    draws = torch.rand(6, count, device=device) * 2 - 1
    angle = torch.deg2rad(recipe.rotation * draws[0])
    shear = torch.tan(torch.deg2rad(recipe.shear * draws[1]))
    # Width and height change each on its own: people write narrow digits and wide ones.
    stretch_x, stretch_y = 1 + recipe.scale * draws[2:4]
    # 28 pixels span 2, so a pixel is 1/14.
    shift_x, shift_y = recipe.shift / 14 * draws[4:6]

    cos, sin = torch.cos(angle), torch.sin(angle)
    row_x = torch.stack([cos * stretch_x, (cos * shear - sin) * stretch_x, shift_x], dim=1)
    row_y = torch.stack([sin * stretch_y, (sin * shear + cos) * stretch_y, shift_y], dim=1)
    return torch.stack([row_x, row_y], dim=1)


def waves(count: int, channels: int, knots: int, device: torch.device) -> Tensor:
    """Smooth random fields (count, channels, 28, 28): normal values at knots × knots places.

    Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied
    to Visual Document Analysis", 2003, bend digits by such fields.
    """
    values = torch.randn(count, channels, knots**2, device=device)
    return (values @ _ripples(knots, device)).unflatten(2, (28, 28))


@cache
def _ripples(knots: int, device: torch.device) -> Tensor:
    """What a value of 1 at each of knots × knots places spreads to, (knots², 784): bicubic."""
    values = torch.eye(knots**2, device=device).view(-1, 1, knots, knots)
    return functional.interpolate(values, size=28, mode="bicubic", align_corners=True).flatten(1)


def with_flags(images: Tensor, labels: Tensor, share: float) -> Tensor:
    """The images (N, 1, 28, 28), a `share` of the ones with a flag, and half of these with a foot.

    In MNIST, from America, a one is a bare stroke; elsewhere many people write it as it is
    printed, and are read as 7 or 2. Takes pixels from 0 to 255, gives float32.
    """
    ink = images.float() / 255
    count, device = len(ink), ink.device
    rows = ink.sum(dim=3) > 1
    weight = ink.sum(dim=3).clamp_min(1e-3)
    middle = (ink * (torch.arange(28, device=device) + 0.5)).sum(dim=3) / weight
    top = rows.int().argmax(dim=2)
    bottom = 27 - rows.flip(2).int().argmax(dim=2)
    head = torch.cat([middle.gather(2, top[:, None])[:, 0], top + 0.5], dim=1)
    foot = torch.cat([middle.gather(2, bottom[:, None])[:, 0], bottom + 0.5], dim=1)
    angle, length = torch.empty(2, count, device=device).uniform_(0, 1)
    angle, length = 0.4 + 0.8 * angle, (0.2 + 0.3 * length) * (bottom - top)[:, 0]
    tip = head + length[:, None] * torch.stack([-angle.sin(), angle.cos()], dim=1)
    pen = 0.6 + 0.8 * torch.rand(count, device=device)
    flag = segments(head, tip, pen)
    wide = torch.stack([2 + 4 * torch.rand(count, device=device), torch.zeros_like(pen)], dim=1)
    base = segments(foot - wide, foot + wide, pen)
    lottery = torch.rand(count, 1, 1, 1, device=device)
    ones = (labels == 1).view(-1, 1, 1, 1) & (lottery < share)
    drawn = torch.where(lottery < share / 2, torch.maximum(flag, base), flag)
    return torch.where(ones, torch.maximum(ink, drawn), ink) * 255


def segments(start: Tensor, end: Tensor, pen: Tensor) -> Tensor:
    """A straight stroke in each image, (N, 1, 28, 28), 0 to 1.

    Args:
        start, end: (N, 2), x and y in pixels from the upper left corner.
        pen: (N,), half the stroke's thickness in pixels.
    """
    return stroke(distance(start, end), pen)


def distance(start: Tensor, end: Tensor, zoom: int = 1) -> Tensor:
    """How far each pixel is from a straight line, in pixels: (N, 2), (N, 2) to (N, 1, 28, 28).

    With a `zoom` of so many places for each pixel, along both sides.
    """
    side = 28 * zoom
    line = (torch.arange(side, device=start.device) + 0.5) / zoom
    step_x, step_y = (end - start).view(-1, 2, 1, 1, 1).unbind(1)
    x = line.view(1, 1, 1, side) - start[:, 0].view(-1, 1, 1, 1)
    y = line.view(1, 1, side, 1) - start[:, 1].view(-1, 1, 1, 1)
    squared = (step_x**2 + step_y**2).clamp_min(1e-3)
    along = (x * (step_x / squared) + y * (step_y / squared)).clamp(0, 1)
    return torch.hypot(x - along * step_x, y - along * step_y)


def stroke(distance: Tensor, pen: Tensor) -> Tensor:
    """Ink (N, 1, 28, 28), 0 to 1, of pens (N,), half as thick as their strokes."""
    return torch.sigmoid(4 * (pen.view(-1, 1, 1, 1) - distance))


def _with_new_looks(ink: Tensor, share: float) -> Tensor:
    """A `share` of the images (N, 1, 28, 28), 0 to 1, as other pens and cameras show them."""
    chosen = _some(len(ink), share, ink.device)
    looks = ink[chosen]
    for change in CHANGES:
        part = _some(len(looks), SHARE, ink.device)
        if len(part):
            looks = looks.index_copy(0, part, change(looks[part]).clamp(0, 1))
    return ink.index_copy(0, chosen, looks)


def _some(count: int, share: float, device: torch.device) -> Tensor:
    return torch.randperm(count, device=device)[: round(count * share)]


def _uniform(images: Tensor, low: float, high: float) -> Tensor:
    """One number for each image, (N, 1, 1, 1)."""
    return low + (high - low) * torch.rand(len(images), 1, 1, 1, device=images.device)


def _places(images: Tensor) -> tuple[Tensor, Tensor]:
    """The x (1, 1, 1, 28) and y (1, 1, 28, 1) of the pixels, from -14 to 14."""
    line = torch.arange(28, device=images.device) - 13.5
    return line.view(1, 1, 1, 28), line.view(1, 1, 28, 1)


def thicker(ink: Tensor) -> Tensor:
    """A broader pen: towards the maximum of the pixels around."""
    return torch.lerp(ink, functional.max_pool2d(ink, 3, 1, 1), _uniform(ink, 0.2, 1))


def thinner(ink: Tensor) -> Tensor:
    """A finer pen: towards the minimum of the pixels around."""
    return torch.lerp(ink, -functional.max_pool2d(-ink, 3, 1, 1), _uniform(ink, 0.2, 0.7))


def hollow(ink: Tensor) -> Tensor:
    """Outlined, as with a pen of two nibs: what a broader pen adds to the stroke."""
    outline = functional.max_pool2d(ink, 3, 1, 1) - ink
    return torch.lerp(ink, outline, _uniform(ink, 0.5, 1))


def coarse(ink: Tensor) -> Tensor:
    """Taken at a lower resolution, 9 to 20 pixels, and enlarged again."""
    size = int(torch.randint(9, 21, ()))
    small = functional.interpolate(ink, size=size, mode="area")
    return functional.interpolate(small, size=28, mode="bilinear", align_corners=False)


def blurred(ink: Tensor) -> Tensor:
    """Out of focus, or moved: a mean over some neighbours along both sides or one."""
    shapes = ((3, 3), (5, 5), (1, 5), (5, 1), (1, 7), (7, 1))
    high, wide = shapes[int(torch.randint(len(shapes), ()))]
    soft = functional.avg_pool2d(ink, (high, wide), 1, (high // 2, wide // 2))
    return torch.lerp(ink, soft, _uniform(ink, 0.4, 1))


def neighboured(ink: Tensor) -> Tensor:
    """With parts of another digit at an edge, as in a row of them that was cut apart badly."""
    direction = _uniform(ink, 0, 2 * torch.pi)
    distance = _uniform(ink, 17, 24) / 14
    shifts = torch.cat([direction.cos() * distance, direction.sin() * distance], dim=3)
    flat = _homogeneous(ink.device)[:2] + shifts.view(-1, 2, 1)
    grid = flat.view(-1, 2, 28, 28).permute(0, 2, 3, 1)
    return torch.maximum(ink, functional.grid_sample(ink.flip(0), grid, align_corners=False))


def ruled(ink: Tensor) -> Tensor:
    """With a straight line, or a part of one, across it: ruled paper, an underline."""
    x, y = _places(ink)
    angle, offset = _uniform(ink, 0, torch.pi), _uniform(ink, -14, 14)
    distance = (x * angle.cos() + y * angle.sin() - offset).abs()
    along = -x * angle.sin() + y * angle.cos()
    stroke = torch.sigmoid(4 * (_uniform(ink, 0.3, 1.2) - distance))
    part = (along > _uniform(ink, -20, 14)).float()
    return torch.maximum(ink, _uniform(ink, 0.2, 1) * stroke * part)


def random_erasing(ink: Tensor) -> Tensor:
    """A rectangle of 2 to 8 pixels that is black, grey, or the other way round."""
    x, y = _places(ink)
    inside = ((x - _uniform(ink, -12, 12)).abs() < _uniform(ink, 1, 4)) & (
        (y - _uniform(ink, -12, 12)).abs() < _uniform(ink, 1, 4)
    )
    grey = _uniform(ink, -1, 1).clamp_min(0)
    patch = torch.where(_uniform(ink, 0, 1) < 0.3, 1 - ink, grey)
    return torch.where(inside, patch, ink)


def dimmed(ink: Tensor) -> Tensor:
    """Less contrast, brighter ground, and middle tones lifted or pressed."""
    contrast = _uniform(ink, 0.2, 1)
    ground = (1 - contrast) * _uniform(ink, 0, 1)
    return ground + contrast * ink.clamp_min(1e-3) ** _uniform(ink, -1, 1).exp()


def shaded(ink: Tensor) -> Tensor:
    """Light that differs from place to place, on ink and ground."""
    light = waves(len(ink), 1, 4, ink.device).to(ink)
    return ink + _uniform(ink, 0, 0.4) * light


def noisy(ink: Tensor) -> Tensor:
    """Grain of the sensor, or single pixels that are black or white."""
    grain = ink + _uniform(ink, 0, 0.3) * torch.randn_like(ink)
    lottery, limit = torch.rand_like(ink), _uniform(ink, -0.1, 0.1).clamp_min(0)
    return torch.where(lottery < limit, (lottery < limit / 2).float(), grain)


# In this order: pens, then what lies on the paper, then light and camera.
CHANGES: tuple[Callable[[Tensor], Tensor], ...] = (
    *(thicker, thinner, hollow),
    *(neighboured, ruled, random_erasing),
    *(coarse, blurred, dimmed, shaded, noisy),
)
