"""Digits and letters that can be drawn with any pen, at any size.

A template is kept as the distance of each pixel to its skeleton: thresholded at a pen's radius, it
is drawn with that pen. Only `load_templates` and `letters` need torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ..data.dataset import Digits

# Distances are kept at three times MNIST's resolution, at which a digit is 60 pixels high, in
# eighths of such a pixel.
ZOOM, UNIT = 3, 8
SIDE = 28 * ZOOM

# Letters that look like no digit with any pen or slant; D, L, T and h, for example, may.
LETTERS = "ACEFHKMNPQRUVWXacdefkmnptuvwx"
# The others are drawn only in words, which tell them from digits.
OF_WORDS = "BDGIJLOSTYZbghijloqrsyz"

# So many synthetic digits are drawn by one hand.
OF_A_HAND = 100
# Digits whose loops, where they have any, a broad pen may fill: the others are known by them.
WITH_IDLE_LOOPS = (1, 2, 3, 5, 7)
# The radius of a fine pen, as a fraction of the height: it closes no loop.
FINE = 0.03

Floats = NDArray[np.float32]


class Templates:
    """What can be drawn; templates of one hand follow one another.

    Attributes:
        images: uint8 (N, 28, 28), light on dark.
        labels: int64 (N,); -1 for other things.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        distances: Iterable[NDArray[np.uint8]] = (),
    ) -> None:
        """`distances` are known ones, of as many of the last images."""
        self.images, self.labels = images, labels
        known = list(distances)
        self._distances = dict(enumerate(known, len(images) - len(known)))

    def __len__(self) -> int:
        return len(self.labels)

    def distance(self, number: int) -> NDArray[np.uint8]:
        """From each pixel to the skeleton of a template, (84, 84), in eighths of a pixel."""
        # Computed when first asked for: for all of MNIST it would take half a minute.
        if number not in self._distances:
            self._distances[number] = skeleton_distance(self.images[number])
        return self._distances[number]


@dataclass(frozen=True)
class Pen:
    """How a template is drawn.

    Attributes:
        radius: half the breadth of a stroke, as a fraction of the height.
        uneven: the fraction by which the breadth changes along the strokes.
        bend: standard deviation of a smooth random displacement, in pixels where a digit is 60
            high; 0 for those who draw with a ruler.
        matrix: (2, 2), how the writing is turned, slanted and stretched.
        hollow: whether only the rims of the strokes are drawn.
    """

    radius: float
    uneven: float
    bend: float
    matrix: NDArray[np.float64]
    hollow: bool = False


def load_templates(digits: Digits, synthetic: int, seed: int = 0) -> Templates:
    """The images as templates, followed by so many synthetic ones (`handwriting`)."""
    import torch

    from .handwriting import distances, habit, rasterize, strokes

    images, labels = [digits.images[:, 0].cpu().numpy()], [digits.labels.cpu().numpy()]
    known: list[NDArray[np.uint8]] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # The strokes' own distances: a skeleton of pixels would make straight ones uneven.
        for part in torch.randint(0, 10, (synthetic,), device=digits.device).split(OF_A_HAND):
            start, end, pen = strokes(part, habit(digits.device)[part])
            exact = distances(start, end, ZOOM)[:, 0] * ZOOM * UNIT
            known.extend(exact.clamp(0, 255).to(torch.uint8).cpu().numpy())
            images.append((rasterize(start, end, pen)[:, 0] * 255).to(torch.uint8).cpu().numpy())
            labels.append(part.cpu().numpy())
    return Templates(np.concatenate(images), np.concatenate(labels), known)


@cache
def letters(alphabet: str = LETTERS) -> Templates:
    """Printed letters; by default none that some people write like a digit."""
    from .negatives import letter_bank

    images = letter_bank(alphabet)[:, 0].numpy()
    return Templates(images, np.full(len(images), -1, np.int64))


def skeleton_distance(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The distance (84, 84) of each pixel of an image (28, 28) to the skeleton of its ink."""
    big = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    bones = thinned((cv2.GaussianBlur(big, (0, 0), 1.2) > 110).astype(np.uint8))
    distance = cv2.distanceTransform(1 - bones, cv2.DIST_L2, 5)
    return np.clip(distance * UNIT, 0, 255).astype(np.uint8)


def thinned(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The skeleton of a mask of 0 and 1: what is left when its rim is taken off again and again.

    Zhang and Suen, "A Fast Parallel Algorithm for Thinning Digital Patterns", 1984.
    """
    while True:
        before = cv2.countNonZero(ink)
        for table in _kept():
            around = cv2.filter2D(ink, cv2.CV_8U, NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)
            ink = cv2.bitwise_and(ink, cv2.LUT(around, table))
        if cv2.countNonZero(ink) == before:
            return ink


# A bit for each of the eight neighbours, clockwise from the one above.
NEIGHBOURS = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)


