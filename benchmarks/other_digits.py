"""Digits unlike MNIST's: by other writers, or at any position, size and colour."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from answers import Answer, Pixels, by_kind, share, table
from PIL import Image

from mnist_digits import Digits, Reader
from mnist_digits.reading.documents import open_picture
from mnist_digits.synthesis.size_normalization import size_normalized

# Pixels along a side of the digits that the United States Postal Service's data set has.
SMALL = 16


@dataclass(frozen=True)
class Placed:
    """What was read in test digits placed at any position, size, colour and format.

    Attributes:
        answers: what was read.
        plain: what the network says of the same digits as they are in MNIST.
    """

    answers: list[Answer]
    plain: list[str]

    def __str__(self) -> str:
        same = [
            answer.text == plain for answer, plain in zip(self.answers, self.plain, strict=True)
        ]
        return (
            f"Of {len(same):,} test digits in pictures of any place, size, colour and format "
            f"{share(answer.right for answer in self.answers)} are read right; {share(same)} as "
            f"the plain digit is."
        )


def small_images(file: Path) -> Digits:
    """Small images of digits, framed as the reader frames them.

    Args:
        file: an .npz with `images` (N, h, w), 0 and 1, light on dark, and `labels` (N,).
    """
    with np.load(file) as content:
        images, labels = content["images"], content["labels"]
    high, wide = images.shape[1:]
    below, right = max(0, wide - high), max(0, high - wide)
    square = np.pad(images.astype(np.float32), ((0, 0), (0, below), (0, right)))
    return Digits(
        size_normalized(torch.from_numpy(square))[:, None],
        torch.from_numpy(labels.astype(np.int64)),
    )


def frames_text(reader: Reader, file: Path) -> str:
    """A sentence: how many of a file's small images are read right once they are framed."""
    digits = small_images(file)
    with np.load(file) as content:
        high, wide = content["images"].shape[1:]
    right = reader.classify(digits.images.numpy()).argmax(axis=1) == digits.labels.numpy()
    return (
        f"{file.stem}: of {len(digits):,} digits of {high} × {wide} pixels, framed, "
        f"{right.mean():.2%} are read right."
    )


def read_placed(reader: Reader, test: Digits, count: int) -> Placed:
    """Place the first `count` test digits in pictures, and read them."""
    images = test.images[:count, 0].numpy()
    answers = []
    for number, image in enumerate(images):
        reading = reader.read(placed(image, number))
        truth, show = str(int(test.labels[number])), partial(shown, image, number)
        answers.append(Answer("any place, size, colour", truth, reading.text, reading.sure, show))
    plain = reader.classify(images).argmax(axis=1)
    return Placed(answers, [str(answer) for answer in plain])


def placed(image: Pixels, number: int) -> bytes:
    """A picture file of a digit (28, 28), as the tests of faults make it."""
    faults = str(Path(__file__).parents[1] / "tests" / "faults")
    if faults not in sys.path:
        sys.path.append(faults)
    from transformed import transformed

    return transformed(image, np.random.default_rng((number, 1)))


def shown(image: Pixels, number: int) -> Pixels:
    """The pixels of that file, (H, W, 3)."""
    return open_picture(placed(image, number)).pixels


def read_small(reader: Reader, test: Digits, count: int) -> list[Answer]:
    """Read the first `count` test digits in pictures of 16 × 16 pixels that they fill."""
    images, labels = test.images[:count, 0].numpy(), test.labels[:count].tolist()
    answers = []
    for kind, stretched in (("in their proportions", False), ("stretched to a square", True)):
        for image, label in zip(images, labels, strict=True):
            small = filled(image, stretched)
            reading, show = reader.read_digit(small), partial(filled, image, stretched)
            answers.append(Answer(kind, str(label), reading.text, reading.sure, show))
    return answers


def filled(image: Pixels, stretched: bool) -> Pixels:
    """A digit (28, 28), light on dark, cut to its box and reduced to fill (16, 16, 3).

    Args:
        stretched: both sides are filled; else the longer one, and the digit is in the middle.
    """
    ys, xs = np.nonzero(image > 0)
    box = Image.fromarray(image[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1])
    longer = max(box.size)
    wide, high = (SMALL if stretched else max(1, round(SMALL * s / longer)) for s in box.size)
    page = Image.new("L", (SMALL, SMALL))
    # It averages where it reduces.
    small = box.resize((wide, high), Image.Resampling.BILINEAR)
    page.paste(small, ((SMALL - wide) // 2, (SMALL - high) // 2))
    return np.asarray(page.convert("RGB"))


def small_table(answers: list[Answer]) -> str:
    """A row for each of the two ways to fill the picture."""
    head = (f"test digits in {SMALL} × {SMALL} pixels", "number", "read", "sure", "wrong of these")
    rows = [
        (
            kind,
            f"{len(group):,}",
            share(answer.right for answer in group),
            sum(answer.sure for answer in group),
            sum(answer.surely_wrong for answer in group),
        )
        for kind, group in by_kind(answers).items()
    ]
    return table(head, rows)
