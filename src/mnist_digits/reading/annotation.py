"""A copy of a picture with a box around each digit, what was read, and how surely."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..errors import OutputError, PictureError
from ..files import write_whole
from .documents import STANDARD_INPUT, Page
from .picture import Picture, Source, open_picture
from .reader import Reading

# Blue and vermilion, as in the figures; what is not sure has a question mark, too.
SURE, DOUBTFUL = (0, 114, 178), (213, 94, 0)


def annotated(source: Source, reading: Reading) -> Image.Image:
    """The picture, upright and at most 1,600 pixels on a side, with what was read drawn in.

    Raises:
        PictureError: it cannot be opened or is not a picture.
    """
    picture = open_picture(source)
    image = Image.fromarray(picture.pixels)
    # A tiny picture is enlarged, or there would be no room for a word.
    zoom = max(1, round(320 / max(image.size)))
    image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    scale = zoom / picture.reduction
    unit = max(12.0, max(image.size) / 45)
    font = ImageFont.load_default(unit)
    for digit in reading.digits:
        x0, y0, x1, y1 = (side * scale for side in digit.box)
        colour = SURE if digit.sure else DOUBTFUL
        draw.rectangle(
            (x0 - 2, y0 - 2, x1 + 2, y1 + 2), outline=colour, width=max(2, int(unit / 8))
        )
        text = f"{digit.digit}{'' if digit.sure else '?'} {int(100 * digit.confidence)}%"
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        # Above the box where there is room, otherwise inside.
        y = y0 - (bottom - top) - unit / 2
        place = (min(max(x0, 0), max(0, image.width - (right - left))), y if y > 0 else y0 + 2)
        draw.rectangle(draw.textbbox(place, text, font=font), fill="white")
        draw.text(place, text, fill=colour, font=font)
    return image


class Copies:
    """Where the annotated copies of files go: each page's to a name of its own, to no original."""

    def __init__(self, files: list[Path], output: Path) -> None:
        """Choose names: `output` itself, if it is a .png and there is one file; else in a folder.

        Raises:
            PictureError: `output` is neither, or a copy would replace one of the files.
        """
        self._in_folder = len(files) > 1 or not output.suffix or os.path.isdir(output)
        if self._in_folder:
            self._paths = _named_apart(files, output)
        elif output.suffix.lower() == ".png":
            self._paths = [output]
        else:
            raise PictureError(f"a copy is a PNG: name {output.with_suffix('.png')}, or a folder")
        originals = {_identity(file) for file in files} - {None}
        for path in self._paths:
            if _identity(path) in originals:
                raise PictureError(
                    f"the copy would replace the picture {path}: name another folder"
                )
        self._taken = {path.name.lower() for path in self._paths}

    def write(self, index: int, page: Page, reading: Reading) -> None:
        """Write the copy of a page of the file with this index.

        Raises:
            OutputError: it cannot be written.
        """
        path = self._paths[index]
        if page.pages > 1:
            path = self._of_page(path, page.number)
        assert isinstance(page.picture, Picture)  # it was read
        png = io.BytesIO()
        annotated(page.picture, reading).save(png, "PNG")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, png.getvalue())
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error

    def _of_page(self, path: Path, page: int) -> Path:
        """Beside the copy of the file: scan-page-2.png, or another if that is taken."""
        stem, number = f"{path.stem}-page-{page}", 1
        chosen = path.with_name(f"{stem}.png")
        while not self._is_free(chosen):
            number += 1
            chosen = path.with_name(f"{stem}-{number}.png")
        self._taken.add(chosen.name.lower())
        return chosen

    def _is_free(self, path: Path) -> bool:
        # A folder is for copies, and older ones in it are replaced; who names one file has
        # given no other away.
        spared = not self._in_folder and _identity(path) is not None
        return not spared and path.name.lower() not in self._taken


def _named_apart(files: list[Path], folder: Path) -> list[Path]:
    """A name in the folder for the copy of each; the second `scan` becomes scan-2.png."""
    # Some systems take SCAN.png and scan.png for the same file.
    taken: set[str] = set()
    names = []
    for file in files:
        stem = "annotated" if file == STANDARD_INPUT else file.stem
        name, number = stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.lower())
        names.append(folder / f"{name}.png")
    return names


def _identity(path: Path) -> tuple[int, int] | None:
    """What a file is the same by under any of its names; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
