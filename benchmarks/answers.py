"""What was answered for a picture, beside the truth: counted and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Answer:
    """What was read in one picture.

    Attributes:
        kind: of the picture.
        truth, text: what it says and what was read, with `/` between rows.
        sure: whether the answer is called sure.
        show: gives the picture, (H, W, 3), for a figure of the mistakes.
    """

    kind: str
    truth: str
    text: str
    sure: bool
    show: Callable[[], Pixels]

    @property
    def right(self) -> bool:
        return self.text == self.truth

    @property
    def surely_wrong(self) -> bool:
        return self.sure and not self.right


def digits(text: str) -> str:
    """The digits of a text, without what stands between rows."""
    return "".join(letter for letter in text if letter in "0123456789")


def distance(one: str, other: str) -> int:
    """The least number of letters to put in, take out or replace to make one of the other."""
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, 1):
        above, row = row, [place]
        for column, their in enumerate(other, 1):
            cost = above[column - 1] + (letter != their)
            row.append(min(cost, above[column] + 1, row[-1] + 1))
    return row[-1]


def digits_right(answers: Iterable[Answer]) -> str:
    """The share of digits that were read right; one too many counts as one wrong."""
    wrong = total = 0
    for answer in answers:
        truth = digits(answer.truth)
        wrong += distance(truth, digits(answer.text))
        total += len(truth)
    return f"{max(0.0, 1 - wrong / total):.2%}" if total else "–"


def share(right: Iterable[bool]) -> str:
    """How many of them, in percent."""
    values = list(right)
    return f"{sum(values) / len(values):.2%}" if values else "–"


def by_kind(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """The answers of each kind, in the order in which the kinds come."""
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        groups.setdefault(answer.kind, []).append(answer)
    return groups


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)
