"""How much of reading is decided by hand: lines of code and numeric constants."""

from __future__ import annotations

import ast
from pathlib import Path

# From the file of a picture to what was read; of these count the ones that there are.
MODULES = ("picture", "detection", "mnist_frame", "reading_order", "reader", "result")
# Not counted: numbers of things, and the range of a pixel, which decide nothing.
PLAIN = (0, 1, 2, 3, 255)


def constants(source: str) -> list[int | float]:
    """The numeric constants in a module's source, without PLAIN and those inside an index."""
    tree = ast.parse(source)
    indices = {
        id(inside)
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        for inside in ast.walk(node.slice)
    }
    literals = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    values = [node.value for node in literals if id(node) not in indices]
    # True and False are integers to Python, and among PLAIN.
    return [value for value in values if isinstance(value, int | float) and value not in PLAIN]


def size_text(folder: Path) -> str:
    """A sentence: the lines and constants of the modules in a folder."""
    files = [file for name in MODULES if (file := folder / f"{name}.py").exists()]
    sources = [file.read_text(encoding="utf-8") for file in files]
    lines = sum(len(source.splitlines()) for source in sources)
    numbers = sum(len(constants(source)) for source in sources)
    *most, last = (file.stem for file in files)
    return (
        f"From a picture to its digits ({', '.join(most)} and {last}) there are {lines:,} lines "
        f"with {numbers} numeric constants (other than 0, 1, 2, 3, 255 and indices; before the "
        f"network that detects digits they were 156 in 1,578 lines)."
    )
