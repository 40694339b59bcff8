"""Random geometry, a different one for each image, a batch at a time, on the device.

Each image is rotated, sheared, scaled and shifted by amounts drawn evenly from the
recipe's ranges, all in one bilinear resampling.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .recipe import Recipe


def augment(images: Tensor, recipe: Recipe) -> Tensor:
    """Images (N, 1, 28, 28), 0 to 255, each moved in its own way: float32, same shape.

    Where the recipe asks for no movement they come back as they are. What is moved in
    from outside is 0, the ground. Draws from torch's global random state.
    """
    if not (recipe.rotation or recipe.shear or recipe.scale or recipe.shift):
        return images
    pixels = images.float()
    matrices = random_affine(len(images), recipe, images.device)
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, align_corners=False)


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
