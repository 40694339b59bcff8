"""An image as an upright RGB array of bounded size; `documents` opens what it comes from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageChops, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from ..errors import PictureError

WORKING_SIZE = 1600  # the longer side that pictures are reduced to: 1% of it is still 16 pixels
MAXIMUM_PIXELS = 50_000_000  # decoding takes up to 14 bytes a pixel, 700 MB
MAXIMUM_REDUCED = 250_000_000  # of JPEGs decoded at half or less: phones take 200 million
CONTRAST = 100  # ink and what it is on differ in brightness by more than this, of 255
MAXIMUM_LEVELS = (4095, 65_535)  # of brightness in 12 and in 16 bits


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
        """Displayed pixels for each of `pixels`, across and down; rounding makes the two differ."""
        height, width, _ = self.pixels.shape
        return self.width / width, self.height / height


def decode(image: Image.Image) -> Picture:
    """The pixels of an image; PictureError if it has too many, or whatever Pillow raises."""
    width, height = _load(image)
    image = _converted(image)
    image.thumbnail((WORKING_SIZE, WORKING_SIZE), Image.Resampling.BOX)
    lying = image.size
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Warning:  # if a program makes them errors
        raise
    except Exception:  # whatever Pillow's parser meets in a damaged block: then nothing is turned
        pass
    if image.size != lying:  # it lay on its side
        width, height = height, width
    if image.mode == "F":
        image = Image.fromarray(_stretched(np.asarray(image, np.float64)))
    if image.mode == "RGBA" and image.getchannel("A").getextrema()[0] != 255:
        image = _on_paper(image)
    return Picture(np.asarray(image.convert("RGB")), width, height)


def _load(image: Image.Image) -> tuple[int, int]:
    """Decode the pixels, if there are not too many; gives width and height before reduction."""
    width, height = image.size
    many = f"has {width} × {height} pixels"
    if not width or not height:
        raise PictureError(many)
    if width * height > MAXIMUM_REDUCED:
        raise PictureError(f"{many}, more than {MAXIMUM_REDUCED:,}: make it smaller")
    kept_whole = isinstance(image, JpegImageFile) and _is_kept_whole(image)
    # JPEG decodes at an eighth, a quarter or a half of the size for a fraction of the time.
    drafted = image.draft("RGB", (WORKING_SIZE, WORKING_SIZE))
    if (width * height if kept_whole else image.width * image.height) > MAXIMUM_PIXELS:
        jpeg = f"save it as a baseline JPEG, which may have {MAXIMUM_REDUCED:,}"
        raise PictureError(f"{many}, more than {MAXIMUM_PIXELS:,}: make it smaller, or {jpeg}")
    image.load()
    # Pillow turns a TIFF upright when it loads it, and some versions tell its sides only then.
    return (width, height) if drafted else image.size


def _is_kept_whole(image: JpegImageFile) -> bool:
    """Whether libjpeg keeps all of a JPEG in memory: it is progressive, or in several scans."""
    colours = len(image.getbands())
    # How the header of a scan of all colours begins: its length, and their number.
    begins = bytes([0, 2 * (colours + 3), colours])
    assert image.fp  # open, and behind the header of the first scan, as nothing is decoded yet
    image.fp.seek(-begins[1], os.SEEK_CUR)
    return "progressive" in image.info or image.fp.read(len(begins)) != begins


def _converted(image: Image.Image) -> Image.Image:
    """The image in F, RGBA, L or RGB."""
    if image.mode.startswith(("I", "F")):  # 16 or 32 bits a pixel, or floating point
        return image.convert("F")
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode == "CMYK" and np.asarray(image.convert("RGB")).max() < CONTRAST:
        # Inks stored the other way round: then white paper has all of them, and nothing shows.
        image = ImageChops.invert(image)
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _on_paper(image: Image.Image) -> Image.Image:
    """RGBA as RGB: what is transparent becomes a colour that stands out from what is not.

    A black digit on nothing comes to lie on white, a white one on black. If the opaque part has a
    ground of its own (a drawing with transparent corners), that ground fills the rest.
    """
    pixels = np.asarray(image)
    alpha = pixels[:, :, 3]
    solid = pixels[alpha >= alpha.max() / 2, :3]
    brightness = solid.mean(axis=1)
    # All but 2% of it at either end.
    low, high = np.percentile(brightness, 2), -np.percentile(-brightness, 2)
    ground: Any = "black" if np.median(brightness) > 255 / 2 else "white"
    if high - low > CONTRAST:  # ink and ground: most of what is opaque is the ground
        ground = tuple(np.median(solid, axis=0).astype(int).tolist())
    paper = Image.new("RGB", image.size, ground)
    paper.paste(image, mask=image)
    return paper


def _stretched(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Brightness on any scale, brought to 0 to 255; takes some 30 bytes a pixel."""
    values = np.nan_to_num(values, posinf=0, neginf=0)
    low, high = values.min(), values.max()
    if low >= 0 and 255 < high <= MAXIMUM_LEVELS[-1]:
        low, high = 0, next(most for most in MAXIMUM_LEVELS if high <= most)
    return ((values - low) * (255 / ((high - low) or 1))).clip(0, 255).astype(np.uint8)


def from_array(array: ArrayLike) -> Image.Image:
    """An image of what NumPy takes for an array; PictureError if its values are no picture's."""
    try:
        values = np.asarray(array)
    except Exception as error:  # tensors on a GPU, or with a gradient, have reasons of their own
        raise PictureError(f"{type(array).__name__} does not become an array: {error}") from error
    shape, channels = values.shape, (1, 3, 4)  # grey, colours, or those and how opaque they are
    values = np.atleast_3d(values)
    if values.shape[0] in channels and values.shape[2] not in channels:
        values = np.moveaxis(values, 0, 2)  # as tensors are
    known = len(shape) in (2, 3) and values.shape[2] in channels and values.dtype.kind in "buif"
    if not known or not values.size:
        bring = "bring numbers from 0 to 255, as (H, W), (H, W, 3 or 4) or (C, H, W)"
        raise PictureError(f"an array of {values.dtype}, shape {shape}, is not a picture: {bring}")
    levels = values if values.dtype == np.uint8 else _levels(values)
    return Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)


def _levels(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Numbers from 0 to 255, from 0 to 1 or of 16 bits, as numbers of 8 bits."""
    numbers = values.astype(np.float64)
    low, high = numbers.min(), numbers.max()
    if values.dtype.kind == "u" and values.itemsize == 2 and high > 255:
        return _stretched(numbers)
    if not 0 <= low <= high <= 255:
        levels = "from 0 to 255 (floats: to 1; uint16: any)"
        raise PictureError(f"the array's values are not {levels}, or infinite or not a number")
    to_one = values.dtype.kind in "bf" and high <= 1
    return (numbers * (255 if to_one else 1)).round().astype(np.uint8)
