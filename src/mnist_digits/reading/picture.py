"""A person's picture, whatever its format: an upright RGB array of bounded size.

Transparency is laid over a colour that its ink stands out from, 16 bits become 8, a photo
is turned as its EXIF data says, and large JPEGs are decoded at the size that is needed.
`detection` finds the digits in it.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Protocol, TypeAlias, TypeVar, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageChops, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from ..errors import PictureError
from .pdf import Pdf, is_pdf

T = TypeVar("T")

# The longer side, in pixels, that pictures are reduced to: a digit a hundredth as high as
# the page still has 16.
WORKING_SIZE = 1600
# Larger pictures are refused by their header: decoding takes up to 14 bytes a pixel, 700 MB.
MAXIMUM_PIXELS = 50_000_000
# The same for JPEGs that are decoded at half their size or less: phones take 200 million pixels.
MAXIMUM_REDUCED = 250_000_000
# So many images of an animation are looked at until one is not empty, of together no more pixels
# than one picture may have.
MAXIMUM_EMPTY = 100
OR_JPEG = f", or save it as a baseline JPEG, which may have {MAXIMUM_REDUCED:,}"
# Of a file: 50 million pixels of three bytes, not compressed, have 150,000,000.
MAXIMUM_BYTES = 200_000_000
# The formats that Pillow may try. It knows more, but runs another program for some (EPS).
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "AVIF")
# Its modules for them, of which older versions lack the last. All of its modules take 60 ms.
MODULES = ("Png", "Jpeg", "Gif", "Bmp", "Tiff", "WebP", "Ppm", "Avif")
# Those that may be animations. (A TIFF has pages.)
ANIMATED = ("PNG", "GIF", "WEBP", "AVIF")
# A CMYK picture whose brightest pixel is darker than this is stored the other way round.
DARK = 32
# What a HEIC photo says of its kind.
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


@dataclass(frozen=True)
class Picture:
    """What was decoded.

    Attributes:
        pixels: uint8 (H, W, 3), red, green and blue, at most WORKING_SIZE on a side.
        width, height: pixels of the picture as displayed, before it was reduced.
        image: which of the images of an animation it is, counted from 1.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    image: int = 1

    @property
    def reduction(self) -> tuple[float, float]:
        """How many pixels as displayed there are to one of `pixels`: from left, from top.

        They differ a little, as a side of 1200.4 pixels becomes one of 1200.
        """
        height, width, _ = self.pixels.shape
        return self.width / width, self.height / height


@runtime_checkable
class Array(Protocol):
    """What NumPy takes for an array, such as a tensor of torch."""

    def __array__(self) -> NDArray[Any]: ...


Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | Image.Image | Array | Picture


def open_picture(source: Source) -> Picture:
    """Decode a picture: a path, the bytes of a file, a PIL image, or an array.

    An array, or a tensor in main memory, is (H, W), (H, W, C) or (C, H, W), with C one of 1, 3
    and 4: integers from 0 to 255, uint16, booleans, or floats from 0 to 1. Of a document of
    several pages the first one is taken (all pages: `documents.open_pages`), of an animation the
    first image that is not empty. A Picture is given back as it is.

    Raises:
        PictureError: there is no picture that can be read.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, Image.Image):
        with explained("the picture"):
            return unwarned(lambda: decode(source.copy()))
    # NumPy's own strings are arrays, too, but mean a path.
    if isinstance(source, Array) and not isinstance(source, str | bytes):
        values = _from_array(_as_array(source))
        with explained("the array"):
            return decode(Image.fromarray(values))
    content, name = content_of(source)
    with explained(name):
        return unwarned(lambda: decode_file(content))


# All threads share Python's warning filters.
FILTERS = Lock()


def unwarned(attempt: Callable[[], T]) -> T:
    """What `attempt` gives, even where warnings are errors: then it is tried again without them.

    Otherwise warnings reach the program as usual.
    """
    try:
        return attempt()
    except Warning:
        with FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return attempt()


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Whatever goes wrong becomes a PictureError that says with which picture."""
    try:
        yield
    except PictureError as error:
        raise PictureError(f"{name} {error}") from error
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"{name} has more than {MAXIMUM_PIXELS:,} pixels: make it smaller"
        ) from error
    except MemoryError as error:
        raise PictureError(f"{name} needs more memory than there is: make it smaller") from error
    # Pillow's decoders raise nearly anything on damaged files, by their own account.
    except Exception as error:
        raise PictureError(f"{name} is damaged and cannot be decoded: {error}") from error


def content_of(source: object) -> tuple[bytes, str]:
    """The bytes of a picture or a document, and what to call it.

    Raises:
        PictureError: there is no such file, or it is empty or too large.
    """
    if isinstance(source, bytes | bytearray):
        content, name = bytes(source), "the picture"
    elif isinstance(source, str | os.PathLike):
        content, name = _file_content(Path(source)), str(source)
    else:
        kind = type(source).__name__
        raise PictureError(f"a {kind} is no picture: bring a path, bytes, a PIL image or an array")
    if not content:
        raise PictureError(f"{name} is empty: 0 bytes")
    if len(content) > MAXIMUM_BYTES:
        raise PictureError(f"{name} has more than {MAXIMUM_BYTES:,} bytes")
    return content, name


