"""Every figure of the project, in one visual language.

Each function returns a matplotlib Figure that belongs to nobody else: no pyplot, so no
global state and no window. Figures are a white card with dark ink, which reads the same
in a light and a dark theme. Colours are from Okabe and Ito's palette, which people see
apart whatever their colour vision; right and wrong differ by more than their colour.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .dataset import Digits
from .errors import CheckpointError
from .evaluation import Evaluation, wilson_interval
from .files import write_whole
from .labelled import Outcome
from .picture import open_picture
from .training import Epoch

INK = "#1a1a1a"
MUTED = "#767676"
GRID = "#e4e4e4"
BLUE = "#0072b2"
ORANGE = "#d55e00"

percent = FuncFormatter(lambda fraction, _: f"{100 * fraction:.4g}%")


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure as PNG, whole or not at all; the folder is made if it is not there.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    png = io.BytesIO()
    # Without a version in the file the same figure is the same bytes on every machine.
    figure.savefig(png, format="png", dpi=120, metadata={"Software": None})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, png.getvalue())
    except OSError as error:
        raise CheckpointError(f"cannot write the figure {path}: {error.strerror}") from error


def sample_digits(digits: Digits, rows: int = 3, columns: int = 10) -> Figure:
    """The first digits as they come, with their labels."""
    figure = _card(columns * 1.02, rows * 1.22)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for place, axes in zip(range(len(digits)), grid.flat, strict=False):
        _image(axes, digits, place)
        axes.set_title(str(int(digits.labels[place])), color=INK, fontsize=11, pad=3)
    return figure


def sample_predictions(digits: Digits, evaluation: Evaluation, columns: int = 10) -> Figure:
    """The first digits as they come, three rows of them, then the first that went wrong."""
    rows = 3
    first = list(range(min(rows * columns, len(digits))))
    wrong = evaluation.mistakes.sort().values[:columns].tolist()
    figure = _card(columns * 1.02, (rows + 1) * 1.32 + 1.0)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[rows, 1.12]).flat
    _title(upper, f"The first {len(first)} test digits: what it reads, and how sure it is")
    _image_grid(upper, digits, evaluation, first, rows, columns)
    _title(
        lower,
        f"The first {len(wrong)} that it reads otherwise than the label, of {evaluation.errors}",
    )
    _image_grid(lower, digits, evaluation, wrong, 1, columns)
    return figure


def worst_mistakes(digits: Digits, evaluation: Evaluation, columns: int = 10) -> Figure:
    """The wrong predictions in which the network had the most confidence."""
    rows = 3
    places = evaluation.mistakes[: rows * columns].tolist()
    rows = max(1, -(-len(places) // columns))
    figure = _card(columns * 1.02, rows * 1.32 + 0.6)
    _title(figure, f"The {len(places)} mistakes made with most confidence, of {evaluation.errors}")
    _image_grid(figure, digits, evaluation, places, rows, columns)
    return figure


def training_curves(history: Sequence[Epoch]) -> Figure:
    """Loss and error rate while training, in twentieths of an epoch."""
    loss_curve = np.concatenate([epoch.loss_curve for epoch in history])
    accuracy_curve = np.concatenate([epoch.accuracy_curve for epoch in history])
    parts = [np.arange(len(e.loss_curve)) + 1 for e in history]
    epochs = np.concatenate(
        [e.epoch - 1 + part / len(part) for e, part in zip(history, parts, strict=True)]
    )
    figure = _card(9, 3.6)
    loss, error = figure.subplots(1, 2)
    loss.plot(epochs, loss_curve, color=BLUE)
    loss.set(title="Training loss", xlabel="epoch", ylim=(0, None))
    # No mistake at all has no place on a log scale: such points are left out.
    errors = np.where(accuracy_curve < 1, 1 - accuracy_curve, np.nan)
    error.plot(epochs, errors, color=BLUE, label="training")
    validated = [(e.epoch, 1 - e.validation_accuracy) for e in history if e.validation_accuracy]
    if validated:
        style = {"color": ORANGE, "marker": "s", "markersize": 4, "linestyle": "--"}
        error.plot(*zip(*validated, strict=True), label="validation", **style)
    error.set(title="Wrong answers while training", xlabel="epoch", yscale="log")
    error.yaxis.set_major_formatter(percent)
    error.legend(frameon=False)
    for axes in (loss, error):
        axes.set_xlim(0, len(history))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _plain(axes)
    return figure


def confusion_matrix(evaluation: Evaluation) -> Figure:
    """Which digit is read as which; the right ones muted, so that the errors show."""
    counts = evaluation.confusion.numpy()
    errors = np.where(np.eye(10, dtype=bool), 0, counts)
    figure = _card(6.4, 6.2)
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
        title=f"{evaluation.errors:,} mistakes in {evaluation.count:,} digits",
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


def calibration(evaluation: Evaluation) -> Figure:
    """Confidence against how often it is right, with 95% intervals.

    Over the odds of being wrong, on a log scale: on a plain one everything that a good
    network says lies in the last percent.
    """
    floor = 1e-4
    bins = evaluation.calibration()
    doubt = np.maximum([1 - part.confidence for part in bins], floor)
    wrong = np.array([1 - part.right / part.count for part in bins])
    low, high = np.array([wilson_interval(p.count - p.right, p.count) for p in bins]).T
    figure = _card(5.6, 5.2)
    axes = figure.subplots()
    axes.plot([floor, 1], [floor, 1], color=MUTED, linewidth=1, linestyle=":", label="ideal")
    axes.vlines(doubt, np.maximum(low, floor), high, color=BLUE, linewidth=1.2)
    some = wrong > 0
    size = f"{bins[0].count:,} digits"
    axes.plot(doubt[some], wrong[some], "o", color=BLUE, markersize=5, label=size)
    none = np.full(sum(~some), floor)
    axes.plot(doubt[~some], none, "v", color=BLUE, markersize=5, label=f"{size}, none wrong")
    axes.set(
        title=f"Calibration error {evaluation.calibration_error:.2%}",
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
    _plain(axes)
    return figure


def picture_mistakes(outcomes: Sequence[Outcome], columns: int = 6) -> Figure:
    """Pictures that were read otherwise than their label, and the frames that were read."""
    wrong = [outcome for outcome in outcomes if not outcome.right]
    shown = wrong[: 5 * columns]
    rows = max(1, -(-len(shown) // columns))
    figure = _card(columns * 1.9, rows * 1.9 + 0.6)
    _title(figure, f"{len(wrong)} of {len(outcomes)} pictures read otherwise than their label")
    grid = figure.subplots(rows, columns * 2, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for outcome, (picture, frames) in zip(shown, grid.reshape(-1, 2), strict=False):
        label, reading = outcome.picture.label, outcome.reading
        picture.set_title(label, color=INK, fontsize=10, pad=3)
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


def _image_grid(
    figure: Figure | SubFigure,
    digits: Digits,
    evaluation: Evaluation,
    places: Sequence[int],
    rows: int,
    columns: int,
) -> None:
    """Digits with prediction and confidence above; a mistake framed, its label beside."""
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, place in zip(grid.flat, places, strict=False):
        label, predicted = int(evaluation.labels[place]), int(evaluation.predictions[place])
        confidence = f"{float(evaluation.confidence[place]):.1%}"
        _image(axes, digits, place)
        right = label == predicted
        caption = f"{predicted}" if right else f"{predicted}, not {label}"
        axes.set_title(caption, color=BLUE if right else ORANGE, fontsize=11, pad=3, weight="bold")
        axes.set_xlabel(confidence, color=MUTED, fontsize=8, labelpad=2)
        axes.spines[:].set(color=GRID if right else ORANGE, linewidth=1 if right else 2.5)


def _image(axes: Axes, digits: Digits, place: int) -> None:
    # Paper rather than screen: dark ink on a light ground, as people know handwriting.
    axes.imshow(digits.images[place, 0].cpu().numpy(), cmap="gray_r", vmin=0, vmax=255)
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color=GRID, linewidth=1)


def _card(width: float, height: float) -> Figure:
    """An empty figure, inches."""
    return Figure(figsize=(width, height), facecolor="white", layout="constrained")


def _title(figure: Figure | SubFigure, text: str) -> None:
    figure.suptitle(text, color=INK, fontsize=12)


def _plain(axes: Axes) -> None:
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(which="both", colors=INK, labelsize=9)
