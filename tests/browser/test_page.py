"""The page in a real browser: drawn with the mouse and a finger, and with everything else.

The tests are skipped where there is none.
"""

from __future__ import annotations

import base64
import io
import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from chromium import new_page
from handwriting import HANDS, Points, curve
from pages import Pixels
from pages import page as paper
from PIL import Image
from playwright.sync_api import Browser, FloatRect, Locator, Page, Request, ViewportSize, expect
from real_server import serving
from wanted import wanted

from mnist_digits.web.server import STATIC

pytestmark = pytest.mark.slow

Place: TypeAlias = tuple[float, float]
DESK: ViewportSize = {"width": 1280, "height": 900}
SAMPLES = json.loads((STATIC / "samples.json").read_text())


@contextmanager
def opened(browser: Browser, address: str, excused: str = "^$", **context: Any) -> Iterator[Page]:
    """The page of this address; it asks nobody else, and says only what is excused."""
    page = new_page(browser, **{"viewport": DESK, **context})
    complaints: list[str] = []

    def requested(request: Request) -> None:
        if not request.url.startswith((address, "blob:", "data:")):
            complaints.append(request.url)

    page.on("request", requested)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    yield page
    page.context.close()
    assert [words for words in complaints if not re.search(excused, words)] == []


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving() as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with opened(browser, address) as page:
        yield page


def write(page: Page, strokes: list[Points], left: float, top: float, height: float) -> None:
    """Draw with the mouse; place and size as fractions of the sheet's height.

    Of the moves between the ends of a stroke the page is told at once: each real one would wait
    for the next frame of the screen.
    """
    sheet = box_of(page.locator("#ink"))
    for stroke in strokes:
        line = curve(stroke) / 100 * height + [left, top]
        places = (line * sheet["height"] + [sheet["x"], sheet["y"]]).tolist()
        page.mouse.move(*places[0])
        page.mouse.down()
        page.locator("#ink").evaluate(
            """(ink, places) => places.forEach(([clientX, clientY]) => {
              const facts = { clientX, clientY, pointerId: 1, pointerType: "mouse" };
              ink.dispatchEvent(new PointerEvent("pointermove", facts));
            })""",
            places[1:-1],
        )
        page.mouse.move(*places[-1])
        page.mouse.up()


def answer(page: Page) -> str:
    """What the page reads, once it has looked at the last of what was drawn."""
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    return page.locator("#text").inner_text().replace("\n", "")


def draw(page: Page, text: str, hand: str = "school") -> None:
    """Draw one digit in the middle, or up to three side by side, which are read as such."""
    left, apart, height = {1: (0.5, 0, 0.6), 2: (0.2, 0.6, 0.5), 3: (0.15, 0.45, 0.4)}[len(text)]
    for n, digit in enumerate(text):
        write(page, HANDS[hand][int(digit)], left=left + apart * n, top=0.2, height=height)
    assert answer(page) == text


def clear(page: Page) -> None:
    page.keyboard.press("Escape")
    assert answer(page) == "Nothing yet"


def box_of(found: Locator) -> FloatRect:
    """Where something is on the page."""
    box = found.bounding_box()
    assert box
    return box


@pytest.mark.parametrize("hand", HANDS)
def test_digits_are_read_as_they_are_written(hand: str, page: Page) -> None:
    read = {}
    for digit, strokes in HANDS[hand].items():
        write(page, strokes, left=0.5, top=0.2, height=0.6)
        read[digit] = answer(page)
        clear(page)
    assert read == {digit: str(digit) for digit in range(10)}


def assert_blank(page: Page) -> None:
    """It claims nothing."""
    assert answer(page) == "Nothing yet"
    expect(page.locator("#verdict")).to_be_empty()
    expect(page.locator("#bars .value").nth(3)).to_be_empty()
    assert page.locator("#boxes div").or_(page.get_by_role("radio")).count() == 0
    expect(page.locator("#hint")).to_be_visible()
    expect(page.get_by_role("button", name="Clear")).to_be_disabled()


