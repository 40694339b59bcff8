"""Faults of every kind, by the thousand: killed, out of disk, damaged; writes RELIABILITY.md.

    make torture                                              # half an hour, everything
    PYTHONPATH=tests/faults python benchmarks/torture.py kills disks       # only these
    PYTHONPATH=tests/faults python benchmarks/torture.py pictures --share 0.1

Each part has a number of cases, of which `--share` does a fraction, and stops at the latest
after `--minutes`. Only a whole campaign, of all parts, writes the file.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import product
from pathlib import Path

import damaged_files
import damaged_pictures
import failing_disk
import kills
import numpy as np
from answers import table
from damage import Task, each
from failing_disk import ERRORS, Disk, raising, remount, small_disk
from tables import machine
from tqdm import tqdm
from transformed import transformed

from mnist_digits import Digits, Reader, Run, load_mnist
from mnist_digits.cli.main import main as command

Data = tuple[Digits, Digits]

HERE = Path(__file__).parent
HEAD = """# Reliability

Written by `make torture` ({share}) on {date}, on {machine}.

What is promised, and how this tests it, is in [`docs/reliability.md`](../docs/reliability.md).
The time of a part stands in its first row.
"""


@dataclass(frozen=True)
class Row:
    """A line of the table: what was done, how often, what came of it, and the share to be held."""

    what: str
    done: int
    held: int
    details: str
    target: float = 1.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Amount:
    """How much of each part: a share of its cases, and minutes at most."""

    share: float
    minutes: float

    def numbers(self, count: int, what: str) -> Iterator[int]:
        """The numbers of the cases, while there is time; a bar shows how far it is."""
        until = time.monotonic() + 60 * self.minutes
        for number in tqdm(range(max(1, round(self.share * count))), what, disable=None):
            if time.monotonic() > until:
                return
            yield number


def killed(amount: Amount) -> list[Row]:
    """SIGKILL at random moments of a training that is resumed until it is finished."""
    with tempfile.TemporaryDirectory() as directory:
        scratch, random = Path(directory), np.random.default_rng(0)
        whole = {
            name: kills.undisturbed(scratch / str(n), name) for n, name in enumerate(kills.RECIPES)
        }
        done, held, killings, anew = 0, 0, 0, list(kills.RECIPES)
        for number in amount.numbers(100, "kills"):
            name = anew[number % len(anew)]
            expected, calls = whole[name]
            folder = scratch / f"run-{number}"
            killings += kills.killed_until_finished(folder, name, random, calls, most=6)
            done += 1
            held += kills.identical(folder, expected) and not list(folder.glob(".*"))
            shutil.rmtree(folder)
    what = (
        "trainings with a process killed (SIGKILL) up to six times at random moments, and resumed"
    )
    details = f"identical bit for bit; {killings:,} kills in all (some end before they are killed)"
    return [Row(what, done, held, details)]


def disks(amount: Amount) -> list[Row]:
    """Disks that fail at each operation of a run, and one that is too small at each size."""
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        data = failing_disk.few()
        expected, operations = failing_disk.operations(data, scratch / "whole")
        cases = list(product(range(1, operations + 1), ERRORS))
        wrongs = []
        for number in amount.numbers(len(cases), "failing disks"):
            operation, error = cases[number]
            disk = Disk(operation, raising(error))
            wrongs.append(failing_disk.survives(data, scratch / str(number), disk, expected))
        rows = [_disk_row("disks that fail (full, broken, read-only) at an operation", wrongs)]
        wrongs = []
        for number in amount.numbers(operations, "killed at an operation"):
            folder = scratch / f"killed-{number}"
            failing_disk.killed_at(folder, number + 1)
            wrongs.append(failing_disk.goes_on(data, folder, expected))
        what = "processes killed (SIGKILL) at an operation on the disk"
        rows.append(_disk_row(what, wrongs, "what was saved loads and is resumed, identical"))
        return [*rows, *_small_disks(amount, data, scratch, expected, operations)]


def _small_disks(
    amount: Amount, data: Data, scratch: Path, expected: Run, operations: int
) -> list[Row]:
    """A real file system that is too small, then has room; and one that becomes read-only."""
    full, fixed = [], []
    try:
        for number in amount.numbers(40, "small disks"):
            # From 4 kB, less than the first file, up to more than a whole run.
            with small_disk(scratch / "small", 4 + 4 * number) as disk:
                full.append(_full(data, disk, expected))
        for number in amount.numbers(operations, "read-only disks"):
            with small_disk(scratch / "small", 1000) as disk:
                fixed.append(_read_only(data, disk, number + 1, expected))
    except OSError as error:
        print(f"no file system can be mounted here ({error}): these were left out", file=sys.stderr)
    return [
        _disk_row("real file systems (tmpfs) that are too small", full),
        _disk_row("real file systems that become read-only", fixed),
    ]


def _full(data: Data, disk: Path, expected: Run) -> str:
    status, said = failing_disk.command(
        data, "train", *failing_disk.FLAGS, "--output", disk / "run"
    )
    if status not in (0, 2) or (status == 2 and said.count("\n") != 1):
        return f"status {status}: {said!r}"
    remount(disk, "size=1000k")
    return failing_disk.goes_on(data, disk / "run", expected)


def _read_only(data: Data, disk: Path, operation: int, expected: Run) -> str:
    """The operation after which the disk is read-only; the real file system says what fails."""
    once = iter([True])
    # No file is open for writing before the operation `number`, so that it can be remounted.
    failing = Disk(operation, lambda: remount(disk, "ro") if next(once, False) else None)
    with failing.attached():
        status, said = failing_disk.command(
            data, "train", *failing_disk.FLAGS, "--output", disk / "run"
        )
    remount(disk, "rw")
    if status not in (0, 2) or (status == 2 and said.count("\n") != 1):
        return f"status {status}: {said!r}"
    return failing_disk.goes_on(data, disk / "run", expected)


TOLD = "one line, status 2; what was saved loads and is resumed, identical"


def _disk_row(what: str, wrongs: list[str], held: str = TOLD) -> Row:
    bad = [wrong for wrong in wrongs if wrong]
    return Row(what, len(wrongs), len(wrongs) - len(bad), "; ".join(bad[:3]) or held)


def damaged(amount: Amount) -> list[Row]:
    """Checkpoints, models and recipes, with bits flipped, truncated and spliced."""
    twice = 2 * damaged_files.large_size()
    return [
        _damaged_row(amount, damaged_files.checkpoint, 10_000, "damaged checkpoints, small"),
        _damaged_row(
            amount,
            damaged_files.large_checkpoint,
            500,
            "the same, of 17 MB, in twice its size of memory",
            twice,
        ),
        _damaged_row(amount, damaged_files.model, 1_500, "damaged ONNX models"),
        _damaged_row(amount, damaged_files.recipe, 20_000, "damaged recipes"),
    ]


def data_sets(amount: Amount) -> list[Row]:
    """Files of data sets, damaged or replaced by something else."""
    return [_damaged_row(amount, damaged_files.data_set, 10_000, "damaged files of data sets")]


def pictures(amount: Amount) -> list[Row]:
    """Real pictures of every format, damaged."""
    kinds = len(damaged_pictures.originals())
    what = f"damaged pictures, of {kinds} kinds of file"
    return [_damaged_row(amount, damaged_pictures.picture, 20_000, what, 500_000_000, 2.0)]


FINE = {"refused", "as it was", "a recipe", "read"}


def _damaged_row(
    amount: Amount,
    task: Task,
    count: int,
    what: str,
    memory: int = 500_000_000,
    seconds: float = 60.0,
) -> Row:
    """Do the task for every number; held if its outcome is fine, within memory and time."""
    outcomes: Counter[str] = Counter()
    held, slowest, largest = 0, 0.0, 0
    cases = each(task, max(1, round(amount.share * count)))
    for _ in amount.numbers(count, what):
        case = next(cases)
        outcomes[case.outcome[:200]] += 1
        held += case.outcome in FINE and case.memory <= memory and case.seconds <= seconds
        slowest, largest = max(slowest, case.seconds), max(largest, case.memory)
    cases.close()
    counted = ", ".join(f"{number:,} {name}" for name, number in outcomes.most_common(8))
    details = f"{counted}; at most {slowest:.2f} s of a core and {largest / 1e6:.0f} MB"
    return Row(what, outcomes.total(), held, details)


def transforms(amount: Amount) -> list[Row]:
    """Digits of the test set as others might bring them: the same answer as for the plain one."""
    random, reader = np.random.default_rng(0), Reader.load()
    images = load_mnist()[1].images[:, 0].numpy()
    plain = reader.classify(images).argmax(axis=1)
    same, single, done = 0, 0, 0
    for number in amount.numbers(10_000, "transforms"):
        content, answer = transformed(images[number], random), str(plain[number])
        same += reader.read(content).text == answer
        single += reader.read_digit(content).text == answer
        done += 1
    what = "test digits in pictures of any place, size, colour, alpha and format"
    return [
        Row(what, done, same, f"same answer as the plain digit: {same / done:.2%}", 0.99),
        Row("the same, with --single", done, single, f"same answer: {single / done:.2%}", 0.99),
    ]


def reproduced(amount: Amount) -> list[Row]:
    """Runs of each recipe of `kills`, trained again by the command `reproduce`."""
    held = done = 0
    with tempfile.TemporaryDirectory() as scratch:
        for number in amount.numbers(len(kills.RECIPES), "reproduce"):
            folder = Path(scratch) / str(number)
            kills.undisturbed(folder, list(kills.RECIPES)[number])
            held += command(["reproduce", str(folder), "--json"]) == 0
            done += 1
    return [Row("runs trained again by `mnist-digits reproduce`", done, held, "identical")]


PARTS: dict[str, Callable[[Amount], list[Row]]] = {
    "kills": killed,
    "disks": disks,
    "files": damaged,
    "data": data_sets,
    "pictures": pictures,
    "transforms": transforms,
    "reproduce": reproduced,
}


def fault_table(rows: list[Row]) -> str:
    """The rows as a table in Markdown."""
    head = ("fault", "done", "held", "what came of it", "time")
    cells = [
        (row.what, f"{row.done:,}", f"{row.held:,}", row.details, f"{row.seconds:,.0f} s")
        for row in rows
    ]
    return table(head, [[cell.replace("|", "/") for cell in row] for row in cells])


def main() -> int:
    """Do the chosen parts, print their table, and write it if they are all."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="all, if none is named")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases (1)")
    parser.add_argument("--minutes", type=float, default=30.0, help="for each loop at most (30)")
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.parts or PARTS:
        started = time.monotonic()
        done = PARTS[name](Amount(options.share, options.minutes))
        # A part's time stands in its first row.
        rows += [Row(**{**vars(done[0]), "seconds": time.monotonic() - started}), *done[1:]]
        print(fault_table(rows[-len(done) :]), flush=True)
    if not options.parts:
        share = f"{options.share:.0%} of its cases, {options.minutes:g} minutes a loop at most"
        text = HEAD.format(share=share, date=date.today(), machine=machine())
        (HERE / "RELIABILITY.md").write_text(f"{text}\n{fault_table(rows)}\n")
    return int(any(row.held < row.target * row.done for row in rows))


if __name__ == "__main__":
    sys.exit(main())
