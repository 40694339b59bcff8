"""The table of a photo on the page: found in the photo, corrected, and taken."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from handwriting import HANDS
from made_tables import made_table
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Route, ViewportSize, expect
from real_server import serving, shipped
from test_page import answer, box_of, opened, write

from mnist_digits import Table, load_mnist, read_table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving() as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with opened(browser, address) as page:
        yield page


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a turned sheet."""
    file: Path = tmp_path_factory.mktemp("photo") / "marks.png"
    Image.fromarray(made_table(load_mnist()[1], 21).pixels).save(file)
    return file


@pytest.fixture(scope="module")
def read(photo: Path) -> Table:
    return read_table(shipped(), photo)


def cell(page: Page, row: int, column: int) -> Locator:
    """The cell of this row and column, from 1, as a screen reader finds it."""
    name = f"Row {row}, column {column}"
    found = page.get_by_role("textbox", name=name, exact=True)
    return found.or_(page.get_by_role("textbox", name=f"{name}, in doubt"))


def values(page: Page) -> list[list[str]]:
    """What the cells say."""
    rows = "rows => rows.map(row => [...row.querySelectorAll('input')].map(cell => cell.value))"
    found: list[list[str]] = page.locator("#cells tr:has(input)").evaluate_all(rows)
    return found


def outline(page: Page) -> NDArray[np.float64]:
    """The corners that are marked on the paper, (N, 2), in its pixels."""
    points = page.locator("#place polygon").get_attribute("points") or ""
    return np.array([point.split(",") for point in points.split()], float).reshape(-1, 2)


def saved(page: Page) -> str:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    assert download.value.suggested_filename == "table.csv"
    return Path(download.value.path()).read_text("utf-8")


def test_a_table_is_read_marked_corrected_and_taken(page: Page, photo: Path, read: Table) -> None:
    page.set_input_files("#file", photo)
    page.get_by_role("tab", name="Table").click()
    expect(page.locator("#found")).to_contain_text("in doubt")
    assert values(page) == read.texts == made_table(load_mnist()[1], 21).cells
    doubtful = {(one.row + 1, one.column + 1): one.why for one in read.doubtful}
    assert doubtful
    marked = page.locator("#cells td.doubtful")
    expect(marked).to_have_count(len(doubtful))
    rows, columns = read.shape
    expect(page.locator("#found")).to_have_text(
        f"{rows} rows, {columns} columns, {len(doubtful)} in doubt."
    )
    assert saved(page) == read.csv()
    # Each doubtful cell says why, also to who hears or taps it; its place in the photo is marked.
    found = page.locator("#picture img")
    image, (wide, high) = box_of(found), found.evaluate("it => [it.naturalWidth, it.naturalHeight]")
    scale = min(image["width"] / wide, image["height"] / high)
    margin = [(image["width"] - scale * wide) / 2, (image["height"] - scale * high) / 2]
    for (row, column), why in doubtful.items():
        found = cell(page, row, column)
        expect(found).to_have_accessible_name(f"Row {row}, column {column}, in doubt: {why}")
        found.click()
        expect(page.locator("#doubt")).to_contain_text(f"Row {row}, column {column}: {why}.")
        corners = read.cells[(row - 1) * columns + column - 1].corners
        assert np.abs(outline(page) - (corners * scale + margin)).max() < 2
    # What is typed is no longer in doubt, and in the CSV.
    row, column = next(iter(doubtful))
    cell(page, row, column).fill('1"2')
    expect(marked).to_have_count(len(doubtful) - 1)
    expect(page.locator("#doubt")).to_be_empty()
    (corrected,) = [cells for cells in csv.reader(io.StringIO(saved(page))) if '1"2' in cells]
    assert corrected.index('1"2') == column - 1
    # Escape takes back what was typed, not the photo.
    page.keyboard.press("Escape")
    cell(page, row, column).focus()
    page.keyboard.press("Escape")
    assert values(page) == read.texts
    expect(marked).to_have_count(len(doubtful))
    expect(page.locator("#picture img")).to_be_visible()
    # Enter confirms.
    page.keyboard.press("Enter")
    expect(marked).to_have_count(len(doubtful) - 1)


