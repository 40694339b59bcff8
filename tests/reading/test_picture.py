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
from mnist_digits.reading.picture import WORKING_SIZE


def drawing() -> Image.Image:
    """A black L on white, 60 × 40: it shows which way up it is."""
    image = Image.new("L", (60, 40), 255)
    image.paste(0, (10, 5, 16, 35))
    image.paste(0, (10, 29, 40, 35))
    return image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def turned(orientation: int) -> Image.Exif:
    """EXIF data that note which side is up."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def grey(source: object) -> NDArray[np.int64]:
    return open_picture(source).pixels.mean(axis=2).round().astype(np.int64)  # type: ignore[arg-type]


EXPECTED = np.asarray(drawing(), np.int64)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG", "HEIF"])
def test_every_format_gives_the_same_pixels(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    content = encoded(drawing().convert("RGB"), kind, **options)
    limit = 60 if kind in ("JPEG", "HEIF") else 0
    assert np.abs(grey(content) - EXPECTED).max() <= limit


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "I", "F"])
def test_every_mode_gives_the_same_pixels(mode: str) -> None:
    image = drawing()
    if mode == "I;16":
        image = Image.fromarray(np.asarray(drawing(), np.uint16) * 257)
    elif mode in ("I", "F"):
        image = image.convert(mode)
    else:
        image = image.convert("RGB").convert(mode)
    kind = "TIFF" if mode in ("CMYK", "I;16", "I", "F") else "PNG"
    assert np.abs(grey(encoded(image, kind)) - EXPECTED).max() <= 1
    assert np.abs(grey(image) - EXPECTED).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("marked", [False, True])
def test_black_ink_alone_is_seen_either_way_round(kind: str, negative: bool, marked: bool) -> None:
    """CMYK as it should be and as it should not, with and without Adobe's note in a JPEG."""
    ink = 255 - np.asarray(drawing())
    inks = np.dstack([np.zeros_like(ink)] * 3 + [ink])
    content = encoded(Image.fromarray(255 - inks if negative else inks, "CMYK"), kind)
    if kind == "JPEG" and not marked:
        start = content.index(b"\xff\xee")
        content = content[:start] + content[start + 16 :]
        assert b"Adobe" not in content
    assert np.abs(grey(content) - EXPECTED).max() <= (kind == "JPEG") * 60


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_it_says(orientation: int, kind: str) -> None:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = drawing().transpose(turns[orientation]) if orientation > 1 else drawing()
    exif = turned(orientation)
    options = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    content = encoded(stored.convert("RGB"), kind, exif=exif, **options)
    with Image.open(io.BytesIO(content)) as image:
        for picture in (open_picture(content), open_picture(image)):
            assert (picture.width, picture.height) == (60, 40)
            assert np.abs(picture.pixels[:, :, 0] - EXPECTED).max() <= (kind == "JPEG") * 60


def test_a_picture_of_16_bits_is_turned_too() -> None:
    stored = np.asarray(drawing().transpose(Image.Transpose.ROTATE_90), np.uint16) * 257
    picture = open_picture(encoded(Image.fromarray(stored), "PNG", exif=turned(6)))
    assert (picture.width, picture.height) == (60, 40)
    assert np.abs(grey(picture) - EXPECTED).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_damaged_exif_data_turns_nothing(kind: str) -> None:
    exif = turned(6)
    data = exif.tobytes()[6:]
    content = encoded(drawing().convert("RGB"), kind, exif=exif).replace(data, b"??" + data[2:])
    picture = open_picture(content)
    assert (picture.width, picture.height) == (60, 40)


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
        for picture in threads.map(open_picture, [content] * 40):
            assert np.abs(picture.pixels[:, :, 0] - EXPECTED).max() <= (kind == "JPEG") * 60
    assert warnings.filters == before


@pytest.mark.parametrize("ink", [0, 255])
@pytest.mark.parametrize("hidden", [0, 128, 255])
def test_ink_on_nothing_stands_out(ink: int, hidden: int) -> None:
    """What lies under full transparency, which nobody sees, does not matter."""
    alpha = 255 - np.asarray(drawing())
    colour = np.where(alpha > 0, ink, hidden).astype(np.uint8)
    pixels = open_picture(np.dstack([colour] * 3 + [alpha])).pixels[:, :, 0].astype(int)
    assert (np.abs(pixels - (255 - ink))[alpha == 0] == 0).all()
    assert (pixels[alpha > 0] == ink).all()


