from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from mnist_digits import (
    BALANCED,
    DigitNet,
    Digits,
    Epoch,
    Evaluation,
    OutputError,
    Reader,
    Recipe,
    Run,
    evaluate,
)
from mnist_digits.plots import reading_plots, run_plots
from mnist_digits.reading import percentage
from mnist_digits.reading.annotation import annotated
from mnist_digits.reading.labelled import Labelled, Outcome


@pytest.fixture(scope="module")
def evaluation(fast_run: Run, test_set: Digits) -> Evaluation:
    return evaluate(fast_run.model, test_set)


def drawn(figure: Figure) -> Image.Image:
    """The figure as people see it; fails where matplotlib warns."""
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return Image.open(png).convert("L")


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]


def values(line: Line2D) -> tuple[list[float], list[float]]:
    """Where a line goes: x and y."""
    x, y = np.asarray(line.get_data(), dtype=float).tolist()
    return x, y


FIGURES: dict[str, Callable[[Digits, Evaluation, Run], Figure]] = {
    "sample digits": lambda digits, _, __: run_plots.sample_digits(digits),
    "sample predictions": lambda digits, answers, _: run_plots.sample_predictions(digits, answers),
    "worst mistakes": lambda digits, answers, _: run_plots.worst_mistakes(digits, answers),
    "confusion matrix": lambda _, answers, __: run_plots.confusion_matrix(answers),
    "calibration": lambda _, answers, __: run_plots.calibration(answers),
    "training curves": lambda _, __, run: run_plots.training_curves(run.history),
    "class balance": lambda digits, _, __: run_plots.class_balance(digits, digits[:100]),
    "mean images": lambda digits, _, __: run_plots.mean_images(digits.images[:10, 0]),
    "pixel values": lambda digits, _, __: run_plots.pixel_values(digits[:500]),
    "augmentation": lambda digits, _, __: run_plots.augmentation_preview(digits, BALANCED),
    "suspected labels": lambda digits, answers, _: run_plots.suspected_labels(digits, answers),
    "loss curve": lambda _, __, run: run_plots.loss_curve(run.history[0].loss_curve, 100),
    "comparison": lambda _, __, run: run_plots.comparison("batch size", {"250": [run]}),
    "accuracy against time": lambda _, __, ___: run_plots.accuracy_against_time(
        {"fast": [[(1.0, 0.99), (2.0, 0.991)]], "peer": [[(9.0, 0.986)]]}, {"fast"}
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_dark_ink_on_a_white_card(
    name: str, test_set: Digits, evaluation: Evaluation, fast_run: Run
) -> None:
    image = drawn(FIGURES[name](test_set, evaluation, fast_run))
    histogram = image.histogram()
    assert image.getpixel((0, 0)) == 255
    assert histogram[255] > 0.3 * image.width * image.height
    assert sum(histogram[:100]) > 500


def test_samples_tell_prediction_label_and_confidence(
    test_set: Digits, evaluation: Evaluation
) -> None:
    figure = run_plots.sample_predictions(test_set, evaluation)
    found = texts(figure)
    place = int(evaluation.mistakes.sort().values[0])
    label, predicted = int(test_set.labels[place]), int(evaluation.predictions[place])
    assert f"{predicted}, not {label}" in found
    assert f"{float(evaluation.confidence[0]):.1%}" in found
    assert any(f"of {evaluation.errors}" in text for text in found)


def test_class_balance_counts_each_digit(test_set: Digits) -> None:
    figure = run_plots.class_balance(test_set, test_set[test_set.labels == 7])
    assert {f"{count:,}" for count in test_set.labels.bincount().tolist()} <= set(texts(figure))
    (points,) = [line for line in figure.axes[0].lines if line.get_marker() == "s"]
    assert values(points)[1] == [0, 0, 0, 0, 0, 0, 0, 1, 0, 0]


def test_pixel_values_are_shares_of_all_pixels(test_set: Digits) -> None:
    few = test_set[:500]
    histogram, mean, deviation = run_plots.pixel_values(few).axes
    shares = [bar.get_height() for bar in histogram.patches if isinstance(bar, Rectangle)]
    assert sum(shares) == pytest.approx(1)
    assert shares[0] == pytest.approx((few.images == 0).float().mean().item())
    images = few.images[:, 0].float()
    for axes, expected in (
        (mean, images.mean(dim=0)),
        (deviation, images.std(dim=0, correction=0)),
    ):
        np.testing.assert_allclose(axes.images[0].get_array(), expected, atol=0.02)  # type: ignore[arg-type]


def test_augmentation_shows_the_digit_and_its_changed_copies(test_set: Digits) -> None:
    state = torch.get_rng_state()
    figure = run_plots.augmentation_preview(test_set, BALANCED, rows=2, columns=4)
    assert torch.get_rng_state().equal(state)
    pictures = [np.asarray(image.get_array()) for image in figure.axes[0].images]
    for row in (0, 1):
        original, *changed = pictures[4 * row : 4 * row + 4]
        assert (original == test_set.images[row, 0].numpy()).all()
        assert len({picture.tobytes() for picture in changed}) == 3


def test_suspected_labels_tell_which_people_agree_on(
    test_set: Digits, evaluation: Evaluation
) -> None:
    places = evaluation.suspected_labels.tolist()
    figure = run_plots.suspected_labels(test_set, evaluation, known=[places[0], places[3]])
    found = texts(figure)
    assert "The 20 labels it believes least: people agree that 2 are wrong" in found
    assert {f"{places[0]}, agreed", str(places[1]), f"{places[3]}, agreed"} <= set(found)


def test_the_loss_so_far_fills_its_part_of_the_axis() -> None:
    losses = [float(step) for step in range(1, 101)]
    axes = run_plots.loss_curve(losses, 400).axes[0]
    each, mean = axes.lines
    assert axes.get_xlim() == (0, 400)
    assert values(each)[1] == losses
    assert values(mean)[0][0] == 26
    assert values(mean)[1][0] == pytest.approx(sum(losses[:50]) / 50)
    assert len(values(mean)[1]) == 51
    assert values(run_plots.loss_curve([], 400).axes[0].lines[0]) == ([], [])


def run_with(validation_accuracy: float, losses: list[float]) -> Run:
    epoch = Epoch(1, 1.0, 0.9, validation_accuracy, 0.1, 1.0, 1.0, losses, losses)
    return Run(Recipe(), DigitNet(Recipe()), [epoch])


def test_a_comparison_shows_each_seed_and_the_mean_loss() -> None:
    slow = [run_with(0.90, [3.0, 2.0]), run_with(0.92, [5.0, 4.0])]
    quick = [run_with(0.98, [1.0, 0.5])]
    figure = run_plots.comparison("learning rate", {"0.1": slow, "0.3": quick})
    loss, wrong = figure.axes
    assert [values(line)[1] for line in loss.lines] == [[4.0, 3.0], [1.0, 0.5]]
    errors = [values(line)[1] for line in wrong.lines]
    assert errors[0] == pytest.approx([0.10, 0.08])
    assert errors[1] == pytest.approx([0.02])
    assert wrong.get_ylim()[0] == 0
    assert wrong.get_ylim()[1] > 0.10
    labels = [label.get_text() for label in wrong.get_xticklabels()]
    assert labels == ["0.1", "0.3"]


def test_accuracy_against_time_ends_each_training_with_a_point() -> None:
    trainings = {"ours": [[(1.0, 0.990), (2.0, 0.992)]], "peer": [[(8.0, 0.991)]]}
    axes = run_plots.accuracy_against_time(trainings, {"ours"}, {"other": (9.0, 0.997)}).axes[0]
    points = [line for line in axes.lines if line.get_marker() in ("o", "s")]
    assert [(line.get_marker(), line.get_fillstyle(), *values(line)) for line in points] == [
        ("o", "full", [2.0], [0.992]),
        ("s", "full", [8.0], [0.991]),
        ("s", "none", [9.0], [0.997]),
    ]
    assert [text.get_text() for text in axes.texts] == ["ours", "peer", "other (published)"]


def test_a_page_shows_the_digits_that_were_found_and_their_boxes(test_set: Digits) -> None:
    page = np.full((60, 120), 255, np.uint8)
    page[16:44, 16:44] -= test_set.images[0, 0].numpy()
    page[16:44, 76:104] -= test_set.images[1, 0].numpy()
    reading = Reader.load().read(page)
    assert reading.text == "7 2"
    figure = reading_plots.page_reading(page, reading)
    copy, *frames = [image.get_array() for image in figure.axes[0].images]
    np.testing.assert_array_equal(copy, np.asarray(annotated(page, reading)))
    np.testing.assert_array_equal(frames, [digit.frame for digit in reading.digits])
    assert {"7", "2", percentage(reading.digits[0].confidence)} <= set(texts(figure))


def test_mistakes_in_pictures_can_be_told_apart(test_set: Digits, tmp_path: Path) -> None:
    """Long labels do not cover their neighbours, and more mistakes than fit are counted."""
    row = 255 - np.concatenate(list(test_set.images[:20, 0].numpy()), axis=1)
    Image.fromarray(np.pad(row, 12, constant_values=255)).save(tmp_path / "row.png")
    reading = Reader.load().read(tmp_path / "row.png")
    assert len(reading.digits) > 15
    wrong = Labelled(tmp_path / "row.png", "1234567890" * 4, "all")
    outcomes = [Outcome(wrong, reading)] * 30
    figure = reading_plots.picture_mistakes([*outcomes, Outcome(wrong, None)])
    title, *labels = figure.axes[0].texts
    assert title.get_text().endswith("; the first 30 are shown")
    extents = [label.get_window_extent() for label in labels]
    for number, extent in enumerate(extents):
        assert not extent.count_overlaps(extents[:number])
    few = reading_plots.picture_mistakes([Outcome(wrong, None), *outcomes[:29]])
    assert "first" not in few.axes[0].texts[0].get_text()


def test_a_network_without_mistakes_can_be_shown(test_set: Digits, evaluation: Evaluation) -> None:
    right = (evaluation.predictions == evaluation.labels).nonzero()[:12, 0]
    digits = test_set[right]
    perfect = Evaluation(evaluation.probabilities[right], evaluation.labels[right])
    drawn(run_plots.sample_predictions(digits, perfect))
    drawn(run_plots.worst_mistakes(digits, perfect))
    drawn(run_plots.suspected_labels(digits, perfect))
    drawn(run_plots.confusion_matrix(perfect))
    drawn(run_plots.calibration(perfect))


def test_every_error_stands_in_the_confusion_matrix(evaluation: Evaluation) -> None:
    found = [text for text in texts(run_plots.confusion_matrix(evaluation)) if text]
    confusion = evaluation.confusion
    cells = [f"{count:,}" for count in confusion.diagonal().tolist()]
    cells += [str(n) for n in (confusion - confusion.diagonal().diag()).flatten().tolist() if n]
    for cell in cells:
        found.remove(cell)


def test_the_same_figure_is_the_same_file_wherever_one_can_be(tmp_path: Path) -> None:
    one, other = tmp_path / "a.png", tmp_path / "new" / "b.png"
    for file in (one, other):
        run_plots.save_figure(run_plots.loss_curve([2.0, 1.0], 2), file)
    assert one.read_bytes() == other.read_bytes()
    with pytest.raises(OutputError, match="cannot write the figure"):
        run_plots.save_figure(run_plots.loss_curve([], 2), one / "c.png")


@pytest.mark.slow
def test_figures_of_a_training_do_not_import_what_reads() -> None:
    program = "import sys, mnist_digits.plots.run_plots; print('onnxruntime' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program]) == b"False\n"
