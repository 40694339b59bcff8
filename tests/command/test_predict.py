"""mnist-digits predict, and evaluate --pictures, as people call them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pages import page
from PIL import Image
from test_picture import odd
from wanted import wanted

from mnist_digits import Digits
from mnist_digits.command.cli import main


@pytest.fixture(scope="module")
def pictures(mnist: tuple[Digits, Digits], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder: 7.png and 21.png (two digits), one.gif in a folder, a text, a broken file."""
    images = mnist[1].images[:, 0].numpy()
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


def test_a_line_a_picture(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(pictures / "7.png"), str(pictures / "21.png")]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{pictures / '7.png'}: 7  (sure, ")
    assert second.startswith(f"{pictures / '21.png'}: 21  (")
    wanted(second.startswith(f"{pictures / '21.png'}: 21  (sure, "))


def test_json_and_a_picture_that_cannot_be_read(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "--json", str(pictures)]) == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [Path(line["file"]).name for line in found]
    assert names == ["21.png", "7.png", "broken.jpg", "one.gif"]
    assert [line.get("text") for line in found] == ["21", "7", None, "1"]
    assert "damaged" in found[2]["error"] or "not a picture" in found[2]["error"]
    assert set(found[2]) == {"file", "error"}


def test_the_others_are_still_read(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = pictures / "none.png"
    assert main(["predict", str(missing), str(pictures / "7.png")]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{pictures / '7.png'}: 7")
    assert captured.err == f"mnist-digits predict: error: there is no file {missing}\n"


@pytest.fixture(scope="module")
def scan(mnist: tuple[Digits, Digits], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TIFF of three pages, 7, 2 and 1, of which the second has too many pixels."""
    images = mnist[1].images[:3, 0].numpy()
    sheets = [Image.fromarray(page([(image, 150, 80, 120)])) for image in images]
    sheets[1] = Image.new("L", (8_000, 8_000))
    file = tmp_path_factory.mktemp("scan") / "scan.tif"
    sheets[0].save(file, save_all=True, append_images=sheets[1:], compression="tiff_adobe_deflate")
    return file


def test_a_line_a_page(pictures: Path, scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(scan), str(pictures / "7.png")]) == 1
    captured = capsys.readouterr()
    first, third, other = captured.out.splitlines()
    assert first.startswith(f"{scan}, page 1: 7  (sure, ")
    assert third.startswith(f"{scan}, page 3: 1  (")
    assert other.startswith(f"{pictures / '7.png'}: 7  (sure, ")
    error = f"mnist-digits predict: error: {scan}, page 2, has 8000 × 8000 pixels, more than "
    assert captured.err.startswith(f"{error}50,000,000: make it smaller, or save it as a baseline")
    wanted(third.startswith(f"{scan}, page 3: 1  (sure, "))


def test_an_object_a_page(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--json", "--single", str(scan)]) == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [list(line)[:2] for line in found] == [["file", "page"]] * 3
    assert [line["page"] for line in found] == [1, 2, 3]
    assert [line.get("text") for line in found] == ["7", None, "1"]
    assert set(found[1]) == {"file", "page", "error"}


def test_a_pdf_of_one_page_and_of_several(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pypdfium2")
    with Image.open(pictures / "7.png") as seven, Image.open(pictures / "21.png") as more:
        seven.save(tmp_path / "one.pdf")
        seven.save(tmp_path / "two.pdf", save_all=True, append_images=[more])
    assert main(["predict", str(tmp_path)]) == 0
    lines = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    two = tmp_path / "two.pdf"
    assert lines == [f"{tmp_path / 'one.pdf'}: 7", f"{two}, page 1: 7", f"{two}, page 2: 21"]
    command = [sys.executable, "-m", "mnist_digits", "predict", "-"]
    done = subprocess.run(command, input=two.read_bytes(), capture_output=True, check=True)
    assert [line[:12] for line in done.stdout.splitlines()] == [b"-, page 1: 7", b"-, page 2: 2"]


def test_standard_input_and_one_digit(pictures: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "mnist_digits", "predict", "-", "--single"]
    content = (pictures / "7.png").read_bytes()
    done = subprocess.run(command, input=content, capture_output=True, check=True)
    assert done.stdout.startswith(b"-: 7  (sure")
    assert done.stderr == b""


def test_a_folder_without_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(tmp_path)]) == 2
    assert "there are no pictures in the folder" in capsys.readouterr().err


def test_annotated_copies(pictures: Path, tmp_path: Path) -> None:
    one = tmp_path / "copy.png"
    assert main(["predict", str(pictures / "7.png"), "--annotate", str(one)]) == 0
    with Image.open(one) as copy, Image.open(pictures / "7.png") as plain:
        changed = np.asarray(copy.convert("RGB")).astype(int) - np.asarray(plain.convert("RGB"))
    ys, xs = np.nonzero(np.abs(changed).max(axis=2) > 50)
    # The box is around the digit.
    assert 135 <= xs.min() <= 150
    assert ys.max() >= 195
    several = tmp_path / "copies"
    assert main(["predict", str(pictures), "--annotate", str(several)]) == 1
    assert {path.name for path in several.iterdir()} == {"7.png", "21.png", "one.png"}


def test_each_copy_has_a_name_of_its_own(pictures: Path, tmp_path: Path) -> None:
    seven = (pictures / "7.png").read_bytes()
    for name in ("a/scan.png", "b/scan.png", "b/SCAN.png", "c/scan-2.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(seven)
    out = tmp_path / "out"
    assert main(["predict", str(tmp_path / "in"), "--annotate", str(out)]) == 0
    names = sorted(path.name.lower() for path in out.iterdir())
    assert names == ["scan-2-2.png", "scan-2.png", "scan-3.png", "scan.png"]


def test_no_copy_replaces_a_picture_that_is_read(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {name: (pictures / name).read_bytes() for name in ("7.png", "21.png")}
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link").symlink_to(tmp_path)
    for arguments in (
        [str(tmp_path / "7.png"), str(tmp_path / "21.png"), "--annotate", str(tmp_path)],
        [str(tmp_path / "7.png"), "--annotate", str(tmp_path / "link" / "7.png")],
    ):
        assert main(["predict", *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "the copy would replace the picture" in captured.err
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_copy_is_a_png(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.jpg"
    assert main(["predict", str(pictures / "7.png"), "--annotate", str(copy)]) == 2
    assert "a copy is a PNG: name " in capsys.readouterr().err
    assert not copy.exists()
    # What is a folder is one, whatever its name.
    copy.mkdir()
    assert main(["predict", str(pictures / "7.png"), "--annotate", str(copy)]) == 0
    assert (copy / "7.png").is_file()


def test_each_page_has_a_copy(pictures: Path, scan: Path, tmp_path: Path) -> None:
    seven = (pictures / "7.png").read_bytes()
    (tmp_path / "scan-page-3.png").write_bytes(seven)
    out = tmp_path / "out"
    files = [str(scan), str(tmp_path / "scan-page-3.png")]
    for _ in range(2):  # older copies are replaced
        assert main(["predict", *files, "--annotate", str(out)]) == 1
        names = {path.name for path in out.iterdir()}
        assert names == {"scan-page-1.png", "scan-page-3.png", "scan-page-3-2.png"}
    # Beside a copy that is named no file is replaced, and in a folder no picture that is read.
    (tmp_path / "copy-page-1.png").write_bytes(b"mine")
    assert main(["predict", str(scan), "--annotate", str(tmp_path / "copy.png")]) == 1
    assert (tmp_path / "copy-page-1.png").read_bytes() == b"mine"
    assert {path.name for path in tmp_path.glob("copy*")} == {
        "copy-page-1.png",
        "copy-page-1-2.png",
        "copy-page-3.png",
    }
    files = [str(scan), str(tmp_path / "scan-page-3.png")]
    assert main(["predict", *files, "--annotate", str(tmp_path)]) == 2
    assert (tmp_path / "scan-page-3.png").read_bytes() == seven


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes its input")
def test_standard_input_that_cannot_be_read() -> None:
    for end, says in (
        ("<&-", "standard input is closed"),
        ("0>/dev/null", "cannot read standard input"),
    ):
        line = f"{sys.executable} -m mnist_digits predict - {end}"
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith(f"mnist-digits predict: error: {says}")
        assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="has no such names")
def test_names_do_what_a_terminal_would_not_show(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sieben ü七\u202f.png").write_bytes((pictures / "7.png").read_bytes())
    (tmp_path / "1\n2\x1b[2J\x85\u2028\u202e.png").write_bytes((pictures / "7.png").read_bytes())
    (tmp_path / "3\n4\x1b]0;x\x07.png").write_bytes(b"seven")
    assert main(["predict", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    escaped, plain = (line.partition(": 7 ")[0] for line in captured.out.split("\n")[:-1])
    assert escaped == rf"{tmp_path}/1\n2\x1b[2J\x85\u2028\u202e.png"
    assert plain == f"{tmp_path}/sieben ü七\u202f.png"
    assert captured.err.startswith(rf"mnist-digits predict: error: {tmp_path}/3\n4\x1b]0;x\x07.png")
    assert captured.err.count("\n") == 1
    assert main(["evaluate", "--pictures", "a\n\x1b[2J"]) == 2
    assert capsys.readouterr().err.endswith("there is no folder a\\n\\x1b[2J\n")
    with pytest.raises(SystemExit):
        main(["predict", "7.png", "--\x1b[2J"])
    assert "\x1b" not in capsys.readouterr().err


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
    ],
)
def test_names_that_are_none(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert says in capsys.readouterr().err


def test_names_that_no_system_has(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    assert main(["predict", f"{long}.png"]) == 1
    assert f"cannot read {long}.png: File name too long" in capsys.readouterr().err
    assert main(["predict", "7.png", "--model", long]) == 2
    assert f"there is no {long}: `mnist-digits export RUN`" in capsys.readouterr().err
    assert main(["evaluate", "--pictures", long]) == 2
    assert f"there is no folder {long}" in capsys.readouterr().err


def test_a_file_that_fails_is_not_taken_for_the_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error", "/disk/7.png")

    monkeypatch.setattr("mnist_digits.reading.folders.find_pictures", fails)
    assert main(["predict", "/disk"]) == 2
    error = "mnist-digits predict: error: cannot use /disk/7.png: Input/output error\n"
    assert capsys.readouterr().err == error


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), BrokenPipeError(32, "x")])
def test_what_is_no_file_is_not_taken_for_the_output_either(
    error: OSError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("mnist_digits.reading.folders.find_pictures", fails)
    assert main(["predict", "7.png"]) == 2
    said = f"mnist-digits predict: error: the system refuses: {error.strerror}\n"
    assert capsys.readouterr().err == said


def test_an_odd_picture_is_read_without_a_word(pictures: Path, tmp_path: Path) -> None:
    with Image.open(pictures / "7.png") as image:
        (tmp_path / "7.tif").write_bytes(odd(image, "TIFF"))
    command = [sys.executable, "-m", "mnist_digits", "predict", str(tmp_path / "7.tif")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_annotated_copy_that_cannot_be_written(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(pictures / "7.png"), "--annotate", "/proc/x/copy.png"]) == 2
    assert "cannot write" in capsys.readouterr().err


def labelled(pictures: Path, folder: Path, rows: str) -> Path:
    for name in ("7.png", "21.png"):
        (folder / name).write_bytes((pictures / name).read_bytes())
    (folder / "labels.csv").write_text(rows)
    return folder


def test_labelled_pictures_by_table(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "file,label,kind\n21.png,21,scan\n7.png,1,photo\nnone.png,1,photo\n"
    # No system has names of so many letters.
    rows += f"{'x' * 300}.png,$_$,photo\n"
    folder = labelled(pictures, tmp_path, rows)
    flags = ["evaluate", "--pictures", str(folder), "--output", str(tmp_path)]
    assert main([*flags, "--json", "--no-figures"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["pictures"], found["right"], found["unreadable"]) == (4, 1, 2)
    assert found["kinds"]["scan"]["accuracy"] == 1
    assert found["kinds"]["photo"]["sure_but_wrong"] == 1
    wrong, missing, unknown = found["mistakes"]
    assert wrong["file"] == str(tmp_path / "7.png")
    assert (wrong["label"], wrong["text"], wrong["sure"]) == ("1", "7", True)
    none = tmp_path / "none.png"
    assert missing == {"file": str(none), "label": "1", "error": f"there is no file {none}"}
    assert "File name too long" in unknown["error"]
    assert main(flags) == 1
    table = capsys.readouterr().out
    assert "25.00%" in table
    assert "2 of them could not be opened" in table
    assert f"\nthere is no file {none}\n" in table
    assert f"\n{tmp_path / '7.png'}: 7  (sure, " in table
    assert "); the label is 1\n" in table
    assert (tmp_path / "picture_mistakes.png").stat().st_size > 5000


@pytest.mark.parametrize(
    "rows",
    [
        "file;label;kind\r\n7.png;7;scan\r\n;;\r\n",
        "\ufefflabel\tfile\n7\t7.png\n\t\n",
        'file;label;"a, or b, or c"\n7.png;7;\n',
        "file,label\n7.png,7\n,,,\n",
    ],
)
def test_tables_of_other_spreadsheets(
    rows: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled(pictures, tmp_path, rows)
    assert main(["evaluate", "--pictures", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["pictures"], found["right"], found["mistakes"]) == (1, 1, [])
    (tmp_path / "labels.csv").write_text(rows, encoding="utf-16")
    assert main(["evaluate", "--pictures", str(tmp_path)]) == 2
    assert "labels.csv is not in UTF-8: save it as CSV in UTF-8" in capsys.readouterr().err


def test_a_label_without_a_file(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled(pictures, tmp_path, "file,label\n7.png,7\n,2\n")
    assert main(["evaluate", "--pictures", str(tmp_path)]) == 2
    assert "labels.csv has a row with a label and no file" in capsys.readouterr().err


def test_kinds_do_what_a_terminal_would_not_show(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled(pictures, tmp_path, "file,label,kind\n7.png,7,a\x1b[31m\n21.png,21,b\n")
    assert main(["evaluate", "--pictures", str(tmp_path)]) == 0
    assert "\na\\x1b[31m " in capsys.readouterr().out


def test_some_mistakes_are_named(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those first that could not be opened."""
    labelled(
        pictures, tmp_path, "file,label\n7.png,1\n" + "".join(f"{n}none.png,1\n" for n in range(31))
    )
    assert main(["evaluate", "--pictures", str(tmp_path), "--no-figures"]) == 1
    table = capsys.readouterr().out
    assert table.count("there is no file") == 30
    assert table.endswith("\nand 2 more: --json names all\n")


def test_labelled_pictures_by_folder(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "7").mkdir()
    Image.open(pictures / "7.png").save(tmp_path / "7" / "a.png")
    assert main(["evaluate", "--pictures", str(tmp_path), "--single", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("name,digit\n7.png,7\n", "must have the columns file and label"),
        ("", "has no labelled pictures"),
        ("file,label\n", "has no labelled pictures"),
    ],
)
def test_labels_that_are_none(
    rows: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.csv").write_text(rows)
    assert main(["evaluate", "--pictures", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err
    assert main(["evaluate", "--pictures", str(tmp_path / "none")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_something_to_evaluate_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate"]) == 2
    assert "name the folder of a run, or give --pictures" in capsys.readouterr().err


def test_predict_does_not_import_torch(pictures: Path) -> None:
    program = (
        "import sys\nfrom mnist_digits.command.cli import main\n"
        f"main(['predict', {str(pictures / '7.png')!r}])\n"
        "print({'torch', 'torchvision', 'matplotlib', 'safetensors'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.endswith("set()\n")


def test_annotations_are_legible_on_tiny_pictures(mnist: tuple[Digits, Digits]) -> None:
    from mnist_digits import Reader
    from mnist_digits.reading.annotation import annotated

    frame = mnist[1].images[0, 0].numpy()
    content = io.BytesIO()
    Image.fromarray(frame).save(content, "PNG")
    image = annotated(content.getvalue(), Reader.load().read_digit(frame))
    assert min(image.size) >= 280
