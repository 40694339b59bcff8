"""Whatever a picture is stored as, the same pixels come out; what is invalid is refused."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mnist_digits import Digit, Number, PictureError, Reading
from mnist_digits.reading.documents import open_picture

# How far off a pixel of these formats may be.
LOSS = {"JPEG": 60, "HEIF": 60, "AVIF": 60}


def drawing() -> Image.Image:
    """A black L on white, 60 × 40: it shows which way up it is."""
    image = Image.new("L", (60, 40), 255)
    image.paste(0, (10, 5, 16, 35))
    image.paste(0, (10, 29, 40, 35))
    return image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **({"lossless": True} if kind == "WEBP" else {}), **options)
    return content.getvalue()


def turned(orientation: int) -> Image.Exif:
    """EXIF data that note which side is up."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


EXPECTED = np.asarray(drawing(), np.int64)
INK, COLOURS = np.asarray(drawing()), np.asarray(drawing().convert("RGB"))
PNG = encoded(drawing(), "PNG")


def check(source: object, loss: int = 0) -> None:
    """It is the drawing, the right way up."""
    picture = open_picture(source)  # type: ignore[arg-type]
    assert (picture.width, picture.height) == (60, 40)
    assert np.abs(picture.pixels.mean(axis=2).round() - EXPECTED).max() <= loss


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *((kind, "RGB") for kind in ("PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG", "HEIF")),
        *(("PNG", mode) for mode in ("1", "L", "P", "RGBA", "LA")),
        *(("TIFF", mode) for mode in ("CMYK", "I;16", "I", "F")),
    ],
)
def test_every_format_and_mode_gives_the_same_pixels(kind: str, mode: str) -> None:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    image = drawing().convert("L" if mode in ("I", "F") else "RGB")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(drawing(), np.uint16) * 257)
    else:
        image = image.convert(mode)
    check(encoded(image, kind), LOSS.get(kind, mode == "CMYK"))
    check(image, loss=mode == "CMYK")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_a_large_picture_is_reduced_by_its_colours(mode: str) -> None:
    grey = np.random.default_rng(0).integers(0, 2, (20, 1700), dtype=np.uint8) * 255
    image = Image.fromarray(grey).convert(mode)
    expected = image.convert("RGB")
    expected.thumbnail((1600, 1600), Image.Resampling.BOX)
    picture = open_picture(encoded(image, "PNG"))
    np.testing.assert_array_equal(picture.pixels, np.asarray(expected))
    assert (picture.width, picture.height) == (1700, 20)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG without Adobe's note", "TIFF"])
@pytest.mark.parametrize("negative", [False, True])
def test_black_ink_alone_is_seen_either_way_round(kind: str, negative: bool) -> None:
    """CMYK as it should be and as it should not."""
    inks = np.dstack([np.zeros_like(INK)] * 3 + [255 - INK])
    kind, _, without = kind.partition(" ")
    content = encoded(Image.fromarray(255 - inks if negative else inks, "CMYK"), kind)
    if without:
        start = content.index(b"\xff\xee")
        content = content[:start] + content[start + 16 :]
        assert b"Adobe" not in content
    check(content, LOSS.get(kind, 0))


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_a_photo_is_turned_as_it_says(orientation: int, turn: Image.Transpose | None) -> None:
    stored = drawing() if turn is None else drawing().transpose(turn)
    exif = turned(orientation)
    for kind in ("PNG", "JPEG", "TIFF", "WEBP"):
        content = encoded(stored.convert("RGB"), kind, exif=exif)
        check(content, LOSS.get(kind, 0))
        with Image.open(io.BytesIO(content)) as image:
            check(image, LOSS.get(kind, 0))
    of_16_bits = Image.fromarray(np.asarray(stored, np.uint16) * 257)
    check(encoded(of_16_bits, "PNG", exif=exif))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_damaged_exif_data_turns_nothing(kind: str) -> None:
    exif = turned(6)
    data = exif.tobytes()[6:]
    content = encoded(drawing().convert("RGB"), kind, exif=exif).replace(data, b"??" + data[2:])
    check(content, LOSS.get(kind, 0))