def test_the_keyboard_goes_from_cell_to_cell(page: Page, photo: Path, read: Table) -> None:
    tab, digits = (page.get_by_role("tab", name=name) for name in ("Table", "Digits"))
    # The tab that is open first has the digits.
    page.set_input_files("#file", photo)
    assert answer(page)
    expect(digits).to_have_attribute("aria-selected", "true")
    expect(page.locator("#table")).to_be_hidden()
    tab.click()
    expect(page.locator("#found")).to_contain_text("in doubt")
    expect(tab).to_be_focused()
    page.keyboard.press("Tab")
    expect(cell(page, 1, 1)).to_be_focused()
    assert len(outline(page)) == 4
    for key, row, column in (
        ("ArrowUp", 1, 1),
        ("ArrowRight", 1, 2),
        ("ArrowDown", 2, 2),
        ("Enter", 3, 2),
        ("ArrowLeft", 3, 1),
        ("ArrowUp", 2, 1),
    ):
        page.keyboard.press(key)
        expect(cell(page, row, column)).to_be_focused()
    # Typing takes the place of what was there; inside of it the arrows move by letters.
    page.keyboard.type("405")
    page.keyboard.press("ArrowLeft")
    page.keyboard.type("9")
    expect(cell(page, 2, 1)).to_have_value("4095")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(cell(page, 2, 2)).to_be_focused()
    # One stop for all cells; the last one is where to come back to.
    page.keyboard.press("Shift+Tab")
    expect(tab).to_be_focused()
    page.keyboard.press("Tab")
    expect(cell(page, 2, 2)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Copy")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#copied")).to_have_text("Copied.")
    page.context.grant_permissions(["clipboard-read"])
    texts = [list(row) for row in read.texts]
    texts[1][0] = "4095"
    copied = "\n".join("\t".join(row) for row in texts)
    assert page.evaluate("navigator.clipboard.readText()") == copied
    # The digits are as they were, and the table, too.
    expect(page.locator("#cells input[tabindex='0']")).to_have_count(1)
    tab.focus()
    page.keyboard.press("ArrowLeft")
    expect(digits).to_be_focused()
    assert page.locator("#text button").count() > 5
    expect(page.locator("#text")).to_be_visible()
    assert len(outline(page)) == 0
    page.keyboard.press("ArrowRight")
    assert values(page) == texts


def test_what_is_no_table_is_said_and_a_drawing_may_be_one(browser: Browser, address: str) -> None:
    # The browser itself notes the status.
    with opened(browser, address, excused="422") as page:
        page.get_by_role("tab", name="Table").click()
        found = page.locator("#found")
        expect(found).to_have_text("Open a photo of a table, or draw one.")
        write(page, HANDS["school"][7], left=0.2, top=0.1, height=0.3)
        expect(found).to_have_text("There is no table in the picture: found only 7.")
        expect(page.locator("#cells")).to_be_hidden()
        expect(page.locator("#take")).to_be_hidden()
        for digit, left, top in ((4, 0.9, 0.1), (2, 0.2, 0.6), (3, 0.9, 0.6)):
            write(page, HANDS["school"][digit], left=left, top=top, height=0.3)
        expect(cell(page, 2, 2)).to_have_value("3")
        assert values(page) == [["7", "4"], ["2", "3"]]
        cell(page, 2, 2).click()
        corners = outline(page) / box_of(page.locator("#ink"))["height"]
        assert (corners.min(axis=0) < [0.95, 0.65]).all()
        assert (corners.max(axis=0) > [1.1, 0.85]).all()
        page.get_by_role("button", name="Clear").click()
        expect(found).to_have_text("Open a photo of a table, or draw one.")


def test_on_a_phone_a_busy_server_is_asked_again(
    browser: Browser, address: str, photo: Path
) -> None:
    phone: ViewportSize = {"width": 320, "height": 568}
    refused: list[Route] = []

    def once(route: Route) -> None:
        if refused:
            return route.continue_()
        refused.append(route)
        return route.fulfill(status=503, json={"error": "busy"})

    with opened(
        browser, address, excused="503", viewport=phone, has_touch=True, is_mobile=True
    ) as page:
        page.route("**/api/table", once)
        page.set_input_files("#file", photo)
        page.get_by_role("tab", name="Table").tap()
        expect(page.locator("#found")).to_contain_text("in doubt")
        expect(page.locator("#table")).to_have_attribute("aria-busy", "false")
        assert refused
        cell(page, 2, 1).tap()
        expect(cell(page, 2, 1)).to_be_focused()
        assert len(outline(page)) == 4
        assert page.evaluate("document.documentElement.scrollWidth") == 320
        box = box_of(cell(page, 2, 1))
        assert min(box["width"], box["height"]) >= 44
