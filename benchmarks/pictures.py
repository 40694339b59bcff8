"""How well pictures are read: the shipped model against the usual way; writes READING.md.

    python benchmarks/pictures.py                  # MNIST whole, corrupted, and what is no digit
    python benchmarks/pictures.py FOLDER [FOLDER]  # also folders of labelled pictures

A folder of pictures has a `labels.csv` with file,label,kind, or one folder for each label.
The usual way is what most demos do: turn grey, resize to 28×28, invert if bright.
"""

from __future__ import annotations

import argparse
import statistics
import string
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tables import machine

from mnist_digits import FAST, Digits, Reader, evaluate, load_mnist, train
from mnist_digits.annotation import annotated
from mnist_digits.labelled import Labelled, find_labelled, read_labelled

Frames = NDArray[np.uint8]
HERE = Path(__file__).parent


def usual_way(path: Path) -> Frames:
    """A picture as most demos prepare it: (28, 28)."""
    image = Image.open(path).convert("L").resize((28, 28))
    frame = np.asarray(image)
    return 255 - frame if frame.mean() > 127 else frame


def moved(frames: Frames, matrix: list[list[float]]) -> Frames:
    """Each frame through an affine map about its middle."""
    linear = np.array(matrix, np.float64)
    shift = 13.5 - linear[:, :2] @ [13.5, 13.5] + linear[:, 2]
    maps = np.column_stack([linear[:, :2], shift])
    return np.stack([cv2.warpAffine(frame, maps, (28, 28)) for frame in frames])


def turned(frames: Frames, degrees: float) -> Frames:
    """Each frame turned about its middle, against the clock."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return moved(frames, [[c, s, 0], [-s, c, 0]])


def mixed(frames: NDArray[Any], other: NDArray[Any]) -> Frames:
    """The sum of the two, in the range of pixels."""
    return np.clip(frames + other, 0, 255).astype(np.uint8)


def corruptions(frames: Frames) -> dict[str, Callable[[], Frames]]:
    """What may happen to a frame, each with a fixed strength.

    The training has changes of most of these kinds, by other functions and of other strengths.
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
    lines = ["| the 10,000 test digits | shipped model | `fast` |", "|---|---|---|"]
    means: list[tuple[float, float]] = []
    for name, corrupt in corruptions(test.images[:, 0].numpy()).items():
        frames = corrupt()
        ours = float((reader.classify(frames).argmax(axis=1) == labels).mean())
        other = float((plain(frames) == labels).mean())
        means.append((ours, other))
        lines.append(f"| {name} | {ours:.2%} | {other:.2%} |")
    shipped, fast = (statistics.mean(column) for column in list(zip(*means[1:], strict=True)))
    lines.append(f"| mean of the changed ones | {shipped:.2%} | {fast:.2%} |")
    return "\n".join(lines)


