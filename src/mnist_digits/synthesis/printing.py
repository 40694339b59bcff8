"""Words: printed in real fonts, in joined handwriting, as signatures. Never digits."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .canvas import SIDE, Canvas, chance, log_uniform, paste, rotation
from .templates import Floats

# What is printed on forms and papers. No word is so short that it could be taken for a number.
# fmt: off
WORDS = (
    "Total", "Sum", "Name", "Date", "Amount", "Number", "Account", "Invoice", "Address", "City",
    "Signature", "Page", "Price", "Tax", "Paid", "Due", "Code", "Class", "Group", "Weight",
    "Height", "Birth", "Street", "Phone", "Order", "Item", "Quantity", "Discount", "Balance",
    "Cheque", "Pay", "Bank", "Branch", "Betrag", "Datum", "Summe", "Konto", "Euro", "Dollars",
    "Cents", "per", "unit", "Telephone", "please", "write", "clearly", "use", "only", "black",
    "ink", "do", "not", "fold", "office", "sign", "here", "yes", "no", "day", "month", "year",
)
# fmt: on
SIZES = (8, 9, 10, 11, 12, 14, 16, 19, 22, 27, 34)


@cache
def _font(number: int, size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    files = sorted(
        file
        for family in ("DejaVuSans", "DejaVuSerif", "STIXGeneral")
        for file in folder.glob(f"{family}*.ttf")
        if "Display" not in file.stem
    )
    return ImageFont.truetype(str(files[number % len(files)]), size)


def printed(random: np.random.Generator, text: str, size: int) -> Floats:
    """The ink (h, w), 0 to 1, of a printed text."""
    font = _font(int(random.integers(100)), size)
    left, top, right, bottom = font.getbbox(text)
    page = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
    ImageDraw.Draw(page).text((1 - left, 1 - top), text, fill=255, font=font)
    return np.asarray(page, np.float32) / np.float32(255)


def some_words(random: np.random.Generator, most: int = 4) -> str:
    """Words as in a heading, a label or small print."""
    words = " ".join(str(word) for word in random.choice(WORDS, int(random.integers(1, most + 1))))
    kind = random.integers(4)
    if kind == 0:
        return words.upper()
    return words + str(random.choice([":", "", "", "."])) if kind == 1 else words


def draw_print(canvas: Canvas) -> None:
    """A heading, a label, or a few lines of small print."""
    random = canvas.random
    size = int(random.choice(SIZES))
    lines = int(random.integers(2, 5)) if size < 15 and chance(random, 0.4) else 1
    x, y = random.uniform(-20, SIDE - 40), random.uniform(0, SIDE - 10)
    if canvas.digits and chance(random, 0.4):  # at the left of a number
        digit = canvas.digits[int(random.integers(len(canvas.digits)))]
        row = [other for other in canvas.digits if other.row == digit.row]
        size = int(min(max(digit.size * random.uniform(0.25, 0.8), 8), 40))
        end = min(other.box[0] for other in row) - digit.size * random.uniform(0.3, 1)
        x, y, lines = end - size * random.uniform(1, 4), digit.y, 1
    layer = int(random.choice([2, 3]))
    for line in range(lines):
        ink = printed(random, some_words(random, 6 if lines > 1 else 3), size)
        if canvas.turn:
            ink = _turned(ink, canvas.turn)
        middle = x + ink.shape[1] / 2, y + line * size * 1.3
        paste(canvas.layers[layer], ink, *middle)
        _mark_letters(canvas, ink, middle)


def _turned(ink: Floats, angle: float) -> Floats:
    high, wide = ink.shape
    side = int(np.hypot(high, wide)) + 2
    turn = rotation(angle)
    matrix = np.column_stack([turn, side / 2 - turn @ [wide / 2, high / 2]])
    return cv2.warpAffine(ink, matrix, (side, side))


def _mark_letters(canvas: Canvas, ink: Floats, middle: tuple[float, float]) -> None:
    """Record as a mark each letter that stands alone, and joined ones as one; but no dots."""
    high, wide = ink.shape
    left, top = round(middle[0] - wide / 2), round(middle[1] - high / 2)
    _, _, boxes, _ = cv2.connectedComponentsWithStats((ink > 0.3).astype(np.uint8))
    for x, y, across, down, _ in boxes[1:].tolist():
        x0, y0 = max(0, left + x), max(0, top + y)
        x1, y1 = min(SIDE, left + x + across), min(SIDE, top + y + down)
        if down >= 5 and x1 > x0 and y1 > y0:
            canvas.mark("other", (x0, y0, x1, y1))


def draw_cursive(canvas: Canvas) -> None:
    """A word whose letters are joined, or a signature."""
    random = canvas.random
    signature = chance(random, 0.35)
    height = log_uniform(random, 8, 40) * (1.6 if signature else 1)
    start = random.uniform([-20, 0.1 * SIDE], [SIDE - 60, 0.95 * SIDE])
    turn = rotation(canvas.turn + random.normal(0, 0.2 if signature else 0.04))
    pen = canvas.pen if chance(random, 0.6) else canvas.some_pen()
    thickness = max(1, round(min(0.1, 2 * pen.radius) * height * 1.3))
    layer = int(random.choice([1, 2]))
    for letter in _joined(random, height, signature):
        with canvas.marking("other"):
            canvas.polyline(letter @ turn.T + start, thickness, canvas.layers[layer])


def _joined(
    random: np.random.Generator, height: float, signature: bool
) -> list[NDArray[np.float64]]:
    """The lines (N, 2) of joined letters: waves and loops that lean to the right.

    The pen goes round while the hand moves on: little sideways swing gives the arcs of u and n,
    much of it the loops of e and l.
    """
    slant, x, letters = random.uniform(0, 0.7), 0.0, []
    for number in range(int(random.integers(3, 9))):
        tall = random.uniform(1.6, 2.6) if chance(random, 0.25) or not number else 1.0
        if signature:
            tall *= random.uniform(0.3, 1.6)
        arcs = 1 if tall > 1.5 else int(random.integers(1, 4))
        swing = random.uniform(-0.5, 0.5) * height
        step = height * random.uniform(0.45, 0.8) * (random.uniform(0.5, 1.6) if signature else 1)
        phase = np.linspace(0, 2 * np.pi * arcs, 14 * arcs)
        up = (1 - np.cos(phase)) / 2 * tall * height
        if chance(random, 0.12):  # a tail below the line
            up = np.where(phase > 2 * np.pi * (arcs - 1), -0.9 * up / tall, up)
        along = x + step * phase / (2 * np.pi) + swing * np.sin(phase) * np.sqrt(tall)
        letters.append(np.column_stack([along + slant * up, -up]))
        x += step * arcs
    return letters
