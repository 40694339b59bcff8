"""Documents of several pages: each page is read, and none is lost to another one's damage."""

from __future__ import annotations

import io
import os
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from pages import Pixels, page
from PIL import Image
from test_picture import EXPECTED, PNG, drawing, noted_twice, turned

from mnist_digits import PictureError, Reader
from mnist_digits.reading.documents import FORMATS, Page, open_pages, open_picture, read_pages
from mnist_digits.reading.folders import SUFFIXES, find_pictures, is_picture_name
from mnist_digits.reading.picture import WORKING_SIZE, Picture

KINDS = ["PDF", "TIFF"]


@cache
def reader() -> Reader:
    return Reader.load(threads=1)


def document(kind: str, pages: list[Image.Image], **options: object) -> bytes:
    """The bytes of a document with these pages."""
    if kind == "PDF":
        pytest.importorskip("pypdfium2")
    # Pillow notes in an image how it was encoded.
    first, *others = [image.copy() for image in pages]
    content = io.BytesIO()
    first.save(content, kind, save_all=True, append_images=others, **options)
    return content.getvalue()


def described(page: Page) -> str:
    """Size of a page, or what is wrong with it."""
    seen = page.picture
    return str(seen) if isinstance(seen, PictureError) else f"{seen.width}×{seen.height}"


@pytest.fixture(scope="module")
def digits(images: Pixels) -> list[Image.Image]:
    """Pages with 72, 21 and 10."""
    pairs = ([(images[n], 60, 80, 120), (images[n + 1], 260, 80, 120)] for n in range(3))
    return [Image.fromarray(page(pair)) for pair in pairs]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PDF", {}),
        ("PDF", {"resolution": 600}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
        ("TIFF", {"compression": "group4"}),
    ],
)
def test_each_page_is_read(
    digits: list[Image.Image], kind: str, options: dict[str, object]
) -> None:
    # Black or white, as scanners tell them apart: without dots for shades of grey.
    scanned = [image.convert("1", dither=Image.Dither.NONE) for image in digits]
    content = document(kind, scanned if "group4" in options.values() else digits, **options)
    read = list(read_pages(reader(), content))
    assert [(page.number, page.pages) for page, _ in read] == [(1, 3), (2, 3), (3, 3)]
    assert [str(reading).split()[0] for _, reading in read] == ["72", "21", "10"]


def test_each_page_may_have_a_single_digit(digits: list[Image.Image]) -> None:
    content = document("TIFF", digits)
    for _, reading in read_pages(reader(), content, single=True):
        assert not isinstance(reading, PictureError)
        assert len(reading.digits) == 1
    assert reader().read(content).text == "72"


def test_single_pictures_have_one_page() -> None:
    animation = document("GIF", [drawing(), Image.new("L", (60, 40), 255)])
    picture = open_picture(PNG)
    one_page = document("TIFF", [drawing()])
    for source in (PNG, animation, one_page, drawing(), np.asarray(drawing()), picture):
        (found,) = open_pages(source)
        assert (found.number, found.pages) == (1, 1)
        assert isinstance(found.picture, Picture)
        assert np.array_equal(found.picture.pixels[:, :, 0], EXPECTED)
    assert open_picture(picture) is picture


def test_a_pdf_is_drawn_at_the_size_that_is_worked_with() -> None:
    """Of any size on paper, lying on its side or not; also the boxes of what is read in it."""
    for width, height, resolution in ((60, 40, 1), (60, 40, 3000), (3000, 100, 72)):
        upright = drawing().resize((width, height))
        for image in (upright, upright.rotate(90, expand=True)):
            (found,) = open_pages(document("PDF", [image], resolution=resolution))
            picture = found.picture
            assert isinstance(picture, Picture)
            assert max(picture.pixels.shape) == WORKING_SIZE
            assert picture.pixels.shape == (picture.height, picture.width, 3)
            assert (picture.width > picture.height) == (image.width > image.height)
            small = Image.fromarray(picture.pixels).convert("L").resize(image.size)
            assert np.abs(np.asarray(small).astype(int) - np.asarray(image)).mean() < 10


def test_a_tiff_that_is_cut_off_gives_the_pages_before() -> None:
    content = document("TIFF", [drawing()] * 3)
    for length in range(8, len(content), 97):
        found = list(open_pages(content[:length]))
        whole = [isinstance(page.picture, Picture) for page in found]
        assert whole == sorted(whole, reverse=True)
        assert not all(whole), length
        assert [page.number for page in found] == list(range(1, len(found) + 1))


