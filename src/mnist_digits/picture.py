"""A person's picture, whatever its format: an upright RGB array of bounded size.

Transparency is laid over a colour that its ink stands out from, 16 bits become 8, a photo
is turned as its EXIF data says, and large JPEGs are decoded at the size that is needed.
Finding the digits in it is the next room's job (`segmentation`).
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from .errors import PictureError

Source: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | Image.Image | NDArray[np.generic]"

# The longer side, in pixels, that pictures are reduced to: a digit a hundredth as high as
# the page still has 16.
WORKING_SIZE = 1600
# Beyond it a picture is refused by its header: decoding takes up to 14 bytes a pixel, 700 MB.
MAXIMUM_PIXELS = 50_000_000
# Of a JPEG that is decoded at a half of its size or less: phones take photos of 200 million.
MAXIMUM_REDUCED = 250_000_000
# Of a file; 50 million pixels of three bytes have 150,000,000 where nothing is compressed.
MAXIMUM_BYTES = 200_000_000
# What may be tried on a file: Pillow knows more, and would run another program for some (EPS).
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "AVIF", "HEIF")
# fmt: off
SUFFIXES = frozenset({
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".dib", ".tif", ".tiff",
    ".webp", ".pbm", ".pgm", ".ppm", ".pnm", ".pfm", ".avif", ".avifs",
    ".heic", ".heics", ".heif", ".heifs", ".hif",
})
# fmt: on


@dataclass(frozen=True)
class Picture:
    """What was decoded.

    Attributes:
        pixels: uint8 (H, W, 3), red, green and blue, at most WORKING_SIZE on a side.
        width, height: pixels of the picture as displayed, before it was reduced.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int

    @property
    def reduction(self) -> float:
        """How many pixels as displayed there are to one of `pixels`, along a side."""
        height, width, _ = self.pixels.shape
        return float(max(self.width / width, self.height / height))


def open_picture(source: Source) -> Picture:
    """Decode a picture: a path, the bytes of a file, a PIL image, or an array.

    An array is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): integers from 0 to 255, booleans, or
    floats from 0 to 1. Of an animation or a document of several pages, the first one is taken.

    Raises:
        PictureError: there is no picture that can be read.
    """
    if isinstance(source, np.ndarray):
        values = _from_array(source)
        with _explained("the array"):
            return _decode(Image.fromarray(values))
    if isinstance(source, Image.Image):
        image = source
        with _explained("the picture"):
            return _unwarned(lambda: _decode(image.copy()))
    content, name = _content(source)
    if not content:
        raise PictureError(f"{name} is empty: 0 bytes")
    if len(content) > MAXIMUM_BYTES:
        raise PictureError(f"{name} has more than {MAXIMUM_BYTES:,} bytes")
    with _explained(name):
        return _unwarned(lambda: _decode_file(content))


# Python's warning filters are those of all threads.
FILTERS = Lock()


