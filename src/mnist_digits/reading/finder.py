"""Where the digits of a picture are, and which ink is whose: a network, and its votes counted.

    pixels (H, W, 3) -> digits, each with its ink, its box and how surely it is one

The network gives for each place whether it is ink of a digit, and for ink where the middle of its
digit lies and how large that is; `votes` counts what these say. A first look sees the picture
reduced; a second one sees each digit alone, at one size. Runs on ONNX Runtime, without torch
(`training.finder_model` is its network).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError
from .framing import percentile
from .onnx_file import open_model
from .votes import (
    LEGIBLE,
    NO_GROUPS,
    QUARTER,
    REACH,
    Floats,
    Groups,
    Votes,
    adopted,
    grouped,
    is_new,
    missed_ink,
    nearest,
    votes_of,
)

Pixels = NDArray[np.uint8]
# x0, y0, x1, y1; the latter are just outside.
Box: TypeAlias = tuple[float, float, float, float]

# The network that the package brings along.
FINDER = Path(__file__).parent / "models" / "finder.onnx"
FORMAT = "mnist-digits finder 1"
# The first look's longer side, and the shortest to which small pictures are enlarged for it; the
# sides of a second look. The network was trained on 256.
LOOK, LEAST_LOOK, CLOSER = 256, 192, 128
# The network halves its input five times.
STRIDE = 32
# A second look shows so many times the size of the digit, to have some of what is around it.
AROUND = 1.7
# A picture whose digits are too small in its own pixels is enlarged to twice its size, but to no
# more than this side.
ENLARGED = 1024
# More finds than this are not digits on a page but a texture, such as the weave of a carpet. Of a
# page with a thousand digits a few more are found, which a second look dismisses.
MAXIMUM_FINDS = 1100


@dataclass(frozen=True)
class Glyph:
    """The ink of one digit, and where it is.

    Attributes:
        ink: float32 (h, w), 0 to 1.
        box: x0, y0, x1, y1 in pixels of what was searched.
        surely: how surely it is ink, 0.5 to 1: the 25th percentile over its places.
    """

    ink: Floats
    box: Box
    surely: float


@dataclass(frozen=True)
class Found:
    """What was found in a picture.

    Attributes:
        glyphs: in no order; none if there are more than MAXIMUM_FINDS middles.
        missed: ink outside of all digits, in units of a digit's ink.
        size: width and height of the picture.
        ink: float32 (h, w), 0 to 1, of the whole picture in the first look, at a half of its
            resolution.
        middles: float32 (N, 2), x and y of the digits' middles, in the picture.
        reaches: float32 (N,), the distance from there within which votes count for the digit.
        places, votes: float32 (V, 2), x and y of what is ink in the first look, and of the
            middle that it points to.
    """

    glyphs: list[Glyph]
    missed: float
    size: tuple[float, float]
    ink: Floats
    middles: Floats
    reaches: Floats
    places: Floats
    votes: Floats

    def scaled(self, reduction: tuple[float, float]) -> Found:
        """In pixels of the picture before it was reduced by these factors to be searched."""
        factors = np.array(reduction, np.float32)
        return replace(
            self,
            size=(self.size[0] * reduction[0], self.size[1] * reduction[1]),
            middles=self.middles * factors,
            reaches=self.reaches * factors.max(),
            places=self.places * factors,
            votes=self.votes * factors,
        )

    def turned_back(self, turns: int, shape: tuple[int, ...]) -> Found:
        """In pixels of a picture (H, W) as it was before it was turned; see `turned_back`."""
        return replace(
            self,
            size=(shape[1], shape[0]),
            ink=np.rot90(self.ink, -turns),
            middles=turned_back(self.middles, turns, shape),
            places=turned_back(self.places, turns, shape),
            votes=turned_back(self.votes, turns, shape),
        )

    def owners(self) -> NDArray[np.int64]:
        """For each vote the number of the middle that it is for, or -1."""
        numbers = np.full(len(self.votes), -1, np.int64)
        if len(self.middles):
            # A carpet has thousands of both.
            for part in np.array_split(np.arange(len(numbers)), len(numbers) // 500 + 1):
                numbers[part] = nearest(self.votes[part], self.middles, self.reaches, 1)
        return numbers


class Finder:
    """Finds digits with the network of an ONNX file."""

    def __init__(self, model: bytes, threads: int | None = None) -> None:
        self._session, values = open_model(model, FORMAT, threads)
        self._slope, self._offset = json.loads(values["certainty"])

    @classmethod
    def load(cls, threads: int | None = None) -> Finder:
        """The network that the package ships.

        Raises:
            CheckpointError: it is damaged, or missing.
        """
        try:
            return cls(FINDER.read_bytes(), threads)
        # The runtime has exceptions of its own, one for each of its status codes.
        except Exception as error:
            raise CheckpointError(f"{FINDER} cannot be used: install the package again") from error

    def find(self, pixels: Pixels) -> Found:
        """The digits in pixels (H, W, 3).

        Digits that are too small in a first look are looked for again where the picture is
        reduced by half as much, down to its own pixels; a small picture is enlarged for them.
        """
        longest = max(pixels.shape[:2])
        side = min(LOOK, max(longest, LEAST_LOOK))
        kept, seen = NO_GROUPS, None
        while True:
            scale = side / longest
            looked = resized(pixels, scale)
            ink, raw = self.look(looked[None])
            votes = votes_of(ink[0], raw[0])
            seen = seen or _seen(pixels.shape, looked.shape, ink[0], votes)
            groups = grouped(votes)
            new = groups.chosen(is_new(groups, kept, scale), scale)
            legible = new.sizes * scale >= LEGIBLE
            kept = kept.joined(new.chosen(legible))
            smaller = new.chosen(~legible)
            most = max(longest, min(2 * longest, ENLARGED)) if len(smaller.sizes) else longest
            if side >= most or (len(kept.sizes) and not len(smaller.sizes)):
                break
            side = min(2 * side, most)
        kept = kept.joined(smaller)
        glyphs = self._second_looks(pixels, kept) if len(kept.sizes) <= MAXIMUM_FINDS else []
        return replace(
            seen,
            glyphs=[glyph for glyph in glyphs if glyph],
            missed=missed_ink(votes, kept, scale),
            # A digit that is cut off may have its middle outside.
            middles=np.clip(kept.middles, 0, np.array(seen.size, np.float32)),
            reaches=REACH * kept.sizes,
        )

    def as_one(self, pixels: Pixels, box: Box) -> Glyph | None:
        """All ink in a box, x0, y0, x1, y1 in pixels (H, W, 3), as that of one digit.

        One look at a part of the picture takes a fifth of the time of `find`.
        """
        view = _view(pixels, np.array(box, np.float32), 0.0)
        inks, raw = self.look(view.pixels[None])
        seen = votes_of(inks[0], raw[0])
        return _glyph(inks[0], seen, np.ones(len(seen.sizes), bool), view)

    def certainty(self, surely: float) -> float:
        """The probability that a glyph with this `surely` is one whole digit: a fitted logistic."""
        odds = np.log(max(surely, 1e-4) / max(1 - surely, 1e-4))
        return float(1 / (1 + np.exp(-self._slope * odds - self._offset)))

    def look(self, pixels: Pixels) -> tuple[Floats, Floats]:
        """What the network makes of pixels (N, H, W, 3).

        The ink (N, H/2, W/2), 0 to 1, and the votes (N, 3, H/4, W/4): x and y offset, and size,
        in pixels; sides that are no multiples of 32 are filled up.
        """
        high, wide = pixels.shape[1:3]
        below, right = -high % STRIDE, -wide % STRIDE
        if below or right:
            pixels = np.pad(pixels, ((0, 0), (0, below), (0, right), (0, 0)), "edge")
        ink, votes = self._session.run(None, {"pixels": pixels.transpose(0, 3, 1, 2)})
        ink[:, (high + 1) // 2 :] = 0
        ink[:, :, (wide + 1) // 2 :] = 0
        return ink, votes

    def _second_looks(self, pixels: Pixels, groups: Groups) -> list[Glyph | None]:
        """The digits of a first look, each looked at alone; None where hardly any ink is left."""
        views = [_view(pixels, *group) for group in zip(groups.boxes, groups.sizes, strict=True)]
        glyphs: list[Glyph | None] = []
        for start in range(0, len(views), 32):
            part = views[start : start + 32]
            inks, votes = self.look(np.stack([view.pixels for view in part]))
            for place, view in enumerate(part):
                seen = votes_of(inks[place], votes[place])
                own = _own(seen, view, groups, start + place)
                glyphs.append(_glyph(inks[place], seen, own, view))
        return glyphs


def turned_back(points: NDArray[Any], turns: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Points (N, 2), x and y, of a picture (H, W) that was turned, in the picture as it was.

    Args:
        turns: by how many quarters against the clock it was turned, 1 to 3.
    """
    high, wide = shape[:2]
    x, y = points.T
    sides = {1: (wide - y, x), 2: (wide - x, high - y), 3: (y, high - x)}[turns]
    return np.stack(sides, axis=1)


