"""Digits of the test set as people might bring them: elsewhere, larger, in colour, in any file."""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def transformed(image: Pixels, random: np.random.Generator) -> bytes:
    """A picture file of the digit (28, 28): place, size, colours, padding, alpha, format."""
    side = int(random.integers(28, 400))
    ink = cv2.resize(
        image, (side, side), interpolation=cv2.INTER_AREA if side < 28 else cv2.INTER_CUBIC
    )
    around = random.integers(0, 200, 4)
    strength = (
        np.pad(ink, (tuple(around[:2]), tuple(around[2:]))).astype(np.float32)[..., None] / 255
    )
    pen, paper = _colours(random)
    if random.random() < 0.25:
        colours = np.broadcast_to(pen, (*strength.shape[:2], 3))
        content = np.concatenate([colours, 255 * strength], axis=2)
        return _encoded(content, ("PNG", "WEBP", "TIFF")[random.integers(3)])
    content = pen * strength + paper * (1 - strength)
    return _encoded(content, ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")[random.integers(6)])


def _colours(random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pen and paper, dark on light or light on dark, whose brightness differs by a third."""
    while True:
        pen, paper = random.uniform(0, 255, (2, 3))
        if abs(pen.mean() - paper.mean()) > 85:
            return pen, paper


def _encoded(values: NDArray[np.floating], kind: str) -> bytes:
    content = io.BytesIO()
    options = {"quality": 90} if kind in ("JPEG", "WEBP") else {}
    Image.fromarray(values.round().clip(0, 255).astype(np.uint8)).save(content, kind, **options)
    return content.getvalue()
