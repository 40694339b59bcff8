"""A user's labelled pictures as digits to learn from: found and framed by the reader."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.dataset import Digits
from ..errors import PictureError
from ..reading.labelled import Labelled, Outcome, find_labelled
from ..reading.mnist_frame import FRAME
from ..reading.reader import Reader
from ..reading.result import Digit, Reading, can_be_sure


@dataclass(frozen=True)
class Examples:
    """Pictures with as many digits as their labels have, and what was found in them.

    Attributes:
        left_out: the other pictures, and why they cannot be learned from.
    """

    pictures: list[Labelled] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.pictures)

    @cached_property
    def digits(self) -> Digits:
        """All digits: frames uint8 (N, 1, 28, 28), and the labels that the pictures give them."""
        frames = [digit.frame for reading in self.readings for digit in reading.digits]
        images = np.array(frames, np.uint8).reshape(-1, 1, FRAME, FRAME)
        labels = [int(c) for picture in self.pictures for c in _digits_of(picture.label)]
        return Digits(torch.from_numpy(images), torch.tensor(labels, dtype=torch.int64))

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """int64 (N,): the number of the picture that each of `digits` comes from."""
        return np.repeat(np.arange(len(self)), [len(r.digits) for r in self.readings])

    def of(self, pictures: NDArray[np.bool_]) -> Digits:
        """The digits of some of the pictures, bool (len(self),)."""
        return self.digits[torch.from_numpy(pictures[self.owner])]

    def outcomes(self, probabilities: NDArray[np.float32], sure_above: float) -> list[Outcome]:
        """The outcomes if a network gives these probabilities, (N, 10), for `digits`."""
        answers = iter(probabilities)
        return [
            Outcome(picture, _as_read(reading, answers, sure_above))
            for picture, reading in zip(self.pictures, self.readings, strict=True)
        ]


def load_examples(folder: Path, reader: Reader | None = None) -> Examples:
    """The labelled pictures of a folder, as `find_labelled` takes them: see `examples_of`.

    Raises:
        PictureError: there is no such folder, or no picture that can be learned from.
    """
    return examples_of(find_labelled(folder), reader)


def examples_of(pictures: list[Labelled], reader: Reader | None = None) -> Examples:
    """Labelled pictures, read, with the digits that are found matched with their labels.

    In a picture of one digit, the digit that stands out is taken. In others, as many digits must
    be found as the label has; they are matched in the order of reading.

    Args:
        reader: finds the digits; without one, the network that the package ships.

    Raises:
        PictureError: there is no picture that can be learned from.
    """
    reader = reader or Reader.load()
    examples = Examples()
    same: dict[bytes, list[int]] = defaultdict(list)
    for picture in pictures:
        try:
            reading = _matched(picture, reader)
        except PictureError as error:
            examples.left_out.append((picture.path, str(error)))
            continue
        same[b"".join(digit.frame.tobytes() for digit in reading.digits)].append(len(examples))
        examples.pictures.append(picture)
        examples.readings.append(reading)
    examples = _without_duplicates(examples, list(same.values()))
    if not examples.pictures:
        path, reason = examples.left_out[0]
        raise PictureError(
            f"there is no picture that can be learned from; {path.name}, for one: {reason}"
        )
    return examples


def _matched(picture: Labelled, reader: Reader) -> Reading:
    label = _digits_of(picture.label)
    if not label and not picture.path.exists():
        raise PictureError("it was taken back")
    if not label or not label.isdecimal() or not label.isascii():
        raise PictureError(f"its label {picture.label!r} has something else than digits")
    reading = reader.read(picture.path, single=len(label) == 1)
    found = len(reading.digits)
    if found != len(label):
        amount = f"{found} digits were found" if found > 1 else ("no digit", "one digit")[found]
        was = "" if found > 1 else " was found"
        raise PictureError(f"{amount}{was} in it, its label {picture.label!r} has {len(label)}")
    return reading


def _without_duplicates(examples: Examples, same: list[list[int]]) -> Examples:
    """The examples with each picture once; without those that occur with different labels."""
    kept, left_out = [], list(examples.left_out)
    for first, *others in same:
        pictures = [examples.pictures[number] for number in (first, *others)]
        if len({_digits_of(picture.label) for picture in pictures}) > 1:
            names = ", ".join(f"{p.path.name} ({p.label})" for p in pictures)
            reason = f"the same picture has different labels: {names}"
            left_out += [(picture.path, reason) for picture in pictures]
            continue
        kept.append(first)
        reason = f"the same picture as {pictures[0].path.name}"
        left_out += [(picture.path, reason) for picture in pictures[1:]]
    return Examples(
        [examples.pictures[number] for number in kept],
        [examples.readings[number] for number in kept],
        left_out,
    )


def _digits_of(label: str) -> str:
    return "".join(label.replace("/", " ").split())


def _as_read(
    reading: Reading, answers: Iterator[NDArray[np.float32]], sure_above: float
) -> Reading:
    """The reading with these answers, (10,) each, instead of its own.

    The probability that there is a digit stays.
    """
    return reading.changed(lambda digit: _answered(digit, next(answers), sure_above, reading.turns))


def _answered(
    digit: Digit, probabilities: NDArray[np.float32], sure_above: float, turns: int
) -> Digit:
    calibrated_score = digit.confidence / float(digit.probabilities.max())
    confidence = float(probabilities.max()) * calibrated_score
    return replace(
        digit,
        digit=int(probabilities.argmax()),
        confidence=confidence,
        probabilities=probabilities,
        sure=can_be_sure(confidence, digit.box, sure_above, turns),
    )
