"""Work in processes of this machine: killed processes, errors, an end at any time."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest

# Each process imports this file: no more than it needs.
from mnist_digits import processes
from mnist_digits.processes import KILLED, RETRIES, in_processes, last_line, usable_cores


def half(number: int, folder: Path) -> int:
    """3 is an error; at 4 the process is killed as often as work is tried again, at 5 always."""
    deaths = {4: RETRIES, 5: RETRIES + 1}.get(number, 0)
    if len(list(folder.glob(f"{number}-*"))) < deaths:
        (folder / f"{number}-{os.getpid()}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 3:
        raise ValueError("a traceback\n3 is odd")
    return number // 2


def test_no_more_cores_are_used_than_the_process_may(monkeypatch: pytest.MonkeyPatch) -> None:
    from mnist_digits.classifier.teaching import workers

    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3}, raising=False)
    assert (usable_cores(), workers()) == (1, 1)
    monkeypatch.delattr("os.sched_getaffinity")
    assert usable_cores() == 64


def test_what_an_error_says_is_one_line() -> None:
    assert last_line(MemoryError()) == "MemoryError"
    assert last_line(ValueError("a traceback\nwhat it says\n")) == "what it says"


@pytest.mark.slow
def test_what_was_in_hand_when_a_process_is_killed_is_done_again(tmp_path: Path) -> None:
    """But not without end."""
    done = dict(in_processes(partial(half, folder=tmp_path), range(7), 2))
    assert done == {0: 0, 1: 0, 2: 1, 3: "3 is odd", 4: 2, 5: KILLED, 6: 3}
    assert len(list(tmp_path.iterdir())) == RETRIES + RETRIES + 1


@pytest.mark.slow
def test_work_that_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is handed out than is worked on; processes end, but none of others.

    Such as the workers of a DataLoader in the same notebook.
    """
    ours, theirs = multiprocessing.Pipe()
    other = multiprocessing.get_context("spawn").Process(target=theirs.recv)
    other.start()
    handed = Mock(side_effect=processes._hand)
    monkeypatch.setattr(processes, "_hand", handed)
    with closing(in_processes(abs, range(999), 2)) as done:
        for count in range(1, 11):
            next(done)
            assert handed.call_count <= count + 2
        assert len(multiprocessing.active_children()) == 3
    assert multiprocessing.active_children() == [other]
    ours.send("end")
    other.join()
    assert other.exitcode == 0


@pytest.mark.slow
def test_a_script_without_its_main_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from mnist_digits.processes import in_processes\nprint(list(in_processes(abs, [1], 2)))\n"
    )
    done = subprocess.run([sys.executable, str(script)], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    told = r'UsageError: no process could begin.*if __name__ == "__main__":'
    assert re.search(told, done.stderr.splitlines()[-1])


def threads(_: int) -> tuple[int, int | None]:
    import cv2

    from mnist_digits.cluster import bulk

    reader = bulk._reader(None)
    return cv2.getNumThreads(), reader._threads


@pytest.mark.slow
def test_each_process_reads_on_one_thread() -> None:
    assert dict(in_processes(threads, [0], 1)) == {0: (1, 1)}


@pytest.mark.slow
def test_processes_that_show_progress_leave_nothing_behind(tmp_path: Path) -> None:
    script = tmp_path / "bars.py"
    script.write_text(
        "from tqdm import tqdm\n"
        "from mnist_digits.processes import in_processes\n"
        'if __name__ == "__main__":\n'
        "    print(dict(in_processes(tqdm, [range(1), range(2)], 2)))\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert "leaked" not in ended.stderr
