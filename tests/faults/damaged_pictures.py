"""Real picture files of every format, damaged: a reading or a PictureError."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.util import find_spec

import numpy as np
from damage import damaged
from numpy.typing import NDArray
from PIL import Image, ImageChops, features

from mnist_digits import PictureError, Reader, load_mnist


@cache
def _reader() -> Reader:
    return Reader.load(threads=1)


@cache
def originals() -> dict[str, bytes]:
    """A row of four test digits in every format, and in its variants."""
    digits = load_mnist()[1].images[:4, 0].numpy()
    ink = np.pad(np.concatenate(list(digits), axis=1), 12)
    grey = Image.fromarray(255 - ink)
    colour = Image.merge("RGB", [grey, grey.point(lambda v: v // 2 + 120), grey])
    clear = Image.merge("RGBA", [*colour.split(), Image.fromarray(ink)])
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {
        "PNG": encoded(grey, "PNG"),
        "PNG, transparent": encoded(clear, "PNG"),
        "PNG, 16 bits": encoded(Image.fromarray(np.asarray(grey, np.uint16) * 257), "PNG"),
        "PNG, palette": encoded(colour.quantize(16), "PNG", transparency=0),
        "JPEG": encoded(colour, "JPEG", exif=exif),
        "JPEG, progressive": encoded(colour, "JPEG", progressive=True),
        "JPEG, CMYK": encoded(colour.convert("CMYK"), "JPEG"),
        "JPEG, CMYK, negative": encoded(ImageChops.invert(grey.convert("CMYK")), "JPEG"),
        "GIF": encoded(grey, "GIF", save_all=True, append_images=[grey]),
        **{f"{kind}, empty at first": animated(kind, grey) for kind in ("GIF", "PNG", "WEBP")},
        "BMP": encoded(colour, "BMP"),
        "BMP, palette": encoded(grey.quantize(16), "BMP"),
        "PPM": encoded(colour, "PPM"),
        "TIFF": encoded(clear, "TIFF"),
        "TIFF, LZW": encoded(colour, "TIFF", compression="tiff_lzw"),
        "TIFF, deflate": encoded(grey, "TIFF", compression="tiff_adobe_deflate"),
        "TIFF, JPEG": encoded(colour, "TIFF", compression="jpeg"),
        "TIFF, fax": encoded(grey.convert("1"), "TIFF", compression="group4"),
        "TIFF, float": encoded(grey.convert("F"), "TIFF"),
        "WebP": encoded(colour, "WEBP"),
        "WebP, lossless": encoded(clear, "WEBP", lossless=True),
    }
    return files | _others(colour)


def _others(colour: Image.Image) -> dict[str, bytes]:
    """What only some installations can write."""
    files = {}
    if features.check("avif"):
        files["AVIF"] = encoded(colour, "AVIF")
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
        files["HEIC"] = encoded(colour, "HEIF")
    if find_spec("pypdfium2"):
        # A copy: Pillow notes in an image how it was encoded.
        files["PDF"] = encoded(colour.copy(), "PDF")
        files["PDF, fax"] = encoded(colour.convert("1"), "PDF")
    return files


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def animated(kind: str, image: Image.Image) -> bytes:
    """Three images, of which the first two are empty."""
    empty = [Image.new("L", image.size, level) for level in (255, 254)]
    return encoded(empty[0], kind, save_all=True, append_images=[empty[1], image])


def kind_of(number: int) -> str:
    return list(originals())[number % len(originals())]


def picture(number: int) -> Callable[[], str]:
    """Damage a picture, and read it."""
    files = originals()
    random = np.random.default_rng(abs(number))
    content = damaged(files[kind_of(number)], random, list(files.values()))

    def trial() -> str:
        try:
            _reader().read(content)
        except PictureError:
            return "refused"
        return "read"

    return trial


def noise(number: int) -> NDArray[np.uint8]:
    """A picture of nothing, of any size up to 200 pixels a side."""
    random = np.random.default_rng(number)
    height, width = random.integers(1, 200, 2)
    return random.integers(0, 256, (height, width, 3)).astype(np.uint8)
