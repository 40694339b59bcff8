"""How well photographed tables become rows of cells; writes TABLES.md.

    python benchmarks/made_tables.py                    # 300 made tables
    python benchmarks/made_tables.py --pictures FOLDER  # also real ones

The tables are made from MNIST's test digits: 3 to 12 rows, 2 to 8 columns, 1 to 4 digits a cell,
ruled or not, with headings, empty cells and dashes, turned, in perspective. The true cells of real
ones are in table_cells.csv, without their headings: a space between cells, `/` between rows, `_`
for an empty cell. On one thread.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import torch
from answers import share
from answers import table as markdown
from numpy.typing import NDArray
from tables import machine

from mnist_digits import Digits, PictureError, Reader, Table, load_mnist, read_table

HERE = Path(__file__).parent
Pixels = NDArray[np.uint8]
Cells = list[list[str]]
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX)
WORDS = ("Name", "Week", "Math", "Sum", "Test", "Anna", "Ben", "Chem", "Team", "Home", "Max", "Kim")


@dataclass(frozen=True)
class Made:
    """A made table: its picture (H, W, 3), its cells, and what was done to it."""

    pixels: Pixels
    cells: Cells
    kinds: frozenset[str]


@dataclass(frozen=True)
class Outcome:
    """What was read of a table.

    Attributes:
        cells: how many there are, and how many were read too many.
        right: how many of them are right, where the two grids fit best.
        placed: whether there are as many rows and columns, each with most of its cells right.
        sure: cells that are sure; `wrong` of them are wrong.
    """

    cells: int
    right: int
    placed: bool
    sure: int
    wrong: int
    kinds: frozenset[str]


def made_table(test: Digits, number: int) -> Made:
    """Table `number`: always the same."""
    random = np.random.default_rng((30, number))
    rows, columns = int(random.integers(3, 13)), int(random.integers(2, 9))
    kinds = {name for name in ("ruled", "headings", "empty cells") if random.random() < 0.5}
    longest = random.integers(1, 5, columns)
    cells = [
        ["".join(map(str, random.integers(0, 10, random.integers(1, n + 1)))) for n in longest]
        for _ in range(rows)
    ]
    if "empty cells" in kinds:
        for row, column in zip(*np.nonzero(random.random((rows, columns)) < 0.2), strict=True):
            # Each row and each column keeps a number.
            if sum(map(bool, cells[row])) > 1 and sum(bool(r[column]) for r in cells) > 1:
                cells[row][column] = ""
    page, truth = _written(random, test, cells, longest, kinds)
    pixels = _photographed(random, page, kinds)
    return Made(pixels, truth, frozenset(kinds or {"plain"}))


def _written(
    random: np.random.Generator,
    test: Digits,
    cells: Cells,
    longest: NDArray[np.int64],
    kinds: set[str],
) -> tuple[NDArray[np.float32], Cells]:
    """The page, (H, W), 1 where it is white; and its cells, with those of headings where ruled."""
    high = float(random.uniform(42, 60))
    pitch, lead = high * random.uniform(0.65, 0.85), high * random.uniform(1.5, 2.2)
    space = high * random.uniform(1.2, 2)
    wide = longest * pitch + space
    named = "headings" in kinds
    if named:
        wide = np.concatenate([[3.2 * high], wide])
        cells = [[""] * len(wide)] + [["", *row] for row in cells]
    edges = 60 + np.concatenate([[0], np.cumsum(wide)])
    lines = 60 + lead * np.arange(len(cells) + 1)
    page = np.ones((int(lines[-1]) + 60, int(edges[-1]) + 60), np.float32)
    flush, dashes = random.random() < 0.6, random.random() < 0.5
    for row, line in enumerate(cells):
        for column, text in enumerate(line):
            middle = (lines[row] + lines[row + 1]) / 2
            if named and 0 in (row, column):
                _print_word(random, page, edges[column] + 0.2 * high, middle, high)
                continue
            if not text and dashes:
                _dash(page, (edges[column] + edges[column + 1]) / 2, middle, high)
            left = edges[column] + space / 2
            if flush:
                left += pitch * (longest[column - named] - len(text))
            for place, letter in enumerate(text):
                x = left + pitch * (place + 0.5) + random.normal(0, 0.03 * high)
                _write(random, test, page, int(letter), x, middle, high)
    if "ruled" in kinds:
        grey, breadth = random.uniform(0.1, 0.6), int(random.integers(2, 4))
        for x in edges:
            page[int(lines[0]) : int(lines[-1]), int(x) : int(x) + breadth] *= grey
        for y in lines:
            page[int(y) : int(y) + breadth, int(edges[0]) : int(edges[-1])] *= grey
    elif named:
        cells = [row[1:] for row in cells[1:]]
    return page, cells


def _write(
    random: np.random.Generator,
    test: Digits,
    page: NDArray[np.float32],
    digit: int,
    x: float,
    y: float,
    high: float,
) -> None:
    """A test digit, as high as `high`, in the middle of (x, y)."""
    which = random.choice(np.flatnonzero(test.labels.numpy() == digit))
    image = test.images[which, 0].numpy().astype(np.float32) / 255
    side = round(28 / 20 * high * random.uniform(0.9, 1.1))
    ink = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    left, top = round(x - side / 2), round(y - side / 2 + random.normal(0, 0.04 * high))
    spot = page[max(top, 0) : top + side, max(left, 0) : left + side]
    spot *= 1 - 0.85 * ink[: spot.shape[0], : spot.shape[1]]


def _dash(page: NDArray[np.float32], x: float, y: float, high: float) -> None:
    start, end = ((round(x + side * 0.25 * high), round(y)) for side in (-1, 1))
    cv2.line(page, start, end, 0.2, max(2, round(high / 12)), cv2.LINE_AA)


def _print_word(
    random: np.random.Generator, page: NDArray[np.float32], x: float, y: float, high: float
) -> None:
    word, font = str(random.choice(WORDS)), FONTS[random.integers(len(FONTS))]
    place, scale = (round(x), round(y + 0.25 * high)), high / 60
    ink = np.zeros(page.shape, np.uint8)
    cv2.putText(ink, word, place, font, scale, 220, 2, cv2.LINE_AA)
    page *= 1 - ink.astype(np.float32) / 255


def _photographed(
    random: np.random.Generator, page: NDArray[np.float32], kinds: set[str]
) -> Pixels:
    """The page on a desk, in uneven light."""
    high, wide = page.shape
    corners = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float32)
    degrees = random.normal(0, 2)
    if random.random() < 0.5:
        kinds.add("turned")
        degrees += random.choice([random.uniform(-45, 45), 90, 180, 270])
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    seen = corners - corners.mean(axis=0)
    if random.random() < 0.5:
        kinds.add("perspective")
        seen += random.uniform(-0.08, 0.08, (4, 2)) * [wide, high]
    seen = seen @ turn.T
    seen += 40 - seen.min(axis=0)
    zoom = min(1.0, 1560 / seen.max())
    size = tuple(int(side) for side in seen.max(axis=0) * zoom + 40)
    move = cv2.getPerspectiveTransform(corners, (seen * zoom).astype(np.float32))
    paper, ink = random.uniform(205, 245, 3), random.uniform(10, 80, 3)
    coloured = (ink + (paper - ink) * page[..., None]).astype(np.float32)
    desk = random.uniform(40, 160, 3)
    photo = cv2.warpPerspective(coloured, move, size, flags=cv2.INTER_AREA, borderValue=desk)
    x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    light = 1 - random.uniform(0, 0.4) * (x if random.random() < 0.5 else y)
    photo = cv2.GaussianBlur(photo * light[..., None], (0, 0), random.uniform(0.4, 1))
    return (photo + random.normal(0, 4, photo.shape)).clip(0, 255).astype(np.uint8)


def compared(table: Table, truth: Cells, kinds: frozenset[str]) -> Outcome:
    """What was read of a table whose cells are known, where the two grids fit best."""
    read, high, wide = table.texts, len(truth), len(truth[0])
    known = {(r, c): text for r, row in enumerate(truth) for c, text in enumerate(row)}
    shifts = [(r, c) for r in range(-12, 13) for c in range(-6, 7)]

    def matches(shift: tuple[int, int]) -> dict[tuple[int, int], str]:
        return {
            (r + shift[0], c + shift[1]): text
            for r, row in enumerate(read)
            for c, text in enumerate(row)
        }

    def count(shift: tuple[int, int]) -> int:
        found = matches(shift)
        return sum(bool(text) and found.get(place) == text for place, text in known.items())

    best = max(shifts, key=lambda shift: (count(shift), -abs(shift[0]) - abs(shift[1])))
    found = matches(best)
    good = np.array(
        [[found.get((r, c), "") == truth[r][c] for c in range(wide)] for r in range(high)]
    )
    extra = sum(bool(text) for place, text in found.items() if place not in known)
    same = (len(read), len(read[0]) if read else 0) == (high, wide) and best == (0, 0)
    placed = same and bool((good.mean(axis=0) > 0.5).all() and (good.mean(axis=1) > 0.5).all())
    sure = {(c.row + best[0], c.column + best[1]): c.text for c in table.cells if c.sure and c.text}
    wrong = sum(known.get(place) != text for place, text in sure.items())
    return Outcome(high * wide + extra, int(good.sum()), placed, len(sure), wrong, kinds)


def measured(reader: Reader, pixels: Pixels | Path, truth: Cells, kinds: frozenset[str]) -> Outcome:
    """A table read, and compared; one that is not found has no cell right."""
    try:
        table = read_table(reader, pixels)
    except PictureError:
        return Outcome(sum(map(len, truth)), 0, False, 0, 0, kinds)
    return compared(table, truth, kinds)


def row(name: str, outcomes: list[Outcome]) -> list[object]:
    """A line of the table of results."""
    cells, sure = sum(o.cells for o in outcomes), sum(o.sure for o in outcomes)
    right, wrong = sum(o.right for o in outcomes), sum(o.wrong for o in outcomes)
    return [
        name,
        len(outcomes),
        f"{right / cells:.2%}" if cells else "–",
        share(o.placed for o in outcomes),
        f"{sure / cells:.2%}" if cells else "–",
        f"{wrong / sure:.2%}" if sure else "–",
    ]


def kind_rows(outcomes: list[Outcome]) -> Iterable[list[object]]:
    """Lines for all tables, and for those of each kind."""
    yield row("all", outcomes)
    for kind in sorted({kind for outcome in outcomes for kind in outcome.kinds}):
        yield row(kind, [o for o in outcomes if kind in o.kinds])
    yield row("not ruled", [o for o in outcomes if "ruled" not in o.kinds])


HEAD = [
    "tables",
    "number",
    "cells right",
    "every row and column in place",
    "sure cells with numbers",
]
HEAD += ["wrong of these"]


def truths(file: Path) -> dict[str, Cells]:
    """The known cells of pictures, by their names."""
    with file.open(newline="") as lines:
        return {
            line["file"]: [
                [cell.strip("_") for cell in row.split()] for row in line["cells"].split("/")
            ]
            for line in csv.DictReader(lines)
        }


def seconds(reader: Reader, test: Digits) -> float:
    """The median time for a photo of 12 megapixels with 60 numbers."""
    random = np.random.default_rng(1)
    cells = [["".join(map(str, random.integers(0, 10, 2))) for _ in range(6)] for _ in range(10)]
    page, _ = _written(random, test, cells, np.full(6, 2), {"ruled"})
    photo = cv2.resize(_photographed(random, page, set()), (4000, 3000))
    content = cv2.imencode(".jpg", photo)[1].tobytes()
    times = []
    for _ in range(5):
        start = time.process_time()
        read_table(reader, content)
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> None:
    """Measure, print, and write TABLES.md."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--tables", type=int, default=300, help="made (300)")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="with real tables")
    parser.add_argument("--output", type=Path, default=HERE / "TABLES.md")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    _, test = load_mnist()
    reader = Reader.load(threads=1)
    made = (made_table(test, number) for number in range(options.tables))
    outcomes = [measured(reader, m.pixels, m.cells, m.kinds) for m in made]
    parts = [
        "# Tables",
        f"Written by `python benchmarks/made_tables.py` on {date.today()}, on {machine()}.",
        f"{options.tables} tables made from MNIST's test digits (`--tables {options.tables}`).",
        markdown(HEAD, kind_rows(outcomes)),
    ]
    if options.pictures:
        real = [
            measured(reader, options.pictures / name, known, frozenset({"real"}))
            for name, known in truths(HERE / "table_cells.csv").items()
        ]
        parts += [
            f"Pictures of tables and forms in {options.pictures.name}; rows and columns that are "
            "headings alone are none of theirs, but of what is read:",
            markdown(HEAD, [row("all", real)]),
        ]
    parts.append(
        f"A photo of 12 megapixels with 60 numbers takes {seconds(reader, test):.2f} s, "
        "from the bytes of a JPEG to the cells (median of 5)."
    )
    print("\n\n".join(parts))
    options.output.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
