"""Out-of-distribution pictures, not of digits: a batch at a time, on the device.

A network that has seen only digits sees a digit in everything. Trained also on these, with
all ten digits as equally probable answers, it learns to say that it does not know
(Hendrycks, Mazeika and Dietterich, "Deep Anomaly Detection with Outlier Exposure", 2019).

They are digits on their side, in pairs or cut up, scribbles, shapes and textures, and
letters of matplotlib's fonts, except those that are written like digits. No other data set is
used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .handwriting import rasterize
from .random_fields import pixel_coordinates, uniform, waves

# Left out: letters that some people write like a digit (I i j l 1, O o 0, S s 5, Z z 2, b G 6,
# q g 9).
LETTERS = "ACDEFHJKLMNPQRTUVWXYacdefhkmnprtuvwxy"


def negatives(digits: Tensor, labels: Tensor) -> Tensor:
    """As many pictures as digits, float32 (N, 1, 28, 28), 0 to 255; none can be read as a digit.

    Args:
        digits: (N, 1, 28, 28), 0 to 255, to make some of them from.
        labels: int64 (N,), of the digits.
    """
    count = len(digits)
    order = torch.randperm(count, device=digits.device)
    parts = order.tensor_split(len(KINDS))
    result = digits.float()
    for part, kind in zip(parts, KINDS, strict=True):
        if len(part):
            result = result.index_copy(0, part, kind(digits[part].float(), labels[part]))
    return result.clamp(0, 255)


def pairs(digits: Tensor, _: Tensor) -> Tensor:
    """Two digits side by side in one frame: they should be read as two digits, or not at all."""
    both = torch.cat([digits[:, :, :, 4:24], digits.roll(1, 0)[:, :, :, 4:24]], dim=3)
    small = functional.interpolate(both, size=(20, 28), mode="bilinear", align_corners=False)
    return functional.pad(small, (0, 0, 4, 4))


def sideways(digits: Tensor, labels: Tensor) -> Tensor:
    """Digits turned by 90 degrees; of 0, 1 and 8, which would stay much the same, pairs."""
    symmetric = torch.isin(labels, torch.tensor([0, 1, 8], device=labels.device))
    turned = torch.rot90(digits, 1, (2, 3))
    return torch.where(symmetric.view(-1, 1, 1, 1), pairs(digits, labels), turned)


def shuffled(digits: Tensor, _: Tensor) -> Tensor:
    """Digits cut into 16 squares of 7 × 7 pixels, put together in another order."""
    squares = functional.unfold(digits, 7, stride=7)
    order = torch.rand(len(digits), 1, 16, device=digits.device).argsort(dim=2)
    return functional.fold(squares.gather(2, order.expand_as(squares)), 28, 7, stride=7)


def scribbles(digits: Tensor, _: Tensor) -> Tensor:
    """A polyline through eight random points, drawn with one pen."""
    count, device = len(digits), digits.device
    corners = (torch.rand(8, count, 2, device=device) * 22 + 3).transpose(0, 1)
    pen = torch.rand(count, device=device) + 0.7
    return rasterize(corners[:, :-1], corners[:, 1:], pen) * 255


def assembled(digits: Tensor, _: Tensor) -> Tensor:
    """Five strokes drawn with five pens, fine ones and broad ones: straps, tools, toys."""
    count, device = len(digits), digits.device
    page = torch.zeros(count, 1, 28, 28, device=device)
    for _stroke in range(5):
        start, end = torch.rand(2, count, 1, 2, device=device) * 24 + 2
        pen = 0.5 + 3.5 * torch.rand(count, device=device) ** 2
        shade = uniform(digits, 0.4, 1)
        page = torch.maximum(page, shade * rasterize(start, end, pen))
    return page * 255


def blobs(digits: Tensor, _: Tensor) -> Tensor:
    """Filled shapes of any outline, with shades inside."""
    count, device = len(digits), digits.device
    outline = waves(count, 1, 4, device) + 0.6 * waves(count, 1, 7, device)
    limit = uniform(digits, -0.7, 0.5)
    shade = 0.75 + 0.25 * waves(count, 1, 6, device)
    return torch.sigmoid(8 * (outline - limit)) * shade.clamp(0.2, 1) * 255


def silhouettes(digits: Tensor, labels: Tensor) -> Tensor:
    """Filled shapes of rounded boxes, most of them symmetric, as clothes, cups and faces are."""
    count, device = len(digits), digits.device
    x, y = pixel_coordinates(device)
    symmetric = uniform(digits, 0, 1) < 0.7
    x = torch.where(symmetric, x.abs(), x)
    shape = torch.zeros(count, 1, 28, 28, device=device)
    for _part in range(3):
        across = ((x - uniform(digits, -8, 8)) / uniform(digits, 4, 12)).abs()
        down = ((y - uniform(digits, -8, 8)) / uniform(digits, 4, 13)).abs()
        power = uniform(digits, 1.5, 8)
        shape = torch.maximum(shape, torch.sigmoid(20 * (1 - across**power - down**power)))
    shade = uniform(digits, 0.3, 1) + 0.3 * waves(count, 1, 6, device)
    pattern = textures(digits, labels) / 255
    shade = torch.where(uniform(digits, 0, 1) < 0.3, pattern, shade)
    return shape * shade.clamp(0.1, 1) * 255


def columns(digits: Tensor, _: Tensor) -> Tensor:
    """One or two tall bars, too broad for a stroke, wider or narrower below: trousers, bottles."""
    count, device = len(digits), digits.device
    x, y = pixel_coordinates(device)
    high = uniform(digits, 9, 14.5)
    lean = uniform(digits, -0.15, 0.15)
    half = uniform(digits, 3.2, 6) * (1 + uniform(digits, -0.4, 0.6) * y / 28)
    across = (x - lean * y).abs()
    shape = torch.sigmoid(6 * (half - across)) * torch.sigmoid(6 * (high - y.abs()))
    # Below some height the legs part.
    parted = y - uniform(digits, -10, 14)
    slit = uniform(digits, -0.1, 0.15) * parted.clamp_min(0) + 0.5 * (parted > 0)
    shape = shape * torch.sigmoid(6 * (across - slit))
    shade = uniform(digits, 0.4, 1) + 0.25 * waves(count, 1, 6, device)
    return shape * shade.clamp(0.15, 1) * 255


def pierced(digits: Tensor, labels: Tensor) -> Tensor:
    """Filled shapes with holes like strokes: straps, handles, windows."""
    shape = silhouettes(digits, labels)
    for _hole in range(3):
        start, end = torch.rand(2, len(digits), 1, 2, device=digits.device) * 24 + 2
        pen = torch.rand(len(digits), device=digits.device) * 2 + 0.7
        shape = shape * (1 - rasterize(start, end, pen))
    return shape


def textures(digits: Tensor, _: Tensor) -> Tensor:
    """Waves, stripes and grain over the whole picture."""
    x, y = pixel_coordinates(digits.device)
    angle = uniform(digits, 0, torch.pi)
    pace = uniform(digits, 0.2, 2)
    across = x * angle.cos() + y * angle.sin()
    waves = torch.sin(pace * across + uniform(digits, 0, 6))
    grain = torch.randn(len(digits), 1, 28, 28, device=digits.device)
    kind = uniform(digits, 0, 1)
    return 128 + 100 * torch.where(kind < 0.6, waves, torch.where(kind < 0.8, grain, 0.3 * grain))


def letters(digits: Tensor, _: Tensor) -> Tensor:
    """Printed letters; `augment` bends them afterwards."""
    bank = letter_bank().to(digits.device)
    picks = torch.randint(len(bank), (len(digits),), device=digits.device)
    return bank[picks].float()


@cache
def letter_bank(alphabet: str = LETTERS) -> Tensor:
    """Every letter in every font, framed as digits are: uint8 (L, 1, 28, 28)."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    from .size_normalization import size_normalized

    fonts = sorted((Path(matplotlib.get_data_path()) / "fonts" / "ttf").glob("*.ttf"))
    chosen = [font for font in fonts if not any(odd in font.stem for odd in ODD_FONTS)]
    pages = []
    for font in chosen:
        face = ImageFont.truetype(str(font), 60)  # Pillow 10.1 takes no Path
        for letter in alphabet:
            page = Image.new("L", (120, 120))
            ImageDraw.Draw(page).text((25, 15), letter, fill=255, font=face)
            if page.getbbox():
                pages.append(np.asarray(page, np.float32) / 255)
    return size_normalized(torch.from_numpy(np.stack(pages)))[:, None]


# Fonts of symbols, which have other signs than letters at the letters' codes.
ODD_FONTS = ("cmex", "cmmi", "cmsy", "NonUni", "Siz", "Display")
KINDS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    *(pairs, sideways, shuffled, scribbles, assembled, blobs, textures),
    *(silhouettes, silhouettes, silhouettes, columns, columns, pierced, pierced),
    *(letters, letters, letters),
)
