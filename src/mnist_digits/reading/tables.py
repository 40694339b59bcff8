"""Tables: a photographed grid of numbers as rows of cells.

The picture is turned until its edges, or its rows of digits, run along the axes, and is read. Its
digits are then made straight (`straight`), so that ruled lines can be seen (`rulings`), and parted
into rows and columns (`grid`). Each cell gets the digits that are in it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from .documents import Source, open_picture
from .grid import Grid, crossings, find_grid
from .reader import Pixels, Reader, likely, more_digits
from .reading_order import slope
from .result import Digit, Number, Reading, doubt
from .rulings import straightened
from .straight import CORNERS, lean, moved, turned, warped_boxes

Floats: TypeAlias = NDArray[np.floating]

MAX_CELLS = 1000
# A sheet that leans by more degrees is turned back before it is read.
MAX_LEAN = 6
# If so many digits more are sure than twice those that are not, the sheet lies the right way up: of
# one that does not, up to 4 of 10 are sure.
MIN_UPRIGHT = 8
# Where a smaller share is sure, there is no table, but letters, or something else.
MIN_SURE = 0.25
# The mean confidence of what is read in a row or column at the rim: below, it is one of words.
RIM_CONFIDENCE = 0.8


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
    """A table that was read.

    Attributes:
        cells: by rows, from the left; empty ones, too.
        left_out: what was read at its rim, but seems to be letters.
    """

    cells: list[Cell]
    left_out: list[str] = field(default_factory=list)

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

    @property
    def remarks(self) -> list[str]:
        """A line for each cell in doubt, and one for what was left out."""
        lines = [
            f"row {cell.row + 1}, column {cell.column + 1}: {cell.text or 'empty'} ({cell.why})"
            for cell in self.doubtful
        ]
        return lines + [f"left out as letters: {' '.join(self.left_out)}"] * bool(self.left_out)

    def csv(self, delimiter: str = ",") -> str:
        """The cells as spreadsheets take them, a line for each row."""
        lines = io.StringIO()
        csv.writer(lines, delimiter=delimiter, lineterminator="\n").writerows(self.texts)
        return lines.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """What JSON has: the texts by rows, whether all is sure, and each cell."""
        told = {"rows": self.texts, "sure": not self.doubtful, "left_out": self.left_out}
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
        return replace(self, cells=cells)

    def _adds_up(self, column: int) -> bool:
        cells = [cell for cell in self.cells if cell.column == column]
        values = [cell.number.value for cell in cells if cell.number]
        numbers = [value for value in values if value is not None]
        known = bool(cells[-1].number) and len(numbers) == len(values)
        return known and abs(sum(numbers[:-1]) - numbers[-1]) < 0.005


def read_table(reader: Reader, source: Source) -> Table:
    """Read the table in a picture: a path, bytes, a PIL image or an array.

    The sheet may be turned by any angle, and be seen from aside.

    Raises:
        PictureError: it cannot be opened, or there is no table in it.
    """
    picture = open_picture(source)
    return _table(_page(reader, picture.pixels), picture.reduction)


@dataclass(frozen=True)
class _Page:
    """A picture turned against the clock, and its reading, in pixels of the page.

    Attributes:
        matrix: of the picture to the page.
    """

    degrees: float
    matrix: Floats
    pixels: Pixels
    reading: Reading

    @property
    def sure(self) -> int:
        return sum(digit.sure for digit in self.reading.digits)

    @property
    def boxes(self) -> Floats:
        """Of all that was looked at, the digits first."""
        return self.reading.seen.boxes if self.reading.seen else np.empty((0, 4))


def _page(reader: Reader, pixels: Pixels) -> _Page:
    """The picture turned so that its rows run to the right, the way up in which most is sure."""

    def upright(lean: float) -> _Page:
        ways: list[_Page] = []
        for degrees in range(0, 360, 90):
            page, matrix = turned(pixels, lean + degrees)
            ways.append(_Page(lean + degrees, matrix, page, reader.read_as_it_lies(page)))
            if 3 * ways[-1].sure >= 2 * len(ways[-1].reading.digits) + MIN_UPRIGHT:
                break
        return max(ways, key=lambda way: way.sure)

    degrees = lean(pixels)
    page = upright(degrees if abs(degrees) > MAX_LEAN else 0.0)
    fall = float(np.rad2deg(np.arctan(slope(page.boxes[: len(page.reading.digits)]))))
    if abs(fall) > MAX_LEAN:
        page = max(page, upright(page.degrees + fall), key=lambda way: way.sure)
    return page


def _table(page: _Page, reduction: tuple[float, float]) -> Table:
    """The table of a page, with places in pixels of the picture before it was reduced."""
    reading, count, found = page.reading, len(page.reading.digits), ""
    if len(reading.numbers) < 2:
        found = f"found only {reading.text}" if count else reading.missing or "found no digits"
    elif page.sure < max(MIN_SURE * count, 1):
        found = f"of {count} places read as digits {page.sure or 'none'} are sure"
    if reading.seen is None or found:
        raise PictureError(f"there is no table in the picture: {found}")
    matrix, boxes, grid, kept = _laid_out(page)
    if (len(grid.rows) - 1) * (len(grid.columns) - 1) > MAX_CELLS:
        raise PictureError(f"the table has more than {MAX_CELLS:,} cells: photograph parts of it")

    def displayed(box: Floats, matrix: Floats) -> Floats:
        return moved(box[CORNERS].reshape(-1, 2), np.linalg.inv(matrix)) * reduction

    def shown(digit: Digit) -> Digit:
        x, y = displayed(np.array(digit.box), page.matrix).round().astype(int).T.tolist()
        return replace(digit, box=(min(x), min(y), max(x), max(y)))

    shown_digits, number_of = reading.changed(shown).digits, _number_of_each(reading)
    digits, numbers = reading.digits, reading.numbers
    signs = [sign for number in reading.numbers for sign in number.signs]
    likely_digits = count + np.flatnonzero(likely(reading.seen, count))
    down, across = crossings(grid.columns, boxes), crossings(grid.rows, boxes[:, [1, 0, 3, 2]])
    crossed = np.asarray(down.any(axis=0) | across.any(axis=0))
    (row, column), cells = grid.places(boxes), []
    for r, c in np.ndindex(len(grid.rows) - 1, len(grid.columns) - 1):
        inside = np.flatnonzero((row == r) & (column == c))
        inside = inside[boxes[inside, 0].argsort()]
        found_here = inside[inside < count]
        mine = found_here[kept[found_here]].tolist()
        of = [numbers[n] for n in np.unique(number_of[mine])]
        why = _why([digits[n] for n in mine], of, bool(np.isin(likely_digits, inside).any()))
        if crossed[mine].any():
            why = why or "a digit lies on a line"
        if len(mine) < len(found_here):
            why = why or "something was left out as letters"
        if mine and not grid.sure:
            why = why or "the columns may be others"
        box = np.array([grid.columns[c], grid.rows[r], grid.columns[c + 1], grid.rows[r + 1]])
        corners = displayed(box, matrix @ page.matrix)
        written = [signs[n] for n in mine]
        number = _number([shown_digits[n] for n in mine], written, of) if mine else None
        cells.append(Cell(r, c, number, corners, why))
    left_out = [np.flatnonzero(~kept & (number_of == n)) for n in np.unique(number_of[~kept])]
    return Table(cells, ["".join(str(shown_digits[n].digit) for n in part) for part in left_out])


def _laid_out(page: _Page) -> tuple[Floats, Floats, Grid, NDArray[np.bool_]]:
    """The matrix that makes a page straight, its boxes there, its cells, and which digits count.

    Those of rows and columns at the rim that are of letters do not.
    """
    digits, number_of = page.reading.digits, _number_of_each(page.reading)
    sure = np.array([digit.sure for digit in digits])
    confidence = np.array([digit.confidence for digit in digits])
    kept, grey = np.ones(len(digits), bool), cv2.cvtColor(page.pixels, cv2.COLOR_RGB2GRAY)
    while True:
        matrix, rulings = straightened(grey, page.boxes[: len(digits)][kept])
        boxes = warped_boxes(page.boxes, matrix)
        mine = boxes[: len(digits)][kept]
        grid = find_grid(mine, number_of[kept], sure[kept], rulings)
        rims = [
            kept & (places == end)
            for places in grid.places(boxes[: len(digits)])
            for end in (places[kept].min(), places[kept].max())
        ]
        # One at a time: letters above a column of digits do not speak against it.
        worst = min(rims, key=lambda rim: float(confidence[rim].mean()))
        if confidence[worst].mean() >= RIM_CONFIDENCE or not (sure & kept & ~worst).any():
            return matrix, boxes, grid, kept
        kept = kept & ~worst


def _number_of_each(reading: Reading) -> NDArray[np.int64]:
    """To which number each digit belongs."""
    lengths = [len(number.digits) for number in reading.numbers]
    return np.repeat(np.arange(len(lengths)), lengths)


def _number(digits: list[Digit], signs: list[str], of: list[Number]) -> Number:
    """Digits as one number, with the signs before each; they were read as parts of numbers."""
    # A minus is of a number only at its beginning, and another sign only inside of it.
    written = [signs[0].strip(".,'"), *(sign.strip("-") for sign in signs[1:])]
    return Number(digits, written, all(number.signs_sure for number in of))


def _why(digits: list[Digit], of: list[Number], may_be_more: bool) -> str:
    """What speaks against a cell with digits that were read as parts of numbers."""
    doubtful = [digit for digit in digits if not digit.sure]
    if doubtful:
        return doubt(min(doubtful, key=lambda digit: digit.confidence))
    if not all(number.signs_sure for number in of):
        return "there may be a point, a comma or a minus"
    if may_be_more:
        return more_digits(len(digits))
    return "there may be two numbers" if len(of) > 1 else ""