def test_small_copies_and_masks_are_no_pages() -> None:
    content = document("TIFF", [drawing()] * 3, tiffinfo={254: 2})
    entry = struct.pack("<HHII", 254, 4, 1, 2)
    first, second, third, rest = content.split(entry)

    def marked(kind: int) -> list[str]:
        middle = second + struct.pack("<HHII", 254, 4, 1, kind) + third
        return [described(sheet) for sheet in open_pages(entry.join([first, middle, rest]))]

    assert marked(2) == ["60×40"] * 3
    for kind in (1, 4, 5):
        assert marked(kind) == ["60×40"] * 2
    # It names no kind, but the pixels are there.
    assert len(list(open_pages(content.replace(entry, struct.pack("<HHII", 254, 2, 1, 2))))) == 3


def test_a_program_that_raises_warnings_gets_its_pages() -> None:
    """Each of them upright, though Pillow warns of how its orientation is noted."""
    upright = document("TIFF", [drawing().convert("RGB").rotate(180)] * 2, exif=turned(3))
    for sheet in open_pages(noted_twice(upright)):
        assert isinstance(sheet.picture, Picture), sheet.picture
        assert np.array_equal(sheet.picture.pixels[:, :, 0], EXPECTED)


@pytest.mark.parametrize("kind", KINDS)
def test_how_many_pages_there_may_be(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_digits.reading.documents.MAXIMUM_PAGES", 2)
    found = list(open_pages(document(kind, [drawing()] * 4)))
    assert [page.number for page in found] == [1, 2, 3]
    assert described(found[2]) == "the picture has more than 2 pages: the others are not read"
    assert len(list(open_pages(document(kind, [drawing()] * 2)))) == 2


def test_one_page_is_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Image.Image] = []
    content = document("TIFF", [drawing()] * 3)
    monkeypatch.setattr("mnist_digits.reading.documents.decode", decoded.append)
    pages = open_pages(content)
    assert decoded == []
    next(pages)
    assert len(decoded) == 1


def written(objects: list[bytes], trailer: bytes = b"") -> bytes:
    """A PDF of these objects, the first of which is the catalogue."""
    pytest.importorskip("pypdfium2")
    content, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(content))
        content += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start, size = len(content), len(objects) + 1
    content += b"xref\n0 %d\n0000000000 65535 f \n" % size
    content += b"".join(b"%010d 00000 n \n" % place for place in places)
    content += b"trailer\n<< /Size %d /Root 1 0 R %b >>\n" % (size, trailer)
    return content + b"startxref\n%d\n%%%%EOF\n" % start


CATALOGUE = b"<< /Type /Catalog /Pages 2 0 R >>"
EMPTY = b"<< /Type /Pages /Kids [] /Count 0 >>"
ZEROS = b"<%b>" % (b"00" * 32)
PASSWORD = b"<< /Filter /Standard /V 1 /R 2 /P -4 /O %b /U %b >> /ID [<00> <00>]" % (ZEROS, ZEROS)


def test_pdfs_that_cannot_be_opened(tmp_path: Path) -> None:
    """Each after one that is damaged in another way, which pdfium remembers."""
    file = tmp_path / "scan.pdf"
    encrypted = written([CATALOGUE, EMPTY], b"/Encrypt " + PASSWORD)
    cases = [
        (written([CATALOGUE, EMPTY]), "has no pages"),
        (encrypted, "is encrypted"),
        (written([CATALOGUE, EMPTY], b"/Encrypt << /Filter /Own /V 9 >>"), "is encrypted"),
        (b"%PDF-1.7\n" + bytes(100), "is damaged and cannot be opened"),
        (b"%PDF-", "is damaged and cannot be opened"),
    ]
    for (content, says), before in product(cases, (b"%PDF-", encrypted)):
        next(open_pages(before))
        file.write_bytes(content)
        (found,) = open_pages(file)
        assert (found.number, found.pages) == (1, 1)
        assert described(found).startswith(f"{file} {says}")
        with pytest.raises(PictureError, match=says):
            reader().read(file)


def with_sheets(kids: bytes, box: bytes) -> bytes:
    pages = b"<< /Type /Pages /Kids [%b] /Count %d >>" % (kids, kids.count(b"R"))
    sheet = b"<< /Type /Page /Parent 2 0 R /MediaBox [%b] >>" % box
    return written([CATALOGUE, pages, sheet])