def test_a_hole_in_a_sheet_stands_out_but_no_corner() -> None:
    alpha = np.asarray(drawing())
    pixels = open_picture(np.dstack([np.full_like(alpha, 250)] * 3 + [alpha])).pixels[:, :, 0]
    assert (pixels[alpha > 0] == 250).all()
    assert (pixels[alpha == 0] == 0).all()
    corner = np.dstack([alpha] * 3 + [np.full_like(alpha, 255)])
    corner[:4, :4, 3] = 0
    assert (open_picture(corner).pixels[:4, :4] == 255).all()


def test_a_large_photo_is_reduced_and_keeps_its_size_in_mind() -> None:
    image = Image.new("RGB", (4000, 3000), "white")
    image.paste((0, 0, 0), (2000, 1000, 2400, 1400))
    picture = open_picture(encoded(image, "JPEG"))
    assert max(picture.pixels.shape) <= WORKING_SIZE
    assert (picture.width, picture.height) == (4000, 3000)
    y, x = (int(places.mean()) for places in np.nonzero(picture.pixels[:, :, 0] < 128))
    across, down = picture.reduction
    assert abs(x * across - 2200) < 5
    assert abs(y * down - 1200) < 5


@given(width=st.integers(1, 5000), height=st.integers(1, 5000))
@example(4000, 3001)
@settings(max_examples=30)
def test_the_whole_picture_is_the_whole_picture(width: int, height: int) -> None:
    """A box around all that was decoded is one around all that is displayed, to the pixel."""
    picture = open_picture(Image.new("1", (width, height)))
    high, wide, _ = picture.pixels.shape
    digit = Digit(
        0, 1.0, np.ones(10, np.float32), (0, 0, wide, high), np.zeros((28, 28), np.uint8), True
    )
    (scaled,) = (
        Reading([[Number([digit], [""])]]).displayed(picture.pixels.shape, picture.reduction).digits
    )
    assert scaled.box == (0, 0, width, height)


def test_of_several_pages_the_first_is_taken() -> None:
    blank = Image.new("L", (60, 40), 255)
    for kind in ("GIF", "TIFF"):
        content = encoded(drawing(), kind, save_all=True, append_images=[blank, blank])
        assert np.abs(grey(content) - EXPECTED).max() == 0
        assert open_picture(content).image == 1


def animation(kind: str, *images: Image.Image) -> bytes:
    """Of different durations: Pillow makes one image of several that are the same."""
    Image.init()
    if kind not in Image.SAVE_ALL:
        pytest.skip("this Pillow writes no AVIF")
    durations = [100 + 10 * number for number in range(len(images))]
    options = {"lossless": True} if kind == "WEBP" else {}
    return encoded(
        images[0], kind, save_all=True, append_images=images[1:], duration=durations, **options
    )


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_of_an_animation_the_first_image_with_ink_is_taken(kind: str, mode: str) -> None:
    blank, nothing = Image.new("L", (60, 40), 255), Image.new("L", (60, 40), 250)
    ink = drawing().convert(mode)
    if mode == "RGBA":
        blank, nothing = Image.new("RGBA", (60, 40)), Image.new("RGBA", (60, 40), (9, 9, 9, 0))
        ink.putalpha(Image.fromarray(255 - np.asarray(drawing())))
    content = animation(kind, blank, nothing, ink)
    with Image.open(io.BytesIO(content)) as image:
        count = image.n_frames
    picture = open_picture(content)
    assert picture.image == count > 1
    assert np.abs(picture.pixels.mean(axis=2) - EXPECTED).max() <= (kind == "AVIF") * 60
    empty = open_picture(animation(kind, blank, nothing))
    assert (empty.image, empty.pixels.min()) == (1, 255)
    said = str(Reading([], image=picture.image))
    assert said == f"no digits found  (image {count} of the animation)"
    assert Reading([], image=picture.image).to_dict()["image"] == count


