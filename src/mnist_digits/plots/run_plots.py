"""The figures of the data and of results, in one visual language (`style`).

What a network looks at is drawn in `insight`, next to where it is computed.
Each function returns a matplotlib Figure that belongs to nobody else: no pyplot, so no
global state and no window.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from torch import Tensor

from ..classifier.augmentation import augment
from ..classifier.evaluation import Evaluation, wilson_interval
from ..classifier.loop import Epoch, Run
from ..classifier.recipe import Recipe
from ..data.dataset import Digits
from ..files import write_png
from ..reading import percentage
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
    card,
    chart_card,
    percent,
    plain,
    plain_number,
    series,
    sheet,
    show_digit,
    show_pixels,
)


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure as PNG, whole or not at all; the folder is made if needed.

    Raises:
        OutputError: the folder cannot be written.
    """
    png = io.BytesIO()
    # Without a version in the file the same figure is the same bytes on every machine.
    figure.savefig(png, format="png", dpi=120, metadata={"Software": None})
    write_png(png.getvalue(), path)


def sample_digits(digits: Digits, rows: int = 3, columns: int = 10) -> Figure:
    """The first digits, with their labels."""
    figure, whole = sheet(WIDTH, rows * 1.09)
    for index, place in zip(range(len(digits)), whole.grid(rows, columns), strict=False):
        show_digit(place, digits, index)
    return figure


def class_balance(train: Digits, test: Digits) -> Figure:
    """How many of the images show each digit: training as bars, test as points."""
    counts = train.labels.bincount(minlength=10).cpu().numpy()
    tested = test.labels.bincount(minlength=10).cpu().numpy()
    figure = card(WIDTH, 3.2)
    axes = figure.subplots()
    of_training, of_test = f"{len(train):,} training images", f"{len(test):,} test images"
    axes.bar(range(10), counts / len(train), color=BLUE, width=0.7, label=of_training)
    for digit, count in enumerate(counts):
        axes.text(digit, 0.005, f"{count:,}", color="white", fontsize=9, ha="center")
    axes.plot(tested / len(test), "s", color=ORANGE, markeredgecolor="white", label=of_test)
    axes.axhline(0.1, color=MUTED, linewidth=1, linestyle=":")
    axes.set(title="How many of each digit", xticks=range(10), ylim=(0, 0.15))
    axes.yaxis.set_major_formatter(percent)
    axes.legend(frameon=False, loc="upper right", ncols=2)
    plain(axes)
    axes.grid(visible=False, axis="x")
    return figure


def mean_images(means: Tensor) -> Figure:
    """The mean image of each digit: (10, 28, 28), 0 to 255."""
    figure, whole = sheet(WIDTH, 1.09)
    for digit, place in enumerate(whole.grid(1, len(means))):
        caption(show_pixels(place, means[digit].cpu().numpy()), str(digit))
    return figure


def pixel_values(digits: Digits) -> Figure:
    """How often each value of a pixel occurs, and the mean and deviation of each pixel."""
    pixels = digits.images[:, 0].cpu().numpy()
    figure = card(WIDTH, 3)
    values, mean, deviation = figure.subplots(1, 3, width_ratios=[1.9, 1, 1])
    shares = digits.images.flatten().bincount(minlength=256).cpu().numpy() / pixels.size
    values.bar(range(256), shares, width=1, color=BLUE)
    values.set(yscale="log", xlabel="pixel value", xlim=(-2, 257), xticks=range(0, 256, 51))
    values.set_title(f"{shares[0]:.0%} of all pixels are 0")
    values.yaxis.set_major_formatter(percent)
    plain(values)
    for axes, name, summary in (
        (mean, "Mean", pixels.mean(axis=0)),
        (deviation, "Deviation", pixels.std(axis=0, dtype=np.float32)),
    ):
        axes.imshow(summary, cmap="gray_r", vmin=0, vmax=255)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color=GRID, linewidth=1)
        axes.set_title(name, color=INK, fontsize=12)
        axes.set_xlabel(f"up to {summary.max():.0f}", color=MUTED, fontsize=9)
    return figure


def augmentation_preview(
    digits: Digits, recipe: Recipe, rows: int = 3, columns: int = 10, seed: int = 0
) -> Figure:
    """A digit a row: as it is, with a border, and as the recipe's augmentation changes it."""
    originals = digits.images[:rows].cpu()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        copies = originals.repeat_interleave(columns - 1, dim=0)
        changed = augment(copies, recipe).unflatten(0, (-1, columns - 1))
    pictures = torch.cat([originals[:, None].float(), changed.float()], dim=1).numpy()
    figure, whole = sheet(WIDTH, rows * 0.94 + 0.3)
    _, below = whole.stacked(0.2, rows * 0.94 + 0.1)
    for index, place in enumerate(below.grid(rows, columns, above=0)):
        row, column = divmod(index, columns)
        filled = show_pixels(place, pictures[row, column, 0], THIN if column else (BLUE, 2.5))
        if index == 0:
            caption(filled, "original", colour=BLUE)
    return figure


