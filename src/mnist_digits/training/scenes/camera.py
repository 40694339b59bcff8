"""A page as a camera or a scanner takes it: out of focus, grained, of few pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .canvas import SIDE, Canvas, chance, log_uniform
from .glyphs import Floats
from .grain import static


def taken(canvas: Canvas, page: Floats) -> NDArray[np.uint8]:
    """The page, 0 to 1, as uint8: blurred, with grain, from few pixels, as a JPEG."""
    random = canvas.random
    if canvas.has("blurred"):
        page = cv2.GaussianBlur(page, (0, 0), log_uniform(random, 0.4, 1.8))
    if not canvas.has("plain") and chance(random, 0.5):
        deviation = np.float32(log_uniform(random, 0.003, 0.08 if canvas.has("grain") else 0.03))
        page = page + static(random)[:, :, None] * deviation
    picture = (np.clip(page, 0, 1) * 255).astype(np.uint8)
    size = min((digit.size for digit in canvas.digits), default=100)
    if canvas.has("enlarged") and size > 20:
        picture = _from_few_pixels(canvas.random, picture, size)
    if chance(random, 0.3):
        picture = _jpeg(picture, int(random.integers(25, 92)))
    return picture


def _from_few_pixels(
    random: np.random.Generator, picture: NDArray[np.uint8], size: float
) -> NDArray[np.uint8]:
    """As if the picture had had so few pixels that a digit was 11 or more of them high."""
    side = int(log_uniform(random, max(24, SIDE * 11 / size), 160))
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    if chance(random, 0.4):
        small = _jpeg(small, int(random.integers(40, 95)))
    ways = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
    return cv2.resize(small, (SIDE, SIDE), interpolation=int(random.choice(ways)))


def _jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