def with_a_damaged_page() -> bytes:
    """A TIFF whose second page begins beyond the end."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 60)).astype(np.uint8)
    content = document("TIFF", [drawing(), Image.fromarray(noise), drawing()])
    place = content.index(noise.tobytes()).to_bytes(4, "little")
    assert place in content
    return content.replace(place, (2**31 - 1).to_bytes(4, "little"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_that_is_bad_is_named_and_the_others_are_read(kind: str) -> None:
    if kind == "PDF":
        content, size = with_sheets(b"3 0 R 9 0 R 3 0 R", b"0 0 600 400"), "1600×1067"
    else:
        content, size = with_a_damaged_page(), "60×40"
    first, second, third = map(described, open_pages(content))
    assert (first, third) == (size, size)
    assert second.startswith("the picture, page 2, is damaged and cannot be decoded")


@pytest.mark.parametrize(
    "box", [b"0 0 0 0", b"0 0 1 9999999", b"9 9 -9 -9", b"0 0 1e39 1", b"0 0 .00001 1", b"a b c d"]
)
def test_sheets_of_any_size(box: bytes) -> None:
    assert max(open_picture(with_sheets(b"3 0 R", box)).pixels.shape) == WORKING_SIZE


def test_blanks_before_a_pdf() -> None:
    content = document("PDF", [drawing()])
    for before in (b"\xef\xbb\xbf", b"\r\n ", b"\0"):
        assert open_picture(before + content).width == WORKING_SIZE


def test_without_the_package_a_pdf_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(PictureError) as caught:
        open_picture(b"%PDF-1.7\n")
    install = "pip install 'mnist-digit-classification[pdf]'"
    assert str(caught.value) == f"the picture is a PDF, which takes one more package: {install}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_document_has_pages_or_errors(kind: str) -> None:
    """Bytes are changed, and of some the end is cut off."""
    random, outcomes = np.random.default_rng(0), set()
    content = document(kind, [drawing(), drawing()])
    for _ in range(100):
        damaged = bytearray(content)
        for place in random.integers(0, len(damaged), random.integers(1, 9)):
            damaged[place] = random.integers(256)
        for sheet in open_pages(damaged[: random.integers(1, 2 * len(damaged))]):
            outcomes.add(type(sheet.picture))
            if isinstance(sheet.picture, Picture):
                assert sheet.picture.pixels.dtype == np.uint8
                assert max(sheet.picture.pixels.shape) <= WORKING_SIZE
    assert outcomes == {Picture, PictureError}


@pytest.mark.slow
def test_threads_draw_pdfs_one_after_the_other() -> None:
    content = document("PDF", [drawing(), drawing().rotate(180)])

    def drawn(number: int) -> list[bytes]:
        pages = open_pages(content)
        if number % 3 == 0:  # left open
            next(pages)
            return expected
        return [page.picture.pixels.tobytes() for page in pages]  # type: ignore[union-attr]

    expected = drawn(1)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(drawn, range(30))) == [expected] * 30


def test_folders_are_searched(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("2.png", "1.JPG", "4.PDF", "b/3.webp", "notes.txt", "._2.png", "._4.pdf"):
        (tmp_path / name).write_bytes(PNG)
    (tmp_path / "folder.png").mkdir()
    found = [path.name for path in find_pictures([tmp_path, Path("-")])]
    assert found == ["1.JPG", "2.png", "4.PDF", "3.webp", "-"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureError, match="no pictures in the folder"):
        find_pictures([tmp_path / "empty"])
    unknown = Path("x" * 300)
    assert find_pictures([unknown]) == [unknown]


@pytest.mark.skipif(sys.platform == "win32", reason="links take rights that few have there")
def test_links_in_folders_are_followed_once(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
    (outside / "1.png").write_bytes(PNG)
    (inside / "a").symlink_to(outside)
    (inside / "b").symlink_to(outside)
    (inside / "loop.png").symlink_to(inside)
    (inside / "gone.png").symlink_to("nowhere")
    os.mkfifo(inside / "pipe.png")
    found = [path.relative_to(inside).as_posix() for path in find_pictures([inside])]
    assert found == ["a/1.png", "gone.png"]


def test_a_folder_that_cannot_be_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(PictureError, match=r"cannot look into the folder .*: Permission denied"):
        find_pictures([tmp_path])


def test_whatever_can_be_read_is_found_in_folders() -> None:
    Image.init()
    readable = {
        name for name, kind in Image.registered_extensions().items() if kind in {*FORMATS, "HEIF"}
    }
    assert readable <= SUFFIXES
    assert all(is_picture_name(Path(f"7{suffix.upper()}")) for suffix in SUFFIXES)
    # Where one picture is expected, the other pages would be lost.
    assert not is_picture_name(Path("7.pdf"))