def sample_predictions(digits: Digits, evaluation: Evaluation, columns: int = 10) -> Figure:
    """Three rows of the first digits, then the first mistakes."""
    rows = 3
    first = range(min(rows * columns, len(digits)))
    wrong = evaluation.mistakes.sort().values[:columns].tolist()
    figure, whole = sheet(WIDTH, (rows + 1) * 1.2 + 1.0)
    upper, lower = whole.stacked(rows, 1.12)
    text = f"The first {len(first)} test digits: what it reads, and how sure it is"
    above = upper.titled(text).grid(rows, columns, ABOVE, BELOW)
    _show_answers(above, digits, evaluation, first)
    text = f"The first {len(wrong)} that it reads otherwise than the label, of {evaluation.errors}"
    _show_answers(lower.titled(text).grid(1, columns, ABOVE, BELOW), digits, evaluation, wrong)
    return figure


def worst_mistakes(digits: Digits, evaluation: Evaluation, columns: int = 10) -> Figure:
    """The wrong predictions in which the network had the most confidence."""
    worst = evaluation.mistakes[: 3 * columns].tolist()
    text = f"The {len(worst)} mistakes made with most confidence, of {evaluation.errors}"
    figure, places = _titled_grid(text, len(worst), columns)
    _show_answers(places, digits, evaluation, worst)
    return figure


