"""mnist-digits table, as people call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Command
from pages import Pixels, page
from PIL import Image


@pytest.fixture(scope="module")
def photo(images: Pixels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """7 2 / 1 0, without lines."""
    places = [(images[n], 80 + 170 * (n % 2), 60 + 110 * (n // 2), 60) for n in range(4)]
    path = tmp_path_factory.mktemp("tables") / "photo.png"
    Image.fromarray(page(places)).save(path)
    return path


def test_csv_and_what_is_no_table(photo: Path, tmp_path: Path, command: Command) -> None:
    blank = tmp_path / "blank.png"
    Image.new("L", (200, 200), 255).save(blank)
    out, err = command("table", blank, photo, status=1)
    assert out == "7,2\n1,0\n"
    assert f"error: {blank}: there is no table in the picture: found no digits" in err


def test_csv_in_a_file_and_a_copy(photo: Path, tmp_path: Path, command: Command) -> None:
    output, copy = tmp_path / "table.csv", tmp_path / "copy.png"
    printed = command("table", photo, "--delimiter", ";", "--output", output, "--annotate", copy)
    assert (printed.out, output.read_text()) == ("", "7;2\n1;0\n")
    with Image.open(copy) as image:
        assert image.size == (400, 300)


def test_json_and_doubtful_cells(photo: Path, command: Command) -> None:
    out, err = command("table", photo, "--json", "--total", "2", "--range", "0-5")
    told = json.loads(out)
    assert told["file"] == str(photo)
    assert told["rows"] == [["7", "2"], ["1", "0"]]
    assert [cell["value"] for cell in told["cells"]] == [7, 2, 1, 0]
    lines = err.splitlines()
    assert f"{photo}: row 1, column 1: 7 (7 is not within 0 to 5)" in lines
    assert f"{photo}: row 2, column 2: 0 (column 2 does not add up)" in lines


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("--delimiter", "ab", "must be one character"),
        ("--range", "9-0", "the lower one first"),
        ("--total", "0", "whole number from 1"),
        ("--output", "{folder}/photo.png", "one of the photos"),
        ("--output", "{folder}", "no file"),
        ("--output", "{folder}/none/table.csv", "no folder"),
    ],
)
def test_bad_flags(flag: str, value: str, says: str, photo: Path, command: Command) -> None:
    before = photo.read_bytes()
    assert says in command.refused("table", photo, flag, value.format(folder=photo.parent))
    assert photo.read_bytes() == before
