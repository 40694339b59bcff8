"""How well pictures are read, by the shipped model and by others; writes READING.md.

    python benchmarks/pictures.py                  # made scenes, MNIST corrupted, what is no digit
    python benchmarks/pictures.py FOLDER [FOLDER]  # also folders of labelled pictures
    python benchmarks/pictures.py --only pairs     # some sections, printed and not written

What a folder has to hold, `folders` says; small images of digits in an .npz within it are read as
frames. With --rapidocr the folders are also read by RapidOCR (see `rapidocr`). All on one thread.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from datetime import date
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from answers import Answer
from constants import size_text
from corrupted import corruption_table
from doubt import doubt_table
from folders import Folder, Frames, folder_table, number_table, rapid_text, read_folder
from other_digits import frames_text, read_placed, read_small, small_table
from pairs import pair_table, read_pairs
from rapidocr import Rapid, read_by
from scenes import MAX_DIGITS, read_scenes, scene_table
from sheets import kinds_figure, mistakes_figure
from tables import machine
from timing import time_table
from torch import nn

import mnist_digits
from mnist_digits import FAST, Digits, Reader, evaluate, load_mnist, train
from mnist_digits.reading.annotation import annotated
from mnist_digits.synthesis.templates import load_templates

HERE = Path(__file__).parent
SCENES = """Made by a program (`scenes.py`; a few of each kind are in `scenes.png`) from MNIST's
test digits, {count} of each kind; none with more than {most} digits, or with one that does not
stand out from its ground. "All right" is a picture whose digits are all read, in their order, and
nothing else; of digits one too many counts as one wrong."""
PAIRS = """From 00 to 99, drawn stroke by stroke in forms of many hands (`pairs.py`), 100 pixels
high, the middles half a height apart: they touch, or nearly do."""
SMALL = """Cut to the digit and reduced to 16 × 16 pixels that it fills, much as in the data set of
the United States Postal Service; read as pictures, and the reader knows that each has one digit."""


def photographed(test: Digits) -> Frames:
    """Test digits as if written on squared paper and photographed badly, (600, 900, 3)."""
    random = np.random.default_rng(7)
    ink = np.zeros((600, 900), np.float32)
    for index in range(18):
        frame = test.images[index, 0].numpy().astype(np.float32) / 255
        size = int(random.integers(90, 130))
        big = cv2.resize(frame, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        left = 60 + 130 * (index % 6) + int(random.integers(-8, 8))
        top = 60 + 170 * (index // 6) + int(random.integers(-12, 12))
        spot = ink[top : top + size, left : left + size]
        np.maximum(spot, big, out=spot)
    paper = np.full((600, 900, 3), (238, 236, 226), np.float32)
    paper[::45] = paper[:, ::45] = (190, 205, 222)
    page = paper * (1 - ink[..., None]) + np.array([38, 44, 92], np.float32) * ink[..., None]
    x, y = np.meshgrid(np.linspace(0, 1, 900), np.linspace(0, 1, 600))
    shadow = cv2.GaussianBlur(np.float32(y > 0.2 + x), (0, 0), 12)
    light = 0.95 - 0.35 * x - 0.45 * shadow
    turn = cv2.getRotationMatrix2D((450, 300), 3, 1.04)
    photo = cv2.warpAffine(page, turn, (900, 600), borderValue=(70, 60, 50)) * light[..., None]
    return (photo + random.normal(0, 5, photo.shape)).clip(0, 255).astype(np.uint8)


class Bench:
    """The sections of READING.md; answers are kept for the table that sums them up."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.reader = Reader.load(threads=1)
        self.digits, self.test = load_mnist()
        self.answers: dict[str, list[Answer]] = {}

    def parts(self) -> Iterator[str]:
        """The paragraphs and tables of all sections, or of those that --only names."""
        for name in self.options.only or SECTIONS:
            yield from SECTIONS[name](self)

    def head(self) -> Iterator[str]:
        yield "# Reading pictures"
        yield f"Written by `{self._command()}` on {date.today()}, on {machine()}."
        yield size_text(Path(mnist_digits.__file__).parent / "reading")

    def _command(self) -> str:
        """The command line, without the folders' locations on this machine."""
        names = [folder.name for folder in self.options.folders]
        rapid = ["--rapidocr PYTHON"] if self.options.rapidocr else []
        return " ".join(["python benchmarks/pictures.py", *names, *rapid])

    def scenes(self) -> Iterator[str]:
        templates = load_templates(self.test, synthetic=0)
        if not self.options.only:
            kinds_figure(templates, self.options.output.parent / "scenes.png")
        answers = read_scenes(self.reader, templates, self.options.scenes)
        self.answers["made scenes with digits"] = answers
        yield "## Made scenes"
        yield SCENES.format(count=self.options.scenes, most=MAX_DIGITS)
        yield scene_table(answers)

    def pairs(self) -> Iterator[str]:
        answers = read_pairs(self.reader)
        self.answers["drawn pairs"] = answers
        yield "## Drawn pairs"
        yield PAIRS
        yield pair_table(answers)

    def folders(self) -> Iterator[str]:
        for path in self.options.folders:
            folder = read_folder(self.reader, path)
            rapid = self._rapid(folder)
            self.answers[f"pictures: {path.name}"] = folder.answers
            yield f"## Pictures: {path.name}"
            if folder.of_numbers:
                yield number_table(folder, rapid)
            else:
                yield folder_table(self.reader, folder, self._fast, rapid)
            if rapid:
                yield rapid_text(rapid, folder)
            for file in sorted(path.glob("*.npz")):
                yield frames_text(self.reader, file)

    def changed(self) -> Iterator[str]:
        yield "## Test digits that something has happened to"
        placed = read_placed(self.reader, self.test, self.options.placed)
        self.answers["test digits in any place, size and colour"] = placed.answers
        yield str(placed)
        yield corruption_table(self.reader, self.test, self._fast)

    def small(self) -> Iterator[str]:
        answers = read_small(self.reader, self.test, self.options.small)
        self.answers["test digits in 16 × 16 pixels"] = answers
        yield "## Test digits in very few pixels"
        yield SMALL
        yield small_table(answers)

    def doubt(self) -> Iterator[str]:
        yield "## Sure and wrong"
        yield doubt_table(self.reader, self.test, self.answers)

    def time(self) -> Iterator[str]:
        yield "## Time"
        yield time_table(self.reader, self.test)

    def _rapid(self, folder: Folder) -> Rapid | None:
        python = self.options.rapidocr
        files = [picture.path for picture in folder.pictures]
        return read_by(python, files, 60 * self.options.minutes) if python else None

    @cached_property
    def _model(self) -> nn.Module:
        return train(FAST, self.digits).model

    def _fast(self, frames: Frames) -> Frames:
        """The predictions of a network of the recipe `fast` for frames (N, 28, 28)."""
        images = self.test.images.new_tensor(frames)[:, None]
        part = Digits(images, self.test.labels.new_zeros(len(frames)))
        return evaluate(self._model, part).predictions.numpy()


