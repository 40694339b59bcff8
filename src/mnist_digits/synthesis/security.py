"""What is printed under the writing on cheques: fine lines in waves, rosettes, small print."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .canvas import SIDE, chance, log_uniform
from .printing import printed, some_words
from .templates import Floats

Random = np.random.Generator


def security_print(random: Random) -> list[Floats]:
    """One to three patterns, each (256, 256), 0 to 1, how much ink there is."""
    kinds = (_waves, _waves, _waves, _rosette, _microprint)
    patterns = []
    for _ in range(random.integers(1, 4)):
        pattern = kinds[random.integers(len(kinds))](random)
        if chance(random, 0.2):  # not in the whole picture
            pattern = pattern * _field(random)
        patterns.append(pattern)
    return patterns


def _lines(random: Random, phase: Floats, pitch: float) -> Floats:
    """Lines where the phase, in pixels, is a multiple of the pitch."""
    share = random.uniform(0.15, 0.5)
    away = np.abs((phase / pitch) % 1 - 0.5) * 2
    soft = max(0.15, 2 / pitch)
    return np.clip((away - 1 + share) / soft + 0.5, 0, 1).astype(np.float32)


def _waves(random: Random) -> Floats:
    """A family of lines that swing together, straight at times."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    angle = random.normal(0, 0.5) if chance(random, 0.8) else random.uniform(0, np.pi)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = cos * x + sin * y, cos * y - sin * x
    pitch = log_uniform(random, 3, 14)
    for _ in range(random.integers(0, 3)):
        length, swing = log_uniform(random, 20, 300), pitch * random.uniform(0, 3)
        drift = np.float32(random.uniform(-1, 1))
        turn = np.float32(2 * np.pi / length)
        across = across + np.float32(swing) * np.sin(turn * (along + drift * y) + drift * 3)
    return _lines(random, across, pitch)


def _rosette(random: Random) -> Floats:
    """Rings around a point, with petals."""
    x0, y0 = random.uniform(-0.2, 1.2, 2) * SIDE
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    x, y = x - np.float32(x0), y - np.float32(y0)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    petals, pitch = int(random.integers(3, 25)), log_uniform(random, 3, 14)
    depth = np.float32(random.uniform(0.02, 0.25))
    lobes = 1 + depth * np.sin(petals * angle + radius * np.float32(random.uniform(-0.1, 0.1)))
    return _lines(random, radius * lobes, pitch)


def _microprint(random: Random) -> Floats:
    """Small print, again and again."""
    ink = printed(random, some_words(random, 3) + " ", int(random.integers(8, 14)))
    wide = ink.shape[1]
    tile = np.pad(ink, ((1, int(random.integers(1, 8))), (0, 5)))
    twice = np.vstack([tile, np.roll(tile, int(random.integers(0, wide)), axis=1)])
    count = SIDE // twice.shape[0] + 1, SIDE // twice.shape[1] + 1
    return np.ascontiguousarray(np.tile(twice, count)[:SIDE, :SIDE])


def _field(random: Random) -> NDArray[np.float32]:
    """A part of the picture, (256, 256), 0 or 1."""
    mask = np.zeros((SIDE, SIDE), np.float32)
    (x0, x1), (y0, y1) = np.sort(random.integers(-40, SIDE + 40, (2, 2)), axis=1).clip(0, SIDE)
    mask[y0:y1, x0:x1] = 1
    return mask
