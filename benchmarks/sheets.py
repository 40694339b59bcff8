"""Contact sheets: an example of each kind of scene, and the pictures read wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from answers import Answer, Pixels
from PIL import Image, ImageDraw, ImageFont
from scenes import KINDS, pixels_of

from mnist_digits.synthesis.templates import Templates

# Pixels of a line of words above a picture.
LINE = 14


def sheet(tiles: list[tuple[Pixels, list[str]]], columns: int, side: int) -> Image.Image:
    """Pictures side by side, each with lines of words above it.

    Args:
        tiles: pictures (H, W, 3) with their words.
        columns: how many there are side by side.
        side: the longer side of each, in pixels.
    """
    lines = max(len(words) for _, words in tiles)
    highest = max(fitted(pixels.shape[:2], side)[0] for pixels, _ in tiles)
    wide, high = side + 8, highest + 8 + LINE * lines
    result = Image.new("RGB", (columns * wide, -(-len(tiles) // columns) * high), "white")
    draw, font = ImageDraw.Draw(result), ImageFont.load_default(11)
    for index, (pixels, words) in enumerate(tiles):
        left, top = index % columns * wide + 4, index // columns * high + 4
        for number, line in enumerate(words):
            draw.text((left, top + LINE * number), line[: side // 6], fill="black", font=font)
        picture = Image.fromarray(pixels)
        result.paste(picture.resize(fitted(picture.size, side)), (left, top + LINE * lines))
    return result


def fitted(size: tuple[int, ...], side: int) -> tuple[int, int]:
    """The two lengths so that the longer one is `side`."""
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def kinds_figure(templates: Templates, file: Path, each: int = 3) -> None:
    """Scenes of each kind; in few colours, so that the file is small."""
    tiles = []
    for name in KINDS:
        strip = np.hstack([pixels_of(templates, name, number) for number in range(each)])
        tiles.append((strip, [name]))
    sheet(tiles, columns=4, side=each * 96).quantize(128).save(file, optimize=True)


def mistakes_figure(answers: list[Answer], file: Path, most: int = 240) -> None:
    """What was read wrong: first what was called sure, then of each kind in turn."""
    turns: Counter[str] = Counter()
    order: list[tuple[bool, int, Answer]] = []
    for answer in answers:
        if not answer.right:
            turns[answer.kind] += 1
            order.append((not answer.sure, turns[answer.kind], answer))
    order.sort(key=lambda entry: entry[:2])
    tiles = [(answer.show(), _words(answer)) for _, _, answer in order[:most]]
    if tiles:
        sheet(tiles, columns=10, side=150).save(file)


def _words(answer: Answer) -> list[str]:
    """What stands above a picture that was read wrong."""
    first = f"SURE: {answer.kind}" if answer.sure else answer.kind
    return [first, f"is {answer.truth}", f"read {answer.text}"]
