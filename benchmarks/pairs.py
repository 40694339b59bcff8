"""Two digits drawn close together, from 00 to 99: they touch, or nearly do.

They are drawn stroke by stroke (`handwriting`), in forms of many hands, with a dark pen on white.
"""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import torch
from answers import Answer, Pixels, digits_right, share, table
from numpy.typing import NDArray

from mnist_digits import Reader
from mnist_digits.synthesis.handwriting import strokes

# In pixels.
HEIGHT, MARGIN = 100, 40
# In heights: from the middle of one digit to that of the next, and a digit's width at most, since
# wider ones would cover each other.
APART, WIDEST = 0.5, 0.6
PAPER, PEN = 255, 40


def drawn_pair(number: int) -> Pixels:
    """The digits of a number from 0 to 99 side by side, (180, W, 3); always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number)
        start, end, pen = strokes(torch.tensor([number // 10, number % 10]))
    # One pen for both; in the frames that it is meant for a digit is 20 pixels high.
    width = max(1, round(2 * float(pen.min()) * HEIGHT / 20))
    forms = torch.stack([start, end], dim=2).numpy()
    lines = np.stack([_sized(form, HEIGHT - width, WIDEST * HEIGHT - width) for form in forms])
    lines[1, ..., 0] += APART * HEIGHT
    lines += MARGIN + width / 2 - lines.min(axis=(0, 1, 2))
    across, down = lines.max(axis=(0, 1, 2)) + MARGIN + width / 2
    page = np.full((round(down), round(across), 3), PAPER, np.uint8)
    for one, other in lines.round().astype(int).reshape(-1, 2, 2).tolist():
        cv2.line(page, one, other, (PEN, PEN, PEN), width, cv2.LINE_AA)
    return page


def _sized(form: NDArray[np.float32], height: float, widest: float) -> NDArray[np.float64]:
    """The lines (S, 2, 2) of a form, so high and no wider, with its middle at 0, 0."""
    low, high = form.min(axis=(0, 1)), form.max(axis=(0, 1))
    wide, tall = (high - low).tolist()
    scale = height / tall
    return (form - (low + high) / 2) * np.array([min(scale, widest / max(wide, 1e-6)), scale])


def read_pairs(reader: Reader) -> list[Answer]:
    """Read the hundred of them."""
    answers = []
    for number in range(100):
        reading = reader.read(drawn_pair(number))
        show = partial(drawn_pair, number)
        answers.append(Answer("pairs", f"{number:02d}", reading.text, reading.sure, show))
    return answers


def pair_table(answers: list[Answer]) -> str:
    """A table with one row."""
    row = (
        len(answers),
        share(answer.right for answer in answers),
        digits_right(answers),
        sum(answer.sure for answer in answers),
        sum(answer.surely_wrong for answer in answers),
    )
    return table(("pairs", "both right", "digits right", "sure", "wrong of these"), [row])
