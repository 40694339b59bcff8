"""Work in processes of this machine, without Ray: of studies, bulk readings and teaching."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import TypeVar

from .errors import UsageError

T = TypeVar("T")
R = TypeVar("R")

# How often work is tried again that was lost with its process or its machine.
RETRIES = 3


def usable_cores() -> int:
    """How many cores this process may use: in a container or under taskset fewer than all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_processes(
    work: Callable[[T], R], items: Iterable[T], processes: int
) -> Generator[tuple[T, R | str], None, None]:
    """Each item when it is done: with what `work` returns, or with the error message.

    A process that is killed, for its memory perhaps, takes the others of its pool with it. What
    they had in hand is tried again in a new pool, each item up to RETRIES times.

    Raises a UsageError where no process can begin, as in a script without its main guard.

    Close the iterator (`contextlib.closing`) to end all processes at once.

    Args:
        work: a function that can be pickled.
        processes: how many there are at most. Items wait here until one is free, and results are
            not kept, so that memory does not grow with the number of items.
    """
    waiting = deque((item, RETRIES) for item in items)
    begun = False
    while waiting:
        with _pool(processes) as (pool, here):
            yield from _until_broken(pool, work, waiting, processes)
            begun = begun or here.poll()
            if waiting and not begun:
                raise UsageError(
                    "no process could begin its work: a script that starts processes does "
                    'everything under `if __name__ == "__main__":`, as they import it first'
                )


def _until_broken(
    pool: ProcessPoolExecutor,
    work: Callable[[T], R],
    waiting: deque[tuple[T, int]],
    processes: int,
) -> Generator[tuple[T, R | str], None, None]:
    """Work on what is waiting, until the pool breaks; what is to be tried again waits then."""
    in_hand: dict[Future[R], tuple[T, int]] = {}
    broken = False
    while in_hand or (waiting and not broken):
        while waiting and not broken and len(in_hand) < processes:
            try:
                in_hand[pool.submit(work, waiting[0][0])] = waiting[0]
                waiting.popleft()
            except BrokenProcessPool:
                broken = True
        for future in wait(in_hand, return_when=FIRST_COMPLETED).done:
            item, retries = in_hand.pop(future)
            error = future.exception()
            if not isinstance(error, BrokenProcessPool):
                yield item, last_line(error) if error else future.result()
                continue
            broken = True
            if retries:
                waiting.appendleft((item, retries - 1))
            else:
                yield item, f"its process was killed, {RETRIES + 1} times: is there enough memory?"


@contextmanager
def _pool(processes: int) -> Iterator[tuple[ProcessPoolExecutor, Connection]]:
    """A pool whose processes are ended at once if anything goes wrong here, Ctrl-C included.

    And a connection that has something to read once one of them has begun.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    with here, there, ProcessPoolExecutor(processes, context, _end_with_parent, (there,)) as pool:
        try:
            yield pool, here
        except BaseException:
            # Nobody takes it: each of them sees that it is there.
            here.send("end")
            raise


def _end_with_parent(there: Connection) -> None:
    """In a process of the pool: leave Ctrl-C to the parent, and end when it ends or says so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    there.send("begun")
    parent = multiprocessing.parent_process()
    assert parent

    def watch() -> None:
        connection.wait([there, parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def last_line(error: BaseException) -> str:
    """The last line of an error's message: Ray puts a traceback before it."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
