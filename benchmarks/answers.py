"""Answers compared with the truth: counts, shares, edit distance and Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mnist_digits.reading.labelled import digits_of

Pixels = NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What was read in one picture.

    Attributes:
        kind: the kind of picture.
        truth, text: its digits, and those that were read, with `/` between rows. Signs, and
            spaces between the numbers of a row, do not count.
        sure: whether the reader is sure of the answer.
        show: returns the picture, (H, W, 3), for a figure of the mistakes.
    """

    kind: str
    truth: str
    text: str
    sure: bool
    show: Callable[[], Pixels]

    @property
    def right(self) -> bool:
        return digits_of(self.text) == digits_of(self.truth)

    @property
    def surely_wrong(self) -> bool:
        return self.sure and not self.right


def digits(text: str) -> str:
    """The digits of a text, without the `/` between rows and the spaces between numbers."""
    return "".join(letter for letter in text if letter in "0123456789")


def distance(one: str, other: str) -> int:
    """Edit distance (Levenshtein): the fewest letters to insert, delete or replace."""
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one, 1):
        above, row = row, [index]
        for column, their in enumerate(other, 1):
            cost = above[column - 1] + (letter != their)
            row.append(min(cost, above[column] + 1, row[-1] + 1))
    return row[-1]


def digits_right(answers: Iterable[Answer]) -> str:
    """The share of digits read right; a digit too many counts as one wrong."""
    wrong = total = 0
    for answer in answers:
        truth = digits(answer.truth)
        wrong += distance(truth, digits(answer.text))
        total += len(truth)
    return f"{max(0.0, 1 - wrong / total):.2%}" if total else "–"


def share(right: Iterable[bool]) -> str:
    """The share that is true, in per cent."""
    values = list(right)
    return f"{sum(values) / len(values):.2%}" if values else "–"


def grouped(values: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    """The values by their keys, in the order in which the keys first appear."""
    groups: dict[str, list[T]] = {}
    for value in values:
        groups.setdefault(key(value), []).append(value)
    return groups


def by_kind(answers: Iterable[Answer]) -> dict[str, list[Answer]]:
    """The answers of each kind, in the order in which the kinds first appear."""
    return grouped(answers, lambda answer: answer.kind)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)
