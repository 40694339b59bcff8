from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pages import page
from PIL import Image
from writers import save_pictures

from mnist_digits import Digits, PictureError, Reader
from mnist_digits.classifier.examples import load_examples

# Pictures that can be learned from: their labels, and what they show; and all kinds that cannot.
LEARNED = {"seven.png": ("7", "seven"), "both.png": ("21", "both")}
LEFT_OUT = {
    "again.png": ("7", "seven", "the same picture as seven.png"),
    "three.png": ("213", "both", "2 digits were found in it, its label '213' has 3"),
    "two.png": ("2", "two", "different labels: two.png (2), also-two.png (3)"),
    "also-two.png": ("3", "two", "different labels: two.png (2), also-two.png (3)"),
    "letter.png": ("l", "one", "its label 'l' has something else than digits"),
    "blank.png": ("5", "blank", "no digit was found in it, its label '5' has 1"),
    "broken.png": ("4", None, "broken.png"),
    "gone.png": ("4", None, "gone.png"),
}


def test_pictures_are_learned_from_or_left_out(test_set: Digits, tmp_path: Path) -> None:
    images = test_set.images[:, 0].numpy()
    shown = {
        name: page([(images[number], 150, 80, 120)])
        for number, name in enumerate(("seven", "two", "one"))
    }
    shown["both"] = page([(images[1], 60, 80, 120), (images[2], 260, 80, 120)])
    shown["blank"] = np.full((200, 200), 255, np.uint8)
    rows = ["file,label"]
    for name, (label, what, *_) in {**LEARNED, **LEFT_OUT}.items():
        rows.append(f"{name},{label}")
        if what:
            Image.fromarray(shown[what]).save(tmp_path / name)
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    examples = load_examples(tmp_path)

    assert [picture.path.name for picture in examples.pictures] == [*LEARNED]
    assert examples.digits.labels.tolist() == [7, 2, 1]
    assert examples.digits.images.shape == (3, 1, 28, 28)
    assert examples.owner.tolist() == [0, 1, 1]
    assert Reader.load().classify(examples.digits.images.numpy()).argmax(1).tolist() == [7, 2, 1]
    assert examples.of(np.array([False, True])).labels.tolist() == [2, 1]
    assert examples.of(np.array([True, False])).labels.tolist() == [7]

    reasons = {path.name: reason for path, reason in examples.left_out}
    assert reasons.keys() == LEFT_OUT.keys()
    assert all(told in reasons[name] for name, (_, _, told) in LEFT_OUT.items())


def test_a_folder_of_nothing_to_learn_from(tmp_path: Path, test_set: Digits) -> None:
    save_pictures(test_set[:2], tmp_path, labels=["?", "ten"])
    with pytest.raises(PictureError, match=r"0\.png, for one: its label '\?'"):
        load_examples(tmp_path)
