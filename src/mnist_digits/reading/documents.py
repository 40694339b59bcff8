"""Whatever a person brings, page by page: files, documents, images and arrays."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypeVar

from numpy.typing import ArrayLike
from PIL import ExifTags, Image, ImageSequence, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import PictureError
from .picture import MAXIMUM_PIXELS, WORKING_SIZE, Picture, decode, from_array

if TYPE_CHECKING:
    from .reader import Reader
    from .result import Reading

T = TypeVar("T")
Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | Image.Image | ArrayLike | Picture

MAXIMUM_BYTES = 200_000_000  # 50 million pixels of three bytes, not compressed, have 150,000,000
MAXIMUM_PAGES = 1000  # larger scans come in several files
MAXIMUM_EMPTY = 100  # images that an animation may begin with, of MAXIMUM_PIXELS in all at most
# The formats that Pillow may try. It knows more, but runs another program for some (EPS).
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "AVIF", "HEIF")
FILTERS, PDFIUM = Lock(), Lock()  # all threads share Python's warning filters, and pdfium


@dataclass(frozen=True)
class Page:
    """A page of a document, or a picture: what was decoded, or why it could not be."""

    number: int  # from 1
    pages: int  # of which no more than MAXIMUM_PAGES + 1 are counted
    picture: Picture | PictureError


def open_picture(source: Source) -> Picture:
    """Decode a picture: a path, the bytes of a file, a PIL image, or an array; or a Picture again.

    An array, or a tensor in main memory, is (H, W), (H, W, C) or (C, H, W), with C one of 1, 3
    and 4: integers from 0 to 255, uint16, booleans, or floats from 0 to 1. Of a document the
    first page is taken, of an animation the first image that is not empty.

    Raises:
        PictureError: it cannot be opened or is not a picture.
    """
    picture = next(open_pages(source)).picture
    if isinstance(picture, PictureError):
        raise picture
    return picture


def open_pages(source: Source) -> Iterator[Page]:
    """Decode the pages of a document one by one; only TIFF and PDF have more than one page.

    Nothing is raised. A page that cannot be decoded has a PictureError that names it. A file that
    cannot be opened gives one such page; so do all pages after MAXIMUM_PAGES together.
    """
    try:
        name, pages = _document(source)
    except PictureError as error:
        yield Page(1, 1, error)
        return
    for number, decode_page in enumerate(pages, start=1):
        title = f"{name}, page {number}," if len(pages) > 1 else name
        try:
            if number > MAXIMUM_PAGES:
                many = f"{name} has more than {MAXIMUM_PAGES:,} pages: the others are not read"
                raise PictureError(many)
            yield Page(number, len(pages), _explained(title, decode_page))
        except PictureError as error:
            yield Page(number, len(pages), error)


def read_pages(
    reader: Reader, source: Source, single: bool = False
) -> Iterator[tuple[Page, Reading | PictureError]]:
    """Each page of a document, and what was read on it (as `Reader.read` does) or why not."""
    for page in open_pages(source):
        picture = page.picture
        yield page, picture if isinstance(picture, PictureError) else reader.read(picture, single)


def _explained(name: str, attempt: Callable[[], T]) -> T:
    """What `attempt` gives; whatever goes wrong becomes a PictureError with the name."""
    try:
        with suppress(Warning):  # if a program makes them errors: then try again without them
            return attempt()
        with FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return attempt()
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        reason = f"is damaged and cannot be decoded: {error}"
        if isinstance(error, PictureError):
            reason = str(error)
        elif isinstance(error, Image.DecompressionBombError):
            reason = f"has more than {MAXIMUM_PIXELS:,} pixels: make it smaller"
        elif isinstance(error, MemoryError):
            reason = "needs more memory than there is: make it smaller"
        raise PictureError(f"{name} {reason}") from error


def _document(source: Any) -> tuple[str, list[Callable[[], Picture]]]:
    """What to call it, and what decodes each of its pages, but no more than MAXIMUM_PAGES + 1."""
    name = "the picture"
    if isinstance(source, Picture):
        return name, [lambda: source]
    if isinstance(source, Image.Image):
        return name, [lambda: decode(source.copy())]
    # NumPy's own strings are arrays, too, but mean a path.
    if hasattr(source, "__array__") and not isinstance(source, str | bytes):
        return "the array", [partial(decode, from_array(source))]
    if isinstance(source, str | os.PathLike):
        name, source = os.fspath(source), _file_content(source)
    if not isinstance(source, bytes | bytearray):
        kind, bring = type(source).__name__, "bring a path, bytes, a PIL image or an array"
        article = "an" if kind[0] in "aeioAEIO" else "a"
        raise PictureError(f"{article} {kind} is not a picture: {bring}")
    return name, _explained(name, partial(_pages, bytes(source)))


def _file_content(name: str | os.PathLike[str]) -> bytes:
    try:
        with open(name, "rb") as file:
            return read_bounded(file)
    except FileNotFoundError as error:
        missing = f"there is no file {name}" if name else "the path is empty: name a file"
        raise PictureError(missing) from error
    except (OSError, ValueError) as error:
        reason = "it is a folder" if os.path.isdir(name) else getattr(error, "strerror", 0) or error
        raise PictureError(f"cannot read {name}: {reason}") from error


def read_bounded(file: BinaryIO) -> bytes:
    """The content, or its first MAXIMUM_BYTES + 1: some files, such as devices, have no end."""
    return file.read(MAXIMUM_BYTES + 1)


def _pages(content: bytes) -> list[Callable[[], Picture]]:
    if not content:
        raise PictureError("is empty: 0 bytes")
    if len(content) > MAXIMUM_BYTES:
        raise PictureError(f"has more than {MAXIMUM_BYTES:,} bytes")
    if is_pdf(content):
        with _pdf(content) as document:
            indices = range(len(document))[: MAXIMUM_PAGES + 1]
        return [partial(_pdf_page, content, index) for index in indices]
    image = opened(content)
    if not isinstance(image, TiffImageFile):
        return [lambda: _first_with_ink(opened(content))]
    waiting: list[Image.Image] = []
    return [partial(_tiff_page, content, place, waiting) for place in _tiff_places(image)]


def opened(content: bytes) -> Image.Image:
    """A picture file, not decoded yet; PictureError if its format is none of FORMATS."""
    if content.startswith(b"\xff\xd8\xff"):
        # Not by Image.open, which warns of large pictures, and refuses those that phones take.
        return JpegImageFile(io.BytesIO(content))
    try:
        return Image.open(io.BytesIO(content), formats=_formats())
    except UnidentifiedImageError as error:
        reason = f"is not a picture in a format that can be read here ({', '.join(_formats())})"
        heic = content[4:12].startswith((b"ftyphe", b"ftypmif1", b"ftypmsf1"))
        if heic and "HEIF" not in _formats():
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
    """The first image of an animation whose pixels are not all equal; if none, the very first."""
    pictures: list[Picture] = []
    for empty, _ in enumerate(ImageSequence.Iterator(image)):
        if empty == MAXIMUM_EMPTY or empty * image.width * image.height > MAXIMUM_PIXELS:
            raise PictureError(f"begins with {empty} empty images: save a later one by itself")
        pictures.append(replace(decode(image), image=empty + 1))
        if (pictures[-1].pixels != pictures[-1].pixels[0, 0]).any():
            return pictures[-1]
    return pictures[0]


def _tiff_places(image: TiffImageFile) -> list[int]:
    """Which images of a TIFF are pages, from 0: not small copies (1) and masks (4)."""
    places: list[int] = []
    for place in range(MAXIMUM_PAGES + 1):
        try:
            image.seek(place)
            if not int(image.tag_v2.get(ExifTags.Base.NewSubfileType, 0)) & 0b101:
                places.append(place)
        except EOFError:
            break
        except Warning:  # if a program makes them errors
            raise
        except Exception:  # whatever Pillow meets: decoding the page will report it
            places.append(place)
            if image.tell() != place:  # the next one cannot be found from here
                break
    return places or [0]


def _tiff_page(content: bytes, place: int, waiting: list[Image.Image]) -> Picture:
    image = waiting.pop() if waiting else opened(content)
    image.seek(place)
    picture = decode(image)
    waiting.append(image)  # the next page is found from it; after an error a new one is opened
    return picture


def is_pdf(content: bytes) -> bool:
    """Whether a file begins as a PDF does; some have blanks or a byte order mark before it."""
    return content[:1024].lstrip(b"\xef\xbb\xbf\0\t\n\f\r ").startswith(b"%PDF-")


@contextmanager
def _pdf(content: bytes) -> Iterator[Any]:
    """An open PDF, while no other thread has one open; its pages are closed with it."""
    try:
        from pypdfium2 import PdfDocument, raw
    except ImportError as error:
        install = "pip install 'mnist-digit-classification[pdf]'"
        raise PictureError(f"is a PDF, which takes one more package: {install}") from error
    with PDFIUM:
        # For a PDF without pages, PdfDocument itself would report the error of the file before.
        handle = raw.FPDF_LoadMemDocument64(content, len(content), None)
        if not handle:
            locked = raw.FPDF_GetLastError() in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY)
            encrypted = "is encrypted: save it without a password"
            raise PictureError(encrypted if locked else "is damaged and cannot be opened")
        with PdfDocument(handle) as document:
            if not len(document):
                raise PictureError("has no pages")
            yield document


def _pdf_page(content: bytes, index: int) -> Picture:
    """Drawn on white, WORKING_SIZE long."""
    with _pdf(content) as document:
        page = document[index]
        scale = (WORKING_SIZE - 0.5) / max(page.get_size())  # sides are rounded up
        image = page.render(scale=scale, rev_byteorder=True).to_pil()
    return decode(image)
