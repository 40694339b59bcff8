"""mnist-digits predict, and evaluate --pictures, as people call them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import COMMAND, Command
from pages import Pixels, page
from PIL import Image
from test_picture import encoded, odd
from wanted import wanted

from mnist_digits import Reader
from mnist_digits.reading.annotation import annotated


@pytest.fixture(scope="module")
def pictures(images: Pixels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder: 7.png and 21.png (two digits), one.gif in a folder, a text, a broken file."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "more").mkdir()
    for name, places in {
        "7.png": [(images[0], 150, 80, 120)],
        "21.png": [(images[1], 60, 80, 120), (images[2], 260, 80, 120)],
        "more/one.gif": [(images[2], 150, 80, 120)],
    }.items():
        Image.fromarray(page(places)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


@pytest.fixture(scope="module")
def seven(pictures: Path) -> Path:
    return pictures / "7.png"


@pytest.fixture(scope="module")
def scan(images: Pixels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TIFF of three pages, 7, 2 and 1, of which the second has too many pixels."""
    sheets = [Image.fromarray(page([(image, 150, 80, 120)])) for image in images[:3]]
    sheets[1] = Image.new("L", (8_000, 8_000))
    file = tmp_path_factory.mktemp("scan") / "scan.tif"
    sheets[0].save(file, save_all=True, append_images=sheets[1:], compression="tiff_adobe_deflate")
    return file


def test_a_line_a_page_and_a_picture(
    pictures: Path, seven: Path, scan: Path, command: Command
) -> None:
    """Those that cannot be read are told of, and the others are read."""
    missing, two = pictures / "none.png", pictures / "21.png"
    printed = command("predict", scan, missing, seven, two, status=1)
    first, third, other, last = printed.out.splitlines()
    assert first.startswith(f"{scan}, page 1: 7  (sure, ")
    assert third.startswith(f"{scan}, page 3: 1  (")
    assert other.startswith(f"{seven}: 7  (sure, ")
    assert last.startswith(f"{two}: 21  (")
    damaged, absent = printed.err.splitlines()
    error = f"mnist-digits predict: error: {scan}, page 2, has 8000 × 8000 pixels, more than "
    assert damaged.startswith(f"{error}50,000,000: make it smaller, or save it as a baseline")
    assert absent == f"mnist-digits predict: error: there is no file {missing}"
    wanted("1  (sure, " in third and "21  (sure, " in last)


def test_an_object_a_page(pictures: Path, scan: Path, command: Command) -> None:
    files = [pictures / "more", pictures / "21.png", scan]
    printed = command("predict", "--json", "--single", *files, status=1).out
    one, two, *pages = map(json.loads, printed.splitlines())
    assert len(two["text"]) == 1  # as it is told, though there are two
    assert (one["file"], one["text"]) == (str(pictures / "more" / "one.gif"), "1")
    assert "page" not in one
    assert [list(page)[:2] for page in pages] == [["file", "page"]] * 3
    assert [page["page"] for page in pages] == [1, 2, 3]
    assert [page.get("text") for page in pages] == ["7", None, "1"]
    assert set(pages[1]) == {"file", "page", "error"}


@pytest.mark.parametrize("warnings", [[], ["-W", "error"]])
def test_an_odd_picture_from_standard_input_is_read_without_a_word(
    warnings: list[str], seven: Path
) -> None:
    words = [sys.executable, *warnings, *COMMAND[1:], "predict", "-", "--single"]
    with Image.open(seven) as image:
        content = odd(image, "TIFF")
    done = subprocess.run(words, input=content, capture_output=True)
    assert (done.stdout[:10], done.stderr) == (b"-: 7  (sur", b"")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes its input")
@pytest.mark.parametrize(
    ("end", "says"),
    [("<&-", "standard input is closed"), ("0>/dev/null", "cannot read standard input")],
)
def test_standard_input_that_cannot_be_read(end: str, says: str) -> None:
    line = f"{sys.executable} -m mnist_digits predict - {end}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"mnist-digits predict: error: {says}")
    assert done.stderr.count("\n") == 1


def test_annotated_copies(
    pictures: Path, seven: Path, images: Pixels, tmp_path: Path, command: Command
) -> None:
    one, several = tmp_path / "copy.png", tmp_path / "copies"
    command("predict", seven, "--annotate", one)
    with Image.open(one) as copy, Image.open(seven) as plain:
        changed = np.asarray(copy.convert("RGB")).astype(int) - np.asarray(plain.convert("RGB"))
    ys, xs = np.nonzero(np.abs(changed).max(axis=2) > 50)
    # The box is around the digit.
    assert 135 <= xs.min() <= 150
    assert ys.max() >= 195
    command("predict", pictures, "--annotate", several, status=1)
    assert {path.name for path in several.iterdir()} == {"7.png", "21.png", "one.png"}
    assert "cannot write" in command("predict", seven, "--annotate", "/proc/x/y.png", status=2).err
    assert "name a folder" in command.refused("predict", pictures, "--annotate", tmp_path / "a.png")
    # It is a PNG; but what is a folder is one, whatever its name.
    folder = tmp_path / "copy.jpg"
    assert "a copy is a PNG: name " in command.refused("predict", seven, "--annotate", folder)
    folder.mkdir()
    command("predict", seven, "--annotate", folder)
    assert (folder / "7.png").is_file()
    # Legible on tiny pictures, too.
    content = encoded(Image.fromarray(images[0]), "PNG")
    assert min(annotated(content, Reader.load().read_digit(images[0])).size) >= 280