def decode_file(content: bytes) -> Picture:
    """The picture, or the first page of a document."""
    if is_pdf(content):
        with closing(Pdf(content)) as pdf:
            return decode(pdf.draw(0, WORKING_SIZE))
    with opened(content) as image:
        picture = decode(image)
        if image.format in ANIMATED and getattr(image, "is_animated", False):
            return _first_with_ink(image, picture)
        return picture


def _first_with_ink(image: Image.Image, first: Picture) -> Picture:
    """The first image of an animation whose pixels are not all equal; else the very first."""
    picture, pixels = first, 0
    while (picture.pixels == picture.pixels[0, 0]).all():
        number = picture.image
        try:
            image.seek(number)
        except EOFError:
            return first
        pixels += image.width * image.height
        if number == MAXIMUM_EMPTY or pixels > MAXIMUM_PIXELS:
            raise PictureError(
                f"begins with {number} empty images: save one that is not, and name that"
            )
        picture = replace(decode(image), image=number + 1)
    return picture


def opened(content: bytes) -> Image.Image:
    """The bytes of a picture file as an image whose pixels are not decoded yet.

    Raises:
        PictureError: it is in none of FORMATS, nor HEIC; or whatever Pillow raises.
    """
    file = io.BytesIO(content)
    if content.startswith(b"\xff\xd8\xff"):
        # Past Image.open, which warns of large ones, and refuses those that phones take.
        return JpegImageFile(file)
    container = content[4:8] == b"ftyp"  # of AVIF and HEIC, and of videos
    try:
        return Image.open(file, formats=_formats() + (_heic() if container else []))
    except UnidentifiedImageError as error:
        readable = ", ".join(_formats() + _heic())
        reason = f"is not a picture in a format that can be read here ({readable})"
        if content[8:12] in HEIC_BRANDS and not _heic():
            reason += "; for HEIC photos: pip install 'mnist-digit-classification[heic]'"
        raise PictureError(reason) from error


