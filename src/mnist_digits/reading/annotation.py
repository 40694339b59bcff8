"""A copy of a picture with a box around each digit, what was read, and the confidence."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..errors import OutputError, PictureError
from ..files import write_whole
from .documents import Page, Source, open_picture
from .folders import STANDARD_INPUT
from .result import Reading
from .tables import Table

# Blue and vermilion, as in the figures. Digits that are not sure have a question mark, too.
SURE, DOUBTFUL = (0, 114, 178), (213, 94, 0)


def annotated(source: Source, reading: Reading) -> Image.Image:
    """The picture, upright and at most 1,600 pixels on a side, with what was read drawn in.

    Raises:
        PictureError: it cannot be opened or is not a picture.
    """
    image, draw, scale, unit = _enlarged(source)
    for digit in reading.digits:
        x0, y0, x1, y1 = np.multiply(digit.box, (*scale, *scale)).tolist()
        colour = SURE if digit.sure else DOUBTFUL
        draw.rectangle(
            (x0 - 2, y0 - 2, x1 + 2, y1 + 2), outline=colour, width=max(2, int(unit / 8))
        )
        text = f"{digit.digit}{'' if digit.sure else '?'} {int(100 * digit.confidence)}%"
        left, top, right, bottom = draw.textbbox((0, 0), text)
        # Above the box if there is room, otherwise inside.
        y = y0 - (bottom - top) - unit / 2
        place = (min(max(x0, 0), max(0, image.width - (right - left))), y if y > 0 else y0 + 2)
        _write(draw, place, text, colour)
    if reading.turns:
        _write(draw, (0, image.height - 2 * unit), reading.turned, SURE)
    return image


def annotated_table(source: Source, table: Table) -> Image.Image:
    """The picture with the cells of a table drawn in, those in doubt in vermilion.

    Raises:
        PictureError: it cannot be opened or is not a picture.
    """
    image, draw, scale, unit = _enlarged(source)
    # Those in doubt last, so that their edges are seen.
    for cell in sorted(table.cells, key=lambda cell: not cell.sure):
        corners = [tuple(corner) for corner in (cell.corners * scale).tolist()]
        colour = SURE if cell.sure else DOUBTFUL
        draw.polygon(corners, outline=colour, width=max(2, int(unit / 8)) if cell.why else 2)
        text = f"{cell.text}{'' if cell.sure else '?'}"
        if text:
            x, y = (cell.corners * scale).mean(axis=0).tolist()
            _, _, _, bottom = draw.textbbox((0, 0), text)
            # Below what is written.
            low = cell.number.box[3] * scale[1] if cell.number else y
            _write(draw, (x, min(low, image.height - bottom)), text, colour)
    return image


def _enlarged(
    source: Source,
) -> tuple[Image.Image, ImageDraw.ImageDraw, NDArray[np.float64], float]:
    """A picture to draw on; its pixels for each displayed one, across and down; the font's size."""
    picture = open_picture(source)
    image = Image.fromarray(picture.pixels)
    # A tiny picture is enlarged: otherwise there would be no room for text.
    zoom = max(1, round(320 / max(image.size)))
    image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    unit = max(12.0, max(image.size) / 45)
    draw.font = ImageFont.load_default(unit)
    return image, draw, zoom / np.array(picture.reduction), unit


def _write(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    colour: tuple[int, int, int],
) -> None:
    """A line of text on white."""
    draw.rectangle(draw.textbbox(place, text), fill="white")
    draw.text(place, text, fill=colour)


class Copies:
    """Where the annotated copies go: each page to a file of its own, and none over an original."""

    def __init__(self, files: list[Path], output: Path) -> None:
        """Choose the names: `output` itself if it is a .png and there is one file.

        Otherwise `output` is a folder: in it, the copy of a second file called `scan` is
        scan-2.png.

        Raises:
            PictureError: `output` is neither, or a copy would replace one of the files.
        """
        one_file = output.suffix.lower() == ".png" and not os.path.isdir(output)
        if one_file and len(files) > 1:
            raise PictureError(f"{output} is one file for {len(files)} pictures: name a folder")
        self._in_folder = len(files) > 1 or not output.suffix or os.path.isdir(output)
        # Names in small letters: for some systems SCAN.png and scan.png are the same file.
        self._taken: set[str] = set()
        if self._in_folder:
            stems = ["annotated" if file == STANDARD_INPUT else file.stem for file in files]
            self._paths = [self._free(output / f"{stem}.png") for stem in stems]
        elif one_file:
            self._paths = [output]
            self._taken.add(output.name.lower())
        else:
            raise PictureError(f"a copy is a PNG: name {output.with_suffix('.png')}, or a folder")
        originals = {identity(file) for file in files} - {None}
        for path in self._paths:
            if identity(path) in originals:
                raise PictureError(
                    f"the copy would replace the picture {path}: name another folder"
                )

    def write(self, index: int, page: Page, copy: Image.Image) -> None:
        """Write the copy of a page of the file with this index.

        Raises:
            OutputError: it cannot be written.
        """
        path = self._paths[index]
        if page.pages > 1:
            path = self._free(path.with_name(f"{path.stem}-page-{page.number}.png"))
        png = io.BytesIO()
        copy.save(png, "PNG")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, png.getvalue())
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error

    def _free(self, path: Path) -> Path:
        """The path, or if it is taken, the path with the first free number from 2 on.

        It is taken from now on. A folder is for copies: older files in it are replaced. Files
        beside a single named one are not, because they may be the user's own.
        """
        chosen, number, spared = path, 1, not self._in_folder
        while chosen.name.lower() in self._taken or (spared and os.path.exists(chosen)):
            number += 1
            chosen = path.with_name(f"{path.stem}-{number}.png")
        self._taken.add(chosen.name.lower())
        return chosen


def identity(path: Path) -> tuple[int, int] | None:
    """The device and the number of a file, the same under all its names; None without a file."""
    with suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None