def test_each_copy_has_a_name_of_its_own(seven: Path, tmp_path: Path, command: Command) -> None:
    for name in ("a/scan.png", "b/scan.png", "b/SCAN.png", "c/scan-2.png"):
        file = tmp_path / "in" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(seven, file)
    command("predict", tmp_path / "in", "--annotate", tmp_path / "out")
    names = sorted(path.name.lower() for path in (tmp_path / "out").iterdir())
    assert names == ["scan-2-2.png", "scan-2.png", "scan-3.png", "scan.png"]


def test_no_copy_replaces_a_picture_that_is_read(
    seven: Path, tmp_path: Path, command: Command
) -> None:
    files = [tmp_path / name for name in ("7.png", "other.png")]
    for file in files:
        shutil.copy(seven, file)
    (tmp_path / "link").symlink_to(tmp_path)
    for read, copies in ((files, tmp_path), (files[:1], tmp_path / "link" / "7.png")):
        error = command.refused("predict", *read, "--annotate", copies)
        assert "the copy would replace the picture" in error
    assert {file.read_bytes() for file in files} == {seven.read_bytes()}


def test_each_page_has_a_copy(seven: Path, scan: Path, tmp_path: Path, command: Command) -> None:
    third, out = tmp_path / "scan-page-3.png", tmp_path / "out"
    shutil.copy(seven, third)
    for _ in range(2):  # older copies are replaced
        command("predict", scan, third, "--annotate", out, status=1)
        names = {path.name for path in out.iterdir()}
        assert names == {"scan-page-1.png", "scan-page-3.png", "scan-page-3-2.png"}
    # Beside a copy that is named no file is replaced, and in a folder no picture that is read.
    (tmp_path / "copy-page-1.png").write_bytes(b"mine")
    command("predict", scan, "--annotate", tmp_path / "copy.png", status=1)
    assert (tmp_path / "copy-page-1.png").read_bytes() == b"mine"
    copies = {path.name for path in tmp_path.glob("copy*")}
    assert copies == {"copy-page-1.png", "copy-page-1-2.png", "copy-page-3.png"}
    command("predict", scan, third, "--annotate", tmp_path, status=2)
    assert third.read_bytes() == seven.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="has no such names")
