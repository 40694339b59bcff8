"""Work in processes of this machine, without Ray: of studies, bulk readings and teaching."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar, cast

from .errors import UsageError

T = TypeVar("T")
R = TypeVar("R")

# How often work is tried again that was lost with its process or its machine.
RETRIES = 3
KILLED = f"its process was killed, {RETRIES + 1} times: is there enough memory?"
NONE_BEGAN = (
    "no process could begin its work: a script that starts processes does everything under "
    '`if __name__ == "__main__":`, as they import it first'
)


def usable_cores() -> int:
    """How many cores this process may use: in a container or under taskset fewer than all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_processes(
    work: Callable[[T], R], items: Iterable[T], processes: int
) -> Generator[tuple[T, R | str], None, None]:
    """Each item when it is done: with what `work` returns, or with the error message.

    What a process that is killed, for its memory perhaps, had in hand is done again by a new one,
    each item up to RETRIES times. Items wait here until a process is free, and results are not
    kept, so that memory does not grow with the number of items.

    Close the iterator (`contextlib.closing`) to end all processes at once.

    Raises:
        UsageError: no process can begin, as in a script without its main guard.
    """
    waiting = deque((item, RETRIES) for item in items)
    busy: dict[Connection, tuple[BaseProcess, T, int]] = {}
    begun = False
    try:
        while waiting or busy:
            while waiting and len(busy) < processes:
                here, process = _started()
                busy[here] = process, *waiting.popleft()
            for here in cast(list[Connection], connection.wait(list(busy))):
                process, item, retries = busy[here]
                alive = True
                try:
                    answer: list[Any] = here.recv()
                    begun = True
                except (EOFError, OSError):
                    if not begun:
                        raise UsageError(NONE_BEGAN) from None
                    alive, answer, retries = False, [] if retries else [KILLED], retries - 1
                if not answer:  # it has begun, or its item is to be tried again
                    waiting.appendleft((item, retries))
                if alive and waiting:
                    busy[here] = process, *waiting.popleft()
                    _hand(here, work, busy[here][1])
                else:
                    del busy[here]
                    _end(here, process)
                if answer:
                    yield item, answer[0]
    finally:
        for here, (process, *_) in busy.items():
            _end(here, process)


def _started() -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there,), daemon=True)
    with there:
        process.start()
    return here, process


def _hand(here: Connection, *work_and_item: object) -> None:
    # Pickled as they are: a connection's own `send` puts tensors into shared memory, which
    # containers have little of. If the process is gone, the next `recv` tells.
    with suppress(OSError):
        here.send_bytes(pickle.dumps(work_and_item))


def _end(here: Connection, process: BaseProcess) -> None:
    process.kill()
    process.join()
    here.close()


def _serve(there: Connection) -> None:
    """In a process: leave Ctrl-C to the parent, end with it, and work on what it sends."""
    from tqdm import tqdm

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Its own lock is one among processes, which is left behind where they are killed.
    tqdm.set_lock(threading.RLock())
    parent = multiprocessing.parent_process()
    assert parent

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):  # the parent has just ended
        there.send([])
        while message := there.recv_bytes():
            try:
                work, item = pickle.loads(message)
                answer = pickle.dumps([work(item)])
            except Exception as error:
                answer = pickle.dumps([last_line(error)])
            there.send_bytes(answer)


def last_line(error: BaseException) -> str:
    """The last line of an error's message: Ray puts a traceback before it."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
