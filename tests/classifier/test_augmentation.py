from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnist_digits import ACCURATE, FAST, Digits, Recipe, augment
from mnist_digits.classifier.augmentation import CHANGES, dimmed


def centre_of_mass(images: torch.Tensor) -> torch.Tensor:
    """(N, 2), in pixels: x and y."""
    places = torch.arange(28.0)
    mass = images.float().sum(dim=(1, 2, 3))
    x = (images.float().sum(dim=(1, 2)) * places).sum(dim=1) / mass
    y = (images.float().sum(dim=(1, 3)) * places).sum(dim=1) / mass
    return torch.stack([x, y], dim=1)


def test_each_image_moves_in_its_own_way(training_set: Digits) -> None:
    images = training_set.images[:1].expand(50, -1, -1, -1)
    assert augment(images, FAST) is images
    torch.manual_seed(0)
    moved = augment(images, ACCURATE)
    assert moved.shape == images.shape
    assert len(torch.unique(moved, dim=0)) == 50
    assert moved.min() >= 0
    assert moved.max() <= 255.001
    torch.manual_seed(0)
    assert torch.equal(moved, augment(images, ACCURATE))


@given(seed=st.integers(0, 2**32 - 1), shift=st.floats(0.5, 4))
def test_a_shift_moves_the_ink_as_far_as_it_says(seed: int, shift: float) -> None:
    torch.manual_seed(seed)
    # A blot in the middle stays inside the image wherever it goes.
    images = torch.zeros(20, 1, 28, 28, dtype=torch.uint8)
    images[:, :, 12:16, 12:16] = 200
    moved = augment(images, replace(FAST, shift=shift))
    way = centre_of_mass(moved) - centre_of_mass(images)
    assert way.abs().max() <= shift + 1e-2
    assert way.abs().max() > shift / 4
    torch.testing.assert_close(moved.sum(dim=(1, 2, 3)), images.sum(dim=(1, 2, 3)).float())


@pytest.mark.parametrize(
    "recipe",
    [
        *(replace(FAST, rotation=20), replace(FAST, shear=20), replace(FAST, scale=0.5)),
        replace(FAST, elastic=1),
    ],
)
def test_about_the_middle(recipe: Recipe, training_set: Digits) -> None:
    """All but a shift leaves the middle of the image where it is."""
    torch.manual_seed(0)
    images = training_set.images[:200]
    moved = augment(images, recipe)
    assert (centre_of_mass(moved) - 13.5).abs().max() < 4
    assert (moved - images.float()).abs().mean() > 5


def test_a_quarter_turn_is_a_quarter_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of all draws the highest: the full angle, the same way each time.
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.ones(*size))
    image = torch.arange(784, dtype=torch.float32).reshape(1, 1, 28, 28) / 4
    turned = augment(image, replace(FAST, rotation=90))
    torch.testing.assert_close(turned, image.rot90(1, (2, 3)), atol=1e-2, rtol=0)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_every_change_of_looks_changes_most_digits_and_as_its_name_says(
    change: Callable[[torch.Tensor], torch.Tensor], training_set: Digits
) -> None:
    torch.manual_seed(0)
    ink = training_set.images[:200].float() / 255
    changed = change(ink)
    assert changed.shape == ink.shape
    assert changed.isfinite().all()
    # A patch may lie where there is nothing to cover, a part of a line outside.
    assert ((changed - ink).abs().amax(dim=(1, 2, 3)) > 0.01).float().mean() > 0.6
    only = {"thicker": 1, "neighboured": 1, "ruled": 1, "thinner": -1}.get(change.__name__, 0)
    assert (only * (changed - ink) >= 0).all()
    if change is dimmed:
        contrast = changed.amax(dim=(1, 2, 3)) - changed.amin(dim=(1, 2, 3))
        assert contrast.max() <= 1
        assert contrast.mean() < 0.8


def test_appearance_falls_on_its_share_of_the_images(training_set: Digits) -> None:
    torch.manual_seed(0)
    images = training_set.images[:1000]
    changed = augment(images, replace(FAST, appearance=0.3))
    share = ((changed - images.float()).abs() > 1e-3).flatten(1).any(dim=1).float().mean()
    # Of those chosen, some go through none of the changes.
    assert 0.2 < share <= 0.3
    assert changed.min() >= 0
    assert changed.max() <= 255
