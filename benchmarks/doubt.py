"""How often the reader is sure of a wrong answer, and of pictures without a digit."""

from __future__ import annotations

import gzip
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from answers import Answer, Pixels, table
from numpy.typing import NDArray

from mnist_digits import Digits, Reader
from mnist_digits.synthesis import size_normalization

Frames = NDArray[np.uint8]
# Some people write these like digits: the networks are not trained to doubt them.
LIKE_DIGITS = "BGIOSZbgijloqsz"


@dataclass(frozen=True)
class Row:
    """How often the reader was sure, and how often of a wrong answer.

    Attributes:
        what: the kind of pictures or frames.
        number: how many there are.
        sure: of how many the reader is sure.
        wrong: how many of these are wrong; all, if they are not digits.
    """

    what: str
    number: int
    sure: int
    wrong: int


def letters() -> list[Pixels]:
    """Letters in OpenCV's Hershey fonts, white on black (120, 120)."""
    pages = []
    for font in range(8):
        for letter in sorted(set(string.ascii_letters) - set(LIKE_DIGITS)):
            page = np.zeros((120, 120), np.uint8)
            cv2.putText(page, letter, (35, 80), font, 2.0, 255, 3, cv2.LINE_AA)
            pages.append(page)
    return pages


def framed(page: Pixels) -> Frames:
    """The ink on a page (S, S), light on dark, framed as MNIST's digits are: (28, 28)."""
    ink = torch.from_numpy(page.astype(np.float32) / 255)
    return np.asarray(size_normalization.size_normalized(ink[None])[0], np.uint8)


def clothes() -> Frames | None:
    """Fashion-MNIST's test images (N, 28, 28), if Debian's package of it is installed."""
    for file in Path("/usr/share/datasets").rglob("*t10k-images*"):
        opener = gzip.open if file.suffix == ".gz" else open
        with opener(file, "rb") as content:
            return np.frombuffer(content.read(), np.uint8)[16:].reshape(-1, 28, 28)
    return None


def textures(count: int) -> Iterator[Pixels]:
    """Surfaces with nothing written on them, (240, 320, 3): stripes, checks, waves, grain."""
    random = np.random.default_rng(41)
    y, x = np.mgrid[:240, :320].astype(np.float32)
    for number in range(count):
        angle, pitch = random.uniform(0, np.pi), np.exp(random.uniform(np.log(4), np.log(60)))
        along = (x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / pitch)
        across = (y * np.cos(angle) - x * np.sin(angle)) * (2 * np.pi / pitch)
        coarse = random.standard_normal((int(240 / pitch) + 2, int(320 / pitch) + 2))
        pattern = (
            np.sign(np.sin(along)),
            np.sign(np.sin(along) * np.sin(across)),
            np.sin(along + 2 * np.sin(across * random.uniform(0.1, 0.6))),
            cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC),
        )[number % 4]
        pattern = pattern + random.uniform(0, 0.6) * random.standard_normal((240, 320))
        colours = random.uniform(0, 255, (2, 3))
        page = colours[0] + (colours[1] - colours[0]) * (0.5 + 0.3 * pattern[:, :, None])
        yield page.clip(0, 255).astype(np.uint8)


def of_frames(reader: Reader, what: str, frames: Frames, labels: NDArray[np.int64] | None) -> Row:
    """Frames classified without a search; without labels none is a digit, so sure is wrong."""
    probabilities = reader.classify(frames)
    sure = probabilities.max(axis=1) >= reader.sure_above
    wrong = sure if labels is None else sure & (probabilities.argmax(axis=1) != labels)
    return Row(what, len(frames), int(sure.sum()), int(wrong.sum()))


def of_strange(reader: Reader, what: str, pictures: Iterable[Pixels]) -> Row:
    """Pictures without a digit: any answer that the reader is sure of is wrong."""
    sure = [reader.read(picture).sure for picture in pictures]
    return Row(what, len(sure), sum(sure), sum(sure))


def of_answers(what: str, answers: list[Answer]) -> Row:
    """The row of pictures that were read before."""
    sure = [answer for answer in answers if answer.sure]
    return Row(what, len(answers), len(sure), sum(not answer.right for answer in sure))


def strange(reader: Reader) -> list[Row]:
    """Images that are not digits, as frames and as whole pictures."""
    pages, images = letters(), clothes()
    fonts = "letters in Hershey fonts"
    rows = [
        of_frames(reader, f"{fonts}, as frames", np.stack([framed(p) for p in pages]), None),
        of_strange(reader, f"{fonts}, as pictures", (255 - page for page in pages)),
    ]
    if images is not None:
        rows.append(of_frames(reader, "Fashion-MNIST, as frames", images, None))
        rows.append(of_strange(reader, "Fashion-MNIST, as pictures", images[:2000]))
    return [*rows, of_strange(reader, "stripes, checks, waves and grain", textures(200))]


def doubt_table(reader: Reader, test: Digits, groups: dict[str, list[Answer]]) -> str:
    """A row for each group of answers, and for each kind of image that is not a digit."""
    frames, labels = test.images[:, 0].numpy(), test.labels.numpy()
    rows = [of_frames(reader, "MNIST's test digits, as frames", frames, labels)]
    blank = []
    for name, answers in groups.items():
        rows.append(of_answers(name, [answer for answer in answers if answer.truth]))
        blank += [answer for answer in answers if not answer.truth]
    read = [row for row in rows[1:] if row.number]
    rows = [rows[0], *read, summed("all pictures with digits", read)]
    nothing = [*strange(reader), of_answers("made scenes without a digit", blank)]
    pictures = [row for row in nothing if "as frames" not in row.what]
    rows += [*nothing, summed("all pictures without a digit", pictures)]
    head = ("", "number", f"sure ({reader.sure_above:.1%} or more)", "wrong of these")
    return table(head, [cells(row) for row in rows])


def summed(what: str, rows: list[Row]) -> Row:
    """The sum of several rows."""
    numbers = zip(*((row.number, row.sure, row.wrong) for row in rows), strict=True)
    return Row(what, *map(sum, numbers))


def cells(row: Row) -> tuple[str, str, str, str]:
    """A row of the table."""
    part = f"{row.sure:,} ({row.sure / max(1, row.number):.2%})"
    some = 0 < row.wrong < row.sure
    wrong = f"{row.wrong:,} ({row.wrong / row.sure:.3%})" if some else f"{row.wrong:,}"
    return row.what, f"{row.number:,}", part, wrong
