"""Random geometry and appearance, a batch at a time, on the device.

Geometry: every image is rotated, sheared, scaled, shifted and bent by amounts sampled from the
recipe's ranges, all in one bilinear resampling. Appearance: a part of the batch goes through
what pens, paper and cameras do. The images for each change are chosen as a list of fixed
length, so the program never waits for the device.

Overlap with public robustness tests, for whoever measures on them: MNIST-C also rotates,
shears, scales, shifts, brightens, blurs, adds noise, lines and patches. None of its
functions is used or imitated here, but the kinds are the same; its zigzags, splashes, fog
and frosted glass have no close counterpart here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from ..synthesis.handwriting import stroke
from ..synthesis.random_fields import pixel_coordinates, uniform, waves
from .recipe import Recipe

# The fraction of the images chosen for a new appearance that goes through each of the CHANGES.
SHARE = 0.2


def augment(images: Tensor, recipe: Recipe) -> Tensor:
    """Images (N, 1, 28, 28), 0 to 255, each changed in its own way: float32, same shape.

    Where the recipe asks for no change they come back as they are. Pixels from outside of the
    image are 0, the ground. Draws from torch's global random state.
    """
    if recipe.rotation or recipe.shear or recipe.scale or recipe.shift or recipe.elastic:
        images = _moved(images.float(), recipe)
    if recipe.appearance:
        images = _with_new_looks(images.float() / 255, recipe.appearance) * 255
    return images


def _moved(pixels: Tensor, recipe: Recipe) -> Tensor:
    count, device = len(pixels), pixels.device
    # A product of matrices: affine_grid gives the same, but takes twenty times as long on a CPU.
    flat = random_affine(count, recipe, device) @ _homogeneous(device)
    if recipe.elastic:
        amount = recipe.elastic / 14 * torch.rand(count, 1, 1, device=device)
        flat = flat + amount * waves(count, 2, 5, device).flatten(2)
    grid = flat.view(count, 2, 28, 28).permute(0, 2, 3, 1)
    return functional.grid_sample(pixels, grid, align_corners=False)


@cache
def _homogeneous(device: torch.device) -> Tensor:
    """The pixels' centres in homogeneous coordinates, (3, 784): x, y from -1 to 1, and 1."""
    line = (torch.arange(28, device=device) + 0.5) / 14 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)]).flatten(1)


def random_affine(count: int, recipe: Recipe, device: torch.device) -> Tensor:
    """Affine maps (count, 2, 3) from a point of the result to the point that it is taken from.

    Coordinates are those of `affine_grid`: from -1 to 1 across the image.
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
    """The indices of a random `share` of `count` images."""
    return torch.randperm(count, device=device)[: round(count * share)]


def thicker(ink: Tensor) -> Tensor:
    """A broader pen: towards the maximum of the pixels around."""
    return torch.lerp(ink, functional.max_pool2d(ink, 3, 1, 1), uniform(ink, 0.2, 1))


def thinner(ink: Tensor) -> Tensor:
    """A finer pen: towards the minimum of the pixels around."""
    return torch.lerp(ink, -functional.max_pool2d(-ink, 3, 1, 1), uniform(ink, 0.2, 0.7))


def hollow(ink: Tensor) -> Tensor:
    """Outlined, as with a pen of two nibs: what a broader pen adds to the stroke."""
    outline = functional.max_pool2d(ink, 3, 1, 1) - ink
    return torch.lerp(ink, outline, uniform(ink, 0.5, 1))


def coarse(ink: Tensor) -> Tensor:
    """Taken at a lower resolution, 9 to 20 pixels, and enlarged again."""
    size = int(torch.randint(9, 21, ()))
    small = functional.interpolate(ink, size=size, mode="area")
    return functional.interpolate(small, size=28, mode="bilinear", align_corners=False)


def blurred(ink: Tensor) -> Tensor:
    """Out of focus, or moved: towards a mean over neighbours in both directions, or in one."""
    shapes = ((3, 3), (5, 5), (1, 5), (5, 1), (1, 7), (7, 1))
    high, wide = shapes[int(torch.randint(len(shapes), ()))]
    soft = functional.avg_pool2d(ink, (high, wide), 1, (high // 2, wide // 2))
    return torch.lerp(ink, soft, uniform(ink, 0.4, 1))


def neighboured(ink: Tensor) -> Tensor:
    """With parts of another digit at an edge, as in a row of them that was cut apart badly."""
    direction = uniform(ink, 0, 2 * torch.pi)
    distance = uniform(ink, 17, 24) / 14
    shifts = torch.cat([direction.cos() * distance, direction.sin() * distance], dim=3)
    flat = _homogeneous(ink.device)[:2] + shifts.view(-1, 2, 1)
    grid = flat.view(-1, 2, 28, 28).permute(0, 2, 3, 1)
    return torch.maximum(ink, functional.grid_sample(ink.flip(0), grid, align_corners=False))


def ruled(ink: Tensor) -> Tensor:
    """With a straight line, or a part of one, across it: ruled paper, an underline."""
    x, y = pixel_coordinates(ink.device)
    angle, offset = uniform(ink, 0, torch.pi), uniform(ink, -14, 14)
    distance = (x * angle.cos() + y * angle.sin() - offset).abs()
    along = -x * angle.sin() + y * angle.cos()
    line = stroke(distance, uniform(ink, 0.3, 1.2))
    part = (along > uniform(ink, -20, 14)).float()
    return torch.maximum(ink, uniform(ink, 0.2, 1) * line * part)


def random_erasing(ink: Tensor) -> Tensor:
    """A rectangle, 2 to 8 pixels a side: black, a shade of grey, or with light and dark swapped."""
    x, y = pixel_coordinates(ink.device)
    inside = ((x - uniform(ink, -12, 12)).abs() < uniform(ink, 1, 4)) & (
        (y - uniform(ink, -12, 12)).abs() < uniform(ink, 1, 4)
    )
    grey = uniform(ink, -1, 1).clamp_min(0)
    patch = torch.where(uniform(ink, 0, 1) < 0.3, 1 - ink, grey)
    return torch.where(inside, patch, ink)


def dimmed(ink: Tensor) -> Tensor:
    """Less contrast, brighter ground, and middle tones lifted or pressed."""
    contrast = uniform(ink, 0.2, 1)
    ground = (1 - contrast) * uniform(ink, 0, 1)
    return ground + contrast * ink.clamp_min(1e-3) ** uniform(ink, -1, 1).exp()


def shaded(ink: Tensor) -> Tensor:
    """Uneven light, on ink and ground."""
    light = waves(len(ink), 1, 4, ink.device).to(ink)
    return ink + uniform(ink, 0, 0.4) * light


def noisy(ink: Tensor) -> Tensor:
    """Grain of the sensor, or single pixels that are black or white."""
    grain = ink + uniform(ink, 0, 0.3) * torch.randn_like(ink)
    lottery, limit = torch.rand_like(ink), uniform(ink, -0.1, 0.1).clamp_min(0)
    return torch.where(lottery < limit, (lottery < limit / 2).float(), grain)


# In this order: pens, then what lies on the paper, then light and camera.
CHANGES: tuple[Callable[[Tensor], Tensor], ...] = (
    *(thicker, thinner, hollow),
    *(neighboured, ruled, random_erasing),
    *(coarse, blurred, dimmed, shaded, noisy),
)
