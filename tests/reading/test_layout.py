"""Digits are put in the order in which they are read."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mnist_digits.reading.layout import in_rows


def test_nothing_has_no_rows() -> None:
    assert in_rows(np.empty((0, 4))) == []


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
    read = in_rows(boxes[order])
    assert [[int(order[place]) for place in line] for line in read] == [
        list(range(start, start + columns)) for start in range(0, len(boxes), columns)
    ]


def test_rows_of_different_lengths() -> None:
    places = [(0, 0), (40, 2), (80, -2), (2, 90), (300, 92)]
    boxes = np.array([[x, y, x + 25, y + 40] for x, y in places], float)
    assert in_rows(boxes) == [[0, 1, 2], [3, 4]]