@cache
def _kept() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Tables (256,) for the two halves of an iteration: 0 if a pixel so surrounded is taken off."""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    above, right, below, left = bits[:, 0], bits[:, 2], bits[:, 4], bits[:, 6]
    count = bits.sum(axis=1)
    starts = ((bits == 0) & (np.roll(bits, -1, axis=1) == 1)).sum(axis=1)
    simple = (count >= 2) & (count <= 6) & (starts == 1)
    first = simple & (above * right * below == 0) & (right * below * left == 0)
    second = simple & (above * right * left == 0) & (above * below * left == 0)
    return (~first).astype(np.uint8), (~second).astype(np.uint8)


def draw_template(
    random: np.random.Generator, templates: Templates, number: int, height: float, pen: Pen
) -> tuple[Floats, NDArray[np.bool_]]:
    """A template about `height` pixels high: ink, 0 to 1, and the mask of what counts as ink.

    Both (n, n). Strokes finer than a pixel are faint, but the mask has them without gaps.
    """
    scale = height / (20 * ZOOM)
    side = int(1.3 * SIDE * scale * np.abs(pen.matrix).sum(axis=1).max()) + 6
    turn = pen.matrix * scale
    matrix = np.column_stack([turn, side / 2 - turn @ [SIDE / 2, SIDE / 2]])
    distances: Floats = templates.distance(number) / np.float32(UNIT)
    if pen.bend:
        distances = cv2.remap(
            distances, *_bent(random, pen.bend), cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE
        )
    even = _even(distances, pen.matrix)
    breadth = pen.radius
    if templates.labels[number] not in WITH_IDLE_LOOPS:
        breadth = _open_radius(even / np.float32(20 * ZOOM), breadth)
    radius = np.float32(max(breadth * height, 0.25))
    fine = radius < 0.7 * scale
    kept = distances if fine else even
    distance = scale * cv2.warpAffine(kept, matrix, (side, side), borderValue=255)
    if fine:
        distance = _to_fine_skeleton(distance, scale)
    breadths: Floats | np.float32 = radius
    if pen.uneven:
        knots = random.uniform(1 - pen.uneven, 1 + pen.uneven, (5, 5)).astype(np.float32)
        breadths = radius * cv2.resize(knots, (side, side), interpolation=cv2.INTER_CUBIC)
    if pen.hollow:
        rim = max(1.0, 0.3 * float(radius))
        distance = np.abs(distance - breadths + rim)
        breadths = radius = np.float32(rim)
    ink = np.clip(breadths - distance + 0.5, 0, min(1.0, 2 * float(radius)))
    return ink, distance <= np.maximum(breadths, 0.7)


def _even(distances: Floats, matrix: NDArray[np.float64]) -> Floats:
    """Distances as they are after a matrix stretched the template, so that the pen stays round."""
    across = cv2.Sobel(distances, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(distances, cv2.CV_32F, 0, 1, scale=1 / 8)
    # A distance should grow by one for each pixel: where it grows by more, it was squeezed.
    (xx, xy), (yx, yy) = np.linalg.inv(matrix).T.astype(np.float32)
    slope = cv2.magnitude(xx * across + xy * down, yx * across + yy * down)
    # In the middle of a stroke, and between two, it does not grow.
    return distances / np.maximum(slope, np.float32(0.5))


def _open_radius(distance: Floats, radius: float) -> float:
    """The pen's radius, reduced until all loops stay open; in heights, like the distance."""
    holes = _holes(distance, FINE)
    while radius > FINE and _holes(distance, radius + FINE / 2) != holes:
        radius *= 0.8
    return radius


def _holes(distance: Floats, radius: float) -> int:
    """How many connected parts of ground are left around a template drawn with such a pen."""
    return cv2.connectedComponents((distance > radius).astype(np.uint8), ltype=cv2.CV_16U)[0]


def _to_fine_skeleton(distance: Floats, scale: float) -> Floats:
    """The distance to a skeleton that is one pixel wide at this scale, too.

    The pixels of the kept one lie `scale` pixels apart: a finer pen would draw a row of dots.
    """
    bones = thinned((distance < 1.1 * max(scale, 1)).astype(np.uint8))
    return cv2.distanceTransform(1 - bones, cv2.DIST_L2, 5)


def _bent(random: np.random.Generator, bend: float) -> tuple[Floats, Floats]:
    """A map (84, 84) for `cv2.remap`, smooth, with displacements of about `bend` pixels."""
    knots = random.normal(0, bend, (4, 4, 2)).astype(np.float32)
    moved = cv2.resize(knots, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    return x + moved[:, :, 0], y + moved[:, :, 1]