def noted_twice(content: bytes) -> bytes:
    """The picture with its orientation noted in two numbers, of which Pillow warns."""
    for order in "<>":
        once, twice = (struct.pack(f"{order}HHI", 0x0112, 3, count) for count in (1, 2))
        content = content.replace(once, twice)
    return content


def odd(image: Image.Image, kind: str) -> bytes:
    """A picture, lying on its head, of which Pillow warns."""
    return noted_twice(encoded(image.convert("RGB").rotate(180), kind, exif=turned(3)))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_a_program_that_raises_warnings_gets_its_picture(kind: str) -> None:
    """Upright, too; and its filters stay, however many threads there are."""
    content = odd(drawing(), kind)
    with pytest.warns(UserWarning, match="Metadata Warning, tag 274 had too many entries"):
        open_picture(content)
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: check(content, LOSS.get(kind, 0)), range(40)))
    assert warnings.filters == before


@pytest.mark.parametrize("ink", [0, 255])
@pytest.mark.parametrize("hidden", [0, 128, 255])
def test_ink_on_nothing_stands_out(ink: int, hidden: int) -> None:
    """What lies under full transparency, which nobody sees, does not matter."""
    colour = np.where(INK < 255, ink, hidden).astype(np.uint8)
    pixels = open_picture(np.dstack([colour] * 3 + [255 - INK])).pixels
    assert np.array_equal(pixels[:, :, 0], INK if ink == 0 else 255 - INK)


def test_a_hole_in_a_sheet_stands_out_but_no_corner() -> None:
    pixels = open_picture(np.dstack([np.full_like(INK, 250)] * 3 + [INK])).pixels[:, :, 0]
    assert np.array_equal(pixels, np.where(INK > 0, 250, 0))
    corner = np.dstack([COLOURS, np.full_like(INK, 255)])
    corner[:4, :4, 3] = 0
    check(corner)


@given(width=st.integers(1, 2500), height=st.integers(1, 2500))
@example(4000, 3001)
@settings(max_examples=30)
def test_the_whole_picture_is_the_whole_picture(width: int, height: int) -> None:
    """A box around all that was decoded is one around all that is displayed, to the pixel."""
    picture = open_picture(Image.new("1", (width, height)))
    high, wide, _ = picture.pixels.shape
    frame, box = np.zeros((28, 28), np.uint8), (0, 0, wide, high)
    digit = Digit(0, 1.0, np.ones(10, np.float32), box, frame, True)
    reading = Reading([[Number([digit], [""])]])
    (scaled,) = reading.displayed(picture.pixels.shape, picture.reduction).digits
    assert scaled.box == (0, 0, width, height)


def animation(kind: str, *images: Image.Image) -> bytes:
    """Of different durations: Pillow makes one image of several that are the same."""
    Image.init()
    if kind not in Image.SAVE_ALL:
        pytest.skip("this Pillow writes no AVIF")
    durations = [100 + 10 * number for number in range(len(images))]
    return encoded(images[0], kind, save_all=True, append_images=images[1:], duration=durations)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_of_an_animation_the_first_image_with_ink_is_taken(kind: str, mode: str) -> None:
    blank, nothing = Image.new("L", (60, 40), 255), Image.new("L", (60, 40), 250)
    ink = drawing().convert(mode)
    if mode == "RGBA":
        blank, nothing = Image.new("RGBA", (60, 40)), Image.new("RGBA", (60, 40), (9, 9, 9, 0))
        ink.putalpha(Image.fromarray(255 - INK))
    content = animation(kind, blank, nothing, ink)
    check(content, LOSS.get(kind, 0))
    with Image.open(io.BytesIO(content)) as image:
        count = image.n_frames
    assert open_picture(content).image == count > 1
    empty = open_picture(animation(kind, blank, nothing))
    assert (empty.image, empty.pixels.min()) == (1, 255)
    reading = Reading([], image=count)
    assert str(reading) == f"no digits found  (image {count} of the animation)"
    assert reading.to_dict()["image"] == count


