"""How figures look: colours, the card or sheet that they stand on, captions, axes.

Figures are a white card with dark ink, which reads the same in a light and a dark theme.
Colours are from Okabe and Ito's palette, which people can tell apart whatever their colour
vision; right and wrong also differ by more than their colour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..data.dataset import Digits

# Inches: what a notebook shows without shrinking it, at 100 pixels an inch.
WIDTH = 9.0
# Inches: a title; a caption above and below a picture; what lies between two pictures.
TITLE, ABOVE, BELOW, GAP = 0.25, 0.21, 0.16, 0.085

INK = "#1a1a1a"
MUTED = "#767676"
GRID = "#e4e4e4"
BLUE = "#0072b2"
ORANGE = "#d55e00"
# For several things side by side, which differ in their markers, too.
PALETTE = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")

# A border's colour, and its width in points.
Border = tuple[str, float]
THIN, ALARMING = (GRID, 1.0), (ORANGE, 2.5)

# Blue below zero, white at zero like the card, orange above.
SIGNED = LinearSegmentedColormap.from_list("signed", [BLUE, "white", ORANGE])
# Transparent at zero, so that it can lie over a picture.
GLOW = LinearSegmentedColormap.from_list("glow", [(0.84, 0.37, 0, 0), (0.84, 0.37, 0, 1)])

percent = FuncFormatter(lambda fraction, _: f"{100 * fraction:.4g}%")
plain_number = FuncFormatter(lambda number, _: f"{number:,.10g}")


def card(width: float, height: float) -> Figure:
    """An empty figure, inches."""
    return Figure(figsize=(width, height), facecolor="white", layout="constrained")


def chart_card(width: float, height: float) -> Figure:
    """The same for one chart or two, inches, with fixed room for their titles and labels.

    `card` computes that room, which takes a third of the time of drawing.
    """
    figure = Figure(figsize=(width, height), facecolor="white")
    bottom, top = 0.55 / height, 1 - 0.4 / height
    figure.subplots_adjust(0.75 / width, bottom, 1 - 0.2 / width, top, wspace=0.25)
    return figure


@dataclass(frozen=True)
class Place:
    """A rectangle on a sheet, which a picture or a grid of pictures may fill; inches."""

    axes: Axes
    left: float
    top: float
    width: float
    height: float

    def titled(self, text: str) -> Place:
        """Write a line above everything in it; returns the place below the line."""
        style: dict[str, Any] = {"color": INK, "fontsize": 12, "ha": "center", "va": "center"}
        self.axes.text(self.left + self.width / 2, self.top + TITLE / 2, text, **style)
        return replace(self, top=self.top + TITLE, height=self.height - TITLE)

    def stacked(self, *shares: float) -> list[Place]:
        """Places one below the other that share its height in these proportions."""
        heights = np.array(shares) * self.height / sum(shares)
        tops = self.top + np.cumsum(heights) - heights
        return [
            replace(self, top=top, height=height) for top, height in zip(tops, heights, strict=True)
        ]

    def grid(self, rows: int, columns: int, above: float = ABOVE, below: float = 0) -> list[Place]:
        """Places for pictures, row by row, with room for captions above and below each."""
        width, height = self.width / columns, self.height / rows
        return [
            Place(
                self.axes,
                self.left + column * width + GAP / 2,
                self.top + row * height + GAP / 2 + above,
                width - GAP,
                height - GAP - above - below,
            )
            for row in range(rows)
            for column in range(columns)
        ]


def sheet(width: float, height: float) -> tuple[Figure, Place]:
    """An empty figure for pictures, inches, and the place that is all of it.

    It has one axes, with inches from the upper left corner as coordinates: axes of its own
    would take 10 ms for each picture.
    """
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return figure, Place(axes, 0, 0, width, height)


def show(place: Place, pixels: NDArray[np.generic], **style: Any) -> Place:
    """A picture (H, W) or (H, W, 3), as large as fits; returns what it fills."""
    height, width = pixels.shape[:2]
    inches = min(place.width / width, place.height / height)
    left = place.left + (place.width - inches * width) / 2
    top = place.top + (place.height - inches * height) / 2
    filled = Place(place.axes, left, top, inches * width, inches * height)
    extent = (left, left + filled.width, top + filled.height, top)
    place.axes.imshow(pixels, extent=extent, aspect="auto", **style)
    return filled


def show_pixels(
    place: Place, pixels: NDArray[np.generic], border: Border = THIN, faint: float = 1.0
) -> Place:
    """A digit (H, W), 0 to 255, with a border; returns what it fills.

    Ink is dark on a light ground, as people know handwriting from paper.
    """
    filled = show(place, pixels, cmap="gray_r", vmin=0, vmax=255, alpha=faint)
    bordered(filled, border)
    return filled


def show_digit(place: Place, digits: Digits, index: int, faint: float = 1.0) -> None:
    """One of the digits, with its label above it."""
    filled = show_pixels(place, digits.images[index, 0].cpu().numpy(), faint=faint)
    caption(filled, str(int(digits.labels[index])))


def bordered(place: Place, border: Border = THIN) -> None:
    """A border around a picture."""
    corner, (colour, width) = (place.left, place.top), border
    style: dict[str, Any] = {"fill": False, "color": colour, "linewidth": width}
    place.axes.add_patch(Rectangle(corner, place.width, place.height, **style))


def caption(place: Place, above: str, below: str = "", colour: str = INK, size: float = 11) -> None:
    """Write a text above a picture, bold if it has a colour, and a smaller one below it."""
    middle, bottom = place.left + place.width / 2, place.top + place.height
    weight = "normal" if colour == INK else "bold"
    # The text may be the user's: it must not be drawn as a formula.
    style: dict[str, Any] = {"ha": "center", "parse_math": False}
    text = place.axes.text
    text(middle, place.top - 0.05, above, color=colour, fontsize=size, weight=weight, **style)
    if below:
        text(middle, bottom + 0.03, below, color=MUTED, fontsize=8, va="top", **style)


def series(index: int) -> dict[str, Any]:
    """Colour and marker of one of several things side by side."""
    return {"color": PALETTE[index % len(PALETTE)], "marker": MARKERS[index % len(MARKERS)]}


def plain(axes: Axes) -> None:
    """A pale grid and two axes, for curves and points."""
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(which="both", colors=INK, labelsize=9)
    axes.title.set(color=INK, fontsize=12)
