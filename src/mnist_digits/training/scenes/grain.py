"""Grain: random values about 0 for each pixel, of single pixels and of larger cells."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from .canvas import SIDE
from .glyphs import Floats


def static(random: np.random.Generator) -> Floats:
    """Normal values (256, 256): grain of single pixels."""
    top, left = random.integers(0, SIDE, 2)
    return _grain()[top : top + SIDE, left : left + SIDE]


@cache
def _grain() -> Floats:
    """A sheet of grain to cut from: drawn anew for each scene, it took a tenth of all the time."""
    return np.random.default_rng(0).standard_normal((2 * SIDE, 2 * SIDE), np.float32)


def noise(random: np.random.Generator, strength: float) -> Floats:
    """Grain of all sizes, (256, 256), about 0."""
    result = np.zeros((SIDE, SIDE), np.float32)
    for cell in (1, 2, 4, 8, 16, 32, 64):
        amount = np.float32(strength * random.random() ** 2)
        if cell == 1:
            result += amount * static(random)
        else:
            coarse = random.standard_normal((SIDE // cell + 1,) * 2, np.float32)
            result += amount * cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return result
