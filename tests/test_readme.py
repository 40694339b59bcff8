"""What the README says is so: its program runs, its commands parse, its files exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mnist_digits.command.cli import build_parser

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    return [text for name, text in fences if name == language]


@pytest.mark.slow
def test_its_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    program, reading = blocks("python")
    assert len(program.splitlines()) <= 20
    exec(program, {})
    figures = re.findall(r"(?:validation|test) ([\d.]+)%", capsys.readouterr().out)
    assert len(figures) == 2
    assert min(map(float, figures)) > 98.5
    assert (tmp_path / "confusion.png").exists()
    exec(reading, {})
    assert capsys.readouterr().out.startswith("7 True\n7 ")


def test_its_commands_parse() -> None:
    lines = [
        shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()
    ]
    ours = [line[1:] for line in lines if line and line[0].endswith("mnist-digits")]
    assert len(ours) >= 5
    for arguments in ours:
        build_parser().parse_args(arguments)


def test_its_files_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
    house = next(block for block in blocks("") if "src/mnist_digits/" in block)
    floors = ("src/mnist_digits", "benchmarks", "docs")
    rooms = {room.name for floor in floors for room in (ROOT / floor).rglob("*.*")}
    for name in re.findall(r"\b\w+\.(?:py|md)\b", house):
        assert name in rooms, name


def test_its_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z-]+)\b", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
