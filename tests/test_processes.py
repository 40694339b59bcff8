"""Work in processes of this machine: killed processes, errors, an end at any time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import cv2
import pytest

from mnist_digits import processes
from mnist_digits.processes import RETRIES, in_processes, usable_cores
from mnist_digits.training.teaching import workers


def half(number: int, folder: Path, deaths: int) -> int:
    """The process is killed at the 4, so many times; 3 is an error."""
    if number == 4 and len(list(folder.iterdir())) < deaths:
        (folder / f"{os.getpid()}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 3:
        raise ValueError("a traceback\n3 is odd")
    return number // 2


def test_no_more_cores_are_used_than_the_process_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3}, raising=False)
    assert (usable_cores(), workers()) == (1, 1)
    monkeypatch.delattr("os.sched_getaffinity")
    assert usable_cores() == 64


@pytest.mark.slow
def test_what_was_in_hand_when_a_process_is_killed_is_done_again(tmp_path: Path) -> None:
    work = partial(half, folder=tmp_path, deaths=RETRIES)
    done = list(in_processes(work, range(9), 2))
    assert sorted(done) == [(n, n // 2 if n != 3 else "3 is odd") for n in range(9)]
    assert len(list(tmp_path.iterdir())) == RETRIES


@pytest.mark.slow
def test_what_kills_its_process_each_time_is_given_up(tmp_path: Path) -> None:
    work = partial(half, folder=tmp_path, deaths=100)
    done = dict(in_processes(work, range(9), 1))
    assert done.pop(4) == "its process was killed, 4 times: is there enough memory?"
    assert sorted(done) == [0, 1, 2, 3, 5, 6, 7, 8]
    assert len(list(tmp_path.iterdir())) == RETRIES + 1


@pytest.mark.slow
def test_no_process_is_left_when_the_work_is_stopped(tmp_path: Path) -> None:
    with closing(in_processes(partial(half, folder=tmp_path, deaths=0), range(999), 2)) as done:
        next(done)
        assert multiprocessing.active_children()
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_script_without_its_main_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from mnist_digits.processes import in_processes\nprint(list(in_processes(abs, [1], 2)))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "UsageError: no process could begin" in last
    assert 'if __name__ == "__main__":' in last


@pytest.mark.slow
def test_processes_of_others_are_left_alone_when_the_work_is_stopped() -> None:
    """Such as the workers of a DataLoader in the same notebook."""
    ours, theirs = multiprocessing.Pipe()
    other = multiprocessing.get_context("spawn").Process(target=theirs.recv)
    other.start()
    with closing(in_processes(abs, range(999), 2)) as done:
        next(done)
    assert multiprocessing.active_children() == [other]
    ours.send("end")
    other.join()
    assert other.exitcode == 0


@pytest.mark.slow
def test_no_more_is_taken_than_is_worked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, they do not pile up before the processes."""
    handed = Mock(side_effect=processes._hand)
    monkeypatch.setattr(processes, "_hand", handed)
    with closing(in_processes(partial(half, folder=tmp_path, deaths=0), range(999), 2)) as done:
        for count in range(1, 11):
            next(done)
            assert handed.call_count <= count + 2


def threads(_: int) -> tuple[int, int | None]:
    from mnist_digits.cluster import bulk

    reader = bulk._reader(None)
    return cv2.getNumThreads(), reader._threads


@pytest.mark.slow
def test_each_process_reads_on_one_thread() -> None:
    assert dict(in_processes(threads, [0], 1)) == {0: (1, 1)}