def letters() -> Frames:
    """Letters in OpenCV's Hershey fonts, without those written like digits, framed."""
    from mnist_digits.framing import frame

    frames = []
    for font in range(8):
        for letter in sorted(set(string.ascii_letters) - set("IlOoSZBbqg")):
            page = np.zeros((120, 120), np.uint8)
            cv2.putText(page, letter, (35, 80), font, 2.0, 255, 3, cv2.LINE_AA)
            ys, xs = np.nonzero(page)
            box = page[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
            frames.append(frame(box.astype(np.float32) / 255))
    return np.stack(frames)


def clothes() -> Frames | None:
    """Fashion-MNIST's test images, where Debian's package of it is installed."""
    import gzip

    for file in Path("/usr/share/datasets").rglob("*t10k-images*"):
        opener = gzip.open if file.suffix == ".gz" else open
        with opener(file, "rb") as content:
            return np.frombuffer(content.read(), np.uint8)[16:].reshape(-1, 28, 28)
    return None


def doubt_table(reader: Reader, test: Digits) -> str:
    """How often an answer is marked sure, and how often wrongly."""
    probabilities = reader.classify(test.images[:, 0].numpy())
    sure = probabilities.max(axis=1) >= reader.sure_above
    wrong = probabilities.argmax(axis=1) != test.labels.numpy()
    lines = [
        f"| | marked sure (confidence of {reader.sure_above:.1%} or more) |",
        "|---|---|",
        f"| MNIST's test digits | {sure.mean():.2%}; {wrong[sure].mean():.3%} of these wrong |",
    ]
    strange = {"letters, Hershey fonts": letters(), "Fashion-MNIST": clothes()}
    for name, frames in strange.items():
        if frames is not None:
            share = (reader.classify(frames).max(axis=1) >= reader.sure_above).mean()
            lines.append(f"| {name} ({len(frames):,}) | {share:.2%} |")
    return "\n".join(lines)


def picture_table(
    reader: Reader, pictures: list[Labelled], plain: Callable[[Frames], Frames]
) -> str:
    """Accuracy by kind of picture: found by itself, told that there is one digit, usual way."""
    free = {o.picture.path: o for o in read_labelled(reader, pictures)}
    single = {o.picture.path: o for o in read_labelled(reader, pictures, single=True)}
    head = "| pictures | number | read | one digit, told so | sure | wrong of these "
    lines = [
        head + "| usual way, shipped model | usual way, `fast` |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups = {"all": pictures}
    for picture in pictures:
        folder = picture.path.relative_to(common_folder(pictures)).parts[0]
        groups.setdefault(f"{folder}: {picture.kind}", []).append(picture)
    for name, group in groups.items():
        alone = [p for p in group if len(p.label) == 1]
        told = f"{np.mean([single[p.path].right for p in alone]):.2%}" if alone else "–"
        sure = [free[p.path] for p in group if free[p.path].sure]
        ways = ["–", "–"]
        if alone:
            frames = np.stack([usual_way(p.path) for p in alone])
            truth = np.array([int(p.label) for p in alone])
            network = reader.classify(frames).argmax(axis=1)
            ways = [f"{(answer == truth).mean():.2%}" for answer in (network, plain(frames))]
        read = np.mean([free[p.path].right for p in group])
        wrong = sum(not outcome.right for outcome in sure)
        lines.append(
            f"| {name} | {len(group)} | {read:.2%} | {told} | {len(sure)} | {wrong} "
            f"| {ways[0]} | {ways[1]} |"
        )
    return "\n".join(lines)


def common_folder(pictures: list[Labelled]) -> Path:
    """The folder of the labels: where the pictures' paths part."""
    parts = [picture.path.parts for picture in pictures]
    same = [level[0] for level in zip(*parts, strict=False) if len(set(level)) == 1]
    return Path(*same)


def photographed(test: Digits) -> Frames:
    """Test digits as if written on squared paper and photographed badly, (600, 900, 3)."""
    random = np.random.default_rng(7)
    ink = np.zeros((600, 900), np.float32)
    for place in range(18):
        frame = test.images[place, 0].numpy().astype(np.float32) / 255
        size = int(random.integers(90, 130))
        big = cv2.resize(frame, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        left = 60 + 130 * (place % 6) + int(random.integers(-8, 8))
        top = 60 + 170 * (place // 6) + int(random.integers(-12, 12))
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


def speed_table(reader: Reader, test: Digits) -> str:
    """Frames a second, and the time of a photo of 12 megapixels: medians."""
    frames = test.images[:, 0].numpy()
    photo = cv2.resize(255 - np.tile(frames[0], (3, 4)), (4000, 3000))
    _, jpeg = cv2.imencode(".jpg", photo)
    rates, times = [], []
    for _ in range(7):
        started = time.perf_counter()
        reader.classify(frames)
        rates.append(len(frames) / (time.perf_counter() - started))
        started = time.perf_counter()
        reader.read(jpeg.tobytes())
        times.append(time.perf_counter() - started)
    return (
        f"{statistics.median(rates):,.0f} frames are classified a second; a JPEG of 12 megapixels "
        f"is read in {1000 * statistics.median(times):.0f} ms."
    )


def main() -> None:
    """Measure, print, and write READING.md."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--output", type=Path, default=HERE / "READING.md")
    options = parser.parse_args()
    reader = Reader.load()
    digits, test = load_mnist()
    fast = train(FAST, digits).model

    def plain(frames: Frames) -> Frames:
        part = Digits(test.images.new_tensor(frames)[:, None], test.labels.new_zeros(len(frames)))
        return evaluate(fast, part).predictions.numpy()

    names = " ".join(folder.name for folder in options.folders)
    parts = [
        "# Reading pictures",
        f"Written by `python benchmarks/pictures.py{' ' + names if names else ''}` on "
        f"{date.today()}, on {machine()}.",
        "## Digits that something has happened to",
        corruption_table(reader, test, plain),
        "## Doubt",
        doubt_table(reader, test),
        "## Speed",
        speed_table(reader, test),
    ]
    for folder in options.folders:
        parts += [
            f"## Pictures: {folder.name}",
            picture_table(reader, find_labelled(folder), plain),
        ]
    photo = photographed(test)
    annotated(photo, reader.read(photo)).save(HERE / "reading.jpg", quality=88)
    text = "\n\n".join(parts) + "\n"
    print(text)
    options.output.write_text(text)


if __name__ == "__main__":
    main()