@pytest.mark.parametrize("limit", ["MAXIMUM_EMPTY", "MAXIMUM_PIXELS"])
def test_of_an_animation_only_so_much_is_looked_at(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = animation("GIF", *(Image.new("L", (60, 40), level) for level in (0, 1, 2, 3)))
    value = {"MAXIMUM_EMPTY": 2, "MAXIMUM_PIXELS": 60 * 40}[limit]
    assert open_picture(content).image == 1
    monkeypatch.setattr(f"mnist_digits.reading.documents.{limit}", value)
    with pytest.raises(PictureError, match="the picture begins with 2 empty images: save"):
        open_picture(content)


INK, COLOURS = np.asarray(drawing()), np.asarray(drawing().convert("RGB"))


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
    assert np.array_equal(grey(array), EXPECTED)


def test_tensors() -> None:
    torch = pytest.importorskip("torch")  # these tests also run where reading alone is installed
    tensor = torch.from_numpy(np.array(drawing()))
    assert np.array_equal(grey(tensor), EXPECTED)
    assert np.array_equal(grey(tensor[None] / 255), EXPECTED)
    for elsewhere in (torch.zeros(5, 5, requires_grad=True), torch.zeros(5, 5, device="meta")):
        with pytest.raises(PictureError, match=r"Tensor does not become an array: .*[Tt]ensor"):
            open_picture(elsewhere)


@pytest.mark.parametrize(
    ("array", "says"),
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
    ],
)
def test_invalid_arrays(array: NDArray[np.generic], says: str) -> None:
    with pytest.raises(PictureError, match=says):
        open_picture(array)


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises so many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