def _file_content(path: Path) -> bytes:
    if os.path.isdir(path):
        raise PictureError(f"{path} is a folder, not a picture")
    try:
        with path.open("rb") as file:
            return read_bounded(file)
    except FileNotFoundError as error:
        raise PictureError(f"there is no file {path}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PictureError(f"cannot read {path}: {reason}") from error


def read_bounded(file: BinaryIO) -> bytes:
    """The content, or its first MAXIMUM_BYTES + 1: some files, such as devices, have no end."""
    return file.read(MAXIMUM_BYTES + 1)


@cache
def _formats() -> list[str]:
    """Those of FORMATS that Pillow can read here."""
    for name in MODULES:
        with suppress(ImportError):
            import_module(f"PIL.{name}ImagePlugin")
    return [name for name in FORMATS if name in Image.OPEN]


@cache
def _heic() -> list[str]:
    """The format of phones, if pillow-heif is installed."""
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
        return ["HEIF"]
    return []


def decode(image: Image.Image) -> Picture:
    """The pixels of an image, upright, opaque and reduced.

    Raises:
        PictureError: it has too many; or whatever Pillow raises.
    """
    width, height = _load(image)
    image = _converted(image)
    if max(image.size) > WORKING_SIZE:
        image.thumbnail((WORKING_SIZE, WORKING_SIZE), Image.Resampling.BOX)
    if _turn_upright(image):
        width, height = height, width
    return Picture(_opaque(image), width, height)


def _load(image: Image.Image) -> tuple[int, int]:
    """Decode the pixels, if there are not too many; gives width and height before reduction."""
    width, height = image.size
    if not width or not height:
        raise PictureError(f"has {width} × {height} pixels")
    # JPEG decodes at an eighth, a quarter or a half of the size for a fraction of the time.
    kept_whole = isinstance(image, JpegImageFile) and _is_kept_whole(image)
    drafted = image.draft("RGB", (WORKING_SIZE, WORKING_SIZE))
    pixels = width * height if kept_whole else image.width * image.height
    all_pixels = width * height, MAXIMUM_REDUCED, ""
    for count, limit, remedy in (all_pixels, (pixels, MAXIMUM_PIXELS, OR_JPEG)):
        if count > limit:
            size = f"{width} × {height} pixels, more than {limit:,}"
            raise PictureError(f"has {size}: make it smaller{remedy}")
    image.load()
    # Pillow turns a TIFF upright when it loads it, and some versions tell its sides only then.
    return (width, height) if drafted else image.size


def _is_kept_whole(image: JpegImageFile) -> bool:
    """Whether libjpeg keeps all of a JPEG in memory: it is progressive, or in several scans."""
    colours = len(image.getbands())
    size = 6 + 2 * colours
    # The header of the first scan was read last: it has its own length and the number of colours.
    assert image.fp  # open, as nothing is decoded yet
    image.fp.seek(-size, os.SEEK_CUR)
    head = image.fp.read(size)
    return "progressive" in image.info or head[:3] != bytes([0, size, colours])


def _converted(image: Image.Image) -> Image.Image:
    converted = image.convert(_mode(image))
    if image.mode == "CMYK" and np.asarray(converted).max() < DARK:
        # White paper, stored the other way round, has all inks at once: nothing can be seen.
        return ImageChops.invert(image).convert("RGB")
    return converted


def _mode(image: Image.Image) -> str:
    """What to convert an image to: F, RGBA, L or RGB."""
    if image.mode[:1] in "IF":  # 16 or 32 bits a pixel, or floating point
        return "F"
    transparent = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    if transparent:
        return "RGBA"
    return "L" if image.mode in ("1", "L") else "RGB"


def _turn_upright(image: Image.Image) -> bool:
    """Turn an image as its EXIF data says; whether it lay on its side.

    Damaged EXIF data turns nothing.
    """
    lay = False
    try:
        lay = image.getexif().get(ExifTags.Base.Orientation, 1) > 4
        ImageOps.exif_transpose(image, in_place=True)
    except Warning:  # of a program that raises them
        raise
    except Exception:  # whatever Pillow's parser meets in a damaged block
        pass
    return lay


def _stretched(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Brightness on any scale, brought to 0 to 255; takes some 30 bytes a pixel."""
    values = np.nan_to_num(values, posinf=0, neginf=0)
    low, high = values.min(), values.max()
    if low >= 0 and high > 255:
        low, high = 0, 2 ** np.ceil(np.log2(high + 1)) - 1  # of so many bits: 4095 or 65535
    return ((values - low) * (255 / ((high - low) or 1))).clip(0, 255).astype(np.uint8)


def _as_array(source: Array) -> NDArray[Any]:
    try:
        return np.asarray(source)
    # Tensors on a GPU, or with a gradient, have reasons of their own.
    except Exception as error:
        kind = type(source).__name__
        raise PictureError(f"a {kind} that does not become an array: {error}") from error


def _from_array(values: NDArray[Any]) -> NDArray[np.uint8]:
    shape, colours = values.shape, (1, 3, 4)
    if values.ndim == 3 and shape[0] in colours and shape[2] not in colours:
        values = np.moveaxis(values, 0, 2)  # as tensors are
    if values.size == 0 or not (values.ndim == 2 or values.shape[2:] in [(n,) for n in colours]):
        raise PictureError(
            f"an array of shape {shape} is no picture: bring (H, W), (H, W, 3 or 4) or (C, H, W)"
        )
    values = values[:, :, 0] if values.shape[2:] == (1,) else values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    if values.dtype == np.uint8:
        return values.astype(np.uint8)
    if not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise PictureError(f"an array of {values.dtype} is no picture: bring numbers from 0 to 255")
    if values.dtype.kind == "u" and values.itemsize == 2 and values.max() > 255:
        return _stretched(values.astype(np.float64))
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise PictureError("the array has values that are infinite or not a number")
    if np.issubdtype(values.dtype, np.floating) and numbers.min() >= 0 and numbers.max() <= 1:
        numbers = numbers * 255
    if numbers.min() < 0 or numbers.max() > 255:
        raise PictureError("the array's values are not from 0 to 255 (floats: to 1; uint16: any)")
    return numbers.round().astype(np.uint8)


def _opaque(image: Image.Image) -> NDArray[np.uint8]:
    """RGB pixels; what is transparent becomes a colour that stands out from what is not.

    A black digit on nothing comes to lie on white, a white one on black; so does one whose
    shape is only in the transparency. Where what is opaque has a ground of its own (a drawing
    with transparent corners), that ground fills the rest.
    """
    if image.mode == "F":
        return np.dstack([_stretched(np.asarray(image, np.float64))] * 3)
    pixels = np.asarray(image)
    if image.mode == "L":
        return np.asarray(cv2.merge([pixels] * 3), np.uint8)
    if image.mode != "RGBA":
        return pixels
    if pixels[:, :, 3].min() == 255:
        return np.asarray(image.convert("RGB"))
    alpha = pixels[:, :, 3:].astype(np.float32) / 255
    colours = pixels[:, :, :3]
    solid = colours[alpha[:, :, 0] > 0.5]
    if len(solid) == 0:
        solid = colours[alpha[:, :, 0] > 0]
    return (colours * alpha + _ground_under(solid) * (1 - alpha)).round().astype(np.uint8)


def _ground_under(solid: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The colour to lay what is opaque, (N, 3), upon."""
    white = np.full(3, 255, np.float32)
    if len(solid) == 0:
        return white
    brightness = solid.mean(axis=1)
    low, high = np.percentile(brightness, [2, 98])
    # Ink and ground are both there: most of what is opaque is the ground.
    if high - low > 100:
        return np.median(solid, axis=0).astype(np.float32)
    return white if np.median(brightness) < 128 else white * 0
