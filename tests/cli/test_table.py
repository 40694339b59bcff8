"""mnist-digits table, as people call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pages import page
from PIL import Image

from mnist_digits import Digits
from mnist_digits.cli.main import main


@pytest.fixture(scope="module")
def photo(mnist: tuple[Digits, Digits], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """7 2 / 1 0, without lines."""
    images = mnist[1].images[:, 0].numpy()
    places = [(images[n], 80 + 170 * (n % 2), 60 + 110 * (n // 2), 60) for n in range(4)]
    path = tmp_path_factory.mktemp("tables") / "photo.png"
    Image.fromarray(page(places)).save(path)
    return path


def test_csv_json_and_a_copy(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", str(photo)]) == 0
    assert capsys.readouterr().out == "7,2\n1,0\n"
    output, copy = photo.parent / "table.csv", photo.parent / "copy.png"
    files = ["--output", str(output), "--annotate", str(copy)]
    assert main(["table", str(photo), "--delimiter", ";", *files]) == 0
    assert (capsys.readouterr().out, output.read_text()) == ("", "7;2\n1;0\n")
    with Image.open(copy) as image:
        assert image.size == (400, 300)
    assert main(["table", str(photo), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(photo)
    assert told["rows"] == [["7", "2"], ["1", "0"]]
    assert [cell["value"] for cell in told["cells"]] == [7, 2, 1, 0]


def test_doubtful_cells_are_listed(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", str(photo), "--total", "2", "--range", "0-5"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert f"{photo}: row 1, column 1: 7 (7 is not within 0 to 5)" in lines
    assert f"{photo}: row 2, column 2: 0 (column 2 does not add up)" in lines


def test_no_table_is_told_and_the_others_are_read(
    photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blank = photo.parent / "blank.png"
    Image.new("L", (200, 200), 255).save(blank)
    assert main(["table", str(blank), str(photo)]) == 1
    out, err = capsys.readouterr()
    assert out == "7,2\n1,0\n"
    assert f"error: {blank}: there is no table in the picture: found no digits" in err


@pytest.mark.parametrize("flags", [["--delimiter", "ab"], ["--range", "9-0"], ["--total", "0"]])
def test_bad_flags(flags: list[str], photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["table", str(photo), *flags])
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("place", "says"),
    [("photo.png", "one of the photos"), (".", "no file"), ("none/table.csv", "no folder")],
)
def test_an_output_that_would_lose_something_is_refused(
    place: str, says: str, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = photo.read_bytes()
    assert main(["table", str(photo), "--output", str(photo.parent / place)]) == 2
    assert says in capsys.readouterr().err
    assert photo.read_bytes() == before