SECTIONS: dict[str, Callable[[Bench], Iterator[str]]] = {
    "head": Bench.head,
    "scenes": Bench.scenes,
    "pairs": Bench.pairs,
    "folders": Bench.folders,
    "changed": Bench.changed,
    "small": Bench.small,
    "doubt": Bench.doubt,
    "time": Bench.time,
}


def main() -> None:
    """Measure, print, and write READING.md and, beside it, scenes.png and reading.jpg."""
    options = _options()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    bench, parts = Bench(options), []
    for part in bench.parts():
        print(part, end="\n\n", flush=True)
        parts.append(part)
    if options.mistakes:
        mistakes_figure([a for group in bench.answers.values() for a in group], options.mistakes)
    if options.only:
        return
    options.output.write_text("\n\n".join(parts) + "\n")
    photo = photographed(bench.test)
    figure = options.output.parent / "reading.jpg"
    annotated(photo, bench.reader.read(photo)).save(figure, quality=88)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--scenes", type=int, default=100, help="made of each kind (100)")
    parser.add_argument("--placed", type=int, default=3000, help="test digits placed (3000)")
    parser.add_argument("--small", type=int, default=2000, help="test digits made small (2000)")
    parser.add_argument("--rapidocr", type=Path, metavar="PYTHON", help="one that has RapidOCR")
    parser.add_argument("--minutes", type=float, default=40, help="for RapidOCR at most (40)")
    parser.add_argument("--mistakes", type=Path, metavar="FILE.png", help="a figure of them")
    some = f"sections, to print them alone: {', '.join(SECTIONS)}"
    parser.add_argument("--only", nargs="+", choices=[*SECTIONS], metavar="NAME", help=some)
    parser.add_argument("--output", type=Path, default=HERE / "READING.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
