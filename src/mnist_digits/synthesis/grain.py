"""Grain and textures: random values about 0 for each pixel, of all sizes or mostly of one."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from .canvas import SIDE, log_uniform
from .templates import Floats


def static(random: np.random.Generator) -> Floats:
    """Normal values (256, 256): grain of single pixels."""
    top, left = random.integers(0, SIDE, 2)
    return _grain()[top : top + SIDE, left : left + SIDE]


@cache
def _grain() -> Floats:
    """A sheet of grain to cut from: made anew for each scene, it took a tenth of all the time."""
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


def texture(random: np.random.Generator) -> Floats:
    """Cloth, wood, leather, rough walls: mostly of one size and direction, (256, 256), about 0."""
    angle, stretch = random.uniform(0, np.pi), np.sqrt(log_uniform(random, 1, 12))
    down, across = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]
    along = (across * np.cos(angle) + down * np.sin(angle)) * stretch
    beside = (down * np.cos(angle) - across * np.sin(angle)) / stretch
    size, spread = log_uniform(random, 0.01, 0.3), random.uniform(0.15, 0.8)
    weight = np.exp(-(((np.hypot(along, beside) / size - 1) / spread) ** 2) / 2)
    values = np.fft.irfft2(np.fft.rfft2(static(random)) * weight, (SIDE, SIDE))
    values = values / max(float(values.std()), 1e-6)
    forms = (values, np.tanh(3 * values), 1 - np.abs(values), (values > 1.2) - 0.1)
    return np.asarray(forms[random.integers(len(forms))], np.float32)
