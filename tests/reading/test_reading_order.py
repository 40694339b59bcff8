"""Digits are put in the order in which they are read."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mnist_digits.reading.reading_order import reading_order


def test_no_boxes_give_no_rows() -> None:
    assert reading_order(np.empty((0, 4))) == []


@given(
    rows=st.integers(1, 8),
    columns=st.integers(1, 12),
    slope=st.floats(-0.12, 0.12),
    gap=st.floats(0.8, 2.0),
    seed=st.integers(0, 10_000),
)
def test_a_table_is_read_row_by_row_however_it_slopes(
    rows: int, columns: int, slope: float, gap: float, seed: int
) -> None:
    """Digits 40 high in any order, rows 80 apart, written with an unsteady hand."""
    random = np.random.default_rng(seed)
    row, column = np.divmod(np.arange(rows * columns), columns)
    x = column * 40 * gap + random.uniform(-3, 3, len(row))
    y = row * 80 + slope * x * (columns > 2) + random.uniform(-5, 5, len(row))
    boxes = np.stack([x, y, x + 25, y + 40], axis=1)
    order = random.permutation(len(boxes))
    read = reading_order(boxes[order])
    assert [[int(order[place]) for place in line] for line in read] == [
        list(range(start, start + columns)) for start in range(0, len(boxes), columns)
    ]


def test_rows_of_different_lengths() -> None:
    places = [(0, 0), (40, 2), (80, -2), (2, 90), (300, 92)]
    boxes = np.array([[x, y, x + 25, y + 40] for x, y in places], float)
    assert reading_order(boxes) == [[0, 1, 2], [3, 4]]


@given(
    rows=st.integers(1, 5),
    columns=st.integers(3, 10),
    degrees=st.floats(-45, 45),
    gap=st.floats(0.8, 1.3),
    turned=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_rows_may_climb_or_fall_by_45_degrees(
    rows: int, columns: int, degrees: float, gap: float, turned: bool, seed: int
) -> None:
    """Digits 40 high, rows 80 apart, of upright digits or of such that are turned with the row."""
    random = np.random.default_rng(seed)
    row, column = np.divmod(np.arange(rows * columns), columns)
    along = column * 40 * gap + random.uniform(-3, 3, len(row))
    across = row * 80 + random.uniform(-3, 3, len(row))
    angle = np.radians(degrees)
    x = along * np.cos(angle) - across * np.sin(angle)
    y = along * np.sin(angle) + across * np.cos(angle)
    wide, high = 25.0, 40.0
    if turned:
        cosine, sine = np.cos(angle), abs(np.sin(angle))
        wide, high = wide * cosine + high * sine, wide * sine + high * cosine
    boxes = np.stack([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], axis=1)
    order = random.permutation(len(boxes))
    read = reading_order(boxes[order])
    assert [[int(order[place]) for place in line] for line in read] == [
        list(range(start, start + columns)) for start in range(0, len(boxes), columns)
    ]


def test_a_number_that_climbs_steeply_is_one_row() -> None:
    boxes = np.array([[35.0 * n, -35.0 * n, 35.0 * n + 25, 40 - 35.0 * n] for n in range(4)])
    assert reading_order(boxes[[2, 0, 3, 1]]) == [[1, 3, 0, 2]]


def test_columns_wider_than_rows_are_apart() -> None:
    """A table of numbers of one digit, and a digit beside a lower one: rows all the same."""
    table = [(x, y, x + 25, y + 40) for y in (0, 60, 120) for x in (0, 200, 400)]
    assert reading_order(np.array(table, float)) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert reading_order(np.array([(0, 0, 25, 40), (60, 50, 85, 90)], float)) == [[0], [1]]
