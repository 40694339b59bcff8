"""A page as a camera or a scanner takes it: out of focus, grained, of few pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .canvas import SIDE, Canvas, chance, log_uniform
from .grain import static
from .templates import Floats

# Ways to enlarge a picture.
ENLARGED = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)


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
    if canvas.has("pixels") and size > 100:
        picture = _tiny(random, picture)
    elif canvas.has("binary"):
        picture = _black_and_white(canvas, picture, size)
    if chance(random, 0.3):
        picture = _jpeg(picture, int(random.integers(25, 92)))
    return picture


def _tiny(random: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As a picture of a single digit from a collection, of 16 to 32 pixels a side, enlarged."""
    side = int(random.choice([16, 20, 24, 28, 28, 32]))
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    if chance(random, 0.5):
        small = cv2.GaussianBlur(small, (0, 0), random.uniform(0.3, 0.8))
    return cv2.resize(small, (SIDE, SIDE), interpolation=int(random.choice(ENLARGED)))


def _black_and_white(canvas: Canvas, picture: NDArray[np.uint8], size: float) -> NDArray[np.uint8]:
    """As scanned with a threshold, between the paper's and the ink's brightness."""
    random = canvas.random
    least = min(SIDE, SIDE * 16 / size)
    side = int(log_uniform(random, least, SIDE)) if chance(random, 0.6) else SIDE
    grey = cv2.resize(picture.mean(axis=2), (side, side), interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(grey, (0, 0), random.uniform(0.3, 0.9)).astype(np.float32)
    grey += random.normal(0, log_uniform(random, 0.3, 6), grey.shape).astype(np.float32)
    paper = np.float32(np.median(grey))
    if chance(random, 0.75):  # compared with what is around each pixel, as most scanners do
        paper = cv2.GaussianBlur(grey, (0, 0), side / random.uniform(4, 12))
    written = cv2.resize((canvas.owner >= 0).astype(np.uint8), (side, side)) > 0
    darker = float(np.median((grey - paper)[written])) if written.any() else -40.0
    # With a threshold near the paper's brightness, strokes grow and specks appear; near that of the
    # ink, strokes wear away.
    white = (grey - paper) / darker < random.uniform(0.45, 0.8) if darker else grey > paper
    white ^= random.random(grey.shape) < log_uniform(random, 1e-5, 0.004)
    black = 0 if chance(random, 0.7) else int(random.integers(80))
    two = np.where(white, 255, black).astype(np.uint8)
    big = cv2.resize(two, (SIDE, SIDE), interpolation=int(random.choice(ENLARGED[:2])))
    return np.repeat(big[:, :, None], 3, axis=2)


def _from_few_pixels(
    random: np.random.Generator, picture: NDArray[np.uint8], size: float
) -> NDArray[np.uint8]:
    """As if the picture had had so few pixels that a digit was 11 or more of them high."""
    side = int(log_uniform(random, max(24, SIDE * 11 / size), 160))
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    if chance(random, 0.4):
        small = _jpeg(small, int(random.integers(40, 95)))
    return cv2.resize(small, (SIDE, SIDE), interpolation=int(random.choice(ENLARGED)))


def _jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