def _titled_grid(text: str, count: int, columns: int) -> tuple[Figure, list[Place]]:
    """A figure with a title, and places for at least `count` digits."""
    rows = max(1, -(-count // columns))
    figure, whole = sheet(WIDTH, rows * 1.2 + 0.6)
    return figure, whole.titled(text).grid(rows, columns, ABOVE, BELOW)


def _show_answers(
    places: Sequence[Place], digits: Digits, evaluation: Evaluation, indices: Sequence[int]
) -> None:
    """Digits with prediction and confidence; a mistake has an orange border and its label, too."""
    for place, index in zip(places, indices, strict=False):
        label, predicted = int(evaluation.labels[index]), int(evaluation.predictions[index])
        right = label == predicted
        pixels = digits.images[index, 0].cpu().numpy()
        filled = show_pixels(place, pixels, THIN if right else ALARMING)
        text = f"{predicted}" if right else f"{predicted}, not {label}"
        confidence = percentage(float(evaluation.confidence[index]))
        caption(filled, text, confidence, BLUE if right else ORANGE)


def training_curves(history: Sequence[Epoch]) -> Figure:
    """Loss and error rate while training, at each twentieth of an epoch."""
    parts = [np.arange(len(epoch.loss_curve)) + 1 for epoch in history]
    epochs = np.concatenate(
        [e.epoch - 1 + part / len(part) for e, part in zip(history, parts, strict=True)]
    )
    figure = chart_card(WIDTH, 3.6)
    loss, error = figure.subplots(1, 2)
    loss.plot(epochs, np.concatenate([epoch.loss_curve for epoch in history]), color=BLUE)
    loss.set(title="Training loss", xlabel="epoch", ylim=(0, None))
    accuracies = np.concatenate([epoch.accuracy_curve for epoch in history])
    # A log scale has no place for 0: points without mistakes are left out.
    errors = np.where(accuracies < 1, 1 - accuracies, np.nan)
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
        plain(axes)
    return figure


def confusion_matrix(evaluation: Evaluation) -> Figure:
    """Which digit is read as which; the right ones muted, so that the errors show."""
    counts = evaluation.confusion.numpy()
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


def calibration(evaluation: Evaluation) -> Figure:
    """How often answers of similar confidence are wrong, with 95% intervals.

    Both axes show the chance of being wrong, on a log scale: on a linear axis nearly all answers
    of a good network lie in the last per cent.
    """
    floor = 1e-4
    bins = evaluation.calibration()
    doubt = np.array([max(1 - part.confidence, floor) for part in bins])
    wrong = np.array([1 - part.right / part.count for part in bins])
    low, high = np.array([wilson_interval(p.count - p.right, p.count) for p in bins]).T
    figure = chart_card(5.6, 5.2)
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
    plain(axes)
    return figure


def suspected_labels(
    digits: Digits, evaluation: Evaluation, known: Collection[int] = (), columns: int = 10
) -> Figure:
    """The images whose label the network believes least.

    Labels that people agree are wrong have an orange border.

    Args:
        known: the indices of labels that people agree are wrong.
    """
    indices = evaluation.suspected_labels[: 2 * columns].tolist()
    agreed = sum(index in known for index in indices)
    text = f"The {len(indices)} labels it believes least: people agree that {agreed} are wrong"
    figure, places = _titled_grid(text, len(indices), columns)
    for place, index in zip(places, indices, strict=False):
        label, predicted = int(evaluation.labels[index]), int(evaluation.predictions[index])
        wrong = index in known
        filled = show_pixels(
            place, digits.images[index, 0].cpu().numpy(), ALARMING if wrong else THIN
        )
        note = f"{index}, agreed" if wrong else str(index)
        caption(filled, f"{predicted}, not {label}", note, ORANGE if wrong else INK)
    return figure


def loss_curve(losses: Sequence[float], steps: int) -> Figure:
    """The loss of each step so far, and its running mean.

    Args:
        losses: one for each step that is done.
        steps: how many there will be in all.
    """
    figure = card(WIDTH, 2.8)
    axes = figure.subplots()
    done = np.arange(1, len(losses) + 1)
    axes.plot(done, losses, color=BLUE, linewidth=0.5, alpha=0.35, label="each step")
    window = min(50, len(losses))
    if window:
        mean = np.convolve(losses, np.ones(window) / window, mode="valid")
        middle = done[window // 2 :][: len(mean)]
        axes.plot(middle, mean, color=BLUE, label=f"mean of {window} steps")
        axes.legend(frameon=False, loc="upper right")
    axes.set(title="Loss while training", xlabel="step", xlim=(0, steps), yscale="log")
    axes.set_ylim(min([0.01, *losses]), max([3, *losses]))
    axes.xaxis.set_major_formatter(plain_number)
    axes.yaxis.set_major_formatter(plain_number)
    plain(axes)
    return figure


def accuracy_against_time(
    contenders: Mapping[str, Sequence[Sequence[tuple[float, float]]]],
    ours: Collection[str],
    published: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Each training as a line, epoch by epoch, with a point where it ends.

    Args:
        contenders: for each name its trainings: seconds and test accuracy after each epoch.
        ours: the names that are this project's: blue, the others are orange.
        published: results that others report, each an empty point: seconds and test accuracy.
    """
    figure = card(8, 4.6)
    axes = figure.subplots()
    label = partial(axes.annotate, textcoords="offset points", color=INK, fontsize=9)
    for name, trainings in contenders.items():
        colour, marker = (BLUE, "o") if name in ours else (ORANGE, "s")
        for epochs in trainings:
            axes.plot(*zip(*epochs, strict=True), color=colour, linewidth=0.8, alpha=0.5)
        seconds, accuracies = np.array([epochs[-1] for epochs in trainings]).T
        axes.plot(seconds, accuracies, marker, color=colour, markersize=6, alpha=0.8)
        if name in ours:
            label(name, (np.median(seconds), max(accuracies)), (0, 7), ha="center", va="bottom")
        else:
            label(name, (np.median(seconds), min(accuracies)), (0, -7), ha="center", va="top")
    for name, end in (published or {}).items():
        axes.plot(*end, "s", color=ORANGE, markersize=6, fillstyle="none")
        label(f"{name} (published)", end, (6, 7), ha="right", va="bottom")
    axes.set(xscale="log", ylim=(0.985, 0.999), xlabel="training time, s", ylabel="test accuracy")
    axes.xaxis.set_major_formatter(plain_number)
    axes.yaxis.set_major_formatter(percent)
    plain(axes)
    return figure


def comparison(experiment: str, runs: Mapping[str, Sequence[Run]]) -> Figure:
    """How runs that differ in one thing compare: the loss while training, and validation.

    Args:
        experiment: what differs.
        runs: for each setting its runs, which differ in their seeds and have validation accuracies.
    """
    figure = card(WIDTH, 3.6)
    loss, wrong = figure.subplots(1, 2)
    for index, (name, several) in enumerate(runs.items()):
        style = series(index)
        curves = [np.concatenate([epoch.loss_curve for epoch in r.history]) for r in several]
        curve = np.mean(curves, axis=0)
        epochs = np.linspace(0, len(several[0].history), len(curve) + 1)[1:]
        loss.plot(epochs, curve, markersize=4, markevery=4, linewidth=1.3, label=name, **style)
        errors = [1 - (run.history[-1].validation_accuracy or 0) for run in several]
        wrong.plot([index] * len(errors), errors, linestyle="", alpha=0.55, markersize=5, **style)
        wrong.hlines(np.mean(errors), index - 0.3, index + 0.3, color=style["color"], linewidth=2)
    loss.set(title="Training loss (log scale)", xlabel="epoch", xlim=(0, None), yscale="log")
    ticks = LogLocator(subs=(1, 2, 5))
    loss.yaxis.set_major_locator(ticks)
    # The axis goes down to a labelled number: otherwise it looks as if it began at 0.
    lowest = loss.dataLim.ymin
    loss.set_ylim(max(tick for tick in ticks.tick_values(lowest, 1) if tick <= lowest))
    loss.yaxis.set_major_formatter(plain_number)
    loss.yaxis.set_minor_locator(NullLocator())
    loss.legend(frameon=False, fontsize=9, title=experiment, title_fontsize=9)
    wrong.set(title="Wrong answers in validation", xlabel=experiment)
    wrong.set_ylim(0, 1.1 * wrong.dataLim.ymax)
    wrong.set_xticks(range(len(runs)), list(runs))
    wrong.yaxis.set_major_formatter(percent)
    for axes in (loss, wrong):
        plain(axes)
    return figure
