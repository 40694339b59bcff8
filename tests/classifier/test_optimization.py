from __future__ import annotations

import dataclasses

import pytest

from mnist_digits import FAST, DigitNet
from mnist_digits.classifier.optimization import adamw_one_cycle


def learning_rates(warmup: float, steps: int) -> list[float]:
    """Of each step."""
    recipe = dataclasses.replace(FAST, widths=(4, 8), hidden=8, warmup=warmup)
    optimizer, schedule = adamw_one_cycle(DigitNet(recipe), recipe, steps, (0.7, 0.9))
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_the_learning_rate_may_only_fall_or_only_rise() -> None:
    falls, rises, both = (learning_rates(warmup, 50) for warmup in (0, 1, 0.3))
    assert falls == sorted(falls, reverse=True)
    assert rises == sorted(rises)
    assert both.index(max(both)) == pytest.approx(0.3 * 50, abs=1)
    for rates in (falls, rises, both):
        assert max(rates) == pytest.approx(FAST.learning_rate, rel=0.05)


@pytest.mark.parametrize("warmup", [0, 0.125, 0.25, 0.5, 1])
def test_there_may_be_few_steps(warmup: float) -> None:
    for steps in range(1, 9):
        assert all(0 < rate <= FAST.learning_rate for rate in learning_rates(warmup, steps))
