"""The site that reads in the browser: in a real one, served from a folder of a plain host.

The tests are skipped where there is no browser, or no npm to bring the runtime.
"""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from handwriting import HANDS
from hosting import Host, hosted
from made_tables import made_table
from make_site import build
from numpy.typing import NDArray
from pages import number_page
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from real_server import shipped
from test_page import draw, opened, write
from webdriver import Run, driven, installed

from mnist_digits import load_mnist, read_table
from mnist_digits.synthesis.scene import scene
from mnist_digits.synthesis.templates import Templates, load_templates

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("npm"), reason="there is no npm"),
]
# As far as a host's own folder is from the root.
FOLDER = "who/digits"
KEPT = "async () => { await navigator.serviceWorker.ready; }"
WAITING = """async () => {
    const { scope } = await navigator.serviceWorker.ready;
    while (!(await navigator.serviceWorker.getRegistration(scope)).waiting)
        await new Promise((resolve) => setTimeout(resolve, 100));
}"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the host serves: the site, and one that lacks the runtime."""
    root: Path = tmp_path_factory.mktemp("host")
    build(root / FOLDER)
    shutil.copytree(root / FOLDER, root / "without", ignore=shutil.ignore_patterns("*.wasm"))
    return root


@pytest.fixture(scope="module")
def host(root: Path) -> Iterator[Host]:
    with hosted(root) as host:
        yield host


@pytest.fixture(scope="module")
def shared(browser: Browser, host: Host) -> Iterator[Page]:
    """A page that is loaded once for all tests that only read."""
    with opened(browser, address(host)) as page:
        yield page


@pytest.fixture
def page(shared: Page) -> Iterator[Page]:
    yield shared
    while shared.locator("#clear").is_enabled():
        shared.keyboard.press("Escape")


def address(host: Host, folder: str = FOLDER) -> str:
    return f"{host.address}{folder}/"


def answer_in(run: Run, path: str, content: bytes) -> Any:
    """What the browser answers to a picture's bytes."""
    script = """async ([path, text]) => {
        const blob = new Blob([Uint8Array.from(atob(text), (one) => one.charCodeAt(0))]);
        return { ...(await request("POST", path, blob)), seen: null };
    }"""
    return run(script, [path, base64.b64encode(content).decode()])


def read_in(run: Run, content: bytes, single: bool = False) -> Any:
    return answer_in(run, f"/api/read?details=true&single={str(single).lower()}", content)


def encoded(pixels: NDArray[np.uint8], format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


def assert_equal(told: Any, content: bytes, single: bool = False, within: float = 0.001) -> None:
    """The browser's answer is Python's."""
    reading = shipped().read(content, single)
    assert (told["text"], told["sure"]) == (reading.text, reading.sure)
    assert told["turns"] == reading.turns
    assert told["why"] == ("" if reading.digits else reading.why)
    for one, number in zip(told["numbers"], reading.numbers, strict=True):
        assert (one["text"], one["value"]) == (number.text, number.value)
        assert one["sure"] == number.sure
        assert one["confidence"] == pytest.approx(number.confidence, abs=within)
        assert one["box"] == pytest.approx(number.box, abs=1)
    for one, digit in zip(told["digits"], reading.digits, strict=True):
        assert one["confidence"] == pytest.approx(digit.confidence, abs=within)
        assert one["probabilities"] == pytest.approx(digit.probabilities, abs=within)
        assert one["box"] == pytest.approx(digit.box, abs=1)


@pytest.fixture(scope="module")
def templates() -> Templates:
    return load_templates(load_mnist()[1], 500)


def pictures_of(templates: Templates, scenes: range, digits: int) -> list[bytes]:
    """Made scenes, and digits as in MNIST."""
    made = [scene(np.random.default_rng((17, number)), templates).pixels for number in scenes]
    return [encoded(pixels) for pixels in (*made, *load_mnist()[1].images[:digits, 0].numpy())]


def test_scenes_and_digits_are_read_as_python_reads_them(page: Page, templates: Templates) -> None:
    for content in pictures_of(templates, range(16), 3):
        assert_equal(read_in(page.evaluate, content), content)


def test_numbers_and_their_signs_are_read_as_python_reads_them(page: Page) -> None:
    written = {"12 3.4": 2, "-7": 0, "3,4": 1, "-35 6": 2, "1,234.50": 0, "24-12": 1}
    read = set()
    for text, which in written.items():
        content = encoded(number_page(text, which))
        told = read_in(page.evaluate, content)
        assert_equal(told, content)
        read.add(told["text"])
    assert written.keys() - read <= {"24-12"}
    for left, right in ((130, 226), (170, 226), (-60, 74)):  # dashes that touch digits
        dashed = np.pad(number_page("5 3", 1), ((0, 0), (90, 0), (0, 0)), "edge")
        cv2.line(dashed, (90 + left, 142), (90 + right, 142), (20, 20, 60), 6, cv2.LINE_AA)
        told = read_in(page.evaluate, encoded(dashed))
        assert_equal(told, encoded(dashed))
        assert not all(number["sure"] for number in told["numbers"])


def test_enlarged_turned_and_transparent_digits_are_read_as_python_reads_them(page: Page) -> None:
    images = load_mnist()[1].images[[1, 2, 3, 4, 7], 0].numpy()
    large = [np.kron(image, np.ones((3, 3), np.uint8)) for image in images]
    for image in large:
        content = encoded(255 - image)
        assert_equal(read_in(page.evaluate, content, single=True), content, single=True)
    lying = np.rot90(np.pad(255 - np.hstack(large), 80, constant_values=255))
    content = encoded(lying.copy())
    told = read_in(page.evaluate, content)
    assert told["turns"]
    assert_equal(told, content)
    alpha = np.pad(large[0], 30)
    for ink in (0, 255):
        content = encoded(np.dstack([np.full_like(alpha, ink)] * 3 + [alpha]))
        assert_equal(read_in(page.evaluate, content), content, within=0.05)


def test_tables_are_read_as_python_reads_them(page: Page) -> None:
    for number in (4, 5, 10):
        content = encoded(made_table(load_mnist()[1], number).pixels)
        told = answer_in(page.evaluate, "/api/table", content)
        table = read_table(shipped(), content).to_dict()
        assert (told["rows"], told["left_out"]) == (table["rows"], table["left_out"])
        for one, cell in zip(told["cells"], table["cells"], strict=True):
            assert one["why"] == cell.get("why", "")
            assert np.abs(np.array(one["corners"]) - cell["corners"]).max() <= 1
    page.locator("#file").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": content}
    )
    page.locator("#table-tab").click()
    expect(page.locator("#cells input")).to_have_count(len(table["cells"]))
    page.locator("#digits-tab").click()


