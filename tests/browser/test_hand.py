"""The page learns its user's hand: drawn, confirmed, corrected and taught in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import new_page
from handwriting import HANDS
from pages import number_page
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect
from real_server import serving, shipped
from test_page import answer, box_of, draw, watch, write

from mnist_digits import Reader
from mnist_digits.reading.labelled import find_labelled
from mnist_digits.web.page_examples import Examples
from mnist_digits.web.page_teaching import Teaching

pytestmark = pytest.mark.slow


def open_page(browser: Browser, port: int, complaints: list[str]) -> Page:
    page = new_page(browser, viewport={"width": 1280, "height": 900})
    watch(page, port, complaints)
    page.goto(f"http://127.0.0.1:{port}/")
    return page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "my-hand"


@pytest.fixture
def page(browser: Browser, folder: Path) -> Iterator[Page]:
    """The page of a server that keeps what is confirmed and corrected in `folder`."""
    complaints: list[str] = []
    teaching = Teaching(folder, shipped())
    with serving(teaching=teaching) as port:
        page = open_page(browser, port, complaints)
        yield page
        page.context.close()
    teaching.close()
    assert complaints == []


def labels(folder: Path) -> list[str]:
    return list(Examples(folder).labels().values())


def test_without_a_folder_there_is_nothing_to_confirm(browser: Browser) -> None:
    complaints: list[str] = []
    with serving() as port:
        page = open_page(browser, port, complaints)
        expect(page.locator("#folder")).to_have_text(
            "Nothing that you draw is kept once this tab is closed."
        )
        draw(page, "3")
        page.keyboard.press("5")
        page.keyboard.press("Enter")
        assert answer(page) == "3"
        for name in ("Keep", "Take back", "Teach", "9"):
            assert page.get_by_role("button", name=name, exact=True).count() == 0
        page.context.close()
    assert complaints == []


def test_confirmed_and_corrected(page: Page, folder: Path) -> None:
    kept, told = page.locator("#kept"), page.locator("#folder")
    said, keep = page.locator("#said"), page.get_by_role("button", name="Keep", exact=True)
    expect(told).to_have_text(
        "What you confirm or correct is kept in the folder my-hand: 0 pictures."
    )
    expect(keep).to_be_disabled()
    write(page, HANDS["school"][4], left=0.2, top=0.2, height=0.5)
    assert answer(page) == "4"
    keep.click()
    expect(kept).to_have_text("Kept as 4.")
    expect(told).to_contain_text("my-hand: 1 picture.")
    write(page, HANDS["school"][8], left=0.8, top=0.2, height=0.5)
    assert answer(page) == "48"
    expect(kept).to_be_empty()
    # By a tap on the digit and a tap on the right one, then by keys; it is one picture.
    page.get_by_role("radio").nth(0).click()
    page.get_by_role("button", name="9", exact=True).click()
    expect(kept).to_have_text("Kept as 98.")
    expect(page.get_by_role("radio").nth(0)).to_have_text("9")
    expect(said).to_have_value("98")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("3")
    expect(kept).to_have_text("Kept as 93.")
    expect(page.locator("#verdict")).to_have_text("Corrected by you.")
    expect(told).to_contain_text("my-hand: 2 pictures.")
    assert labels(folder) == ["4", "93"]
    # What was read is what is kept: the page's own network reads it the same way.
    kept_in = Examples(folder).labels()
    assert [shipped().read(folder / picture).text for picture in kept_in] == ["4", "48"]
    page.keyboard.press("Escape")
    assert answer(page) == "Nothing yet"
    expect(keep).to_be_disabled()


def test_another_number_of_digits_is_typed(page: Page, folder: Path) -> None:
    kept, said = page.locator("#kept"), page.get_by_label("All of it says")
    draw(page, "48")
    expect(said).to_have_value("48")
    # Keys that mean something on the sheet mean nothing here.
    said.press("End")
    said.press("ArrowLeft")
    said.press("5")
    said.press("Escape")
    expect(said).to_have_value("458")
    assert answer(page) == "48"
    said.press("Enter")
    expect(kept).to_have_text("Kept as 458.")
    expect(page.locator("#verdict")).to_have_text("Corrected by you.")
    said.fill(" 4 ")
    page.get_by_role("button", name="Keep", exact=True).click()
    expect(kept).to_have_text("Kept as 4.")
    assert labels(folder) == ["4"]
    said.fill("four")
    page.get_by_role("button", name="Keep", exact=True).click()
    # The browser says why not.
    assert said.evaluate("input => input.validity.patternMismatch && input.title") == (
        "Digits, with / between rows"
    )
    expect(kept).to_have_text("Kept as 4.")
    assert labels(folder) == ["4"]
    page.locator("h1").click()
    page.keyboard.press("Escape")
    assert answer(page) == "Nothing yet"
    expect(said).to_have_value("")
    expect(said).to_be_disabled()


def test_what_was_not_found_is_typed(page: Page, folder: Path) -> None:
    """A dot, which is read as nothing."""
    page.locator("#ink").click()
    assert answer(page) == "No digit found"
    expect(page.get_by_role("button", name="9", exact=True)).to_be_disabled()
    page.get_by_label("All of it says").fill("1")
    page.get_by_role("button", name="Keep", exact=True).click()
    expect(page.locator("#kept")).to_have_text("Kept as 1.")
    assert labels(folder) == ["1"]


def test_what_was_kept_is_taken_back(page: Page, folder: Path) -> None:
    back = page.locator("#forget")
    expect(back).to_be_hidden()
    for digit in (4, 7):
        draw(page, str(digit))
        page.keyboard.press("Enter")
        expect(page.locator("#kept")).to_have_text(f"Kept as {digit}.")
        page.keyboard.press("Escape")
    expect(back).to_have_text("Take back 7")
    back.click()
    expect(page.locator("#kept")).to_have_text("Taken back.")
    expect(back).to_have_text("Take back 4")
    expect(page.locator("#folder")).to_contain_text("my-hand: 1 picture.")
    assert labels(folder) == ["4"]
    back.click()
    expect(back).to_be_hidden()
    assert labels(folder) == []


def test_two_tabs(page: Page, browser: Browser, folder: Path) -> None:
    """Each keeps its own, and each sees what the other has kept once it keeps something."""
    other = new_page(browser, viewport={"width": 1280, "height": 900})
    other.goto(page.url)
    for tab, digit in ((page, 4), (other, 7), (page, 2)):
        draw(tab, str(digit))
        tab.keyboard.press("Enter")
        expect(tab.locator("#kept")).to_have_text(f"Kept as {digit}.")
        tab.keyboard.press("Escape")
    expect(page.locator("#folder")).to_contain_text("my-hand: 3 pictures.")
    other.context.close()
    assert labels(folder) == ["4", "7", "2"]


def test_rows_are_confirmed_by_the_keyboard(page: Page, folder: Path) -> None:
    write(page, HANDS["school"][7], left=0.2, top=0.05, height=0.35)
    write(page, HANDS["school"][2], left=0.2, top=0.58, height=0.35)
    assert answer(page) == "72"
    page.locator("body").press("Enter")
    expect(page.locator("#kept")).to_have_text("Kept as 7, 2.")
    assert labels(folder) == ["7/2"]


def test_the_digits_of_the_test_set_are_not_learned_from(page: Page, folder: Path) -> None:
    page.locator("#strip button").nth(3).click()
    expect(page.locator("#text")).to_have_text("3")
    expect(page.get_by_role("button", name="Keep", exact=True)).to_be_disabled()
    # With the focus on the button of a digit, Enter would choose it again.
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Enter")
    page.keyboard.press("5")
    page.keyboard.press("Escape")
    assert answer(page) == "Nothing yet"
    assert labels(folder) == []


def test_a_photo_is_kept_as_it_is(page: Page, folder: Path, tmp_path: Path) -> None:
    draw(page, "6")
    page.locator("#ink").screenshot(path=tmp_path / "six.png")
    page.set_input_files("#file", tmp_path / "six.png")
    expect(page.locator("#picture img")).to_be_visible()
    assert answer(page) == "6"
    page.get_by_role("button", name="Keep", exact=True).click()
    expect(page.locator("#kept")).to_have_text("Kept as 6.")
    (picture,) = find_labelled(folder)
    assert picture.path.read_bytes() == (tmp_path / "six.png").read_bytes()


def test_signs_are_not_learned_from(page: Page, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "numbers.png"
    Image.fromarray(number_page("12 -3.4", 2)).save(file)
    page.set_input_files("#file", file)
    expect(page.locator("#text")).to_have_text("12 -3.4")
    said = page.get_by_label("All of it says")
    expect(said).to_have_value("12 34")
    page.get_by_role("radio").nth(2).click()
    page.keyboard.press("5")
    expect(page.locator("#kept")).to_have_text("Kept as 1254.")
    expect(page.locator("#text")).to_have_text("12 -5.4")
    assert labels(folder) == ["1254"]
    # Beside a table no key teaches.
    page.get_by_role("tab", name="Table").click()
    page.keyboard.press("9")
    page.get_by_role("tab", name="Digits").click()
    expect(page.locator("#text")).to_have_text("12 -5.4")


def test_the_server_is_away_for_a_moment(browser: Browser, folder: Path) -> None:
    first = Teaching(folder, shipped())
    with serving(teaching=first) as port:
        page = open_page(browser, port, [])
        draw(page, "2")
        expect(page.locator("#folder")).to_contain_text("my-hand")
    first.close()
    page.get_by_role("button", name="Keep", exact=True).click()
    expect(page.locator("#notice")).to_contain_text("The server does not answer")
    second = Teaching(folder, shipped())
    with serving(port=port, teaching=second):
        expect(page.locator("#kept")).to_have_text("Kept as 2.")
        expect(page.locator("#notice")).to_be_hidden()
        page.context.close()
    second.close()
    assert labels(folder) == ["2"]


def test_on_a_phone(browser: Browser, folder: Path) -> None:
    phone: ViewportSize = {"width": 360, "height": 780}
    teaching = Teaching(folder, shipped())
    with serving(teaching=teaching) as port:
        page = new_page(browser, viewport=phone, has_touch=True, is_mobile=True)
        page.goto(f"http://127.0.0.1:{port}/")
        draw(page, "4")
        page.get_by_role("button", name="9", exact=True).tap()
        expect(page.locator("#kept")).to_have_text("Kept as 9.")
        for button in page.locator("#labels button").all():
            box = box_of(button)
            assert min(box["width"], box["height"]) >= 24
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        page.context.close()
    teaching.close()


def test_taught_and_back(browser: Browser, folder: Path, tiny_run: Path, tmp_path: Path) -> None:
    run, complaints = tmp_path / "tiny", list[str]()
    shutil.copytree(tiny_run, run)
    flags = ("--steps", "2", "--folds", "2", "--threads", "1")
    teaching = Teaching(folder, Reader.load(run, threads=1), run, flags)
    with serving(teaching=teaching) as port:
        page = open_page(browser, port, complaints)
        teach = page.get_by_role("button", name="Teach", exact=True)
        expect(teach).to_be_disabled()
        expect(page.locator("#facts")).to_contain_text("recipe fast,")
        for digit in (2, 7):
            write(page, HANDS["school"][digit], left=0.5, top=0.2, height=0.6)
            answer(page)
            page.locator("#said").fill(str(digit))
            page.get_by_role("button", name="Keep", exact=True).click()
            expect(page.locator("#kept")).to_contain_text(f"Kept as {digit}.")
            page.locator("h1").click()
            page.keyboard.press("Escape")
        teach.click()
        expect(page.locator("#teach")).to_contain_text("Teaching …")
        expect(page.locator("#teach")).to_be_disabled()
        # The page goes on reading.
        write(page, HANDS["school"][7], left=0.5, top=0.2, height=0.6)
        read = answer(page)
        expect(page.locator("#report")).to_contain_text("The taught network is in use.")
        expect(page.locator("#report")).to_contain_text("MNIST's test set: ")
        expect(page.locator("#teach")).to_have_text("Teach")
        expect(page.locator("#facts")).to_contain_text("recipe fast-taught,")
        answer(page)
        # Going back is choosing the network that was there before.
        page.locator("#network").select_option("as it came")
        expect(page.locator("#facts")).to_contain_text("recipe fast,")
        assert answer(page) == read
        page.locator("#network").select_option(teaching.networks()[0])
        expect(page.locator("#facts")).to_contain_text("recipe fast-taught,")
        # A failure is told, and the network stays.
        (run / "model.safetensors").write_bytes(b"damaged")
        teach.click()
        expect(page.locator("#lesson")).to_contain_text("Teaching has failed: ")
        expect(page.locator("#lesson")).to_contain_text("the network is the same as before.")
        expect(page.locator("#facts")).to_contain_text("recipe fast-taught,")
        page.context.close()
    teaching.close()
    assert complaints == []
