"""Tables: a photographed grid of numbers as rows of cells.

The picture is turned until its lines, or its rows of digits, run along the axes, and is read. The
places of digits and lines are then made straight (`straight`), parted into rows and columns
(`grid`), and each cell gets the digits that are in it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from .detection import Detections, Move
from .documents import Source, open_picture
from .grid import grid
from .reader import Pixels, Reader, likely
from .reading_order import slope
from .result import Box, Digit, Number, Reading, doubt
from .straight import direction, homography, moved, segments, turned

Floats: TypeAlias = NDArray[np.floating]

# A sheet that is turned by more degrees is turned back before it is read.
LEANING = 6
MAX_CELLS = 1000
# The corners of a box, from the left upper one, clockwise.
CORNERS = [0, 1, 2, 1, 2, 3, 0, 3]
# If this share of the digits is sure, the sheet lies the right way up; else so many digits tell.
# Of tables that lie on their side, up to half of the digits may be sure.
CLEAR, SAMPLE = 0.65, 24
# Of a row of letters, fewer of what is read as digits are sure, and they are less confident.
FEW_SURE, VAGUE = 0.4, 0.8


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        row, column: counted from 0.
        number: what is written in it; None if it is empty.
        corners: float64 (4, 2), x and y in pixels of the picture as displayed: of its left upper
            corner as it is read, then clockwise.
        why: what speaks against it, in a few words; empty if nothing does.
    """

    row: int
    column: int
    number: Number | None
    corners: Floats
    why: str = ""

    @property
    def text(self) -> str:
        return self.number.text if self.number else ""

    @property
    def sure(self) -> bool:
        return not self.why

    def to_dict(self) -> dict[str, Any]:
        """What JSON has of it."""
        told: dict[str, Any] = {"row": self.row, "column": self.column, "text": self.text}
        if self.number:
            number = self.number.to_dict()
            told |= {name: number[name] for name in ("value", "confidence", "box")}
        told |= {"sure": self.sure} | ({"why": self.why} if self.why else {})
        return {**told, "corners": self.corners.round().astype(int).tolist()}


