"""Accuracy on MNIST's test digits after fixed corruptions of their frames."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from answers import table
from numpy.typing import NDArray

from mnist_digits import Digits, Reader

Frames = NDArray[np.uint8]


def moved(frames: Frames, matrix: list[list[float]]) -> Frames:
    """Each frame (N, 28, 28), transformed by a 2 × 3 affine matrix about its middle."""
    linear = np.array(matrix, np.float64)
    shift = 13.5 - linear[:, :2] @ [13.5, 13.5] + linear[:, 2]
    maps = np.column_stack([linear[:, :2], shift])
    return np.stack([cv2.warpAffine(frame, maps, (28, 28)) for frame in frames])


def turned(frames: Frames, degrees: float) -> Frames:
    """Each frame, rotated counterclockwise about its middle."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return moved(frames, [[c, s, 0], [-s, c, 0]])


def mixed(frames: NDArray[Any], other: NDArray[Any]) -> Frames:
    """The sum, clipped to 0 to 255."""
    return np.clip(frames + other, 0, 255).astype(np.uint8)


def corruptions(frames: Frames) -> dict[str, Callable[[], Frames]]:
    """The corruptions of frames (N, 28, 28) by name, each at a fixed strength.

    Most kinds are also in the training's augmentation, by other functions at other strengths.
    """
    random = np.random.default_rng(0)
    shape = frames.shape
    dark = frames.copy()
    dark[:, 10:18, 10:18] = 0
    cross = frames.copy()
    cross[:, 20:22] = 200
    checks = 70.0 * ((np.indices((28, 28)) // 4).sum(0) % 2)
    slope = np.linspace(0, 140, 28)[None, None, :]
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    return {
        "as they are": lambda: frames,
        "turned by 20°": lambda: turned(frames, 20),
        "turned by −20°": lambda: turned(frames, -20),
        "at 70% of the size": lambda: moved(frames, [[0.7, 0, 0], [0, 0.7, 0]]),
        "at 120% of the size": lambda: moved(frames, [[1.2, 0, 0], [0, 1.2, 0]]),
        "slanted by 20°": lambda: moved(frames, [[1, 0.36, 0], [0, 1, 0]]),
        "3 pixels off": lambda: moved(frames, [[1, 0, 3], [0, 1, 3]]),
        "bold pen": lambda: np.stack([cv2.dilate(frame, disc) for frame in frames]),
        "fine pen": lambda: np.stack([cv2.erode(frame, np.ones((2, 2))) for frame in frames]),
        "contrast of 15%": lambda: (frames * 0.15).astype(np.uint8),
        "grey ground, half the contrast": lambda: mixed(frames * 0.5, np.full(shape, 100.0)),
        "light from one side": lambda: mixed(frames * 0.6, np.broadcast_to(slope, shape)),
        "out of focus": lambda: np.stack([cv2.GaussianBlur(f, (0, 0), 1.5) for f in frames]),
        "14 × 14 pixels": lambda: np.stack(
            [cv2.resize(f[::2, ::2], (28, 28), interpolation=cv2.INTER_NEAREST) for f in frames]
        ),
        "grain": lambda: mixed(frames, random.normal(0, 60, shape)),
        "a tenth of the pixels white": lambda: np.maximum(
            frames, 255 * (random.random(shape) < 0.1).astype(np.uint8)
        ),
        "hole of 8 × 8 pixels": lambda: dark,
        "line across": lambda: cross,
        "squared ground": lambda: mixed(frames, checks),
    }


def corruption_table(reader: Reader, test: Digits, plain: Callable[[Frames], Frames]) -> str:
    """Accuracy under each corruption: the shipped model, and `fast`."""
    labels = test.labels.numpy()
    names, scores = [], []
    for name, corrupt in corruptions(test.images[:, 0].numpy()).items():
        frames = corrupt()
        ours = float((reader.classify(frames).argmax(axis=1) == labels).mean())
        names.append(name)
        scores.append((ours, float((plain(frames) == labels).mean())))
    names.append("mean of the changed ones")
    scores.append(tuple(statistics.mean(column) for column in zip(*scores[1:], strict=True)))
    rows = [
        (name, *(f"{score:.2%}" for score in both))
        for name, both in zip(names, scores, strict=True)
    ]
    return table(("the 10,000 test digits", "shipped model", "`fast`"), rows)
