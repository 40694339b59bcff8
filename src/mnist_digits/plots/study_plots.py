"""Figures of sweeps and studies: what a sweep tried, and how a study's seeds spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from .style import BLUE, GRID, MUTED, ORANGE, card, percent, plain, plain_number, series

if TYPE_CHECKING:
    from ..cluster.study import Study
    from ..cluster.sweep import Trial


def sweep_trials(trials: Sequence[Trial]) -> Figure:
    """Validation accuracy of the trials in the order in which they began, and the best so far.

    Filled points are trials that were trained to the end.
    """
    done = sorted((t for t in trials if t.accuracy is not None), key=lambda trial: trial.number)
    figure = card(8, 3.6)
    axes = figure.subplots()
    accuracies = np.array([trial.accuracy for trial in done], float)
    numbers = [trial.number for trial in done]
    axes.step(
        numbers, np.maximum.accumulate(accuracies), where="post", color=ORANGE, label="best so far"
    )
    for whole in (True, False):
        chosen = [(t.number, t.accuracy) for t in done if (t.epochs >= t.planned) == whole]
        if chosen:
            face = BLUE if whole else "white"
            label = "to the end" if whole else "stopped early"
            axes.plot(
                *zip(*chosen, strict=True), "o", color=BLUE, markerfacecolor=face, label=label
            )
    axes.set(xlabel="trial", ylabel="validation accuracy")
    axes.yaxis.set_major_formatter(percent)
    axes.legend(frameon=False, fontsize=9)
    plain(axes)
    return figure


def sweep_fields(trials: Sequence[Trial], importance: Mapping[str, float]) -> Figure:
    """Validation accuracy against each field; the titles have the fields' importance."""
    done = [trial for trial in trials if trial.accuracy is not None]
    names = sorted(done[0].values, key=lambda name: -importance.get(name, 0.0))
    rows = -(-len(names) // 3)
    figure = card(9, 2.9 * rows)
    grid = figure.subplots(rows, min(3, len(names)), squeeze=False, sharey=True)
    for axes, name in zip(grid.flat, names, strict=False):
        _field(axes, name, done)
        explained = f"  {importance[name]:.0%}" if name in importance else ""
        axes.set_title(f"{name}{explained}", fontsize=10, loc="left")
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("validation accuracy")
        axes.yaxis.set_major_formatter(percent)
    return figure


def _field(axes: Axes, name: str, trials: Sequence[Trial]) -> None:
    values = [trial.values[name] for trial in trials]
    accuracies = np.array([trial.accuracy for trial in trials], float)
    numbers = all(isinstance(value, (int, float)) for value in values)
    if numbers and len(set(values)) > 4:
        positions = values
        if min(values) > 0 and max(values) > 8 * min(values):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(plain_number)
    else:
        kinds = sorted(set(map(str, values)), key=lambda text: (len(text), text))
        positions = [kinds.index(str(value)) for value in values]
        axes.set_xticks(range(len(kinds)), kinds)
        axes.margins(x=0.3)
    axes.plot(positions, accuracies, "o", color=BLUE, markersize=4, alpha=0.7)
    plain(axes)


def distribution(studies: Sequence[Study]) -> Figure:
    """Each run as a point; below the runs of a recipe, their mean and its 95% interval."""
    figure = card(8, 1.4 + 0.9 * len(studies))
    axes = figure.subplots()
    for index, study in enumerate(studies):
        # The first one stands at the top.
        position, style = len(studies) - 1 - index, series(index)
        values = np.array(list(study.accuracies.values()))
        colour, below = style["color"], position - 0.36
        # The points of a recipe are spread in height, so that none hides another.
        height = position + np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else [position]
        axes.plot(values, height, linestyle="", markersize=5, alpha=0.6, **style)
        if len(values) > 1:
            axes.plot(study.interval, [below] * 2, color=colour, linewidth=4, alpha=0.4)
        axes.plot(study.mean, below, "|", color=colour, markersize=12, markeredgewidth=2)
    names = [f"{study.recipe.name}\n{study.mean:.2%}" for study in reversed(studies)]
    axes.set_yticks(range(len(studies)), names)
    axes.set_ylim(-0.7, len(studies) - 0.4)
    axes.set_xlabel("accuracy; below the points the mean, and its 95% interval", color=MUTED)
    axes.xaxis.set_major_formatter(percent)
    axes.grid(axis="x", color=GRID)
    plain(axes)
    return figure
