"""What was read in a picture: rows of numbers, and their digits; in words, and in JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import percentage
from .detection import Detections, moved_boxes

# x0, y0, x1, y1; the latter are just outside.
Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class Digit:
    """A digit that was read.

    Attributes:
        confidence: the probability that it is right.
        probabilities: float32 (10,), summing to 1.
        box: x0, y0, x1, y1 in pixels of the picture as displayed; x1, y1 are just outside.
        frame: uint8 (28, 28), what the network saw.
        sure: whether the answer can be relied on (`can_be_sure`).
    """

    digit: int
    confidence: float
    probabilities: NDArray[np.float32]
    box: Box
    frame: NDArray[np.uint8]
    sure: bool

    def to_dict(self) -> dict[str, Any]:
        """What JSON has of it."""
        fields = {"digit": self.digit, "confidence": round(self.confidence, 4)}
        return {**fields, "box": list(self.box)}


@dataclass(frozen=True)
class Number:
    """Digits that stand close on a line, with the signs before them.

    Attributes:
        digits: from the left; at least one.
        signs: what is written before each digit: a point, a comma, an apostrophe, a minus (only
            before the first digit), or nothing.
        signs_sure: whether all signs can be relied on, and none seems to be missing.
    """

    digits: list[Digit]
    signs: list[str]
    signs_sure: bool = True

    @property
    def text(self) -> str:
        """As written: `-7`, `3,4`, `1.234,50`."""
        pairs = zip(self.signs, self.digits, strict=True)
        return "".join(f"{sign}{digit.digit}" for sign, digit in pairs)

    @property
    def value(self) -> float | None:
        """What it is worth; None if that cannot be said, as of `1.234` or `24.12.26`."""
        return value_of(self.text)

    @property
    def box(self) -> Box:
        """Around its digits."""
        boxes = np.array([digit.box for digit in self.digits])
        (x0, y0), (x1, y1) = boxes[:, :2].min(axis=0).tolist(), boxes[:, 2:].max(axis=0).tolist()
        return x0, y0, x1, y1

    @property
    def confidence(self) -> float:
        """The probability that all its digits are right."""
        return float(np.prod([digit.confidence for digit in self.digits]))

    @property
    def sure(self) -> bool:
        return self.signs_sure and all(digit.sure for digit in self.digits)

    def to_dict(self) -> dict[str, Any]:
        """What JSON has of it."""
        fields = {"text": self.text, "value": self.value, "confidence": round(self.confidence, 4)}
        return {**fields, "sure": self.sure, "box": list(self.box)}


@dataclass(frozen=True)
class Reading:
    """What was read in a picture: rows from top to bottom, in each the numbers from the left.

    Attributes:
        missing: what may have been passed over, in words; empty if nothing was.
        seen: all that was looked at, the digits first, in their order; None if the picture is
            framed as in MNIST, where nothing has to be searched.
        turns: quarter turns, anticlockwise, by which the picture was turned to be read.
        image: which of the images of an animation was read, from 1: the first that is not empty.
    """

    rows: list[list[Number]]
    missing: str = ""
    seen: Detections | None = None
    turns: int = 0
    image: int = 1

    @property
    def numbers(self) -> list[Number]:
        return [number for row in self.rows for number in row]

    @property
    def digits(self) -> list[Digit]:
        return [digit for number in self.numbers for digit in number.digits]

    @property
    def text(self) -> str:
        """The numbers, with a space between them and `/` between the rows; or nothing."""
        return "/".join(" ".join(number.text for number in row) for row in self.rows)

    @property
    def sure(self) -> bool:
        """Whether there are digits, all can be relied on, and none seems to be missing.

        Of signs, and of where one number ends and the next begins, it says nothing.
        """
        return bool(self.rows) and not self.missing and all(digit.sure for digit in self.digits)

    @property
    def why(self) -> str:
        """The main reason why it is not sure, in a few words; empty if it is."""
        doubtful = [digit for digit in self.digits if not digit.sure]
        if doubtful:
            return doubt(min(doubtful, key=lambda digit: digit.confidence), self.turns)
        return self.missing if self.rows else self.missing or "no digits found"

    @property
    def turned(self) -> str:
        """By how much the picture was turned against the clock to be read, in words."""
        return f"turned by {90 * self.turns} degrees"

    def __str__(self) -> str:
        notes = [self.turned] if self.turns else []
        notes += [f"image {self.image} of the animation"] if self.image > 1 else []
        if self.rows:
            least = percentage(min(digit.confidence for digit in self.digits))
            notes[:0] = [f"sure, {least}" if self.sure else f"not sure, {least}: {self.why}"]
        elif self.missing:
            notes[:0] = [self.missing]
        remarks = f"  ({'; '.join(notes)})" if notes else ""
        return f"{self.text or 'no digits found'}{remarks}"

    def displayed(self, shape: tuple[int, ...], reduction: tuple[float, float]) -> Reading:
        """The reading with places in pixels of the picture before it was turned and reduced.

        Args:
            shape: of the picture (H, W) that was read, before it was turned.
            reduction: the factors, across and down, by which the picture was reduced.
        """

        def move(points: NDArray[Any]) -> NDArray[Any]:
            return turned_back(points, self.turns, shape) * reduction

        def back(box: Box) -> Box:
            x0, y0, x1, y1 = moved_boxes(np.array([box]), move).round().astype(int)[0].tolist()
            return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)

        moved = self.changed(lambda digit: replace(digit, box=back(digit.box)))
        return replace(moved, seen=self.seen and self.seen.moved(move, self.turns))

    def changed(self, change: Callable[[Digit], Digit]) -> Reading:
        """The reading with each digit changed, in their order."""
        rows = [
            [replace(number, digits=[change(digit) for digit in number.digits]) for number in row]
            for row in self.rows
        ]
        return replace(self, rows=rows)

    def to_dict(self) -> dict[str, Any]:
        """What JSON has.

        text, sure; why, if not; image and turns, if not the first and 0; numbers; digits.
        """
        fields: dict[str, Any] = {"text": self.text, "sure": self.sure}
        fields |= {} if self.sure else {"why": self.why}
        fields |= {"image": self.image} if self.image > 1 else {}
        fields |= {"turns": self.turns} if self.turns else {}
        fields["numbers"] = [number.to_dict() for number in self.numbers]
        return {**fields, "digits": [digit.to_dict() for digit in self.digits]}


def value_of(text: str) -> float | None:
    """What a number is worth, with points or commas as they are used anywhere; None in doubt.

    A single separator is decimal, and so is the last if it is of another kind. Those before it
    part thousands. Of a single one before three digits it cannot be said, as in 1.234.
    """
    marks, parts = re.findall("[.,']", text), re.split("[.,']", text.lstrip("-"))
    *thousands, decimals = parts if marks and marks[-1] not in [*marks[:-1], "'"] else [*parts, ""]
    groups = [len(part) for part in thousands]
    if len(groups) > 1 and (len({*marks[: len(groups) - 1]}) > 1 or not _grouped(groups)):
        return None
    if len(marks) == 1 and decimals and _grouped([*groups, len(decimals)]) and thousands != ["0"]:
        return None
    worth = float("".join(thousands) + "." + (decimals or "0"))
    return -worth if text.startswith("-") else worth


def _grouped(lengths: list[int]) -> bool:
    """Whether groups of so many digits are thousands."""
    return lengths[0] <= 3 and all(length == 3 for length in lengths[1:])


def can_be_sure(confidence: float, box: Box, sure_above: float, turns: int = 0) -> bool:
    """Whether an answer can be relied on: it is confident enough, and no wider than digits are.

    Args:
        turns: quarter turns by which the picture that the box is in was turned to be read.
    """
    return confidence >= sure_above and not _too_wide(box, turns)


def _too_wide(box: Box, turns: int) -> bool:
    # Digits joined by a line are wider than this; of MNIST's 70,000 digits only five are.
    sides = box[2] - box[0], box[3] - box[1]
    wide, high = reversed(sides) if turns % 2 else sides
    return wide > 2 * high


def doubt(digit: Digit, turns: int = 0) -> str:
    """What speaks against a digit that is not sure, in a few words."""
    if _too_wide(digit.box, turns):
        return f"the {digit.digit} is wide for one digit"
    *_, second, first = digit.probabilities.argsort().tolist()
    # Whether most of the doubt comes from one other digit.
    if digit.probabilities[second] >= (1 - digit.confidence) / 2:
        return f"the {first} could be {second}"
    return f"the {first} may be no digit"


def turned_back(points: NDArray[Any], turns: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Points (N, 2), x and y, of a picture (H, W) that was turned, in the picture as it was.

    Args:
        turns: by how many quarters against the clock it was turned.
    """
    high, wide = shape[:2]
    x, y = points.T
    sides = {0: (x, y), 1: (wide - y, x), 2: (wide - x, high - y), 3: (y, high - x)}[turns]
    return np.stack(sides, axis=1)