def test_several_digits_undone_and_cleared(page: Page) -> None:
    assert_blank(page)
    draw(page, "207")
    assert page.locator("#boxes div").count() == 3
    expect(page.locator("#hint")).to_be_hidden()
    verdict = page.locator("#verdict").inner_text()
    assert "ure" in verdict
    expect(page.locator("#spoken")).to_have_text(f"2 0 7. {verdict}")
    page.get_by_role("button", name="Undo").click()
    assert answer(page) == "20"
    page.get_by_role("button", name="Clear").click()
    assert_blank(page)
    page.keyboard.press("Control+z")
    assert answer(page) == "20"
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert_blank(page)
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    # The pen has a width.
    page.get_by_role("slider", name="Width of the pen").fill("60")
    draw(page, "1")
    assert box_of(page.locator("#boxes div"))["width"] > 0.06 * 700
    wanted(verdict == "Sure.")


def pixels(page: Page, name: str) -> str:
    """What a canvas shows."""
    return str(page.evaluate("name => document.getElementById(name).toDataURL()", name))


def test_a_digit_is_looked_into_and_the_browser_keeps_its_keys(page: Page) -> None:
    draw(page, "48", "round")
    eight, four = page.get_by_role("radio", name="8"), page.get_by_role("radio", name="4")
    # The one that was written last.
    expect(eight).to_be_checked()
    shown = {name: pixels(page, name) for name in ("frame", "fall", "stage-0", "stage-1")}
    page.keyboard.press("ArrowLeft")
    expect(four).to_be_checked()
    answer(page)
    assert all(pixels(page, name) != before for name, before in shown.items())
    expect(page.locator("#bars li.best")).to_contain_text("4")
    four.focus()
    page.keyboard.press("ArrowRight")
    expect(eight).to_be_focused()
    expect(page.locator("#boxes div.chosen")).to_have_count(1)
    expect(page.locator("#stage-1-caption")).to_contain_text("160 maps of 4")
    page.evaluate(
        """document.addEventListener("keydown", (event) => {
          document.body.dataset.taken = event.defaultPrevented;
        })"""
    )
    for keys in ("Alt+ArrowDown", "Control+ArrowLeft", "Meta+ArrowUp", "Shift+ArrowLeft"):
        page.keyboard.press(keys)
        expect(page.locator("body")).to_have_attribute("data-taken", "false")
        expect(eight).to_be_checked()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("body")).to_have_attribute("data-taken", "true")
    page.keyboard.press("Control+z")
    assert answer(page) == "4"
    expect(four).to_be_focused()
    page.keyboard.press("Control+z")
    assert answer(page) == "Nothing yet"
    expect(page.locator("#text")).to_be_focused()


def test_a_network_that_was_not_measured(page: Page) -> None:
    """Exported before its end by a program, it has no result."""
    facts = {"recipe": {"name": "mine"}, "result": {}, "bytes": 2_000_000, "detector_bytes": 740}
    page.route("**/api/model", lambda route: route.fulfill(json=facts))
    page.reload()
    expect(page.locator("#facts")).to_contain_text("recipe mine, 2.0 MB; those that find")


def view_of(page: Page) -> Pixels:
    """The view of what was looked at, uint8 (H, W, 4)."""
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    # It is drawn after the frame that shows the answer.
    address = page.evaluate(
        """async () => {
          await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 10)));
          return seenView.canvas.toDataURL();
        }"""
    )
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGBA"))


def test_where_digits_are_found_is_shown(page: Page) -> None:
    view, caption = page.locator("#seen"), page.locator("#seen-caption")
    for place, digit in enumerate((2, 6)):
        write(page, HANDS["school"][digit], left=0.15 + 0.4 * place, top=0.1, height=0.4)
    shown = view_of(page)
    # In colour, as on the sheet, in its upper left; the margin around the sheet is seen, too.
    ink = np.argwhere(np.ptp(shown[:, :, :3].astype(int), axis=2) > 60) / shown.shape[:2]
    assert len(ink) > 100
    assert ink.min() > 0.1
    assert (ink.max(axis=0) < [0.58, 0.65]).all()
    expect(view).to_have_attribute("aria-label", "The reader sees 2 digits")
    expect(caption).to_have_text(re.compile(r"^\d+ places looked at: 2 digits[,.]"))
    expect(page.locator("#frame-caption")).to_contain_text("this look alone says 6, ")
    page.keyboard.press("Escape")
    assert view_of(page).max() == 0
    expect(view).to_have_attribute("aria-label", "The reader sees nothing yet")
    expect(caption).to_contain_text("Each place that may have a digit is looked at.")


