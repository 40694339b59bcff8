"""The figures of what was read in pictures; they need no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ..reading import percentage
from ..reading.annotation import annotated
from ..reading.labelled import Outcome
from ..reading.picture import Source, open_picture
from ..reading.reader import Reading
from .style import BLUE, INK, ORANGE, WIDTH, bordered, caption, card, grid, show_pixels, title


def page_reading(source: Source, reading: Reading, columns: int = 10) -> Figure:
    """A picture with boxes around what was read, and below it what the network saw of it.

    Of more digits than fill three rows the first ones are shown below.

    Raises:
        PictureError: it cannot be opened or is not a picture.
    """
    copy = annotated(source, reading)
    rows = min(3, max(1, -(-len(reading.digits) // columns)))
    heights = [min(5.0, (WIDTH - 1) * copy.height / copy.width), rows * 1.2]
    figure = card(WIDTH, sum(heights) + 0.3)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=heights).flat
    axes = upper.subplots()
    axes.imshow(copy)
    bordered(axes)
    for digit, small in zip(reading.digits, grid(lower, rows, columns).flat, strict=False):
        show_pixels(small, digit.frame)
        above = str(digit.digit) if digit.sure else f"{digit.digit}?"
        colour = BLUE if digit.sure else ORANGE
        caption(small, above, percentage(digit.confidence), colour)
    return figure


def picture_mistakes(outcomes: Sequence[Outcome], columns: int = 6) -> Figure:
    """Pictures that were read otherwise than their label, and the frames that were read."""
    wrong = [outcome for outcome in outcomes if not outcome.right]
    shown = wrong[: 5 * columns]
    rows = max(1, -(-len(shown) // columns))
    figure = card(columns * 1.9, rows * 1.9 + 0.6)
    title(figure, f"{len(wrong)} of {len(outcomes)} pictures read otherwise than their label")
    pairs = grid(figure, rows, columns * 2).reshape(-1, 2)
    for outcome, (picture, frames) in zip(shown, pairs, strict=False):
        label, reading = outcome.picture.label, outcome.reading
        # The label is the user's: what looks like a formula is none.
        picture.set_title(label, color=INK, fontsize=10, pad=3, parse_math=False)
        if reading is None:
            frames.set_title("cannot be opened", color=ORANGE, fontsize=8, pad=3)
            continue
        picture.imshow(open_picture(outcome.picture.path).pixels)
        text = reading.text or "nothing found"
        frames.set_title(text, color=ORANGE, fontsize=10, pad=3, weight="bold")
        if reading.digits:
            strip = np.hstack([digit.frame for digit in reading.digits[:8]])
            frames.imshow(strip, cmap="gray_r", vmin=0, vmax=255)
    return figure
