"""Points, commas and minus signs: found as specks of ink beside digits, named by the look."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from .detection import Detections, Detector

Box = NDArray[np.float32]
# In units of the digits' height: a separator's neighbours are no farther apart; a minus is no
# farther before its number, but as far as MAX_REACH there may be one; how large a speck is, to a
# side; how long a dash is, at least.
MAX_APART, MAX_BEFORE, MAX_REACH, MIN_SIZE, MAX_SIZE, MIN_DASH = 1.2, 1.0, 2.6, 0.06, 0.85, 0.15
# In the same, from the top of a digit: where a dash is beside it; and how far from the digit's box,
# so that a dash that touches the digit is one, but a stroke of the digit is none.
HALFWAY, MARGIN = np.array([0.25, 0.75]), 0.06
# How much a sign differs from the paper, at its darkest, as a share of what ink does: 181 of 186
# on photos by more than 0.9. What is fainter may be dust.
MIN_INK = 0.8
# Probabilities of a sign: from the first on it is one, and from the second on it may be.
SURE, MAY_BE = 0.9, 0.1


@dataclass
class Signs:
    """What stands before digits, by their numbers.

    Attributes:
        written: a point, a comma, an apostrophe, a minus, or a space: a dash that is no minus.
        doubtful: before these digits there may be a sign that is not written.
    """

    written: dict[int, str] = field(default_factory=dict)
    doubtful: set[int] = field(default_factory=set)


def find_signs(
    detector: Detector, pixels: NDArray[np.uint8], found: Detections, rows: list[list[int]]
) -> Signs:
    """The signs between the digits of rows and before them, in pixels (H, W, 3).

    Args:
        rows: the numbers, in `found`, of the digits of each row from the left.
    """
    signs, grey = Signs(), cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    specks: dict[int, tuple[Box, bool, Box | None]] = {}
    for row in rows:
        for former, number in zip([None, *row], row, strict=False):
            before = None if former is None else found.boxes[former]
            speck = _speck(grey, before, found.boxes[number])
            if speck:
                specks[number] = (*speck, before)
    if not specks:
        return signs
    boxes = np.stack([box for box, _, _ in specks.values()])
    middles, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, found.places[[*specks], 2:]
    answers = detector.signs(pixels, np.concatenate([middles, sizes], axis=1).astype(np.float32))
    for number, (separator, minus) in zip(specks, answers.tolist(), strict=True):
        box, dark, before = specks[number]
        sign, between = _sign(box, before, found.boxes[number])
        if sign and dark and (minus if sign in "- " else separator) >= SURE:
            signs.written[number] = sign
        elif sign or max(minus, between * separator) >= MAY_BE:
            signs.doubtful.add(number)
    return signs


def _sign(speck: Box, former: Box | None, digit: Box) -> tuple[str, bool]:
    """The sign that may be where a speck is, of its size; whether one may be between two digits."""
    height = digit[3] - digit[1]
    (wide, high), (top, base) = (
        (speck[2:] - speck[:2]) / height,
        (speck[[1, 3]] - digit[1]) / height,
    )
    before, after = np.inf, digit[0] - speck[2]
    if former is not None:
        before = speck[0] - former[2]
    # Before the first digit of a row only the way to that counts.
    apart = after + wide * height + (before if former is not None else 0)
    between = bool(apart < MAX_APART * height)
    if HALFWAY[0] < (top + base) / 2 < HALFWAY[1] and wide > 1.5 * high:
        if after > MAX_BEFORE * height:
            return "", between
        # A dash in the middle between two digits is no minus: 24-12.
        return ("-" if before > 1.5 * after + 0.1 * height else " "), between
    if not between or max(wide, high) > 0.6:
        return "", between
    if 0.7 < (top + base) / 2 < 1.3:
        # A comma is a stroke, a point as wide as high.
        return ("," if high > max(1.5 * wide, 0.15) or high > 0.25 else "."), True
    return ("'" if base < 0.5 and former is not None else ""), True


def _speck(grey: NDArray[np.uint8], former: Box | None, digit: Box) -> tuple[Box, bool] | None:
    """The box of a dash between two digits or before one, else of the largest speck; or None.

    With it, whether it is as dark as ink.

    A speck touches no digit, and no edge of where it is looked for; a dash may touch digits.
    """
    height = digit[3] - digit[1]
    left = start = digit[0] - MAX_REACH * height
    if former is not None:
        left, start = max((former[0] + former[2]) / 2, left), former[2] + MARGIN * height
    top, bottom = digit[1] - 0.2 * height, digit[3] + 0.4 * height
    corner = np.array([left, top]).clip(0).astype(int)
    x1, y1 = np.array([digit[[0, 2]].mean(), bottom]).clip(0).astype(int)
    part = grey[corner[1] : y1, corner[0] : x1]
    if min(part.shape) < 3:
        return None
    _, ink = cv2.threshold(part, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    if 2 * cv2.countNonZero(ink) > ink.size:
        ink = cv2.bitwise_not(ink)
    specks = _pieces(ink)
    wide, high = specks[:, 2:4].T
    largest, least = MAX_SIZE * height, max(MIN_SIZE * height, 2)
    specks = specks[(np.maximum(wide, 1.3 * high) < largest) & (np.maximum(wide, high) >= least)]
    ends = np.array([start, digit[0] - MARGIN * height]) - corner[0]
    halfway = digit[1] + HALFWAY * height - corner[1]
    (x0, x1), (y0, y1) = (pair.clip(0).astype(int) for pair in (ends, halfway))
    dashes = _pieces(ink[y0:y1, x0:x1], left=former is None, right=False)
    wide, high = dashes[:, 2:4].T
    dashes = dashes[(wide > 1.5 * high) & (wide > MIN_DASH * height)]
    dashes[:, :2] += [x0, y0]
    found = dashes if len(dashes) else specks
    if not len(found):
        return None
    x0, y0, wide, high, _ = found[found[:, 4].argmax()]
    paper = cv2.mean(part, cv2.bitwise_not(ink))[0]
    contrast = (part[y0 : y0 + high, x0 : x0 + wide] - paper) / (cv2.mean(part, ink)[0] - paper)
    box = np.array([x0, y0, x0 + wide, y0 + high]) + np.concatenate([corner, corner])
    return box.astype(np.float32), bool(contrast.max() > MIN_INK)


def _pieces(ink: NDArray[np.uint8], left: bool = True, right: bool = True) -> NDArray[np.int32]:
    """The pieces of ink, x, y, width, height and area of each, (N, 5); none that touches an edge.

    Args:
        left, right: whether that holds for these edges, too.
    """
    if not ink.size:
        return np.empty((0, 5), np.int32)
    table = cv2.connectedComponentsWithStats(ink)[2][1:]
    x, y, wide, high, _ = table.T
    inside = (y > 0) & (y + high < ink.shape[0])
    inside &= (x > 0) | (not left)
    inside &= (x + wide < ink.shape[1]) | (not right)
    return np.asarray(table[inside], np.int32)
