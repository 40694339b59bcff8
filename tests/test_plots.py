from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from mnist_digits import CheckpointError, Digits, Evaluation, Run, evaluate, plots


@pytest.fixture(scope="module")
def test_set(mnist: tuple[Digits, Digits]) -> Digits:
    return mnist[1]


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


FIGURES: dict[str, Callable[[Digits, Evaluation, Run], Figure]] = {
    "sample digits": lambda digits, _, __: plots.sample_digits(digits),
    "sample predictions": lambda digits, evaluation, _: plots.sample_predictions(
        digits, evaluation
    ),
    "worst mistakes": lambda digits, evaluation, _: plots.worst_mistakes(digits, evaluation),
    "confusion matrix": lambda _, evaluation, __: plots.confusion_matrix(evaluation),
    "calibration": lambda _, evaluation, __: plots.calibration(evaluation),
    "training curves": lambda _, __, run: plots.training_curves(run.history),
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
    figure = plots.sample_predictions(test_set, evaluation)
    found = texts(figure)
    place = int(evaluation.mistakes.sort().values[0])
    label, predicted = int(test_set.labels[place]), int(evaluation.predictions[place])
    assert f"{predicted}, not {label}" in found
    assert f"{float(evaluation.confidence[0]):.1%}" in found
    assert any(f"of {evaluation.errors}" in text for text in found)


def test_a_network_without_mistakes_can_be_shown(test_set: Digits, evaluation: Evaluation) -> None:
    right = (evaluation.predictions == evaluation.labels).nonzero()[:12, 0]
    digits = test_set[right]
    perfect = Evaluation(evaluation.probabilities[right], evaluation.labels[right])
    drawn(plots.sample_predictions(digits, perfect))
    drawn(plots.worst_mistakes(digits, perfect))
    drawn(plots.confusion_matrix(perfect))
    drawn(plots.calibration(perfect))


def test_every_error_stands_in_the_confusion_matrix(evaluation: Evaluation) -> None:
    found = [text for text in texts(plots.confusion_matrix(evaluation)) if text]
    confusion = evaluation.confusion
    cells = [f"{count:,}" for count in confusion.diagonal().tolist()]
    cells += [str(n) for n in (confusion - confusion.diagonal().diag()).flatten().tolist() if n]
    for cell in cells:
        found.remove(cell)


def test_the_same_figure_is_the_same_file(evaluation: Evaluation, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        plots.save_figure(plots.confusion_matrix(evaluation), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_folder_that_cannot_be(evaluation: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot write the figure"):
        plots.save_figure(plots.calibration(evaluation), tmp_path / "file" / "a.png")