def reading_of(scores: Sequence[float], digits: int, **more: Any) -> dict[str, Any]:
    """An answer about 400 × 300 pixels with places beside each other, the first ones digits."""
    probabilities = [0.0] * 7 + [0.9, 0.0, 0.1]
    box = [0, 100, 40, 180]
    digit = {"digit": 7, "sure": True, "box": box, "frame": base64.b64encode(bytes(784)).decode()}
    # The ink is the middle fifth, up to the edges above and below.
    ink = np.zeros((len(scores), 56, 56), np.uint8)
    ink[:, :, 22:34] = 255
    places = [
        {"x": 50 + 100 * n, "y": 150, "size": 80, "score": score, "box": box}
        | {"probabilities": [score * p for p in probabilities]}
        for n, score in enumerate(scores)
    ]
    none = sum(score <= 0.5 for score in scores[digits:])
    seen = {"picture": [400, 300], "looked_at": len(scores), "none": none, "places": places}
    seen["ink"] = base64.b64encode(ink.tobytes()).decode()
    read = [digit | {"probabilities": probabilities} for _ in range(digits)]
    told = {"text": "7" * digits, "sure": True, "digits": read, "width": 400, "height": 300}
    return told | {"seen": seen, **more}


def show(page: Page, told: dict[str, Any]) -> None:
    """As if the server had answered it."""
    page.evaluate("told => show(told)", told)