def test_photos_are_decoded_nearly_as_python_does(page: Page, templates: Templates) -> None:
    """JPEG decoders differ by a level or two, and large photos are reduced by other filters."""
    made = scene(np.random.default_rng(5), templates, "long", ["hand", "uneven"])
    upright = encoded(made.pixels, "JPEG", quality=90)
    assert_equal(read_in(page.evaluate, upright), upright, within=0.05)
    large = np.kron(made.pixels, np.ones((10, 10, 1), np.uint8))
    photo = Image.fromarray(np.rot90(large).copy())
    exif = photo.getexif()
    exif[0x0112] = 6  # shown turned by a quarter, as phones store them
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=90, exif=exif)
    told = read_in(page.evaluate, file.getvalue())
    assert told["text"] == shipped().read(file.getvalue()).text == made.text
    assert (told["width"], told["height"]) == (2560, 2560)


def test_what_cannot_be_opened_is_said(page: Page) -> None:
    page.locator("#file").set_input_files({"name": "a.heic", "mimeType": "", "buffer": b"no"})
    expect(page.locator("#notice")).to_contain_text("save it as a JPEG or PNG")


def test_it_works_without_a_network_and_a_new_version_is_used_once_it_is_there(
    browser: Browser, root: Path, tmp_path: Path
) -> None:
    """Not in the tabs that are open. Nothing is sent twice for it that the browser still has."""
    shutil.copytree(root / FOLDER, tmp_path / "site")
    with hosted(tmp_path) as host:
        context = browser.new_context()
        old = context.new_page()
        old.goto(address(host, "site"))
        old.evaluate(KEPT)
        twice = {Path(path).name for path in host.sent if host.sent.count(path) > 1}
        assert twice <= {"ort-wasm-simd-threaded.wasm"}  # too large for a private window's cache
        page, service = tmp_path / "site" / "index.html", tmp_path / "site" / "service.js"
        page.write_text(page.read_text().replace("<title>", "<title>New: "))
        service.write_text(service.read_text().replace("scope} ", "scope} new ", 1))
        host.sent.clear()
        other = context.new_page()
        for tab in (old, other):
            tab.goto(address(host, "site"))
            assert "New" not in tab.title()
        other.evaluate(WAITING)
        old.close()
        other.close()
        context.set_offline(True)
        new = context.new_page()
        for _ in range(300):  # the old one ends a moment after its last tab
            new.goto(address(host, "site"))
            if "New" in new.title():
                break
            new.goto("about:blank")
            new.wait_for_timeout(200)
        assert "New" in new.title()
        draw(new, "207")
        expect(new.locator("#fall-caption")).to_contain_text("7")
        expect(new.locator("#facts")).to_contain_text("in this browser")
        new.locator("#table-tab").click()
        expect(new.locator("#found")).to_contain_text("no table in the picture: found only 207")
        assert new.evaluate("async () => (await caches.keys()).length") == 1
        context.close()


@pytest.mark.parametrize(
    ("name", "scenes"), [("firefox", range(16, 19)), ("webkit", range(19, 22))]
)
def test_other_browsers_read_as_python_reads(
    name: str, scenes: range, host: Host, templates: Templates
) -> None:
    if name not in installed():
        pytest.skip("it is not installed")
    with driven(name, address(host)) as run:
        for content in pictures_of(templates, scenes, 1):
            assert_equal(read_in(run, content), content)


def test_what_to_do_is_said_where_the_reader_does_not_start(browser: Browser, host: Host) -> None:
    """For whatever reason: no WebAssembly, no memory, a file that is missing."""
    with opened(browser, address(host, "without"), excused="404") as page:
        expect(page.locator("#notice")).to_contain_text("open it in another browser")
        write(page, HANDS["school"][7], left=0.5, top=0.2, height=0.6)
        expect(page.locator("#notice")).to_contain_text("open it in another browser")


def test_on_a_phone_all_of_it_fits_and_a_finger_writes(browser: Browser, host: Host) -> None:
    with opened(browser, address(host), has_touch=True, is_mobile=True) as page:
        for width, height in ((568, 320), (390, 844), (320, 568)):
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        expect(page.locator("#loading")).to_be_hidden()
        page.locator("#ink").tap()
        expect(page.locator("#clear")).to_be_enabled()
        touches = "getComputedStyle(document.querySelector('#ink')).touchAction"
        assert page.evaluate(touches) == "none"