PNG = encoded(drawing(), "PNG")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty: 0 bytes"),
        (b"seven", "not a picture in a format that can be read"),
        (b"PK\3\4" + bytes(30), r"read here \(PNG, JPEG, GIF, BMP, .*\)$"),
        (b"\0\0\0\x18ftypqt  " + bytes(12), r"read here \(PNG, JPEG, GIF, BMP, .*\)$"),
        (PNG[: len(PNG) // 2], "is damaged and cannot be decoded"),
        (bomb(8_000, 8_000), "8000 × 8000 pixels, more than 50,000,000"),
        (bomb(50_000, 50_000), "more than 50,000,000 pixels"),
        (bomb(2_000_000_000, 2_000_000_000), "(too large|pixels)"),
        (b"%PDF-1.7\n" + bytes(100), r"(damaged and cannot be opened|pip install .*\[pdf\])"),
    ],
    ids=["empty", "text", "zip", "video", "truncated", "large", "bomb", "giant", "pdf"],
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
    content = b"\0\0\0\x18ftypheic" + bytes(12)
    monkeypatch.setattr("mnist_digits.reading.documents._formats", lambda: ["PNG"])
    with pytest.raises(PictureError, match=r"for HEIC photos: pip install .*\[heic\]"):
        open_picture(content)
    monkeypatch.setitem(Image.OPEN, "HEIF", Image.OPEN["PNG"])
    monkeypatch.setattr("mnist_digits.reading.documents._formats", lambda: ["PNG", "HEIF"])
    with pytest.raises(PictureError, match=r"read here \(.*\)$"):
        open_picture(content)


def test_a_file_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_digits.reading.documents.MAXIMUM_BYTES", 10_000)
    (tmp_path / "large.png").write_bytes(PNG + bytes(10_000))
    for source in (tmp_path / "large.png", PNG + bytes(10_000), "/dev/zero"):
        with pytest.raises(PictureError, match="more than 10,000 bytes"):
            open_picture(source)


def test_no_other_program_is_run_for_a_picture() -> None:
    """Pillow would hand PostScript to Ghostscript."""
    content = encoded(drawing().convert("RGB"), "EPS")
    with pytest.raises(PictureError, match="not a picture in a format"):
        open_picture(content)


def test_a_large_picture_of_16_bits_takes_little_memory() -> None:
    values = np.full((3000, 3000), 60_000, np.uint16)
    values[1000:2000, 1400:1600] = 5_000
    picture = open_picture(encoded(Image.fromarray(values), "PNG", compress_level=1))
    assert picture.pixels.shape == (WORKING_SIZE, WORKING_SIZE, 3)
    assert picture.pixels[800, 800, 0] == 5_000 * 255 // 65_535
    assert picture.pixels[10, 10, 0] == 60_000 * 255 // 65_535


def test_what_a_jpeg_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """More pixels than others, as it is decoded at an eighth; a progressive one holds them all."""
    monkeypatch.setattr("mnist_digits.reading.picture.WORKING_SIZE", 50)
    monkeypatch.setattr("mnist_digits.reading.picture.MAXIMUM_PIXELS", 10_000)
    monkeypatch.setattr("mnist_digits.reading.picture.MAXIMUM_REDUCED", 500_000)
    # Its own limit refuses beyond twice as many.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    large = Image.new("RGB", (700, 700), "white")
    picture = open_picture(encoded(large, "JPEG"))
    assert (picture.width, picture.height) == (700, 700)
    for kind in ("L", "CMYK"):
        assert open_picture(encoded(large.convert(kind), "JPEG")).width == 700
    # The second has the colours one after the other, as its head says.
    scans = encoded(large, "JPEG").replace(b"\xff\xda\0\x0c\x03", b"\xff\xda\0\x0c\x01")
    for whole in (encoded(large, "JPEG", progressive=True), scans):
        says = "700 × 700 pixels, more than 10,000: make it smaller, or save it as a baseline JPEG"
        with pytest.raises(PictureError, match=says):
            open_picture(whole)
    with pytest.raises(PictureError, match=r"more than 500,000: make it smaller$"):
        open_picture(encoded(large.resize((800, 800)), "JPEG"))
    small = large.resize((150, 100))
    for source, what in ((encoded(small, "PNG"), "picture"), (np.asarray(small), "array")):
        with pytest.raises(PictureError, match=f"the {what} has 150 × 100 pixels, more than 10,00"):
            open_picture(source)


def test_what_may_be_brought(tmp_path: Path) -> None:
    (tmp_path / "7.png").write_bytes(PNG)
    for brought in (bytearray(PNG), np.str_(tmp_path / "7.png"), tmp_path / "7.png"):
        assert np.array_equal(grey(brought), EXPECTED)
    for source, kind in ((io.BytesIO(PNG), "a BytesIO"), (7, "an int"), (None, "a NoneType")):
        says = f"^{kind} is not a picture: bring a path, bytes, a PIL image or an array$"
        with pytest.raises(PictureError, match=says):
            open_picture(source)  # type: ignore[arg-type]
    image = Image.open(io.BytesIO(PNG[: len(PNG) // 2]))
    with pytest.raises(PictureError, match="the picture is damaged"):
        open_picture(image)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("none.png", "there is no file"),
        ("", "the path is empty: name a file"),
        (".", "is a folder"),
        ("a\0b.png", "cannot read"),
        ("x" * 300 + ".png", r"cannot read x+\.png: File name too long"),
        ("/proc/self/mem", "(cannot read|there is no file)"),
    ],
)
def test_files_that_are_not_there(source: str, says: str) -> None:
    with pytest.raises(PictureError, match=says):
        open_picture(source)


@given(place=st.integers(0, len(PNG) - 1), value=st.integers(0, 255))
def test_a_damaged_file_is_a_picture_or_an_error(place: int, value: int) -> None:
    content = bytearray(PNG)
    content[place] = value
    try:
        picture = open_picture(bytes(content))
    except PictureError:
        return
    assert picture.pixels.dtype == np.uint8


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(40, 30), (3000, 1700)])
def test_the_pixels_are_those_of_the_colours(mode: str, size: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).integers(0, 2, size[::-1], dtype=np.uint8) * 255
    image = Image.fromarray(grey).convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    expected = image.convert("RGB")
    expected.thumbnail((1600, 1600), Image.Resampling.BOX)
    picture = open_picture(file.getvalue())
    np.testing.assert_array_equal(picture.pixels, np.asarray(expected))
    assert (picture.width, picture.height) == size
