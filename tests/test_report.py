from __future__ import annotations

import torch

from mnist_digits import DigitNet, Epoch, Evaluation, Recipe, Run, report


def run_with(validation_accuracy: float, seconds: float) -> Run:
    epoch = Epoch(1, 0.5, 0.9, validation_accuracy, 0.03, 1.0, seconds, [0.5], [0.9])
    return Run(Recipe(), DigitNet(Recipe()), [epoch])


def test_a_row_of_a_comparison_is_the_mean_over_the_seeds() -> None:
    runs = [run_with(0.99, 1.0), run_with(0.98, 2.0)]
    line = report.comparison_line("16, 32", runs)
    assert line.split() == ["16,", "32", "98.50%", "0.71%", "2", "38,826", "1.5"]
    assert len(line) == len(report.COMPARISON_HEADER)
    assert report.comparison_line("fast", runs[:1]).split()[2] == "-"


def test_the_confusion_has_a_column_for_each_digit() -> None:
    answers = Evaluation(torch.eye(10), torch.arange(10))
    _, header, *rows = report.confusion_table(answers).splitlines()
    assert header.split() == ["label", *map(str, range(10))]
    for digit, row in enumerate(rows):
        assert row.rindex("1") == header.rindex(str(digit))
