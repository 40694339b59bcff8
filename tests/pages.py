"""Pages with digits of MNIST on them, as several tests need them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits import load_mnist

Pixels = NDArray[np.uint8]


def tight(image: Pixels) -> Pixels:
    """The image without what is empty around its ink."""
    ys, xs = np.nonzero(image)
    return image[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]


def page(
    digits: list[tuple[Pixels, int, int, int]],
    size: tuple[int, int] = (300, 400),
    paper: tuple[int, int, int] = (250, 250, 245),
    ink: tuple[int, int, int] = (20, 20, 60),
) -> Pixels:
    """A page (height, width) with digits at x, y, each so many pixels high."""
    cover = np.zeros(size, np.float32)
    for image, x, y, height in digits:
        part = tight(image)
        width = max(1, round(part.shape[1] * height / part.shape[0]))
        big = cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC) / 255
        cover[y : y + height, x : x + width] = np.maximum(
            cover[y : y + height, x : x + width], np.clip(big, 0, 1)
        )
    mix = cover[:, :, None]
    return (np.array(paper) * (1 - mix) + np.array(ink) * mix).round().astype(np.uint8)


def number_page(text: str, which: int) -> Pixels:
    """A page that says this, with the digits of the test set that are `which` of their kind."""
    test = load_mnist()[1]
    images, labels = test.images[:, 0].numpy(), test.labels.numpy()
    digits, marks, x = [], [], 70
    for letter in text:
        if letter.isdigit():
            image = images[np.flatnonzero(labels == int(letter))[which]]
            digits.append((image, x, 100, 80))
        else:
            marks.append((letter, x))
        x += 62 if letter.isdigit() else {" ": 90, "-": 50}.get(letter, 26)
    paper = page(digits, (300, x + 80))
    for letter, x in marks:
        ends = {"-": ((x, 140), (x + 34, 140)), ",": ((x + 8, 168), (x, 196))}
        if letter == ".":
            cv2.circle(paper, (x + 4, 176), 6, (20, 20, 60), -1, cv2.LINE_AA)
        elif letter in ends:
            cv2.line(paper, *ends[letter], (20, 20, 60), 7, cv2.LINE_AA)
    return paper