def test_names_do_what_a_terminal_would_not_show(
    seven: Path, tmp_path: Path, command: Command
) -> None:
    for name in ("sieben ü七\u202f.png", "1\n2\x1b[2J\x85\u2028\u202e.png"):
        shutil.copy(seven, tmp_path / name)
    (tmp_path / "3\n4\x1b]0;x\x07.png").write_bytes(b"seven")
    printed = command("predict", tmp_path, status=1)
    escaped, plain = (line.partition(": 7 ")[0] for line in printed.out.split("\n")[:-1])
    assert escaped == rf"{tmp_path}/1\n2\x1b[2J\x85\u2028\u202e.png"
    assert plain == f"{tmp_path}/sieben ü七\u202f.png"
    assert printed.err.startswith(rf"mnist-digits predict: error: {tmp_path}/3\n4\x1b]0;x\x07.png")
    assert printed.err.count("\n") == 1
    error = command.refused("evaluate", "--pictures", "a\n\x1b[2J")
    assert error.endswith("there is no folder a\\n\\x1b[2J\n")
    assert "\x1b" not in command.refused("predict", "7.png", "--\x1b[2J")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["predict", ""], "the name is empty: name a file"),
        (["predict", "https://example.org/7.png"], "is an address: save it, and name the file"),
        (["evaluate", "--pictures", ""], "the name is empty"),
        (["teach", ""], "the name is empty"),
        (["scenes", "--output", ""], "the name is empty"),
        (["app", "--teach", ""], "the name is empty"),
        (["read", "pictures", "--out", ""], "the name is empty"),
        (["show", ""], "the name is empty"),
        (["app", "--allowed-host", "https://example.org/"], "is no host's name, such as"),
        (["app", "--allowed-host", ""], "is no host's name, such as"),
        (["train", "--data", ""], "the name is empty"),
        (["evaluate"], "name the folder of a run, or give --pictures"),
        # Which no system has.
        (["predict", "7.png", "--model", "x" * 300], f"no {'x' * 300}: `mnist-digits export RUN`"),
        (["evaluate", "--pictures", "x" * 300], f"there is no folder {'x' * 300}"),
    ],
)
def test_invalid_file_names_are_reported(arguments: list[str], says: str, command: Command) -> None:
    assert says in command.refused(*arguments)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(5, "Input/output error", "/disk/7.png"), "cannot use /disk/7.png: Input/output"),
        (OSError(24, "Too many open files"), "the system refuses: Too many open files"),
        (BrokenPipeError(32, "x"), "the system refuses: x"),
    ],
)
def test_what_fails_is_not_taken_for_the_output(
    error: OSError, says: str, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("mnist_digits.reading.folders.find_pictures", fails)
    assert command.refused("predict", "/disk").startswith(f"mnist-digits predict: error: {says}")


Labelled = Callable[[str], Path]


@pytest.fixture
def labelled(pictures: Path, tmp_path: Path) -> Labelled:
    """7.png and 21.png in a folder with a labels.csv."""

    def make(rows: str) -> Path:
        for name in ("7.png", "21.png"):
            shutil.copy(pictures / name, tmp_path)
        (tmp_path / "labels.csv").write_text(rows)
        return tmp_path

    return make


def test_labelled_pictures_by_table(labelled: Labelled, command: Command) -> None:
    # No system has names of so many letters; escapes would change the terminal; signs do not count.
    rows = "file,label,kind\n21.png,2.1,scan\n7.png,1,a\x1b[31m\nnone.png,1,a\x1b[31m\n"
    folder = labelled(rows + f"{'x' * 300}.png,$_$,a\x1b[31m\n")
    flags = ["evaluate", "--pictures", folder, "--output", folder]
    found = json.loads(command(*flags, "--json", "--no-figures", status=1).out)
    assert (found["pictures"], found["right"], found["unreadable"]) == (4, 1, 2)
    assert found["kinds"]["scan"]["accuracy"] == 1
    assert found["kinds"]["a\x1b[31m"]["sure_but_wrong"] == 1
    wrong, missing, unknown = found["mistakes"]
    assert wrong["file"] == str(folder / "7.png")
    assert (wrong["label"], wrong["text"], wrong["sure"]) == ("1", "7", True)
    none = folder / "none.png"
    assert missing == {"file": str(none), "label": "1", "error": f"there is no file {none}"}
    assert "File name too long" in unknown["error"]
    table = command(*flags, status=1).out
    for part in (
        *("25.00%", "2 of them could not be opened", f"\nthere is no file {none}\n"),
        *(f"\n{folder / '7.png'}: 7  (sure, ", "); the label is 1\n", "\na\\x1b[31m "),
    ):
        assert part in table
    assert (folder / "picture_mistakes.png").stat().st_size > 5000


@pytest.mark.parametrize(
    "rows",
    [
        "file;label;kind\r\n7.png;7;scan\r\n;;\r\n",
        "\ufefflabel\tfile\n7\t7.png\n\t\n",
        'file;label;"a, or b, or c"\n7.png;7;\n',
        "file,label\n7.png,7\n,,,\n",
    ],
)
def test_tables_of_other_spreadsheets(rows: str, labelled: Labelled, command: Command) -> None:
    folder = labelled(rows)
    found = json.loads(command("evaluate", "--pictures", folder, "--json").out)
    assert (found["pictures"], found["right"], found["mistakes"]) == (1, 1, [])
    (folder / "labels.csv").write_text(rows, encoding="utf-16")
    error = command.refused("evaluate", "--pictures", folder)
    assert "labels.csv is not in UTF-8: save it as CSV in UTF-8" in error


def test_some_mistakes_are_named(labelled: Labelled, command: Command) -> None:
    """Those first that could not be opened."""
    folder = labelled("file,label\n7.png,1\n" + "".join(f"{n}none.png,1\n" for n in range(31)))
    table = command("evaluate", "--pictures", folder, "--no-figures", status=1).out
    assert table.count("there is no file") == 30
    assert table.endswith("\nand 2 more: --json names all\n")


def test_labelled_pictures_by_folder(seven: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "7").mkdir()
    shutil.copy(seven, tmp_path / "7" / "a.png")
    printed = command("evaluate", "--pictures", tmp_path, "--single", "--json").out
    assert json.loads(printed)["accuracy"] == 1


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("name,digit\n7.png,7\n", "must have the columns file and label"),
        ("", "has no labelled pictures"),
        ("file,label\n7.png,7\n,2\n", "labels.csv has a row with a label and no file"),
    ],
)
def test_invalid_labels_are_refused(
    rows: str, says: str, labelled: Labelled, command: Command
) -> None:
    assert says in command.refused("evaluate", "--pictures", labelled(rows))
