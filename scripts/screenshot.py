"""The pictures of the page that the README and docs/page.md show, in docs/.

PYTHONPATH=tests:tests/browser python scripts/screenshot.py      (make screenshot)
"""

from __future__ import annotations

from pathlib import Path

from chromium import launched
from handwriting import HANDS
from real_server import serving
from test_page import answer, write

DOCS = Path(__file__).parents[1] / "docs"
# The file, and the width and height of the window.
VIEWS = (("page.png", 1280, 1084), ("phone.png", 390, 844))


def main() -> None:
    """Write 2026 on a desk and on a phone, and take the pictures."""
    with serving() as port, launched() as browser:
        for file, width, height in VIEWS:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(f"http://127.0.0.1:{port}/")
            for place, (hand, digit) in enumerate(
                (("school", 2), ("round", 0), ("round", 2), ("fast", 6))
            ):
                write(page, HANDS[hand][digit], 0.1 + 0.345 * place, 0.28, 0.4)
            assert answer(page) == "2026"
            page.mouse.move(0, 0)
            # The last of the bars' movement.
            page.wait_for_timeout(300)
            page.screenshot(path=DOCS / file)


if __name__ == "__main__":
    main()