def resized(pixels: Pixels, scale: float) -> Pixels:
    """Pixels (h, w, 3) reduced or enlarged."""
    size = tuple(max(8, round(side * scale)) for side in pixels.shape[1::-1])
    if scale >= 1:
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    planes = cv2.split(pixels)
    if np.array_equal(planes[0], planes[1]) and np.array_equal(planes[0], planes[2]):
        # One plane of a grey picture takes half the time of three, with the same result.
        small = cv2.resize(planes[0], size, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.merge([small] * 3), np.uint8)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _seen(shape: tuple[int, ...], looked: tuple[int, ...], ink: Floats, votes: Votes) -> Found:
    """What a first look sees, before its digits are told apart.

    Args:
        shape: (H, W) of the picture.
        looked: of the picture as it was looked at.
    """
    size = shape[1], shape[0]
    factors = np.array([shape[1] / looked[1], shape[0] / looked[0]], np.float32)
    places = np.column_stack([votes.columns, votes.rows]).astype(np.float32) * QUARTER + 2
    # The network's input was filled up, which is no part of the picture.
    ink = ink[: (looked[0] + 1) // 2, : (looked[1] + 1) // 2]
    middles, reaches = NO_GROUPS.middles, NO_GROUPS.sizes
    return Found([], 0.0, size, ink, middles, reaches, places * factors, votes.middles * factors)


@dataclass(frozen=True)
class _View:
    """A digit and what is around it, as a second look sees it.

    Attributes:
        pixels: uint8 (128, 128, 3).
        corner: x and y in the picture, where it begins.
        sides: how wide and how high it is there.
        scale: pixels of the view to one of the picture.
    """

    pixels: Pixels
    corner: tuple[int, int]
    sides: tuple[int, int]
    scale: float


def _view(pixels: Pixels, box: NDArray[Any], size: float) -> _View:
    high, wide = pixels.shape[:2]
    x0, y0, x1, y1 = box
    side = AROUND * max(x1 - x0, y1 - y0, 0.8 * size)
    side = int(max(8, min(side, max(high, wide))))
    left = int(min(max((x0 + x1 - side) / 2, 0), max(0, wide - side)))
    top = int(min(max((y0 + y1 - side) / 2, 0), max(0, high - side)))
    part = pixels[top : top + side, left : left + side]
    scale = CLOSER / side
    seen = resized(part, scale)[:CLOSER, :CLOSER]
    below, right = CLOSER - seen.shape[0], CLOSER - seen.shape[1]
    if below or right:
        seen = np.pad(seen, ((0, below), (0, right), (0, 0)), "edge")
    return _View(seen, (left, top), (part.shape[1], part.shape[0]), scale)


def _own(seen: Votes, view: _View, groups: Groups, number: int) -> NDArray[np.bool_]:
    """Which votes of a second look are for the digit of this number, not for its neighbours."""
    middles = seen.middles / np.float32(view.scale) + np.array(view.corner, np.float32)
    away = np.hypot(*(groups.middles - groups.middles[number]).T)
    near = np.flatnonzero(away < 3 * np.maximum(groups.sizes, groups.sizes[number]))
    closest = nearest(middles, groups.middles[near], groups.sizes[near], 1.5 * REACH)
    return adopted(seen, np.where(closest < 0, -1, near[closest])) == number


def _glyph(ink: Floats, seen: Votes, own: NDArray[np.bool_], view: _View) -> Glyph | None:
    """The ink of a second look that is the digit's own; None where there is hardly any."""
    quarter = np.zeros((2, len(ink) // 2, len(ink) // 2), np.uint8)
    quarter[0, seen.rows[own], seen.columns[own]] = 1
    quarter[1, seen.rows[~own], seen.columns[~own]] = 1
    # A stroke fades out beyond the places that vote; but not into a neighbour's.
    mask = cv2.dilate(quarter[0], np.ones((3, 3), np.uint8)) & (1 - quarter[1])
    kept = ink * cv2.resize(mask, ink.shape[::-1], interpolation=cv2.INTER_NEAREST)
    solid = (kept > 0.4).view(np.uint8)
    if cv2.countNonZero(solid) < 6:
        return None
    x0, y0, wide, high = cv2.boundingRect(solid)
    x1, y1 = x0 + wide, y0 + high
    part = kept[y0:y1, x0:x1]
    # Ink may be seen a little beyond the picture, where the view is filled up.
    inside = np.minimum(np.array([x0, y0, x1, y1]) * 2 / view.scale, view.sides * 2)
    if (inside[2:] <= inside[:2]).any():
        return None
    sides = inside + np.tile(view.corner, 2)
    # Not the mean: strokes fade out at their rims, fine ones all over.
    surely = percentile(seen.weights[own], 25)
    return Glyph(np.where(part < 0.15, 0, part), tuple(sides.tolist()), surely)
