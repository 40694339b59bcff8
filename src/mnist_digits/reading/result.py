"""What was read in a picture: digits in rows; in words, and in JSON."""

from __future__ import annotations

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
        told = {"digit": self.digit, "confidence": round(self.confidence, 4)}
        return {**told, "box": list(self.box)}


@dataclass(frozen=True)
class Reading:
    """What was read in a picture: rows from top to bottom, in each the digits from the left.

    Attributes:
        missing: what may have been passed over, in words; empty if nothing was.
        seen: all that was looked at, the digits first, in their order; None if the picture is
            framed as in MNIST, where nothing has to be searched.
        turns: quarter turns, anticlockwise, by which the picture was turned to be read.
        image: which of the images of an animation was read, from 1: the first that is not empty.
    """

    rows: list[list[Digit]]
    missing: str = ""
    seen: Detections | None = None
    turns: int = 0
    image: int = 1

    @property
    def digits(self) -> list[Digit]:
        return [digit for row in self.rows for digit in row]

    @property
    def text(self) -> str:
        """The digits, with `/` between the rows; empty if there are none."""
        return "/".join("".join(str(digit.digit) for digit in row) for row in self.rows)

    @property
    def sure(self) -> bool:
        """Whether there are digits, all can be relied on, and none seems to be missing."""
        return bool(self.rows) and not self.missing and all(digit.sure for digit in self.digits)

    @property
    def why(self) -> str:
        """The main reason why it is not sure, in a few words; empty if it is."""
        doubtful = [digit for digit in self.digits if not digit.sure]
        if doubtful:
            return _doubt(min(doubtful, key=lambda digit: digit.confidence), self.turns)
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
        told = f"  ({'; '.join(notes)})" if notes else ""
        return f"{self.text or 'no digits found'}{told}"

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

        rows = [[replace(digit, box=back(digit.box)) for digit in row] for row in self.rows]
        return replace(self, rows=rows, seen=self.seen and self.seen.moved(move, self.turns))

    def to_dict(self) -> dict[str, Any]:
        """What JSON has: text, sure; why, if not; image, turns, if not the first, 0; digits."""
        told: dict[str, Any] = {"text": self.text, "sure": self.sure}
        told |= {} if self.sure else {"why": self.why}
        told |= {"image": self.image} if self.image > 1 else {}
        told |= {"turns": self.turns} if self.turns else {}
        return {**told, "digits": [digit.to_dict() for digit in self.digits]}


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


def _doubt(digit: Digit, turns: int) -> str:
    """What speaks against a digit that is not sure."""
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
