"""Numbers, and tables: rows and columns of them, however the sheet lies."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pages import Pixels, number_page, page
from PIL import Image, ImageDraw, ImageFont

from mnist_digits import Digit, Digits, Number, PictureError, Reader, Table, read_table
from mnist_digits.reading.grid import find_grid
from mnist_digits.reading.reader import _number
from mnist_digits.reading.reading_order import in_numbers, reading_order
from mnist_digits.reading.result import value_of
from mnist_digits.reading.rulings import Rulings, straightened
from mnist_digits.reading.separators import Signs, _sign, find_signs
from mnist_digits.reading.straight import lean, moved, turned, warped_boxes
from mnist_digits.reading.tables import Cell

HIGH = 40
NO_LINES = (Rulings(np.zeros((1, 1), bool), (0.0, 0.0), 1.0),) * 2
Floats = NDArray[np.floating]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7.0),
        ("-7", -7.0),
        ("007", 7.0),
        ("3,4", 3.4),
        ("0.125", 0.125),
        ("12.50", 12.5),
        ("1.234,50", 1234.5),
        ("1,234,567", 1234567.0),
        ("1'000", 1000.0),
        ("1.234", None),
        ("24.12.26", None),
        ("1.23,456", None),
    ],
)
def test_values(text: str, value: float | None) -> None:
    assert value_of(text) == value


def boxes_of(places: list[tuple[float, float]]) -> Floats:
    return np.array([[x, y, x + 24, y + HIGH] for x, y in places], float)


def test_a_wide_gap_parts_numbers_and_a_sign_joins_them() -> None:
    boxes = boxes_of([(x, 0) for x in (0, 30, 100, 130)])
    rows = reading_order(boxes)
    assert in_numbers(boxes, rows, Signs()) == [[[0, 1], [2, 3]]]
    assert in_numbers(boxes, rows, Signs({2: ","})) == [[[0, 1, 2, 3]]]
    assert in_numbers(boxes, rows, Signs({1: "-"})) == [[[0], [1], [2, 3]]]


@pytest.mark.parametrize("fall", [0, 0.1])
def test_columns_part_what_stands_close(fall: float) -> None:
    full = [(x, y) for y in (0, 80) for x in (0, 30, 100, 130)]
    places = [*full, (30, 160), (80, 160)]
    boxes = boxes_of([(x - fall * y, y + fall * x) for x, y in places])
    rows = reading_order(boxes)
    above = [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    assert in_numbers(boxes, rows, Signs()) == [*above, [[8], [9]]]
    assert in_numbers(boxes, rows, Signs({9: ","})) == [*above, [[8, 9]]]
    assert in_numbers(boxes[8:], [[0, 1]], Signs()) == [[[0, 1]]]


@given(gap=st.floats(0, 70), count=st.integers(2, 9))
def test_even_gaps_part_nothing(gap: float, count: int) -> None:
    boxes = boxes_of([(n * (24 + gap), 0) for n in range(count)])
    assert in_numbers(boxes, [list(range(count))], Signs()) == [[list(range(count))]]


@given(
    rows=st.integers(3, 9),
    columns=st.integers(2, 6),
    ruled=st.booleans(),
    tilt=st.floats(-0.05, 0.05),
    aside=st.floats(-0.0002, 0.0002),
    seed=st.integers(0, 10_000),
)
def test_numbers_on_a_grid_come_back(
    rows: int, columns: int, ruled: bool, tilt: float, aside: float, seed: int
) -> None:
    """Numbers of two digits; about a fifth of the cells is empty if lines rule them."""
    random = np.random.default_rng(seed)
    wide, lead = 130, 80
    full = random.random((rows, columns)) < (0.8 if ruled else 1)
    full[0] = full[:, 0] = full[-1] = full[:, -1] = True
    row, column = np.repeat(np.argwhere(full), 2, axis=0).T
    x = 35 + column * wide + 30 * (np.arange(len(row)) % 2) + random.uniform(-3, 3, len(row))
    y = 20 + row * lead + random.uniform(-3, 3, len(row))
    boxes: Floats = np.stack([x, y, x + 24, y + HIGH], axis=1)
    page = np.full((rows * lead + 40, columns * wide + 40), 230, np.uint8)
    for n in range(columns + 1) if ruled else ():
        cv2.line(page, (20 + n * wide, 20), (20 + n * wide, 20 + rows * lead), 120, 2)
    for n in range(rows + 1) if ruled else ():
        cv2.line(page, (20, 20 + n * lead), (20 + columns * wide, 20 + n * lead), 90, 2)
    camera = np.array([[1, -tilt, 80], [tilt, 1, 90], [aside, aside / 2, 1]])
    photo = cv2.warpPerspective(page, camera, (1200, 1200), borderValue=80)
    boxes = moved(boxes.reshape(-1, 2) + 20, camera).reshape(-1, 4)
    matrix, rulings = straightened(photo, boxes)
    boxes = warped_boxes(boxes, matrix)
    number = np.arange(len(boxes)) // 2
    found = find_grid(boxes, number, np.ones(len(number), bool), rulings)
    assert (len(found.rows) - 1, len(found.columns) - 1) == (rows, columns)
    assert (found.places(boxes) == [row, column]).all()


def test_an_empty_box_of_a_comb_keeps_its_place_and_a_strip_is_no_row() -> None:
    page = np.full((400, 400), 230, np.uint8)
    for x in range(100, 261, 32):  # boxes that are narrower than digits are high
        cv2.line(page, (x, 100), (x, 260), 100, 2)
    for y in (100, 160, 200, 260):  # between the rows of boxes there is as much as a digit is high
        cv2.line(page, (100, y), (260, y), 100, 2)
    boxes = boxes_of([(104.0 + 32 * n, y) for y in (110, 210) for n in (0, 1, 3, 4)])
    matrix, rulings = straightened(page, boxes)
    boxes = warped_boxes(boxes, matrix)
    grid = find_grid(boxes, np.arange(len(boxes)), np.ones(len(boxes), bool), rulings)
    assert (len(grid.rows) - 1, len(grid.columns) - 1) == (2, 5)


@pytest.mark.parametrize("shape", [(1, 1), (3, 9000), (9000, 2)])
def test_a_strip_has_no_lean(shape: tuple[int, int]) -> None:
    assert lean(np.zeros((*shape, 3), np.uint8)) == 0


def test_the_texture_of_a_table_top_has_hardly_a_line() -> None:
    grain = np.random.default_rng(0).normal(120, 60, (900, 900)).clip(0, 255)
    grain[300:600, 300:600] = 230
    boxes = boxes_of([(x, y) for x in (340, 440, 540) for y in (340, 440, 540)])
    _, rulings = straightened(cv2.blur(grain, (3, 3)).astype(np.uint8), boxes)
    assert max(lines.seen.mean() for lines in rulings) < 0.005


def test_lines_far_from_few_digits_take_no_memory() -> None:
    page = np.full((1600, 1600), 230, np.uint8)
    page[::40] = page[:, ::40] = 90
    boxes = boxes_of([(x, y) for x in (800, 900) for y in (800, 860)])
    matrix, _ = straightened(page, boxes)
    assert np.abs(moved(boxes[:, :2], matrix) - boxes[:, :2]).max() < 900


@given(degrees=st.floats(-44, 44), size=st.integers(400, 1700))
def test_the_lean_of_a_sheet(degrees: float, size: int) -> None:
    sheet = np.full((size, size * 3 // 4, 3), 230, np.uint8)
    for n in range(3):
        sheet[n :: size // 8] = sheet[:, n :: size // 5] = 90
    page, matrix = turned(sheet, degrees)
    assert lean(page) == pytest.approx(-degrees, abs=1)
    corners = np.array([[0, 0], [sheet.shape[1] - 1, 0], [0, size - 1]])
    x, y = moved(corners, matrix).T
    assert min(x.min(), y.min()) >= -1
    assert (x.max() <= page.shape[1], y.max() <= page.shape[0]) == (True, True)
    assert max(page.shape) <= max(1600, size)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load(threads=1)


@pytest.fixture(scope="module")
def sheet(images: Pixels) -> Pixels:
    """17 2 / empty 9 / 4 10, ruled."""
    # The first test digits are 7 2 1 0 4 1 4 9.
    written = [("1", 0, 0), ("7", 45, 0), ("2", 160, 0), ("9", 160, 90)]
    written += [("4", 0, 180), ("1", 160, 180), ("0", 205, 180)]
    pixels = page(
        [(images["72104149".rindex(d)], 60 + x, 45 + y, 50) for d, x, y in written], (360, 400)
    )
    for n in range(4):
        cv2.line(pixels, (40, 25 + 90 * n), (360, 25 + 90 * n), (90, 90, 90), 2)
    for n in range(3):
        cv2.line(pixels, (40 + 160 * n, 25), (40 + 160 * n, 295), (90, 90, 90), 2)
    return pixels


@pytest.mark.parametrize("degrees", [0, 4, 30, 90])
def test_a_ruled_table_at_any_angle(degrees: float, sheet: Pixels, reader: Reader) -> None:
    turn = cv2.getRotationMatrix2D((200, 180), degrees, 1)
    turn[:, 2] += 80
    photo = cv2.warpAffine(sheet, turn, (560, 520), borderValue=(250, 250, 245))
    table = read_table(reader, photo)
    assert table.texts == [["17", "2"], ["", "9"], ["4", "10"]]
    assert table.csv(";") == "17;2\n;9\n4;10\n"
    for cell in table.cells:
        if cell.number:
            x0, y0, x1, y1 = cell.number.box
            middle = ((x0 + x1) / 2, (y0 + y1) / 2)
            assert cv2.pointPolygonTest(cell.corners.astype(np.float32), middle, False) > 0
    told = table.to_dict()
    assert told["rows"] == table.texts
    first = {"row": 0, "column": 0, "text": "17", "value": 17.0}
    assert first.items() <= told["cells"][0].items()


@pytest.mark.parametrize(
    ("boxes", "columns"),
    [
        ([(0, 0), (30, 0), (0, 80), (30, 80)], 1),
        ([(0, 0), (60, 0), (0, 80), (60, 80)], 2),  # two rows tell
        ([(0, 0), (60, 0), (0, 80)], 1),  # one row alone
        ([(0, 0), (80, 0), (0, 80)], 2),  # a wide gap
    ],
)
def test_columns_without_lines(boxes: list[tuple[float, float]], columns: int) -> None:
    known = np.ones(len(boxes), bool)
    grid = find_grid(boxes_of(boxes), np.arange(len(boxes)), known, NO_LINES)
    assert len(grid.columns) - 1 == columns
    assert grid.sure == (boxes[1] != (60, 0) or len(boxes) > 3)
    assert not find_grid(boxes_of(boxes), np.arange(len(boxes)), ~known, NO_LINES).sure


@pytest.mark.parametrize(
    ("former", "speck", "sign"),
    [
        (None, (-24, 17, -6, 22), "-"),
        (None, (-74, 17, -56, 22), ""),  # too far to be written
        (None, (-24, 0, -6, 5), ""),  # at the top
        (None, (-8, 16, -3, 24), ""),  # upright
        (-40, (-10, 36, -5, 41), "."),
        (-40, (-10, 33, -5, 46), ","),
        (-40, (-10, -2, -6, 6), "'"),
        (-40, (-10, 18, -5, 23), ""),  # at half height
        (-40, (-12, 12, -6, 42), ""),  # as high as a digit
        (-40, (-14, 18, -2, 22), " "),  # a dash in the middle
    ],
)
def test_what_a_speck_before_a_digit_may_be(
    former: float | None, speck: tuple[float, ...], sign: str
) -> None:
    digit = np.array([0, 0, 24, HIGH], np.float32)
    before = None if former is None else digit + np.array([former, 0, former, 0], np.float32)
    assert _sign(np.array(speck, np.float32), before, digit)[0] == sign


@pytest.mark.parametrize(
    ("text", "ends"),
    [("0", (-0.5, 0.1)), ("7", (-1.7, -1.2)), ("5 3", (-0.1, 0.9)), ("5 3", (0.35, 1.05))],
)
def test_a_dash_that_touches_a_digit_or_is_far_before_one_leaves_doubt(
    reader: Reader, text: str, ends: tuple[float, float]
) -> None:
    plain = number_page(text, 1)
    (number,) = reader.read(plain).numbers
    assert number.sure
    dashed = np.pad(plain, ((0, 0), (90, 0), (0, 0)), "edge")
    x0, y0, x1, y1 = number.digits[0].box
    start, height = x1 if " " in text else x0, y1 - y0
    left, right = (round(90 + start + share * height) for share in ends)
    cv2.line(dashed, (left, 142), (right, 142), (20, 20, 60), 6, cv2.LINE_AA)
    told = reader.read(dashed)
    assert [digit.digit for digit in told.digits] == [digit.digit for digit in number.digits]
    assert not all(one.signs_sure for one in told.numbers)


def test_a_point_fainter_than_the_digits_leaves_doubt(reader: Reader) -> None:
    pixels = number_page("3.4", 1)
    assert reader.read(pixels).text == "3.4"
    point = pixels[166:186, 126:146]
    point[:] = (0.45 * point + 0.55 * pixels[10, 10]).astype(np.uint8)
    (number,) = reader.read(pixels).numbers
    assert (number.text, number.signs_sure) == ("34", False)


def test_at_the_edge_of_a_picture_there_is_no_room_for_a_sign(
    sheet: Pixels, reader: Reader
) -> None:
    seen, _ = reader.detector.detect(sheet)
    narrow = replace(seen, boxes=seen.boxes * 0 + np.array([0, 50, 4, 90], np.float32))
    assert find_signs(reader.detector, sheet, narrow, [[0]]) == Signs()


def test_a_digit_on_a_line_leaves_doubt_and_the_line_stays(images: Pixels, reader: Reader) -> None:
    places = [(65 + 100 * (n % 4), 45 + 80 * (n // 4)) for n in range(15)] + [(327, 285)]
    pixels = page([(images[n % 8], x, y, 50) for n, (x, y) in enumerate(places)], (400, 480))
    for n in range(5):
        cv2.line(pixels, (40, 30 + 80 * n), (440, 30 + 80 * n), (90, 90, 90), 2)
        cv2.line(pixels, (40 + 100 * n, 30), (40 + 100 * n, 350), (90, 90, 90), 2)
    table = read_table(reader, pixels)
    assert table.shape == (4, 4)
    assert [cell.why for cell in table.cells[-4:]] == ["", "", "", "a digit lies on a line"]


def test_two_tables_are_one_with_nothing_made_up(
    images: Pixels, test_set: Digits, reader: Reader
) -> None:
    one = [(images[n], 40 + 110 * (n % 2), 30 + 80 * (n // 2), 45) for n in range(6)]
    other = [(images[n], 400 + 150 * (n % 2), 50 + 110 * (n // 2), 60) for n in range(4)]
    table = read_table(reader, page(one + other, size=(300, 640)))
    written = test_set.labels[[*range(6), *range(4)]].tolist()
    assert sorted("".join(map("".join, table.texts))) == sorted(map(str, written))


@pytest.mark.parametrize(
    ("digits", "says"),
    [
        (0, "no table in the picture: found no digits"),
        (1, "no table in the picture: found only 7"),
        (4, "more than 3 cells: photograph parts"),
    ],
)
def test_what_is_no_table_says_what_was_found(
    digits: int, says: str, reader: Reader, images: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_digits.reading.tables.MAX_CELLS", 3)
    places = [(images[0], 60 + 150 * (n % 2), 60 + 110 * (n // 2), 60) for n in range(digits)]
    with pytest.raises(PictureError, match=says):
        read_table(reader, page(places))


def test_a_page_of_text_is_no_table(reader: Reader) -> None:
    text = Image.new("RGB", (500, 200), "white")
    draw = ImageDraw.Draw(text)
    draw.font = ImageFont.load_default(28)
    for line in range(4):
        draw.text((20, 15 + 42 * line), "It was the best of times, it was", fill="black")
    with pytest.raises(PictureError, match=r"no table.*(only|no digits|are sure)"):
        read_table(reader, text)


def digits_of(text: str) -> list[Digit]:
    frame, probabilities = np.zeros((28, 28), np.uint8), np.full(10, 0.1, np.float32)
    return [Digit(int(d), 0.99, probabilities, (0, 0, 9, 9), frame, True) for d in text]


@pytest.mark.parametrize(
    ("text", "sure"), [("1'000", True), ("1'000.5", True), ("66'5", False), ("1'2345", False)]
)
def test_an_apostrophe_stands_before_thousands(text: str, sure: bool) -> None:
    parts = re.findall(r"([.']?)(\d)", text)
    signs = Signs({n: sign for n, (sign, _) in enumerate(parts) if sign})
    digits = digits_of("".join(digit for _, digit in parts))
    number = _number(digits, signs, list(range(len(digits))))
    assert (number.text, number.sure) == (text, sure)


def cell(row: int, column: int, text: str) -> Cell:
    digits = digits_of(text)
    number = Number(digits, [""] * len(digits)) if digits else None
    return Cell(row, column, number, np.zeros((4, 2)))


def test_what_contradicts_is_in_doubt() -> None:
    texts = [["3", "40"], ["4", ""], ["7", "140"]]
    table = Table([cell(r, c, text) for r, row in enumerate(texts) for c, text in enumerate(row)])
    assert not table.doubtful
    assert not table.checked(totals=[0], within=(0, 140)).doubtful
    # A sum may be beyond what a cell may be.
    beside = table.checked(totals=[0], within=(0, 6)).doubtful
    assert [(one.row, one.column) for one in beside] == [(0, 1), (2, 1)]
    beyond = table.checked(within=(0, 100)).doubtful
    assert [(one.row, one.column, one.why) for one in beyond] == [
        (2, 1, "140 is not within 0 to 100")
    ]
    off = table.checked(totals=[1]).doubtful
    assert {(one.row, one.column) for one in off} == {(0, 1), (2, 1)}
    left_out = replace(table, left_out=["41"]).checked(within=(0, 50))
    assert left_out.remarks == [
        "row 3, column 2: 140 (140 is not within 0 to 50)",
        "left out as letters: 41",
    ]
    with pytest.raises(PictureError, match="2 columns, not 3"):
        table.checked(totals=[2])
