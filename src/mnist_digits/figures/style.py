"""How figures look: colours, the card that they stand on, captions, axes.

Figures are a white card with dark ink, which reads the same in a light and a dark theme.
Colours are from Okabe and Ito's palette, which people see apart whatever their colour
vision; right and wrong differ by more than their colour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..data.dataset import Digits

# Inches: what a notebook shows without shrinking it, at 100 pixels an inch.
WIDTH = 9.0

INK = "#1a1a1a"
MUTED = "#767676"
GRID = "#e4e4e4"
BLUE = "#0072b2"
ORANGE = "#d55e00"
# Several things side by side, told apart by their markers, too.
PALETTE = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")

# Below zero blue, zero white like the card, above it orange.
SIGNED = LinearSegmentedColormap.from_list("signed", [BLUE, "white", ORANGE])
# Nothing at zero, so that it can lie over a picture.
GLOW = LinearSegmentedColormap.from_list("glow", [(0.84, 0.37, 0, 0), (0.84, 0.37, 0, 1)])

percent = FuncFormatter(lambda fraction, _: f"{100 * fraction:.4g}%")
plain_number = FuncFormatter(lambda number, _: f"{number:,.10g}")


def card(width: float, height: float) -> Figure:
    """An empty figure, inches."""
    return Figure(figsize=(width, height), facecolor="white", layout="constrained")


def title(figure: Figure | SubFigure, text: str) -> None:
    """A line above everything in the figure."""
    figure.suptitle(text, color=INK, fontsize=12)


def grid(figure: Figure | SubFigure, rows: int, columns: int) -> NDArray[np.object_]:
    """Axes (rows, columns) for pictures; those that stay empty are not seen."""
    axes: NDArray[np.object_] = figure.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        each.set_axis_off()
    return axes


def show_pixels(axes: Axes, pixels: NDArray[np.generic], faint: float = 1.0) -> None:
    """A digit (H, W), 0 to 255, with a thin border.

    As on paper rather than on a screen: dark ink on a light ground, as people know
    handwriting.
    """
    axes.imshow(pixels, cmap="gray_r", vmin=0, vmax=255, alpha=faint)
    bordered(axes)


def show_digit(axes: Axes, digits: Digits, index: int, faint: float = 1.0) -> None:
    """One of the digits, with its label above it."""
    show_pixels(axes, digits.images[index, 0].cpu().numpy(), faint)
    caption(axes, str(int(digits.labels[index])))


def bordered(axes: Axes, colour: str = GRID, width: float = 1) -> None:
    """A border around a picture, without ticks."""
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color=colour, linewidth=width)


def series(index: int) -> dict[str, Any]:
    """Colour and marker of one of several things side by side."""
    return {"color": PALETTE[index % len(PALETTE)], "marker": MARKERS[index % len(MARKERS)]}


def caption(axes: Axes, above: str, below: str = "", colour: str = INK) -> None:
    """What stands above a picture, in bold if it is in colour, and, smaller, below it."""
    weight = "normal" if colour == INK else "bold"
    axes.set_title(above, color=colour, fontsize=11, pad=3, weight=weight)
    axes.set_xlabel(below, color=MUTED, fontsize=8, labelpad=2)


def plain(axes: Axes) -> None:
    """A pale grid and two axes, for curves and points."""
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(which="both", colors=INK, labelsize=9)
    axes.title.set(color=INK, fontsize=12)
