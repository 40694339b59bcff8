"""The page learns its user's hand: drawn, confirmed, corrected and taught in a real browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from chromium import new_page
from handwriting import HANDS
from pages import number_page
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect
from real_server import serving, shipped, stand_in
from test_page import DESK, answer, box_of, clear, draw, opened, write

from mnist_digits.web.page_examples import Examples
from mnist_digits.web.page_teaching import Teaching

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "my-hand"


@contextmanager
def teaching_server(folder: Path, port: int = 0) -> Iterator[str]:
    """The address of a server that keeps what is confirmed and corrected in `folder`."""
    teaching = Teaching(folder, shipped())
    with serving(teaching=teaching, port=port) as port:
        yield f"http://127.0.0.1:{port}/"
    teaching.close()


@pytest.fixture
def page(browser: Browser, folder: Path) -> Iterator[Page]:
    with teaching_server(folder) as address, opened(browser, address) as page:
        yield page


def labels(folder: Path) -> list[str]:
    return list(Examples(folder).labels().values())


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def kept(page: Page, label: str) -> None:
    expect(page.locator("#kept")).to_have_text(f"Kept as {label}.")


def test_without_a_folder_there_is_nothing_to_confirm(browser: Browser) -> None:
    with serving() as port, opened(browser, f"http://127.0.0.1:{port}/") as page:
        expect(page.locator("#folder")).to_have_text(
            "Nothing that you draw is kept once this tab is closed."
        )
        draw(page, "3")
        page.keyboard.press("5")
        page.keyboard.press("Enter")
        assert answer(page) == "3"
        for name in ("Keep", "Take back", "Teach", "9"):
            assert page.get_by_role("button", name=name, exact=True).count() == 0


def test_confirmed_corrected_and_taken_back(page: Page, folder: Path) -> None:
    told, back = page.locator("#folder"), page.locator("#forget")
    said, keep = page.locator("#said"), page.get_by_role("button", name="Keep", exact=True)
    expect(told).to_have_text(
        "What you confirm or correct is kept in the folder my-hand: 0 pictures."
    )
    expect(keep).to_be_disabled()
    expect(back).to_be_hidden()
    write(page, HANDS["school"][4], left=0.2, top=0.2, height=0.5)
    assert answer(page) == "4"
    keep.click()
    kept(page, "4")
    expect(told).to_contain_text("my-hand: 1 picture.")
    write(page, HANDS["school"][8], left=0.8, top=0.2, height=0.5)
    assert answer(page) == "48"
    expect(page.locator("#kept")).to_be_empty()
    # By a tap on the digit and a tap on the right one, then by keys; it is one picture.
    page.get_by_role("radio").nth(0).click()
    press(page, "9")
    kept(page, "98")
    expect(page.get_by_role("radio").nth(0)).to_have_text("9")
    expect(said).to_have_value("98")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("3")
    kept(page, "93")
    expect(page.locator("#verdict")).to_have_text("Corrected by you.")
    expect(told).to_contain_text("my-hand: 2 pictures.")
    assert labels(folder) == ["4", "93"]
    # What was read is what is kept: the page's own network reads it the same way.
    files = Examples(folder).labels()
    assert [shipped().read(folder / file).text for file in files] == ["4", "48"]
    clear(page)
    expect(keep).to_be_disabled()
    # Rows, confirmed by the keyboard.
    write(page, HANDS["school"][7], left=0.2, top=0.05, height=0.35)
    write(page, HANDS["school"][2], left=0.2, top=0.58, height=0.35)
    assert answer(page) == "72"
    page.locator("body").press("Enter")
    kept(page, "7, 2")
    assert labels(folder) == ["4", "93", "7/2"]
    for label, remaining in (("7, 2", ["4", "93"]), ("93", ["4"]), ("4", [])):
        expect(back).to_have_text(f"Take back {label}")
        back.click()
        expect(told).to_contain_text(f"my-hand: {len(remaining)} picture")
        expect(page.locator("#kept")).to_have_text("Taken back.")
        assert labels(folder) == remaining
    expect(back).to_be_hidden()


def test_another_number_of_digits_is_typed(page: Page, folder: Path) -> None:
    said = page.get_by_label("All of it says")
    draw(page, "48")
    expect(said).to_have_value("48")
    # Keys that mean something on the sheet mean nothing here.
    for key in ("End", "ArrowLeft", "5", "Escape"):
        said.press(key)
    expect(said).to_have_value("458")
    assert answer(page) == "48"
    said.press("Enter")
    kept(page, "458")
    expect(page.locator("#verdict")).to_have_text("Corrected by you.")
    said.fill(" 4 ")
    press(page, "Keep")
    kept(page, "4")
    said.fill("four")
    press(page, "Keep")
    # The browser says why not.
    assert said.evaluate("input => input.validity.patternMismatch && input.title") == (
        "Digits, with / between rows"
    )
    kept(page, "4")
    assert labels(folder) == ["4"]
    page.locator("h1").click()
    clear(page)
    expect(said).to_have_value("")
    expect(said).to_be_disabled()
    # A dot, which is read as nothing.
    page.locator("#ink").click()
    assert answer(page) == "No digit found"
    expect(page.get_by_role("button", name="9", exact=True)).to_be_disabled()
    said.fill("1")
    press(page, "Keep")
    kept(page, "1")
    assert labels(folder) == ["4", "1"]


def test_photos_are_kept_as_they_are_without_signs_and_no_test_digits(
    page: Page, folder: Path, tmp_path: Path
) -> None:
    page.locator("#strip button").nth(3).click()
    expect(page.locator("#text")).to_have_text("3")
    expect(page.get_by_role("button", name="Keep", exact=True)).to_be_disabled()
    # With the focus on the button of a digit, Enter would choose it again.
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Enter")
    page.keyboard.press("5")
    clear(page)
    assert labels(folder) == []
    file, text = tmp_path / "numbers.png", page.locator("#text")
    Image.fromarray(number_page("12 -3.4", 2)).save(file)
    page.set_input_files("#file", file)
    expect(text).to_have_text("12 -3.4")
    expect(page.get_by_label("All of it says")).to_have_value("12 34")
    page.get_by_role("radio").nth(2).click()
    page.keyboard.press("5")
    kept(page, "1254")
    expect(text).to_have_text("12 -5.4")
    ((name, label),) = Examples(folder).labels().items()
    assert (label, (folder / name).read_bytes()) == ("1254", file.read_bytes())
    # Beside a table no key teaches.
    page.get_by_role("tab", name="Table").click()
    page.keyboard.press("9")
    page.get_by_role("tab", name="Digits").click()
    expect(text).to_have_text("12 -5.4")


def test_the_server_is_away_for_a_moment(browser: Browser, folder: Path) -> None:
    with teaching_server(folder) as address:
        page = new_page(browser, viewport=DESK)
        page.goto(address)
        write(page, HANDS["school"][2], left=0.2, top=0.2, height=0.5)
        assert answer(page) == "2"
        expect(page.locator("#folder")).to_contain_text("my-hand")
    press(page, "Keep")
    expect(page.locator("#notice")).to_contain_text("The server does not answer")
    write(page, HANDS["school"][5], left=0.8, top=0.2, height=0.5)
    with teaching_server(folder, int(address.split(":")[2][:-1])):
        expect(page.locator("#text")).to_have_text("25")
        expect(page.locator("#folder")).to_contain_text("my-hand: 1 picture.")
        expect(page.locator("#notice")).to_be_hidden()
        page.context.close()
    assert labels(folder) == ["2"]


def test_on_a_phone(browser: Browser, folder: Path) -> None:
    phone: ViewportSize = {"width": 360, "height": 780}
    with (
        teaching_server(folder) as address,
        opened(browser, address, viewport=phone, has_touch=True, is_mobile=True) as page,
    ):
        draw(page, "4")
        page.get_by_role("button", name="9", exact=True).tap()
        kept(page, "9")
        for button in page.locator("#labels button").all():
            box = box_of(button)
            assert min(box["width"], box["height"]) >= 24
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_taught_and_back(
    page: Page, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a program in the place of Python: the real one is taught by over HTTP."""
    go = tmp_path / "go"
    program = stand_in(tmp_path / "python", tiny_run, go, "better")
    monkeypatch.setattr(sys, "executable", str(program))
    teach, facts = page.locator("#teach"), page.locator("#facts")
    expect(teach).to_be_disabled()
    expect(facts).to_contain_text("recipe robust,")
    for digit in "27":
        clear(page)
        draw(page, digit)
        page.keyboard.press("Enter")
        kept(page, digit)
    teach.click()
    expect(teach).to_have_text("Teaching … 1 of 3")
    expect(teach).to_be_disabled()
    # The page goes on reading.
    clear(page)
    draw(page, "7")
    go.touch()
    expect(page.locator("#report")).to_have_text("The taught network is in use.\nharm")
    expect(teach).to_have_text("Teach")
    expect(facts).to_contain_text("recipe fast,")
    # Going back is choosing the network that was there before.
    page.locator("#network").select_option("as it came")
    expect(facts).to_contain_text("recipe robust,")
    assert answer(page) == "7"
    page.locator("#network").select_option(index=1)
    expect(facts).to_contain_text("recipe fast,")
    # A failure is told, and the network stays.
    program.write_text(f"#!/bin/sh\necho 'error: there is no {tmp_path}/a.png'\nexit 1\n")
    teach.click()
    expect(page.locator("#lesson")).to_have_text(
        "Teaching has failed: there is no a.png; the network is the same as before."
    )
    expect(facts).to_contain_text("recipe fast,")
