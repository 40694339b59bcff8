"""What the subcommands have in common."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mnist_digits.reading.reader import SHIPPED


@pytest.mark.slow
def test_all_of_torch_is_there_after_a_command() -> None:
    """Such as torchvision asks for when it is imported."""
    program = (
        "from mnist_digits.command.cli import main\nassert main() == 0\n"
        "from torchvision.datasets import MNIST"
    )
    subprocess.run([sys.executable, "-c", program, "show", str(SHIPPED)], check=True)
