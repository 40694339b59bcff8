"""Pictures that are framed as MNIST's digits are recognised."""

from __future__ import annotations

import cv2
import numpy as np

from mnist_digits import Digits
from mnist_digits.reading.mnist_frame import already_normalized


def test_frames_of_mnist_are_recognised_light_or_dark(test_set: Digits) -> None:
    images = test_set.images[:200, 0].numpy()
    for ground in (0, 255):
        pictures = [cv2.merge([ground ^ image] * 3) for image in images]
        same = [
            framed is not None and np.array_equal(framed, image)
            for image, framed in zip(images, map(already_normalized, pictures), strict=True)
        ]
        assert np.mean(same) >= 0.95


def test_pictures_that_need_normalizing(test_set: Digits) -> None:
    image = test_set.images[0, 0].numpy()
    pixels = cv2.merge([image] * 3)
    for other in (np.roll(pixels, 3, axis=1), pixels[:, :27], pixels // 2 + 60, 0 * pixels):
        assert already_normalized(other.astype(np.uint8)) is None
