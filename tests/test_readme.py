"""What the README and the pages beside it say is so: programs run, commands parse, files exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mnist_digits.cli.main import build_parser

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = sorted([README, CONTRIBUTING, ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page: Path, language: str) -> list[str]:
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [text for name, text in fences if name == language]


def commands(page: Path) -> list[list[str]]:
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    # Variables of a scheduler are numbers of its jobs.
    words = [shlex.split(re.sub(r"\$[A-Z_]+", "1", line), comments=True) for line in lines]
    return [line[1:] for line in words if line and line[0].endswith("mnist-digits")]


def code(page: Path) -> list[str]:
    return re.findall(r"```\w*\n.*?^```$|`[^`\n]+`", page.read_text(), flags=re.M | re.S)


@pytest.mark.slow
def test_its_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (program,) = blocks(README, "python")
    assert len(program.splitlines()) <= 20
    exec(program, {})
    printed = capsys.readouterr().out
    figures = re.findall(r"(?:validation|test) ([\d.]+)%", printed)
    assert len(figures) == 2
    assert min(map(float, figures)) > 98.5
    assert (tmp_path / "confusion.png").exists()
    assert "\n7 True\n7 " in printed


def test_it_can_be_read_in_two_minutes() -> None:
    assert len(README.read_text().splitlines()) <= 170


@each_page
def test_commands_parse(page: Path) -> None:
    for arguments in commands(page):
        build_parser().parse_args(arguments)
    assert len(commands(page)) >= {"README.md": 5, "commands.md": 15}.get(page.name, 0)


@each_page
def test_linked_files_and_make_targets_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z-]+)\b", "\n".join(code(page))):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_readme_links_every_page() -> None:
    linked = set(re.findall(r"\]\(([^)#:]+\.md)\)", README.read_text()))
    assert linked >= {str(page.relative_to(ROOT)) for page in PAGES if page != README}


def test_the_folders_are_where_the_readme_has_them() -> None:
    (house,) = [block for block in blocks(README, "") if "src/mnist_digits/" in block]
    names = re.findall(r"^( *)(\S+)", house, flags=re.MULTILINE)
    package = ROOT / "src" / "mnist_digits"
    for indent, name in names:
        assert ((package if indent else ROOT) / name).exists(), name
    rooms = {f"{room.parent.name}/" for room in package.glob("*/__init__.py")}
    assert rooms <= {name for _, name in names}


def test_the_files_are_there_that_the_architecture_lists() -> None:
    (house,) = [block for block in blocks(CONTRIBUTING, "") if "src/mnist_digits/" in block]
    floors = ("src/mnist_digits", "benchmarks", "scripts", "docs")
    rooms = {room.name for floor in floors for room in (ROOT / floor).rglob("*.*")}
    assert set(re.findall(r"\b\w+\.(?:py|md)\b", house)) <= rooms
