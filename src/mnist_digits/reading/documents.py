"""Documents of several pages, TIFF and PDF, read page by page; and the folders they lie in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import PictureError
from .pdf import Pdf, is_pdf
from .picture import (
    WORKING_SIZE,
    Picture,
    Source,
    content_of,
    decode,
    decode_file,
    explained,
    open_picture,
    opened,
    unwarned,
)

if TYPE_CHECKING:
    from .reader import Reader
    from .result import Reading

# Of a document; larger scans come in several files.
MAXIMUM_PAGES = 1000
# Of picture files. PDF is not among them: where one picture is expected, other pages would be lost.
# fmt: off
SUFFIXES = frozenset({
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".dib", ".tif", ".tiff",
    ".webp", ".pbm", ".pgm", ".ppm", ".pnm", ".pfm", ".avif", ".avifs",
    ".heic", ".heics", ".heif", ".heifs", ".hif",
})
# fmt: on
# The command's name for standard input.
STANDARD_INPUT = Path("-")


@dataclass(frozen=True)
class Page:
    """A page of a document, or a picture.

    Attributes:
        number: from 1.
        pages: of how many it is one; of a TIFF no more than MAXIMUM_PAGES + 1 are counted.
        picture: what was decoded, or why it could not be. Of a PDF, it is the page as drawn with
            WORKING_SIZE pixels along its longer side.
    """

    number: int
    pages: int
    picture: Picture | PictureError


def open_pages(source: Source) -> Iterator[Page]:
    """Decode the pages of a document one by one; of anything else than TIFF and PDF just one.

    Nothing is raised: for a page that cannot be decoded there is a PictureError that names it,
    and the others follow. A file that cannot be opened counts as one such page, and so do all
    pages after the first MAXIMUM_PAGES.

    Args:
        source: as `open_picture` takes it.
    """
    try:
        if not isinstance(source, str | os.PathLike | bytes | bytearray):
            yield Page(1, 1, open_picture(source))
            return
        content, name = content_of(source)
        with ExitStack() as stack:
            with explained(name):
                pages, decode_page = stack.enter_context(_document(content))
            yield from _decoded(name, pages, decode_page)
    except PictureError as error:
        yield Page(1, 1, error)


def read_pages(
    reader: Reader, source: Source, single: bool = False
) -> Iterator[tuple[Page, Reading | PictureError]]:
    """Read a document page by page: each page, and what was read on it or why it could not be.

    Args:
        source: as `open_picture` takes it.
        single: whether there is exactly one digit on each page.
    """
    for page in open_pages(source):
        if isinstance(page.picture, PictureError):
            yield page, page.picture
        else:
            yield page, reader.read(page.picture, single)


# What decodes a page, counted from 0.
Decoder: TypeAlias = Callable[[int], Picture]


def _decoded(name: str, pages: int, decode_page: Decoder) -> Iterator[Page]:
    for index in range(min(pages, MAXIMUM_PAGES)):
        number = index + 1
        picture: Picture | PictureError
        try:
            with explained(f"{name}, page {number}," if pages > 1 else name):
                picture = unwarned(partial(decode_page, index))
        except PictureError as error:
            picture = error
        yield Page(number, pages, picture)
    if pages > MAXIMUM_PAGES:
        many = PictureError(
            f"{name} has more than {MAXIMUM_PAGES:,} pages: the others are not read"
        )
        yield Page(MAXIMUM_PAGES + 1, pages, many)


@contextmanager
def _document(content: bytes) -> Iterator[tuple[int, Decoder]]:
    """How many pages there are, and what decodes one of them."""
    if is_pdf(content):
        with closing(Pdf(content)) as pdf:
            yield pdf.pages, lambda index: decode(pdf.draw(index, WORKING_SIZE))
        return
    places = unwarned(lambda: _page_places(content))
    if places == [0]:
        yield 1, lambda _: decode_file(content)
    else:
        yield len(places), TiffPages(content, places).decode


# What an image in a TIFF is (NewSubfileType): a small copy of another one, or a mask.
SUBFILE, COPY_OR_MASK = 254, 1 | 4


def _page_places(content: bytes) -> list[int]:
    """Which images of a file are pages, counted from 0.

    Of an animation it is the first; of a TIFF all but small copies and masks.
    """
    image = opened(content)
    if not isinstance(image, TiffImageFile):
        return [0]
    places: list[int] = []
    for place in range(MAXIMUM_PAGES + 1):
        try:
            image.seek(place)
            if not int(image.tag_v2.get(SUBFILE, 0)) & COPY_OR_MASK:
                places.append(place)
        except EOFError:
            break
        except Warning:  # of a program that raises them
            raise
        except Exception:  # whatever Pillow meets: it is told when the page is decoded
            places.append(place)
            # Pillow finds each image by way of the one before.
            if image.tell() != place:
                break
    return places or [0]


class TiffPages:
    """The pages of a TIFF, decoded from one open image: each is found from the one before."""

    def __init__(self, content: bytes, places: list[int]) -> None:
        self._content, self._places = content, places
        self._image: Image.Image | None = None

    def decode(self, index: int) -> Picture:
        """The page with this index; raises whatever Pillow does."""
        try:
            self._image = self._image or opened(self._content)
            self._image.seek(self._places[index])
            return decode(self._image)
        except Warning:
            # It will be tried again, but half of it may be done: begin anew.
            self._image = None
            raise


def is_picture_name(path: Path, pdf: bool = False) -> bool:
    """Whether a file is called like a picture, or a PDF if `pdf`.

    Hidden ones, such as macOS's `._7.png`, are not.
    """
    suffix = path.suffix.lower()
    return (suffix in SUFFIXES or (pdf and suffix == ".pdf")) and not path.name.startswith(".")


def find_pictures(paths: list[Path]) -> list[Path]:
    """The paths, with each folder replaced by the pictures and PDFs in it and in its folders.

    Raises:
        PictureError: a folder has none, or cannot be looked into.
    """
    found: list[Path] = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        names = (file for file in files_in(path) if is_picture_name(file, pdf=True))
        # A link to nowhere is told when it is read; what else there is, such as a pipe, is no file.
        inside = sorted(f for f in names if os.path.isfile(f) or not os.path.exists(f))
        if not inside:
            raise PictureError(f"there are no pictures in the folder {path}")
        found += inside
    return found


def files_in(folder: Path) -> Iterator[Path]:
    """What is in a folder and its folders, links to folders included; in each folder once.

    Raises:
        PictureError: a folder cannot be looked into.
    """

    def fail(error: OSError) -> None:
        raise PictureError(f"cannot look into the folder {error.filename}: {error.strerror}")

    known: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in known:  # by way of a link
            folders.clear()
            continue
        known.add((status.st_dev, status.st_ino))
        folders.sort()
        yield from (Path(place, name) for name in names)
