"""Files that appear whole or not at all, power cuts included."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest

from mnist_digits.files import write_whole

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no such call for folders")


def test_content_and_then_name_reach_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, rename = [], os.replace

    def replace(*names: Path) -> None:
        done.append("renamed")
        rename(*names)

    monkeypatch.setattr("os.replace", replace)
    monkeypatch.setattr(
        "os.fsync",
        lambda file: done.append("folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file"),
    )
    write_whole(tmp_path / "file", b"all of it")
    assert done == ["file", "renamed", "folder"]


@pytest.mark.parametrize(("code", "fails"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_file_system_may_not_sync_folders_but_must_not_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, fails: bool
) -> None:
    def sync(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr("os.fsync", sync)
    with pytest.raises(OSError, match=os.strerror(code)) if fails else nullcontext():
        write_whole(tmp_path / "file", b"all of it")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
