from __future__ import annotations

import copy
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from writers import save_pictures, sevens

from mnist_digits import FAST, Digits, Run, TrainingError, evaluate
from mnist_digits.classifier.calibration import Calibration, calibrate, raised
from mnist_digits.classifier.evaluation import Evaluation
from mnist_digits.classifier.examples import Examples, load_examples
from mnist_digits.classifier.teaching import (
    Taught,
    added,
    base_calibration,
    sign_test,
    teach,
    with_examples,
)
from mnist_digits.classifier.temperature import split_calibration

CALIBRATION = Calibration(temperature=0.5, sure_above=0.9)


@pytest.fixture(scope="module")
def examples(test_set: Digits, tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """Twenty digits of MNIST's, which are read right as it is, and twenty sevens like ones."""
    usual, odd = test_set[:20], sevens(20)
    both = Digits(torch.cat([usual.images, odd.images]), torch.cat([usual.labels, odd.labels]))
    return load_examples(save_pictures(both, tmp_path_factory.mktemp("hand")))


@pytest.fixture(scope="module")
def taught(fast_run: Run, examples: Examples, mnist: tuple[Digits, Digits]) -> Taught:
    """Side by side; a process that is killed is tried again."""
    weights = copy.deepcopy(fast_run.model.state_dict())
    result = copy.deepcopy(fast_run.result)
    done: list[tuple[int, int]] = []

    def kill_one(part: int, parts: int) -> None:
        done.append((part, parts))
        if part == 1:
            multiprocessing.active_children()[0].kill()

    given = (fast_run, examples, *mnist, CALIBRATION)
    taught = teach(*given, processes=2, on_part=kill_one, steps=50, folds=3)
    assert done == [(number, 4) for number in range(1, 5)]
    # The base stays as it is.
    assert fast_run.result == result
    assert all(torch.equal(weights[n], v) for n, v in fast_run.model.state_dict().items())
    return taught


@pytest.mark.slow
def test_it_learns_a_hand_and_does_not_forget(taught: Taught, fast_run: Run) -> None:
    others = sevens(200, seed=1)
    assert evaluate(fast_run.model, others).accuracy < 0.6
    assert evaluate(taught.run.model, others).accuracy > 0.95
    before = 1 - taught.test_errors_before / 10_000
    assert taught.run.result["test_accuracy"] > before - 0.003


@pytest.mark.slow
def test_the_report_is_by_networks_that_did_not_see_the_picture(taught: Taught) -> None:
    report, run = taught.report(), taught.run
    assert report["pictures"] == 40
    assert report["verdict"] == "better"
    assert report["before"]["right"] < 33 < report["after"]["right"]
    assert report["examples"][7] == sum(taught.examples.digits.labels == 7)
    assert report["after"]["digits_right"][7] > report["before"]["digits_right"][7]
    assert len(report["after"]["wrong"]) == 40 - report["after"]["right"]
    assert run.result["teaching"] == report
    assert (run.recipe.name, run.recipe.widths) == ("fast-taught", FAST.widths)
    assert run.result["train_images"] == len(taught.examples.digits)
    # Its images come several times: on none of them could another temperature be fitted.
    assert run.recipe.calibration_fraction == 0
    assert float(run.model.temperature) == CALIBRATION.temperature


@pytest.mark.slow
def test_random_labels_are_noticed(
    fast_run: Run, mnist: tuple[Digits, Digits], tmp_path: Path
) -> None:
    random = np.random.default_rng(0).integers(0, 10, 20)
    folder = save_pictures(mnist[1][:20], tmp_path, labels=[str(label) for label in random])
    with pytest.raises(TrainingError, match="most labels seem to be wrong"):
        teach(fast_run, load_examples(folder), *mnist, steps=20, folds=2)


@pytest.mark.slow
def test_two_pictures_tell_nothing(
    fast_run: Run, mnist: tuple[Digits, Digits], tmp_path: Path
) -> None:
    examples = load_examples(save_pictures(mnist[1][:2], tmp_path))
    taught = teach(fast_run, examples, *mnist, CALIBRATION, steps=2)
    assert taught.verdict == "unknown"
    assert "after" not in taught.report()


@given(some.integers(1, 300), some.integers(1, 500))
def test_mixtures_have_their_size_and_every_example(count: int, size: int) -> None:
    digits = Digits(torch.zeros(50, 1, 28, 28, dtype=torch.uint8), torch.zeros(50).long())
    examples = Digits(torch.ones(count, 1, 28, 28, dtype=torch.uint8), torch.arange(count))
    mixture = with_examples(digits, torch.arange(3), examples, 0, size)
    assert len(mixture) == size
    of_examples = mixture.images[:, 0, 0, 0] == 1
    assert of_examples.sum() <= round(0.75 * size)
    if 0.75 * size >= count:
        assert set(mixture.labels[of_examples].tolist()) == set(range(count))


def test_from_nothing_a_tenth_is_of_the_user() -> None:
    digits = Digits(torch.zeros(6000, 1, 28, 28, dtype=torch.uint8), torch.zeros(6000).long())
    for count, epochs, more in ((2, 1, 2 * 120), (2, 40, 2 * 3), (100, 1, 600), (1000, 1, 1000)):
        assert len(added(digits, digits[:count], epochs)) == 6000 + more


@given(some.integers(0, 60), some.integers(0, 60))
def test_the_sign_test_is_a_probability(gained: int, lost: int) -> None:
    p = sign_test(gained, lost)
    assert 0 < p <= 1
    assert p == sign_test(lost, gained)
    assert sign_test(gained + 1, lost) <= p or gained < lost


def test_the_sign_test_of_few_changes() -> None:
    assert [sign_test(*few) for few in ((0, 0), (5, 0), (8, 1))] == [1, 2 / 32, 2 * 10 / 512]


def test_sure_answers_that_are_wrong_raise_the_threshold() -> None:
    confidence = torch.linspace(0.9, 0.999, 100)
    probabilities = torch.full((100, 10), 0.0)
    probabilities[:, 0] = confidence
    probabilities[:, 1] = 1 - confidence
    right = Evaluation(probabilities, torch.zeros(100).long())
    assert raised(CALIBRATION, right) == CALIBRATION
    wrong = torch.zeros(100).long()
    wrong[:10] = 1
    higher = raised(CALIBRATION, Evaluation(probabilities, wrong))
    assert higher.temperature == CALIBRATION.temperature
    assert float(confidence[8]) < higher.sure_above <= float(confidence[10]) + 1e-4


@pytest.mark.slow
def test_a_run_is_calibrated_on_what_it_has_not_learned_from(
    fast_run: Run, training_set: Digits, tmp_path: Path
) -> None:
    _, unseen = split_calibration(training_set, FAST.calibration_fraction)
    assert unseen
    expected = calibrate(fast_run.model, FAST, unseen)
    assert base_calibration(fast_run, tmp_path, training_set) == expected
