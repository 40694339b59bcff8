"""Whatever a person brings, page by page: files, documents, images and arrays."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, TypeVar

from numpy.typing import ArrayLike
from PIL import Image, ImageSequence, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import PictureError
from .pdf import count_pages, draw_page, is_pdf
from .picture import MAXIMUM_PIXELS, WORKING_SIZE, Picture, decode, from_array

if TYPE_CHECKING:
    from .reader import Reader
    from .result import Reading

T = TypeVar("T")
Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | Image.Image | ArrayLike | Picture

# Of a file: 50 million pixels of three bytes, not compressed, have 150,000,000.
MAXIMUM_BYTES = 200_000_000
# Of a document; larger scans come in several files.
MAXIMUM_PAGES = 1000
# So many empty images an animation may begin with, of no more pixels than one picture may have.
MAXIMUM_EMPTY = 100
# The formats that Pillow may try. It knows more, but runs another program for some (EPS).
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "AVIF", "HEIF")
# How a HEIC photo begins, after the length of that.
HEIC = (b"ftyphe", b"ftypmif1", b"ftypmsf1")
# What an image in a TIFF is (NewSubfileType): a small copy of another one, or a mask.
SUBFILE, COPY_OR_MASK = 254, 1 | 4
# All threads share Python's warning filters.
FILTERS = Lock()


@dataclass(frozen=True)
class Page:
    """A page of a document, or a picture.

    Attributes:
        number: from 1.
        pages: of how many it is one; of a TIFF no more than MAXIMUM_PAGES + 1 are counted.
        picture: what was decoded (a PDF is drawn at WORKING_SIZE), or why it could not be.
    """

    number: int
    pages: int
    picture: Picture | PictureError


def open_picture(source: Source) -> Picture:
    """Decode a picture: a path, the bytes of a file, a PIL image, or an array.

    An array, or a tensor in main memory, is (H, W), (H, W, C) or (C, H, W), with C one of 1, 3
    and 4: integers from 0 to 255, uint16, booleans, or floats from 0 to 1. Of a document of
    several pages the first one is taken, of an animation the first image that is not empty. A
    Picture is given back as it is.

    Raises:
        PictureError: there is no picture that can be read.
    """
    picture = next(open_pages(source)).picture
    if isinstance(picture, PictureError):
        raise picture
    return picture


def open_pages(source: Source) -> Iterator[Page]:
    """Decode the pages of a document one by one; of anything else than TIFF and PDF just one.

    Nothing is raised: for a page that cannot be decoded there is a PictureError that names it,
    and the others follow. A file that cannot be opened counts as one such page, and so do all
    pages after the first MAXIMUM_PAGES.
    """
    try:
        name, content = _named(source)
        pages, decode_page = _explained(name, lambda: _document(content))
    except PictureError as error:
        yield Page(1, 1, error)
        return
    picture: Picture | PictureError
    for number in range(1, min(pages, MAXIMUM_PAGES) + 1):
        try:
            title = f"{name}, page {number}," if pages > 1 else name
            picture = _explained(title, partial(decode_page, number - 1))
        except PictureError as error:
            picture = error
        yield Page(number, pages, picture)
    if pages > MAXIMUM_PAGES:
        many = f"{name} has more than {MAXIMUM_PAGES:,} pages: the others are not read"
        yield Page(MAXIMUM_PAGES + 1, pages, PictureError(many))


def read_pages(
    reader: Reader, source: Source, single: bool = False
) -> Iterator[tuple[Page, Reading | PictureError]]:
    """Read a document page by page: each page, and what was read on it or why it could not be.

    Both `source` and `single` are as `Reader.read` takes them, the latter for each page.
    """
    for page in open_pages(source):
        picture = page.picture
        yield page, picture if isinstance(picture, PictureError) else reader.read(picture, single)


def _explained(name: str, attempt: Callable[[], T]) -> T:
    """What `attempt` gives, even where warnings are errors: then it is tried again without them.

    Otherwise they reach the program. Whatever goes wrong becomes a PictureError with the name.
    """
    try:
        try:
            return attempt()
        except Warning:
            with FILTERS, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return attempt()
    except Exception as error:
        if isinstance(error, PictureError):
            reason = str(error)
        elif isinstance(error, Image.DecompressionBombError):
            reason = f"has more than {MAXIMUM_PIXELS:,} pixels: make it smaller"
        elif isinstance(error, MemoryError):
            reason = "needs more memory than there is: make it smaller"
        else:  # Pillow's decoders raise nearly anything on damaged files, by their own account
            reason = f"is damaged and cannot be decoded: {error}"
        raise PictureError(f"{name} {reason}") from error


def _named(source: object) -> tuple[str, bytes | Image.Image | Picture]:
    """What to call it, and what it is: the bytes of a file, an image, or a picture."""
    name = "the picture"
    if isinstance(source, Image.Image | Picture):
        return name, source
    # NumPy's own strings are arrays, too, but mean a path.
    if hasattr(source, "__array__") and not isinstance(source, str | bytes):
        return "the array", from_array(source)
    try:
        if isinstance(source, bytes | bytearray):
            content = bytes(source)
        else:
            name = os.fspath(source)  # type: ignore[call-overload]  # or it raises a TypeError
            with open(name, "rb") as file:
                content = read_bounded(file)
    except TypeError as error:
        no = f"a {type(source).__name__} is no picture"
        raise PictureError(f"{no}: bring a path, bytes, a PIL image or an array") from error
    except FileNotFoundError as error:
        raise PictureError(f"there is no file {name}") from error
    except (OSError, ValueError) as error:
        reason = f"cannot read {name}: {getattr(error, 'strerror', None) or error}"
        folder = f"{name} is a folder, not a picture" if os.path.isdir(name) else ""
        raise PictureError(folder or reason) from error
    if not content:
        raise PictureError(f"{name} is empty: 0 bytes")
    if len(content) > MAXIMUM_BYTES:
        raise PictureError(f"{name} has more than {MAXIMUM_BYTES:,} bytes")
    return name, content


def read_bounded(file: BinaryIO) -> bytes:
    """The content, or its first MAXIMUM_BYTES + 1: some files, such as devices, have no end."""
    return file.read(MAXIMUM_BYTES + 1)


def _document(content: bytes | Image.Image | Picture) -> tuple[int, Callable[[int], Picture]]:
    """How many pages there are, and what decodes one of them, counted from 0."""
    if isinstance(content, Picture):
        return 1, lambda _: content
    if isinstance(content, Image.Image):
        return 1, lambda _: decode(content.copy())
    if is_pdf(content):
        return count_pages(content), lambda index: decode(draw_page(content, index, WORKING_SIZE))
    image = opened(content)
    if not isinstance(image, TiffImageFile):
        return 1, lambda _: _first_with_ink(opened(content))
    places, waiting = _page_places(image), list[Image.Image]()

    def decode_page(index: int) -> Picture:
        # Each is found from the one before. What goes wrong half-way is begun anew.
        image = waiting.pop() if waiting else opened(content)
        image.seek(places[index])
        picture = decode(image)
        waiting.append(image)
        return picture

    return len(places), decode_page


def opened(content: bytes) -> Image.Image:
    """A picture file, not decoded yet; PictureError if its format is none of FORMATS."""
    file = io.BytesIO(content)
    if content.startswith(b"\xff\xd8\xff"):
        # Past Image.open, which warns of large ones, and refuses those that phones take.
        return JpegImageFile(file)
    try:
        return Image.open(file, formats=_formats())
    except UnidentifiedImageError as error:
        reason = f"is not a picture in a format that can be read here ({', '.join(_formats())})"
        if content[4:12].startswith(HEIC) and "HEIF" not in _formats():
            reason += "; for HEIC photos: pip install 'mnist-digit-classification[heic]'"
        raise PictureError(reason) from error


@cache
def _formats() -> list[str]:
    """Those of FORMATS that Pillow can read here; all that it knows would take 60 ms to load."""
    Image.preinit()
    for module in ("PIL.WebPImagePlugin", "PIL.AvifImagePlugin", "pillow_heif.HeifImagePlugin"):
        with suppress(ImportError):
            import_module(module)
    return [name for name in FORMATS if name in Image.OPEN]


def _first_with_ink(image: Image.Image) -> Picture:
    """The first image of an animation whose pixels are not all equal; else the very first."""
    pictures: list[Picture] = []
    for empty, _ in enumerate(ImageSequence.Iterator(image)):
        if empty == MAXIMUM_EMPTY or empty * image.width * image.height > MAXIMUM_PIXELS:
            begins = f"begins with {empty} empty images"
            raise PictureError(f"{begins}: save one that is not, and name that")
        pictures.append(replace(decode(image), image=empty + 1))
        if (pictures[-1].pixels != pictures[-1].pixels[0, 0]).any():
            return pictures[-1]
    return pictures[0]


def _page_places(image: TiffImageFile) -> list[int]:
    """Which images of a TIFF are pages, counted from 0: all but small copies and masks."""
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
            if image.tell() != place:  # from which the next one would be found
                break
    return places or [0]
