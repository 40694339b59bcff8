"""The figures of what was read in pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ..reading import percentage
from ..reading.annotation import annotated
from ..reading.documents import Source, open_picture
from ..reading.labelled import Outcome
from ..reading.result import Reading
from .style import ABOVE, BELOW, BLUE, ORANGE, WIDTH, bordered, caption, sheet, show, show_pixels


def page_reading(source: Source, reading: Reading, columns: int = 10) -> Figure:
    """A picture with boxes around what was read, and below it what the network saw of it.

    Below, at most three rows of digits are shown, the first ones.

    Raises:
        PictureError: it cannot be opened or is not a picture.
    """
    copy = annotated(source, reading)
    rows = min(3, max(1, -(-len(reading.digits) // columns)))
    heights = [min(5.0, (WIDTH - 1) * copy.height / copy.width), rows * 1.2]
    figure, whole = sheet(WIDTH, sum(heights) + 0.3)
    upper, lower = whole.stacked(*heights)
    bordered(show(upper.grid(1, 1, above=0)[0], np.asarray(copy)))
    for digit, place in zip(reading.digits, lower.grid(rows, columns, ABOVE, BELOW), strict=False):
        above = str(digit.digit) if digit.sure else f"{digit.digit}?"
        colour = BLUE if digit.sure else ORANGE
        caption(show_pixels(place, digit.frame), above, percentage(digit.confidence), colour)
    return figure


def picture_mistakes(outcomes: Sequence[Outcome], columns: int = 6) -> Figure:
    """Pictures that were read otherwise than their label, and the frames that were read.

    At most five rows of pictures are shown, the first ones.
    """
    wrong = [outcome for outcome in outcomes if not outcome.right]
    shown = wrong[: 5 * columns]
    rows = max(1, -(-len(shown) // columns))
    figure, whole = sheet(columns * 1.9, rows * 1.9 + 0.6)
    title = f"{len(wrong)} of {len(outcomes)} pictures read otherwise than their label"
    if len(wrong) > len(shown):
        title += f"; the first {len(shown)} are shown"
    below = whole.titled(title)
    places = below.grid(rows, columns * 2)
    for outcome, picture, frames in zip(shown, places[::2], places[1::2], strict=False):
        reading, label = outcome.reading, _short(outcome.picture.label)
        if reading is None:
            caption(picture, label, size=10)
            caption(frames, "unreadable", colour=ORANGE, size=8)
            continue
        pixels = open_picture(outcome.picture.path).pixels
        caption(show(picture, pixels), label, size=10)
        if reading.digits:
            strip = np.hstack([digit.frame for digit in reading.digits[:8]])
            frames = show(frames, strip, cmap="gray_r", vmin=0, vmax=255)
        caption(frames, _short(reading.text or "none"), colour=ORANGE, size=10)
    return figure


def _short(text: str) -> str:
    """At most eight characters of a text: a longer one would run into that of the next picture."""
    return text if len(text) <= 8 else f"{text[:7]}…"
