"""The test digits that the page offers, some of which the shipped model gets wrong.

    python scripts/page_samples.py      (make pretrained does it, too)

Kept beside the page, so that the server needs neither torch nor the 60 MB of MNIST.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_digits.data.dataset import WRONG_TEST_LABELS, Digits, load_mnist
from mnist_digits.reading.reader import Reader

PACKAGE = Path(__file__).parents[1] / "src" / "mnist_digits"
FILE = PACKAGE / "web" / "static" / "samples.json"
WRONG = 8


def choose(reader: Reader, test: Digits) -> list[int]:
    """Places in the test set: the first of each digit that is read right, then some read wrong.

    These are the ones that the network is most convinced of, first one for each true digit, and
    their labels are not among those that people agree are wrong.
    """
    images, labels = test.images[:, 0].numpy(), test.labels.numpy()
    probabilities = reader.classify(images)
    answers = probabilities.argmax(axis=1)
    right = [int(np.flatnonzero((labels == d) & (answers == d))[0]) for d in range(10)]
    convinced = (-probabilities.max(axis=1)).argsort(kind="stable")
    before: Counter[int] = Counter()
    wrong = []
    for index in convinced[answers[convinced] != labels[convinced]].tolist():
        if index not in WRONG_TEST_LABELS and _read_as(reader, images[index]) == answers[index]:
            wrong.append((before[labels[index]], index))
            before[labels[index]] += 1
    # Sorting keeps the order of what is equal: by conviction.
    return right + [index for _, index in sorted(wrong, key=lambda pair: pair[0])[:WRONG]]


def _read_as(reader: Reader, image: NDArray[np.uint8]) -> int | None:
    """The digit that the page shows: MNIST images that do not pass for frames are framed anew."""
    digits = reader.read_digit(image).digits
    return digits[0].digit if digits else None


def main() -> None:
    """Write each for the page: index in the test set, label, answer, its 784 bytes."""
    reader, (_, test) = Reader.load(), load_mnist()
    chosen = [
        {
            "index": index,
            "label": int(test.labels[index]),
            "answer": _read_as(reader, test.images[index, 0].numpy()),
            "pixels": base64.b64encode(test.images[index].numpy().tobytes()).decode(),
        }
        for index in choose(reader, test)
    ]
    FILE.write_text(json.dumps(chosen, indent=1) + "\n")
    print(f"Written to {FILE}: {len(chosen)} digits, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