@dataclass(frozen=True)
class Table:
    """A table that was read: its cells by rows, from the left; empty ones, too."""

    cells: list[Cell]

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and of columns."""
        last = self.cells[-1]
        return last.row + 1, last.column + 1

    @property
    def texts(self) -> list[list[str]]:
        """The cells as they are written, "" for an empty one, by rows."""
        _, wide = self.shape
        texts = [cell.text for cell in self.cells]
        return [texts[start : start + wide] for start in range(0, len(texts), wide)]

    @property
    def doubtful(self) -> list[Cell]:
        return [cell for cell in self.cells if not cell.sure]

    def csv(self, delimiter: str = ",") -> str:
        """The cells as spreadsheets take them, a line for each row."""
        lines = io.StringIO()
        csv.writer(lines, delimiter=delimiter, lineterminator="\n").writerows(self.texts)
        return lines.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """What JSON has: the texts by rows, whether all is sure, and each cell."""
        told = {"rows": self.texts, "sure": not self.doubtful}
        return {**told, "cells": [cell.to_dict() for cell in self.cells]}

    def checked(
        self, totals: Collection[int] = (), within: tuple[float, float] | None = None
    ) -> Table:
        """The table with cells in doubt that contradict what is known of it.

        Args:
            totals: columns, counted from 0, whose last row is the sum of the others.
            within: the least and the largest value of a cell, but for those sums.

        Raises:
            PictureError: there is no such column.
        """
        high, wide = self.shape
        if not all(0 <= column < wide for column in totals):
            raise PictureError(f"the table has {wide} columns, not {max(totals) + 1}")
        off = {column for column in totals if not self._adds_up(column)}
        cells = []
        for cell in self.cells:
            why = cell.why
            if cell.column in off and (cell.number or cell.row == high - 1):
                why = why or f"column {cell.column + 1} does not add up"
            is_total = cell.column in totals and cell.row == high - 1
            if within and cell.number and not is_total:
                value = cell.number.value
                if value is None or not within[0] <= value <= within[1]:
                    why = f"{cell.text} is not within {within[0]:g} to {within[1]:g}"
            cells.append(replace(cell, why=why))
        return Table(cells)

    def _adds_up(self, column: int) -> bool:
        *parts, total = [cell.number for cell in self.cells if cell.column == column]
        values = [part.value for part in parts if part]
        if total is None or total.value is None or None in values:
            return False
        return abs(sum(value for value in values if value is not None) - total.value) < 0.005


def read_table(reader: Reader, source: Source) -> Table:
    """Read the table in a picture: a path, bytes, a PIL image or an array.

    The sheet may be turned by any angle, and be seen from aside.

    Raises:
        PictureError: it cannot be opened, or there is no table in it.
    """
    picture = open_picture(source)
    return _table(_Page(picture.pixels, reader), picture.reduction)


def _table(page: _Page, reduction: tuple[float, float]) -> Table:
    """The table of a page, with places in pixels of the picture before it was reduced."""
    reading, seen = page.reading, page.reading.seen
    count = len(reading.digits)
    if seen is None or len(reading.numbers) < 2:
        found = f"only {reading.text}" if count else reading.missing or "no digits"
        raise PictureError(f"there is no table in the picture: found {found}")
    matrix, boxes, across, down, kept = _laid_out(page)
    if (len(across) - 1) * (len(down) - 1) > MAX_CELLS:
        raise PictureError(f"the table has more than {MAX_CELLS:,} cells: photograph parts of it")
    back = np.linalg.inv(matrix)

    def displayed(points: Floats) -> Floats:
        return page.back(points) * reduction

    return Table(
        [
            replace(
                cell,
                corners=displayed(moved(cell.corners, back)),
                number=_displayed(cell.number, displayed),
            )
            for cell in _filled(reading, seen, boxes, (across, down), kept)
        ]
    )


def _laid_out(page: _Page) -> tuple[Floats, Floats, Floats, Floats, NDArray[np.bool_]]:
    """The matrix that makes a page straight; its boxes there; and the edges of the table.

    The last are the columns' edges, the rows', and which of the digits are of the table: what is
    read in rows and columns of letters at its rim is not.
    """
    assert page.reading.seen is not None
    digits = page.reading.digits
    sure = np.array([digit.sure for digit in digits])
    confidence = np.array([digit.confidence for digit in digits])
    kept = np.ones(len(digits), bool)
    while True:
        found = page.reading.seen.boxes[: len(digits)][kept]
        matrix = homography(found, page.lines)
        boxes = _straight_boxes(page.reading.seen.boxes, matrix)
        lines = moved(page.lines.reshape(-1, 2), matrix).reshape(-1, 4)
        across, down = grid(boxes[: len(digits)][kept], lines)
        places = (boxes[: len(digits), :2] + boxes[: len(digits), 2:]) / 2
        rims = [
            kept & (slots == end)
            for slots in (
                np.searchsorted(across, places[:, 0]),
                np.searchsorted(down, places[:, 1]),
            )
            for end in (slots[kept].min(), slots[kept].max())
        ]
        # One at a time: letters above a column of digits do not speak against it.
        worst = min(rims, key=lambda rim: float(confidence[rim].mean()))
        clear = sure[worst].mean() >= FEW_SURE or confidence[worst].mean() >= VAGUE
        if clear or not (sure & kept & ~worst).any():
            return matrix, boxes, across, down, kept
        kept &= ~worst


class _Page:
    """A picture turned so that it can be read.

    Attributes:
        reading: in pixels of the page.
        lines: segments (N, 4), in pixels of the page.
    """

    def __init__(self, pixels: Pixels, reader: Reader) -> None:
        lines = segments(pixels)
        angle = direction(lines)
        self._turn(pixels, reader, angle if abs(angle) > LEANING else 0.0)
        if self.reading.seen is not None:
            fall = slope(self.reading.seen.boxes[: len(self.reading.digits)])
            if abs(np.rad2deg(np.arctan(fall))) > LEANING:
                self._turn(pixels, reader, self.angle + float(np.rad2deg(np.arctan(fall))))
            turns = self._turns(reader)
            if turns:
                self._turn(pixels, reader, self.angle + 90 * turns)
        self.lines = moved(lines.reshape(-1, 2), self._matrix).reshape(-1, 4)

    def _turn(self, pixels: Pixels, reader: Reader, angle: float) -> None:
        """Turn the picture by degrees against the clock, and read it."""
        self.angle = angle
        self._page, self._matrix = turned(pixels, angle)
        self.reading = reader.read_as_it_lies(self._page)

    def _turns(self, reader: Reader) -> int:
        """The quarter turns after which a part of the page is clearer, if most is not sure."""
        digits, seen = self.reading.digits, self.reading.seen
        assert seen is not None
        if sum(digit.sure for digit in digits) >= CLEAR * len(digits) > 0:
            return 0
        if len(digits) < SAMPLE:
            return reader.read_way_up(self._page, enough=1).turns
        x, y, size = np.median(seen.places, axis=0)
        nearest = np.hypot(*(seen.places[:, :2] - [x, y]).T).argsort()[:SAMPLE]
        around = seen.boxes[nearest]
        low, high = around[:, :2].min(axis=0) - size, around[:, 2:].max(axis=0) + size
        (x0, y0), (x1, y1) = low.clip(0).astype(int), high.astype(int)
        part = np.ascontiguousarray(self._page[y0:y1, x0:x1])
        return reader.read_way_up(part, enough=1).turns

    def back(self, points: Floats) -> Floats:
        """Points (N, 2) of the page in the picture."""
        return moved(points, np.linalg.inv(self._matrix))


def _straight_boxes(boxes: Floats, matrix: Floats) -> Floats:
    """Boxes (N, 4) of the same sides about the middles that `matrix` moves."""
    corners = boxes[:, CORNERS].reshape(-1, 2)
    x, y = moved(corners, matrix).reshape(-1, 4, 2).transpose(2, 0, 1)
    sides = [x[:, [0, 3]], y[:, :2], x[:, 1:3], y[:, 2:]]
    return np.stack([side.mean(axis=1) for side in sides], axis=1)


def _filled(
    reading: Reading,
    seen: Detections,
    boxes: Floats,
    edges: tuple[Floats, Floats],
    kept: NDArray[np.bool_],
) -> list[Cell]:
    """The cells between edges, with those of the digits in them that are kept; lying straight."""
    across, down = edges
    signs = [sign for number in reading.numbers for sign in number.signs]
    sure = [number.signs_sure for number in reading.numbers for _ in number.digits]
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    column = np.searchsorted(across, middles[:, 0]) - 1
    row = np.searchsorted(down, middles[:, 1]) - 1
    count, digits = len(reading.digits), reading.digits
    doubts = np.flatnonzero(likely(seen, count)) + count
    cells = []
    for r in range(len(down) - 1):
        for c in range(len(across) - 1):
            inside = np.flatnonzero((row == r) & (column == c))
            mine = inside[inside < count]
            mine = mine[kept[mine]]
            mine = mine[middles[mine, 0].argsort()].tolist()
            number = _number([digits[n] for n in mine], [signs[n] for n in mine])
            why = ""
            if number and not number.sure:
                why = doubt(min(number.digits, key=lambda digit: digit.confidence))
            elif not all(sure[n] for n in mine[1:]):
                why = "there may be a point or a comma"
            if not why and np.isin(inside, doubts).any():
                why = "there may be another digit" if number else "there may be a digit"
            box = np.array([across[c], down[r], across[c + 1], down[r + 1]])
            corners = box[CORNERS].reshape(-1, 2)
            cells.append(Cell(r, c, number, corners, why))
    return cells


def _number(digits: list[Digit], signs: list[str]) -> Number | None:
    if not digits:
        return None
    signs = [sign if place == 0 or sign != "-" else "" for place, sign in enumerate(signs)]
    return Number(digits, [signs[0].strip(".,'"), *signs[1:]])


def _displayed(number: Number | None, move: Move) -> Number | None:
    """The number with its digits' boxes where `move` moves them."""
    if number is None:
        return None

    def back(box: Box) -> Box:
        points = move(np.array(box)[CORNERS].reshape(-1, 2)).round().astype(int)
        (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        return x0, y0, x1, y1

    return replace(number, digits=[replace(d, box=back(d.box)) for d in number.digits])
