from __future__ import annotations

import dataclasses

import pytest

from mnist_digits import FAST, DigitNet, Recipe
from mnist_digits.classifier.optimization import adamw_one_cycle

SHORT = dataclasses.replace(FAST, widths=(4, 8), hidden=8)


def learning_rates(recipe: Recipe, steps: int) -> list[float]:
    """Of each step."""
    optimizer, schedule = adamw_one_cycle(DigitNet(recipe), recipe, steps, (0.7, 0.9))
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_the_learning_rate_may_only_fall_or_only_rise() -> None:
    falls = learning_rates(dataclasses.replace(SHORT, warmup=0), 50)
    rises = learning_rates(dataclasses.replace(SHORT, warmup=1), 50)
    both = learning_rates(dataclasses.replace(SHORT, warmup=0.3), 50)
    assert falls == sorted(falls, reverse=True)
    assert rises == sorted(rises)
    assert both.index(max(both)) == pytest.approx(0.3 * 50, abs=1)
    for rates in (falls, rises, both):
        assert max(rates) == pytest.approx(SHORT.learning_rate, rel=0.05)


@pytest.mark.parametrize("warmup", [0, 0.125, 0.25, 0.5, 1])
@pytest.mark.parametrize("steps", range(1, 9))
def test_there_may_be_few_steps(warmup: float, steps: int) -> None:
    for rate in learning_rates(dataclasses.replace(SHORT, warmup=warmup), steps):
        assert 0 < rate <= SHORT.learning_rate
