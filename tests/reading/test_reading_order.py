"""Digits are put in the order in which they are read."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mnist_digits.reading.reading_order import reading_order

SEEDS = st.integers(0, 10_000)


def check_rows(boxes: NDArray[np.float64], columns: int, random: np.random.Generator) -> None:
    """Boxes that stand row by row are put back so from any order."""
    order = random.permutation(len(boxes))
    read = [order[line].tolist() for line in reading_order(boxes[order])]
    starts = range(0, len(boxes), columns)
    assert read == [list(range(start, start + columns)) for start in starts]


@given(
    rows=st.integers(1, 8),
    columns=st.integers(1, 12),
    slope=st.floats(-0.12, 0.12),
    gap=st.floats(0.8, 2.0),
    seed=SEEDS,
)
def test_a_table_is_read_row_by_row_however_it_slopes(
    rows: int, columns: int, slope: float, gap: float, seed: int
) -> None:
    """Digits 40 high, rows 80 apart, written with an unsteady hand."""
    random = np.random.default_rng(seed)
    row, column = np.divmod(np.arange(rows * columns), columns)
    x = column * 40 * gap + random.uniform(-3, 3, len(row))
    y = row * 80 + slope * x * (columns > 2) + random.uniform(-5, 5, len(row))
    check_rows(np.stack([x, y, x + 25, y + 40], axis=1), columns, random)


@given(
    rows=st.integers(1, 5),
    columns=st.integers(3, 10),
    degrees=st.floats(-45, 45),
    gap=st.floats(0.8, 1.3),
    turned=st.booleans(),
    seed=SEEDS,
)
def test_rows_may_climb_or_fall_by_45_degrees(
    rows: int, columns: int, degrees: float, gap: float, turned: bool, seed: int
) -> None:
    """Of upright digits, or of such that are turned with the row."""
    random = np.random.default_rng(seed)
    row, column = np.divmod(np.arange(rows * columns), columns)
    along = column * 40 * gap + random.uniform(-3, 3, len(row))
    across = row * 80 + random.uniform(-3, 3, len(row))
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    middles = np.stack([along * cosine - across * sine, along * sine + across * cosine], axis=1)
    wide, high = 25.0, 40.0
    if turned:
        wide, high = wide * cosine + high * abs(sine), wide * abs(sine) + high * cosine
    half = np.array([wide, high]) / 2
    check_rows(np.concatenate([middles - half, middles + half], axis=1), columns, random)


def test_rows_of_different_lengths_and_columns_wider_than_rows_are_apart() -> None:
    for places, rows in (
        ([], []),
        ([(0, 0), (40, 2), (80, -2), (2, 90), (300, 92)], [[0, 1, 2], [3, 4]]),
        ([(x, y) for y in (0, 60, 120) for x in (0, 200, 400)], [[0, 1, 2], [3, 4, 5], [6, 7, 8]]),
        ([(0, 0), (60, 50)], [[0], [1]]),
    ):
        boxes = np.array([(x, y, x + 25, y + 40) for x, y in places], float).reshape(-1, 4)
        assert reading_order(boxes) == rows
