"""The figures of a run, from what is `shown`: they need no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..reading import percentage
from .shown import COLUMNS, Answer, Calibration, Curves, Mistakes, Samples
from .style import (
    ABOVE,
    ALARMING,
    BELOW,
    BLUE,
    GRID,
    INK,
    MUTED,
    ORANGE,
    THIN,
    WIDTH,
    Place,
    caption,
    chart_card,
    percent,
    plain,
    sheet,
    show_pixels,
)


def sample_predictions(samples: Samples, columns: int = COLUMNS) -> Figure:
    """The first digits as they come, then the first that went wrong."""
    rows = 3
    figure, whole = sheet(WIDTH, (rows + 1) * 1.2 + 1.0)
    upper, lower = whole.stacked(rows, 1.12)
    text = f"The first {len(samples.first)} test digits: what it reads, and how sure it is"
    _show_answers(upper.titled(text).grid(rows, columns, ABOVE, BELOW), samples.first)
    text = f"The first {len(samples.wrong)} that it reads otherwise than the label"
    below = lower.titled(f"{text}, of {samples.errors}")
    _show_answers(below.grid(1, columns, ABOVE, BELOW), samples.wrong)
    return figure


def worst_mistakes(mistakes: Mistakes, columns: int = COLUMNS) -> Figure:
    """The wrong answers in which the network had the most confidence."""
    count = len(mistakes.worst)
    text = f"The {count} mistakes made with most confidence, of {mistakes.errors}"
    figure, places = titled_grid(text, count, columns)
    _show_answers(places, mistakes.worst)
    return figure


def training_curves(curves: Curves) -> Figure:
    """Loss and error rate while training, in twentieths of an epoch."""
    figure = chart_card(WIDTH, 3.6)
    loss, error = figure.subplots(1, 2)
    loss.plot(curves.epochs, curves.losses, color=BLUE)
    loss.set(title="Training loss", xlabel="epoch", ylim=(0, None))
    # No mistake at all has no place on a log scale: such points are left out.
    errors = np.where(curves.accuracies < 1, 1 - curves.accuracies, np.nan)
    error.plot(curves.epochs, errors, color=BLUE, label="training")
    if curves.validated:
        validated = [(epoch, 1 - accuracy) for epoch, accuracy in curves.validated]
        style = {"color": ORANGE, "marker": "s", "markersize": 4, "linestyle": "--"}
        error.plot(*zip(*validated, strict=True), label="validation", **style)
    error.set(title="Wrong answers while training", xlabel="epoch", yscale="log")
    error.yaxis.set_major_formatter(percent)
    error.legend(frameon=False)
    for axes in (loss, error):
        axes.set_xlim(0, curves.count)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        plain(axes)
    return figure


def confusion_matrix(counts: NDArray[np.int64]) -> Figure:
    """Which digit is read as which; the right ones muted, so that the errors show."""
    errors = np.where(np.eye(10, dtype=bool), 0, counts)
    figure = chart_card(6.4, 6.2)
    axes = figure.subplots()
    strongest = max(errors.max(), 1)
    shade = np.ma.masked_equal(errors, 0)
    axes.imshow(shade, cmap="Oranges", vmin=-0.1 * strongest, vmax=strongest * 1.25)
    for row, column in np.ndindex(10, 10):
        count = counts[row, column]
        if row == column:
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=MUTED, fontsize=8)
        elif count:
            colour = "white" if count > 0.75 * strongest else INK
            axes.text(column, row, count, ha="center", va="center", color=colour, fontsize=11)
    axes.set(
        title=f"{errors.sum():,} mistakes in {counts.sum():,} digits",
        xlabel="read as",
        ylabel="label",
        xticks=range(10),
        yticks=range(10),
    )
    axes.set_xticks(np.arange(-0.5, 10), minor=True)
    axes.set_yticks(np.arange(-0.5, 10), minor=True)
    axes.grid(which="minor", color=GRID, linewidth=0.8)
    axes.tick_params(which="both", length=0, colors=INK)
    axes.spines[:].set_visible(False)
    return figure


def calibration(shown: Calibration) -> Figure:
    """Confidence against how often it is right, with 95% intervals.

    Over the odds of being wrong, on a log scale: on a plain one everything that a good
    network says lies in the last percent.
    """
    floor = 1e-4
    doubt, wrong = np.maximum(shown.doubt, floor), shown.wrong
    low, high = shown.interval
    figure = chart_card(5.6, 5.2)
    axes = figure.subplots()
    axes.plot([floor, 1], [floor, 1], color=MUTED, linewidth=1, linestyle=":", label="ideal")
    axes.vlines(doubt, np.maximum(low, floor), high, color=BLUE, linewidth=1.2)
    some = wrong > 0
    size = f"{shown.size:,} digits"
    axes.plot(doubt[some], wrong[some], "o", color=BLUE, markersize=5, label=size)
    none = np.full(sum(~some), floor)
    axes.plot(doubt[~some], none, "v", color=BLUE, markersize=5, label=f"{size}, none wrong")
    axes.set(
        title=f"Calibration error {shown.error:.2%}",
        xlabel="doubt: 1 − confidence",
        ylabel="how often it is wrong",
        xscale="log",
        yscale="log",
        xlim=(floor, 1),
        ylim=(floor * 0.8, 1),
        aspect="equal",
    )
    axes.xaxis.set_major_formatter(percent)
    axes.yaxis.set_major_formatter(percent)
    axes.legend(frameon=False, loc="upper left")
    plain(axes)
    return figure


def titled_grid(text: str, count: int, columns: int) -> tuple[Figure, list[Place]]:
    """A figure with a title, and places for at least so many digits."""
    rows = max(1, -(-count // columns))
    figure, whole = sheet(WIDTH, rows * 1.2 + 0.6)
    return figure, whole.titled(text).grid(rows, columns, ABOVE, BELOW)


def _show_answers(places: Sequence[Place], answers: Sequence[Answer]) -> None:
    """Digits with prediction and confidence; a mistake with a border, its label beside."""
    for place, answer in zip(places, answers, strict=False):
        right = answer.label == answer.predicted
        filled = show_pixels(place, answer.pixels, THIN if right else ALARMING)
        text = f"{answer.predicted}" if right else f"{answer.predicted}, not {answer.label}"
        caption(filled, text, percentage(answer.confidence), BLUE if right else ORANGE)