def _unwarned(decode: Callable[[], Picture]) -> Picture:
    """Whatever is odd about a file is either no matter or an exception.

    Warnings are left to the program; but one that raises them still gets its picture.
    """
    try:
        return decode()
    except Warning:
        with FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return decode()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Whatever goes wrong becomes a PictureError that says with which picture."""
    try:
        yield
    except PictureError as error:
        raise PictureError(f"{name} {error}") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name} has more than {MAXIMUM_PIXELS:,} pixels") from error
    except MemoryError as error:
        raise PictureError(f"{name} needs more memory than there is: make it smaller") from error
    # Pillow's decoders raise nearly anything on damaged files, by their own account.
    except Exception as error:
        raise PictureError(f"{name} is damaged and cannot be decoded: {error}") from error


def _content(source: object) -> tuple[bytes, str]:
    """The bytes of a picture, and what to call it."""
    if isinstance(source, bytes | bytearray):
        return bytes(source), "the picture"
    if isinstance(source, str | os.PathLike):
        return _file_content(Path(source)), str(source)
    raise PictureError(
        f"a {type(source).__name__} is no picture: bring a path, bytes, a PIL image or an array"
    )


def _decode_file(content: bytes) -> Picture:
    with _opened(content) as image:
        return _decode(image)


def _opened(content: bytes) -> Image.Image:
    file = io.BytesIO(content)
    if content.startswith(b"\xff\xd8\xff"):
        # Past Image.open, which warns of large ones, and refuses those that phones take.
        return JpegImageFile(file)
    try:
        return Image.open(file, formats=_formats())
    except UnidentifiedImageError as error:
        reason = "is not a picture in a format that can be read here"
        if content[4:8] == b"ftyp":
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
    """The content, or so much of it as shows that it is too large; some have no end."""
    return file.read(MAXIMUM_BYTES + 1)


@cache
def _formats() -> list[str]:
    """Those of FORMATS that can be read here: HEIC, of phones, where `pillow-heif` is installed."""
    Image.init()
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    return [name for name in FORMATS if name in Image.OPEN]


def _decode(image: Image.Image) -> Picture:
    width, height = _load(image)
    turn = _turn(image)
    image = _eight_bits(image)
    if max(image.size) > WORKING_SIZE:
        image.thumbnail((WORKING_SIZE, WORKING_SIZE), Image.Resampling.BOX)
    if turn is not None:
        image = image.transpose(turn)
    if turn in SIDEWAYS:
        width, height = height, width
    return Picture(_opaque(image), width, height)


def _load(image: Image.Image) -> tuple[int, int]:
    """Decode the pixels, if there are not too many; gives width and height before reduction."""
    width, height = image.size
    # JPEG decodes at an eighth, a quarter or a half of the size for a fraction of the time.
    kept_whole = isinstance(image, JpegImageFile) and _is_kept_whole(image)
    drafted = image.draft("RGB", (WORKING_SIZE, WORKING_SIZE))
    pixels = width * height if kept_whole else image.width * image.height
    for count, limit in ((pixels, MAXIMUM_PIXELS), (width * height, MAXIMUM_REDUCED)):
        if count > limit:
            size = f"{width} × {height} pixels, more than {limit:,}"
            raise PictureError(f"has {size}: make it smaller")
    image.load()
    # Pillow turns a TIFF upright when it loads it, and some versions tell its sides only then.
    return (width, height) if drafted else image.size


def _is_kept_whole(image: JpegImageFile) -> bool:
    """Whether libjpeg keeps all of a JPEG in memory: it is progressive, or in several scans."""
    colours = len(image.getbands())
    size = 6 + 2 * colours
    # What was read last is the head of the first scan: its length, and of how many colours it is.
    assert image.fp  # open, as nothing is decoded yet
    image.fp.seek(-size, os.SEEK_CUR)
    head = image.fp.read(size)
    return "progressive" in image.info or head[:3] != bytes([0, size, colours])


# What a photo's EXIF orientation asks for.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = {TURNS[orientation] for orientation in (5, 6, 7, 8)}


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How the picture must be turned to stand upright; damaged EXIF data turns nothing."""
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Warning:  # of a program that raises them
        raise
    except Exception:  # whatever Pillow's parser meets in a damaged block
        return None


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image as RGB or RGBA."""
    if image.mode[:1] in "IF":  # 16 or 32 bits a pixel, or floating point
        # Reduced first: the arithmetic takes some 30 bytes a pixel.
        image = image.convert("F")
        image.thumbnail((WORKING_SIZE, WORKING_SIZE), Image.Resampling.BOX)
        return Image.fromarray(_stretched(np.asarray(image, dtype=np.float64))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("RGB")


def _stretched(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Brightness on any scale, brought to 0 to 255."""
    values = np.nan_to_num(values, posinf=0, neginf=0)
    low, high = values.min(), values.max()
    if low >= 0 and high <= 65535 and high > 255:
        low, high = 0, 65535 if high > 4095 else 4095
    return ((values - low) * (255 / max(high - low, 1e-9))).clip(0, 255).astype(np.uint8)


def _from_array(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    shape = values.shape
    if values.ndim == 3 and shape[2] == 1:
        values = values[:, :, 0]
    if (
        values.ndim not in (2, 3)
        or values.size == 0
        or (values.ndim == 3 and shape[2] not in (3, 4))
    ):
        raise PictureError(f"an array of shape {shape} is no picture: bring (H, W), (H, W, 3 or 4)")
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    if values.dtype == np.uint8:
        return values.astype(np.uint8)
    if not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise PictureError(f"an array of {values.dtype} is no picture: bring numbers from 0 to 255")
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise PictureError("the array has values that are infinite or not a number")
    if np.issubdtype(values.dtype, np.floating) and numbers.min() >= 0 and numbers.max() <= 1:
        numbers = numbers * 255
    if numbers.min() < 0 or numbers.max() > 255:
        raise PictureError("the array's values are not from 0 to 255 (or floats from 0 to 1)")
    return numbers.round().astype(np.uint8)


def _opaque(image: Image.Image) -> NDArray[np.uint8]:
    """RGB pixels; what is transparent becomes a colour that stands out from what is not.

    A black digit on nothing comes to lie on white, a white one on black; so does one whose
    shape is only in the transparency. Where what is opaque has a ground of its own (a drawing
    with transparent corners), that ground fills the rest.
    """
    pixels = np.asarray(image)
    if image.mode != "RGBA":
        return pixels
    alpha = pixels[:, :, 3:].astype(np.float32) / 255
    colours = pixels[:, :, :3]
    if alpha.min() == 1:
        return np.ascontiguousarray(colours)
    solid = colours[alpha[:, :, 0] > 0.5]
    if len(solid) == 0:
        solid = colours[alpha[:, :, 0] > 0]
    ground = _ground_under(solid)
    return (colours * alpha + ground * (1 - alpha)).round().astype(np.uint8)


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


def is_picture_name(path: Path) -> bool:
    """Whether a file is called like a picture; hidden ones, such as macOS's `._7.png`, are not."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def find_pictures(paths: list[Path]) -> list[Path]:
    """The paths, with each folder replaced by the pictures in it and in its folders.

    Raises:
        PictureError: a folder has no pictures.
    """
    found: list[Path] = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        inside = [
            file for file in path.rglob("*") if is_picture_name(file) and os.path.isfile(file)
        ]
        if not inside:
            raise PictureError(f"there are no pictures in the folder {path}")
        found += sorted(inside)
    return found
