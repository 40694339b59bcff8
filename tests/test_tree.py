"""The folders: each module has a name of its own, and tests mirror them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import mnist_digits

PACKAGE = Path(mnist_digits.__file__).parent


def test_every_module_has_a_name_of_its_own() -> None:
    files = (file for file in PACKAGE.rglob("*.py") if not file.stem.startswith("__"))
    folders = (file.parent for file in PACKAGE.rglob("__init__.py"))
    names = Counter([*(file.stem for file in files), *(folder.name for folder in folders)])
    assert [name for name, count in names.items() if count > 1] == []


def test_tests_mirror_the_folders() -> None:
    folders = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    assert folders <= {folder.name for folder in Path(__file__).parent.iterdir()}