@pytest.mark.parametrize(("limit", "value"), [("MAXIMUM_EMPTY", 2), ("MAXIMUM_PIXELS", 60 * 40)])
def test_of_an_animation_only_so_much_is_looked_at(
    limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = animation("GIF", *(Image.new("L", (60, 40), level) for level in (0, 1, 2, 3)))
    assert open_picture(content).image == 1
    monkeypatch.setattr(f"mnist_digits.reading.documents.{limit}", value)
    with pytest.raises(PictureError, match="the picture begins with 2 empty images: save"):
        open_picture(content)


@pytest.mark.parametrize(
    "array",
    [
        *(INK, INK[:, :, None], INK[None], COLOURS, COLOURS.transpose(2, 0, 1), INK > 0, INK / 255),
        *(INK.astype(kind) for kind in (np.float32, np.int64, np.uint16)),
        *(INK.astype(kind) * 257 for kind in (np.uint16, ">u2")),
    ],
    ids=lambda array: f"{array.dtype} {tuple(array.shape)}",
)
def test_arrays(array: NDArray[np.generic]) -> None:
    check(array)


@pytest.mark.parametrize("most", [4095, 65_535])
def test_12_and_16_bits_are_levels_of_all_that_they_can_have(most: int) -> None:
    values = np.array([[most // 2 + 10, most - 100, 50]], np.uint16)
    for source in (values, encoded(Image.fromarray(values), "PNG")):
        levels = open_picture(source).pixels[0, :, 0]
        assert np.array_equal(levels, values[0].astype(int) * 255 // most)


def test_tensors() -> None:
    torch = pytest.importorskip("torch")  # these tests also run where reading alone is installed
    tensor = torch.from_numpy(INK.copy())
    check(tensor)
    check(tensor[None] / 255)
    for elsewhere in (torch.zeros(5, 5, requires_grad=True), torch.zeros(5, 5, device="meta")):
        with pytest.raises(PictureError, match=r"Tensor does not become an array: .*[Tt]ensor"):
            open_picture(elsewhere)


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises so many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


BRING = "is not a picture: bring a path, bytes, a PIL image or an array$"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (np.zeros(5), "shape"),
        (np.zeros((0, 5)), "shape"),
        (Image.new("L", (0, 5)), "has 0 × 5 pixels"),
        (np.zeros((5, 5, 2)), "shape"),
        (np.full((5, 5), np.nan), "infinite or not a number"),
        (np.full((5, 5), 300), "from 0 to 255"),
        (np.full((5, 5), -1.0), "from 0 to 255"),
        (np.full((5, 5), "7"), "bring numbers"),
        (np.full((5, 5), 1j), "bring numbers"),
        (io.BytesIO(PNG), f"^a BytesIO {BRING}"),
        (7, f"^an int {BRING}"),
        (None, f"^a NoneType {BRING}"),
        (Image.open(io.BytesIO(PNG[: len(PNG) // 2])), "the picture is damaged"),
        ("none.png", "there is no file"),
        ("", "the path is empty: name a file"),
        (".", "is a folder"),
        ("a\0b.png", "cannot read"),
        ("x" * 300 + ".png", r"cannot read x+\.png: File name too long"),
        ("/proc/self/mem", "(cannot read|there is no file)"),
    ],
    ids=lambda source: str(source)[:20],
)
def test_what_is_no_picture(source: object, says: str) -> None:
    with pytest.raises(PictureError, match=says):
        open_picture(source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty: 0 bytes"),
        (b"seven", "not a picture in a format that can be read"),
        (b"PK\3\4" + bytes(30), r"read here \(PNG, JPEG, GIF, BMP, .*\)$"),
        (b"\0\0\0\x18ftypqt  " + bytes(12), r"read here \(PNG, JPEG, GIF, BMP, .*\)$"),
        # Pillow would hand it to Ghostscript.
        (encoded(drawing().convert("RGB"), "EPS"), "not a picture in a format"),
        (PNG[: len(PNG) // 2], "is damaged and cannot be decoded"),
        (bomb(8_000, 8_000), "8000 × 8000 pixels, more than 50,000,000"),
        (bomb(50_000, 50_000), "more than 50,000,000 pixels"),
        (bomb(2_000_000_000, 2_000_000_000), "(too large|pixels)"),
        (b"%PDF-1.7\n" + bytes(100), r"(damaged and cannot be opened|pip install .*\[pdf\])"),
    ],
    ids=["empty", "text", "zip", "video", "eps", "truncated", "large", "bomb", "giant", "pdf"],
)
def test_invalid_files(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "score.png"
    file.write_bytes(content)
    with pytest.raises(PictureError, match=says) as caught:
        open_picture(file)
    assert str(file) in str(caught.value)
    with pytest.raises(PictureError, match=says):
        open_picture(content)


def test_a_photo_of_a_phone_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Image.OPEN, "HEIF", Image.OPEN["PNG"])
    for formats, says in (
        (["PNG"], r"for HEIC photos: pip install .*\[heic\]"),
        (["PNG", "HEIF"], r"read here \(.*\)$"),
    ):
        monkeypatch.setattr("mnist_digits.reading.documents._formats", lambda names=formats: names)
        with pytest.raises(PictureError, match=says):
            open_picture(b"\0\0\0\x18ftypheic" + bytes(12))


def test_a_file_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_digits.reading.documents.MAXIMUM_BYTES", 10_000)
    (tmp_path / "large.png").write_bytes(PNG + bytes(10_000))
    for source in (tmp_path / "large.png", PNG + bytes(10_000), "/dev/zero"):
        with pytest.raises(PictureError, match="more than 10,000 bytes"):
            open_picture(source)


def test_what_a_jpeg_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """More pixels than others, as it is decoded at an eighth; a progressive one holds them all."""
    monkeypatch.setattr("mnist_digits.reading.picture.WORKING_SIZE", 50)
    monkeypatch.setattr("mnist_digits.reading.picture.MAXIMUM_PIXELS", 10_000)
    monkeypatch.setattr("mnist_digits.reading.picture.MAXIMUM_REDUCED", 500_000)
    # Its own limit refuses beyond twice as many.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    large = Image.new("RGB", (700, 700), "white")
    large.paste("black", (350, 175, 420, 245))
    for mode in ("RGB", "L", "CMYK"):
        picture = open_picture(encoded(large.convert(mode), "JPEG"))
        assert (picture.width, picture.height) == (700, 700)
        assert picture.pixels.shape == (50, 50, 3)
        y, x = (places.mean() for places in np.nonzero(picture.pixels[:, :, 0] < 128))
        assert (x * 14, y * 14) == pytest.approx((385, 210), abs=14)
    # The second has the colours one after the other, as its head says.
    scans = encoded(large, "JPEG").replace(b"\xff\xda\0\x0c\x03", b"\xff\xda\0\x0c\x01")
    small, too_many = large.resize((150, 100)), "has 150 × 100 pixels, more than 10,00"
    save = "700 × 700 pixels, more than 10,000: make it smaller, or save it as a baseline JPEG"
    for source, says in (
        (encoded(large, "JPEG", progressive=True), save),
        (scans, save),
        (encoded(large.resize((800, 800)), "JPEG"), r"more than 500,000: make it smaller$"),
        (encoded(small, "PNG"), f"the picture {too_many}"),
        (np.asarray(small), f"the array {too_many}"),
    ):
        with pytest.raises(PictureError, match=says):
            open_picture(source)


def test_what_may_be_brought(tmp_path: Path) -> None:
    file = tmp_path / "7.png"
    file.write_bytes(PNG)
    for brought in (bytearray(PNG), np.str_(file), str(file), file):
        check(brought)