def test_ink_and_rings_of_what_was_looked_at(page: Page) -> None:
    show(page, reading_of([1, 0.6, 0.3, 0.02], 2))
    view = view_of(page)
    high, wide = view.shape[:2]
    scale = high / 300

    def at(x: float, y: float) -> list[int]:
        column, row = (wide - 400 * scale) / 2 + x * scale, y * scale
        return [int(value) for value in view[int(row), int(column), :3]]

    sheet = [30, 28, 25]
    # The ink of the two digits in colours of their own, none of the others; nothing beyond it.
    grounds = [[86, 180, 233], [240, 228, 66], sheet, sheet]
    assert [at(50 + 100 * n, 110) for n in range(4)] == grounds
    assert (at(10, 10), view[0, 0].max()) == (sheet, 0)
    # The surer, the larger is the ring: white of digits, grey of others.
    rows = [[at(50 + 100 * n + x, 150) for x in np.arange(-13, 13, 0.25)] for n in range(4)]
    pairs = zip(rows, grounds, strict=True)
    widths = [sum(place != plain for place in row) for row, plain in pairs]
    assert widths == sorted(set(widths), reverse=True)
    assert widths[-1] > 0
    assert all(([255, 255, 255] in row) == (n < 2) for n, row in enumerate(rows))
    # The middle of the one that is looked into is white, too.
    assert [row[len(row) // 2][0] for row in rows] == [255, 18, 18, 18]


def test_an_answer_in_words(page: Page) -> None:
    turned = "To be read it was turned against the clock"
    for scores, digits, more, caption in (
        ([1] * 4 + [0.1] * 2, 4, {}, "6 places looked at: 4 digits, 2 judged to be none."),
        ([0.9], 1, {}, "1 place looked at: 1 digit."),
        (
            [0.9, 0.8, 0.1],
            1,
            {},
            "3 places looked at: 1 digit, 1 judged to be none, 1 passed over.",
        ),
        ([0.4], 0, {}, "1 place looked at: 1 judged to be none."),
        ([], 0, {"why": "it is a texture"}, "No place was looked at: it is a texture."),
        ([0.9], 1, {"turns": 3}, f"1 place looked at: 1 digit. {turned} by 270 degrees."),
    ):
        show(page, reading_of(scores, digits, **more))
        expect(page.locator("#seen-caption")).to_have_text(caption)
        alone = ": this look alone says 7, " if digits else "."
        expect(page.locator("#frame-caption")).to_contain_text(f"of twice its size{alone}")
    show(page, reading_of([1] * 5, 5, text="77 -7/7,7"))
    assert page.locator("#text > div").all_inner_texts() == ["77 -7", "7,7"]
    assert page.locator("#text button").all_inner_texts() == ["7"] * 5
    expect(page.locator("#spoken")).to_contain_text("7 7, minus 7, next row 7 comma 7.")
    page.get_by_role("radio").nth(3).click()
    expect(page.get_by_role("radio").nth(3)).to_be_checked()
    for second, width, why in (
        (0.1, 20, "This may be a 0 or a 6."),
        (0.001, 20, "If this is a digit, it is a 0."),
        (0.001, 70, "It is wider than digits are."),
    ):
        told = reading_of([0.9], 1, text="0", sure=False)
        probabilities = [1 - second, 0, 0, 0, 0, 0, second, 0, 0, 0]
        told["digits"][0] |= {"digit": 0, "sure": False, "probabilities": probabilities}
        told["digits"][0] |= {"box": [0, 0, width, 30]}
        show(page, told)
        expect(page.locator("#verdict")).to_have_text(f"Not sure. {why}")


def frame(place: int) -> Pixels:
    """A test digit that the page shows, (28, 28)."""
    return np.frombuffer(base64.b64decode(SAMPLES[place]["pixels"]), np.uint8).reshape(28, 28)


def seven(file: Path, width: int = 400) -> Path:
    """Save a picture with a seven; of 400 × 300 pixels it is at 150, 90."""
    image = Image.fromarray(paper([(frame(7), 150, 90, 120)]))
    image.resize((width, width * 3 // 4)).save(file)
    return file


def place_in_picture(page: Page) -> Place:
    """Where the first box begins in a picture of 400 × 300, in its pixels; it fills the height."""
    image, box = (box_of(page.locator(which).first) for which in ("#picture img", "#boxes div"))
    scale = image["height"] / 300
    left = image["x"] + (image["width"] - 400 * scale) / 2
    return (box["x"] - left) / scale, (box["y"] - image["y"]) / scale


def test_a_photo_and_the_way_back_to_the_drawing(page: Page, tmp_path: Path) -> None:
    draw(page, "3")
    pixels = paper([(frame(digit), x, 90, 90) for digit, x in ((7, 40), (2, 160), (1, 270))])
    # Stored lying on its side, as phones do, with a note of which side is up.
    photo = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    page.set_input_files("#file", tmp_path / "photo.jpg")
    expect(page.locator("#boxes div")).to_have_count(3)
    assert answer(page) == "721"
    assert place_in_picture(page) == pytest.approx((40, 90), abs=8)
    page.get_by_role("button", name="Back to the sheet").click()
    assert answer(page) == "3"
    # A reload keeps the drawing, and Clear removes it for good.
    page.set_input_files("#file", seven(tmp_path / "seven.png"))
    assert answer(page) == "7"
    page.reload()
    expect(page.locator("#text")).to_have_text("3")
    expect(page.locator("#hint")).to_be_hidden()
    write(page, HANDS["school"][7], left=1.0, top=0.2, height=0.6)
    page.reload()
    expect(page.locator("#text")).to_have_text("37")
    page.get_by_role("button", name="Undo").click()
    assert answer(page) == "3"
    # Another tab has a sheet of its own.
    with page.context.expect_page() as other:
        page.evaluate("address => { open(address, '_blank', 'noopener'); }", page.url)
    assert answer(other.value) == "Nothing yet"
    page.get_by_role("button", name="Clear").click()
    page.reload()
    assert_blank(page)


def test_what_is_no_picture_is_said_in_one_line(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    # The browser itself notes the status.
    with opened(browser, address, excused="415|422") as page:
        for name, content in (("notes.txt", b"seven"), ("photo.jpg", b"\xff\xd8\xff seven")):
            (tmp_path / name).write_bytes(content)
            page.set_input_files("#file", tmp_path / name)
            expect(page.locator("#notice")).to_contain_text("The picture is ")
            assert answer(page) == "Nothing yet"
            assert page.locator("#paper").inner_text() == ""
            expect(page.locator("#picture img")).to_be_hidden()
            page.keyboard.press("Escape")
            expect(page.locator("#notice")).to_be_hidden()


def test_what_browsers_do_not_know_is_shown_once_it_is_read(page: Page, tmp_path: Path) -> None:
    page.set_input_files("#file", seven(tmp_path / "seven.tif", 2400))
    expect(page.locator("#boxes div")).to_have_count(1)
    assert answer(page) == "7"
    # In the pixels that were read.
    image = page.locator("#picture img")
    expect(image).to_have_attribute("src", re.compile("^data:image/jpeg;"))
    expect(image).to_be_visible()
    expect(page.locator("#notice")).to_be_hidden()
    assert place_in_picture(page) == pytest.approx((150, 90), abs=12)


def drop(page: Page, *items: tuple[str, str], files: Sequence[Path] = ()) -> None:
    """Drag things on the sheet, each of a kind and with its text, or files."""
    hand = page.context.new_cdp_session(page)
    told = [{"mimeType": kind, "data": text} for kind, text in items]
    data = {"items": told, "files": [str(file) for file in files], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": 300, "y": 300, "data": data}
        hand.send("Input.dispatchDragEvent", event)


def paste(page: Page, text: str = "") -> None:
    """Paste this text, or else the test digit 2 as a file."""
    page.evaluate(
        """async (text) => {
          const clipboardData = new DataTransfer();
          const digit = document.querySelectorAll("#strip canvas")[2];
          const blob = await new Promise((done) => digit.toBlob(done));
          if (text) clipboardData.setData("text/plain", text);
          else clipboardData.items.add(new File([blob], "digit.png", { type: "image/png" }));
          document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
        }""",
        text,
    )


def test_pictures_are_pasted_and_dropped_and_what_is_not_taken_is_said(
    page: Page, tmp_path: Path
) -> None:
    notice = page.locator("#notice")
    draw(page, "3")
    drop(page, ("text/uri-list", "https://example.org/seven.png"))
    expect(notice).to_contain_text("This is a link, and nothing is loaded from elsewhere")
    expect(page.locator("#strip canvas").last).to_be_visible()
    paste(page, "seven")
    expect(notice).to_have_text("There is no picture in it: only pictures can be read here.")
    (tmp_path / "scans").mkdir()
    drop(page, files=[tmp_path / "scans"])
    expect(notice).to_have_text("scans cannot be read: is it a folder?")
    (tmp_path / "large.png").write_bytes(bytes(20_000_001))
    page.set_input_files("#file", tmp_path / "large.png")
    expect(notice).to_have_text("large.png has more than 20 MB: make it smaller.")
    assert answer(page) == "3"
    paste(page)
    expect(page.locator("#text")).to_have_text("2")
    names = [seven(tmp_path / f"{n}.png") for n in range(10)]
    drop(page, files=names)
    expect(notice).to_have_text("Of 10 files only one is read: 0.png.")
    assert answer(page) == "7"
    expect(notice).to_be_visible()
    drop(page, files=names[1:2])
    expect(notice).to_be_hidden()
    assert answer(page) == "7"
    # It goes away, and is asked again, as after a fault of the server.
    names[1].unlink()
    page.evaluate("ask()")
    assert answer(page) == "7"
    expect(notice).to_be_hidden()


def test_test_digits_are_read_as_the_network_reads_them_and_not_looked_for(page: Page) -> None:
    for sample in SAMPLES[8:12]:
        name = f"Test digit {sample['index']}, a {sample['label']}"
        button = page.get_by_role("button", name=name, exact=True)
        button.focus()
        page.keyboard.press("Enter")
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#text")).to_have_text(f"{sample['answer']}")
        verdict = "right" if sample["answer"] == sample["label"] else "wrong"
        expect(page.locator("#verdict")).to_contain_text(f"the network is {verdict}")
    expect(page.locator("#seen-caption")).to_contain_text("there is nothing to find")
    expect(page.locator("#frame-caption")).to_have_text("The digit in 28 × 28 pixels, as in MNIST.")
    assert view_of(page).max() == 0


class Hand:
    """Fingers and a pen on the sheet; places are fractions of its height."""

    def __init__(self, page: Page) -> None:
        self.box, self.session = box_of(page.locator("#ink")), page.context.new_cdp_session(page)
        # Of the events to come, in seconds.
        self.time = time.time()

    def touch(self, kind: str, *places: Place) -> None:
        """Start, Move, End or Cancel: where the sheet is touched then."""
        points = [{"x": x, "y": y} for x, y in map(self.on_page, places)]
        event = {"type": f"touch{kind}", "touchPoints": points, "timestamp": self.time}
        self.session.send("Input.dispatchTouchEvent", event)

    def write(self, places: Sequence[Place], force: float = 0.5) -> None:
        """A stroke of the pen."""
        for n, (x, y) in enumerate(map(self.on_page, places)):
            kinds = ["mouseMoved" if n else "mousePressed"]
            for kind in kinds + ["mouseReleased"] * (n == len(places) - 1):
                event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1}
                event |= {"clickCount": 1, "pointerType": "pen", "force": force}
                self.session.send("Input.dispatchMouseEvent", {**event, "timestamp": self.time})

    def on_page(self, place: Place) -> Place:
        height = self.box["height"]
        return self.box["x"] + place[0] * height, self.box["y"] + place[1] * height


def line(stroke: Points, left: float = 0.5, top: float = 0.2, height: float = 0.6) -> list[Place]:
    return [(x, y) for x, y in curve(stroke) / 100 * height + [left, top]]


def test_a_finger_on_a_phone(browser: Browser, address: str) -> None:
    phone: ViewportSize = {"width": 360, "height": 780}
    with opened(browser, address, viewport=phone, has_touch=True, is_mobile=True) as page:
        hand = Hand(page)
        for stroke in HANDS["school"][4]:
            for n, place in enumerate(line(stroke)):
                hand.touch("Move" if n else "Start", place)
            hand.touch("End")
        assert answer(page) == "4"
        # The page did not scroll under the finger, nor does it ever sideways.
        assert page.evaluate("scrollY") == 0
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        # Turned on its side, the sheet leaves room to scroll: on it, fingers write.
        page.set_viewport_size({"width": 780, "height": 360})
        expect(page.locator("#boxes div")).to_have_count(1)
        sheet, box = (box_of(page.locator(which)) for which in ("#paper", "#boxes div"))
        assert sheet["height"] <= 0.8 * 360 + 1
        assert abs((box["x"] - sheet["x"]) / sheet["height"] - 0.5) < 0.1


def test_a_pen_writes_over_the_edge_and_bolder_where_it_is_pressed(page: Page) -> None:
    hand = Hand(page)
    for stroke in HANDS["school"][4]:
        hand.write(line(stroke, left=-0.05, top=0.45, height=0.58))
    assert answer(page) == "4"
    # The pen is followed there.
    assert page.evaluate("strokes[0].points.some(({ x }) => x < 0)")
    # Beside it, but higher: a row of its own.
    for stroke in HANDS["school"][7]:
        hand.write(line(stroke, left=1.2, top=-0.01, height=0.45))
    assert answer(page) == "74"
    expect(page.locator("#spoken")).to_contain_text("7, next row 4.")
    clear(page)
    for force, start in ((0.1, 0.3), (0.9, 0.9)):
        # Not quite straight: a ruled line could be one, and no digit.
        hand.write([(start - 0.008 * n, 0.2 + 0.03 * n) for n in range(20)], force)
    assert answer(page) == "11"
    faint, bold = map(box_of, page.locator("#boxes div").all())
    assert bold["width"] > faint["width"] + 5


def strokes(page: Page) -> int:
    return int(page.evaluate("strokes.length"))


def test_a_pen_wins_over_the_hand_that_holds_it(page: Page) -> None:
    """The ball of the hand is on the sheet before the pen, and stays there."""
    hand = Hand(page)
    hand.touch("Start", (1.2, 0.8))
    hand.touch("Move", (1.22, 0.82))
    assert strokes(page) == 1
    for stroke in HANDS["school"][4]:
        hand.write(line(stroke))
        hand.touch("Move", (1.24, 0.8))
    hand.touch("End")
    assert answer(page) == "4"
    # It moves on between two strokes of the pen.
    hand.touch("Start", (1.3, 0.8))
    hand.touch("End")
    assert strokes(page) == 2
    # Long after it, a finger is one that writes.
    hand.time += 60
    hand.touch("Start", (1.3, 0.8))
    hand.touch("End")
    assert strokes(page) == 3
    # What the system takes back, as it does with hands that it knows as such, was no writing.
    hand.touch("Start", (1.3, 0.8))
    hand.touch("Move", (1.3, 0.7))
    hand.touch("Cancel")
    assert strokes(page) == 3
    page.keyboard.press("Control+z")
    assert answer(page) == "4"
    # A hand that rests on the sheet does not keep Undo from working.
    clear(page)
    hand.touch("Start", (1.2, 0.8))
    page.get_by_role("button", name="Undo").click()
    hand.touch("Move", (1.2, 0.4))
    assert strokes(page) == 0


def test_a_tap_is_a_dot(page: Page) -> None:
    sheet = box_of(page.locator("#ink"))
    page.mouse.click(sheet["x"] + 200, sheet["y"] + 100)
    dark = """() => [sheet, raster].map((context) => {
      const { width, height } = context.canvas;
      const { data } = context.getImageData(0, 0, width, height);
      const ink = context === sheet ? (n) => data[n + 3] > 128 : (n) => data[n] < 128;
      return Array.from({ length: width * height }, (_, n) => 4 * n).filter(ink).length;
    })"""
    on_sheet, on_raster = page.evaluate(dark)
    # Of the pen's width, 26 thousandths of the sheet's: round.
    assert on_sheet == pytest.approx(np.pi * (0.013 * sheet["width"]) ** 2, rel=0.1)
    assert on_raster == pytest.approx(np.pi * (13 * 0.3) ** 2, rel=0.2)
