"""Ways to damage the bytes of a file, and a worker that bears whatever comes of it."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

import numpy as np

# A case that has not come back by then hangs, however busy the machine is: each takes seconds.
PATIENCE = 600.0

# Prepares the case of a number, and gives what is to be tried: time and memory are counted there.
Task: TypeAlias = Callable[[int], Callable[[], str]]


def damaged(content: bytes, random: np.random.Generator, others: list[bytes]) -> bytes:
    """The content with one to three kinds of damage; `others` are spliced into it."""
    for _ in range(random.integers(1, 4)):
        content = WAYS[random.integers(len(WAYS))](content, random, others)
    return content


def _flipped(content: bytes, random: np.random.Generator, _: list[bytes]) -> bytes:
    values = bytearray(content)
    for place in random.integers(0, len(values), random.integers(1, 9)) if values else ():
        values[place] ^= 1 << int(random.integers(8))
    return bytes(values)


def _flipped_near_the_start(content: bytes, random: np.random.Generator, _: list[bytes]) -> bytes:
    """Where the sizes are."""
    return _flipped(content[:64], random, []) + content[64:]


def _truncated(content: bytes, random: np.random.Generator, _: list[bytes]) -> bytes:
    return content[: random.integers(0, len(content) + 1)]


def _overwritten(content: bytes, random: np.random.Generator, _: list[bytes]) -> bytes:
    """A stretch of zeros, of ones, of the largest number, or of noise."""
    start, length = _stretch(content, random)
    patterns = (b"\0", b"\xff", b"\x7f\xff\xff\xff", random.bytes(1000))
    pattern = patterns[random.integers(len(patterns))]
    pattern *= -(-length // len(pattern))
    return content[:start] + pattern[:length] + content[start + length :]


def _spliced(content: bytes, random: np.random.Generator, others: list[bytes]) -> bytes:
    """A part of another file, or of this one, in the place of a part."""
    other = others[random.integers(len(others))] if others else content
    start, length = _stretch(content, random)
    begin, size = _stretch(other, random)
    return content[:start] + other[begin : begin + size] + content[start + length :]


def _stretch(content: bytes, random: np.random.Generator) -> tuple[int, int]:
    """Start and length: as often short as long."""
    start = int(random.integers(0, len(content) + 1))
    return start, int(random.random() ** 4 * (len(content) - start))


WAYS = (_flipped, _flipped_near_the_start, _truncated, _overwritten, _spliced)


@dataclass(frozen=True)
class Case:
    """What came of one damaged file.

    Attributes:
        outcome: what the task says; `crashed`, `hung`, or the name of an unexpected exception.
        seconds: of the processor, that it took: others may be busy, too.
        memory: bytes that the process grew by at its peak.
    """

    number: int
    outcome: str
    seconds: float = 0.0
    memory: int = 0


def each(task: Task, count: int, first: int = 0) -> Generator[Case, None, None]:
    """Do the task for the numbers from `first` on in a process of its own, one after the other.

    Where the process dies or does not answer, the case says so and another one goes on.
    """
    context = multiprocessing.get_context("spawn")
    number = first
    while number < first + count:
        ours, theirs = context.Pipe()
        worker = context.Process(target=_work, args=(task, range(number, first + count), theirs))
        worker.start()
        theirs.close()
        try:
            while number < first + count:
                if not ours.poll(PATIENCE):
                    yield Case(number, "hung", PATIENCE)
                    break
                yield ours.recv()
                number += 1
        except EOFError:
            yield Case(number, "crashed")
        finally:
            worker.kill()
            worker.join()
            ours.close()
        number += 1


def _work(task: Task, numbers: range, answers: Connection) -> None:
    task(-1)()  # imports, and whatever else is done but once
    for number in numbers:
        trial = task(number)
        before = _memory("VmRSS")
        # From here on the kernel notes the peak anew.
        Path("/proc/self/clear_refs").write_text("5")
        started = time.process_time()
        try:
            outcome = trial()
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        seconds = time.process_time() - started
        answers.send(Case(number, outcome, seconds, max(0, _memory("VmHWM") - before)))


def _memory(field: str) -> int:
    """Bytes of this process, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def rehearsal(number: int) -> Callable[[], str]:
    """A task that kills its process at one, and fails at two."""

    def trial() -> str:
        if number == 1:
            os.abort()
        if number == 2:
            raise ValueError("two")
        return "fine"

    return trial
