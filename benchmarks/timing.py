"""How long reading takes, on one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from answers import Pixels, table

from mnist_digits import Digits, Reader

RUNS = 9


def inked(test: Digits, height: int, width: int, side: int, corners: list[list[int]]) -> Pixels:
    """Test digits on white paper, (height, width), each `side` pixels high.

    Args:
        corners: left and top of each digit, in pixels.
    """
    page = np.full((height, width), 255, np.uint8)
    for number, (left, top) in enumerate(corners):
        image = test.images[number, 0].numpy()
        big = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
        spot = page[top : top + side, left : left + side]
        np.minimum(spot, 255 - big, out=spot)
    return page


def pictures(test: Digits) -> dict[str, Pixels]:
    """What is read: a drawing, a photo, a page."""
    hundred = [[90 + 145 * (n % 10), 60 + 110 * (n // 10)] for n in range(100)]
    return {
        "a drawing of 280 × 280 pixels": inked(test, 280, 280, 200, [[40, 40]]),
        "a photo of 12 megapixels with one digit": inked(test, 3000, 4000, 900, [[1500, 1000]]),
        "a page of 1600 × 1200 pixels with 100 digits": inked(test, 1200, 1600, 90, hundred),
    }


def median_time(task: Callable[[], object]) -> float:
    """Seconds, after one turn that does not count."""
    task()
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        task()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def time_table(reader: Reader, test: Digits) -> str:
    """Median times of pictures and of bare frames."""
    rows = []
    for name, pixels in pictures(test).items():
        content = cv2.imencode(".jpg", pixels)[1].tobytes()
        seconds = median_time(partial(reader.read, content))
        rows.append((name, seconds, str(len(reader.read(content).digits))))
    frames = test.images[:, 0].numpy()
    seconds = median_time(partial(reader.classify, frames))
    rows.append(("10,000 frames of MNIST, not to be searched", seconds, "–"))
    cells = [(name, f"{1000 * seconds:,.0f} ms", found) for name, seconds, found in rows]
    return table(("JPEG files, one thread, medians", "time", "digits found"), cells)
