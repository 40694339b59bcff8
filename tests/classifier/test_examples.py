from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pages import page
from PIL import Image
from writers import save_pictures

from mnist_digits import Digits, PictureError, Reader
from mnist_digits.classifier.examples import Examples, load_examples


@pytest.fixture(scope="module")
def folder(test_set: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that can be learned from, and all kinds that cannot."""
    images = test_set.images[:, 0].numpy()
    place = tmp_path_factory.mktemp("labelled")
    seven, two, one = (Image.fromarray(page([(images[n], 150, 80, 120)])) for n in range(3))
    both = Image.fromarray(page([(images[1], 60, 80, 120), (images[2], 260, 80, 120)]))
    for name, picture in {
        "seven.png": seven,
        "again.png": seven,
        "both.png": both,
        "three.png": both,
        "two.png": two,
        "also-two.png": two,
        "letter.png": one,
    }.items():
        picture.save(place / name)
    Image.new("L", (200, 200), 255).save(place / "blank.png")
    (place / "broken.png").write_bytes(b"no picture")
    (place / "labels.csv").write_text(
        "file,label\nseven.png,7\nagain.png,7\nboth.png,21\nthree.png,213\ntwo.png,2\n"
        "also-two.png,3\nletter.png,l\nblank.png,5\nbroken.png,4\ngone.png,4\n"
    )
    return place


@pytest.fixture(scope="module")
def examples(folder: Path) -> Examples:
    return load_examples(folder)


def test_digits_get_the_labels_of_their_pictures(examples: Examples) -> None:
    assert [picture.path.name for picture in examples.pictures] == ["seven.png", "both.png"]
    assert examples.digits.labels.tolist() == [7, 2, 1]
    assert examples.digits.images.shape == (3, 1, 28, 28)
    assert examples.owner.tolist() == [0, 1, 1]
    assert Reader.load().classify(examples.digits.images.numpy()).argmax(1).tolist() == [7, 2, 1]


def test_digits_of_some_of_the_pictures(examples: Examples) -> None:
    assert examples.of(np.array([False, True])).labels.tolist() == [2, 1]
    assert examples.of(np.array([True, False])).labels.tolist() == [7]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("again.png", "the same picture as seven.png"),
        ("three.png", "2 digits were found in it, its label '213' has 3"),
        ("two.png", "different labels: two.png (2), also-two.png (3)"),
        ("also-two.png", "different labels: two.png (2), also-two.png (3)"),
        ("letter.png", "its label 'l' has something else than digits"),
        ("blank.png", "no digit was found in it, its label '5' has 1"),
        ("broken.png", "broken.png"),
        ("gone.png", "gone.png"),
    ],
)
def test_what_cannot_be_learned_from_is_told(examples: Examples, name: str, reason: str) -> None:
    reasons = {path.name: reason for path, reason in examples.left_out}
    assert len(reasons) == 8
    assert reason in reasons[name]


def test_a_folder_of_nothing_to_learn_from(tmp_path: Path, test_set: Digits) -> None:
    save_pictures(test_set[:2], tmp_path, labels=["?", "ten"])
    with pytest.raises(PictureError, match=r"0\.png, for one: its label '\?'"):
        load_examples(tmp_path)
