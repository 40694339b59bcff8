"""What the shipped networks do not do yet, and are to do."""

from __future__ import annotations

import pytest


def wanted(is_so: bool) -> None:
    """Where it is not so, the test ends here, as an expected failure."""
    if not is_so:
        pytest.xfail("the network that looks has not learned long enough")
