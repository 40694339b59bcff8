"""Points, commas and minus signs: found as specks of ink beside digits, named by the look."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from .detection import Detections, Detector

Box = NDArray[np.float32]
# In units of the digits' height. Digits that are farther apart have no separator between them; a
# minus is not farther before its number; specks are no larger, to a side, and no smaller.
APART, BEFORE, LARGEST, SMALLEST = 1.2, 1.0, 0.85, 0.06
# Probabilities of a sign: above the first it is one, between the others it is in doubt.
IS_SIGN, MAY_BE, SURELY = 0.5, 0.1, 0.9


@dataclass
class Signs:
    """What stands before digits, by their numbers.

    Attributes:
        written: a point, a comma, an apostrophe, a minus, or a space: a dash that is no minus.
        doubtful: before these digits there may be another sign, or none.
    """

    written: dict[int, str] = field(default_factory=dict)
    doubtful: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class _Speck:
    """Ink before a digit, with the digit before it, if there is one."""

    box: Box
    digit: Box
    former: Box | None

    def written(self, separator: float, minus: float) -> str:
        """What it is, by the probabilities of the look."""
        if max(separator, minus) < IS_SIGN:
            return ""
        height = self.digit[3] - self.digit[1]
        if minus > separator:
            before = self.box[0] - self.former[2] if self.former is not None else np.inf
            # A dash in the middle between two digits is none: 24-12.
            return "-" if before > 1.5 * (self.digit[0] - self.box[2]) + 0.1 * height else " "
        if self.former is None or self.digit[0] - self.former[2] > APART * height:
            return ""
        if self.box[[1, 3]].mean() < self.digit[[1, 3]].mean():
            return "'"
        wide, high = self.box[2:] - self.box[:2]
        # A comma is a stroke, a point as wide as high.
        return "," if high > max(1.5 * wide, 0.15 * height) or high > 0.25 * height else "."


def find_signs(
    detector: Detector, pixels: NDArray[np.uint8], found: Detections, rows: list[list[int]]
) -> Signs:
    """The signs between the digits of rows and before them, in pixels (H, W, 3).

    Args:
        rows: the numbers, in `found`, of the digits of each row from the left.
    """
    signs, grey = Signs(), cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    specks: dict[int, _Speck] = {}
    for row in rows:
        for former, number in pairwise([None, *row]):
            assert number is not None
            before = None if former is None else found.boxes[former]
            box = _speck(grey, before, found.boxes[number])
            if box is not None:
                specks[number] = _Speck(box, found.boxes[number], before)
    if not specks:
        return signs
    boxes = np.stack([speck.box for speck in specks.values()])
    middles, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, found.places[[*specks], 2:]
    answers = detector.signs(pixels, np.concatenate([middles, sizes], axis=1).astype(np.float32))
    for (number, speck), (separator, minus) in zip(specks.items(), answers.tolist(), strict=True):
        signs.written[number] = speck.written(separator, minus)
        if MAY_BE < max(separator, minus) < SURELY:
            signs.doubtful.add(number)
    return signs


def _speck(grey: NDArray[np.uint8], former: Box | None, digit: Box) -> Box | None:
    """The box of the largest speck of ink between two digits, or before one; None if there is none.

    What touches a digit, or the edges of where it is looked for, is no speck.
    """
    height = digit[3] - digit[1]
    left = digit[0] - BEFORE * height
    if former is not None:
        left = max((former[0] + former[2]) / 2, left - height)
    top, bottom = digit[1] - 0.2 * height, digit[3] + 0.4 * height
    corner = np.array([left, top]).clip(0).astype(int)
    x1, y1 = np.array([digit[[0, 2]].mean(), bottom]).clip(0).astype(int)
    part = grey[corner[1] : y1, corner[0] : x1]
    if min(part.shape) < 3:
        return None
    _, ink = cv2.threshold(part, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    if 2 * cv2.countNonZero(ink) > ink.size:
        ink = cv2.bitwise_not(ink)
    _, _, table, _ = cv2.connectedComponentsWithStats(ink)
    table = table[1:]
    x0, y0, wide, high = table[:, :4].T
    inside = (x0 > 0) & (y0 > 0) & (x0 + wide < part.shape[1]) & (y0 + high < part.shape[0])
    largest, least = LARGEST * height, max(SMALLEST * height, 2)
    small = (np.maximum(wide, 1.3 * high) < largest) & (np.maximum(wide, high) >= least)
    table = table[inside & small]
    if not len(table):
        return None
    x0, y0, wide, high, _ = table[table[:, 4].argmax()] + [*corner, 0, 0, 0]
    return np.array([x0, y0, x0 + wide, y0 + high], np.float32)
