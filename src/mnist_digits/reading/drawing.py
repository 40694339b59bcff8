"""A drawing of one digit: the only piece of ink on even ground needs no network to be found."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .finder import Glyph

# The ground is even if this fraction of the picture's rim differs by no more than EVEN from one
# colour; ink differs from it by more than twice as much.
EVEN, OF_RIM = 8, 0.9


def only_piece(pixels: NDArray[np.uint8]) -> Glyph | None:
    """The ink of pixels (H, W, 3), if it is in one piece, on even ground; else None."""
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).T.copy()
    ground = np.median(rim, axis=1)
    if (np.abs(rim - ground[:, None]).max(axis=0) <= EVEN).mean() < OF_RIM:
        return None
    # The largest difference of the three colours. OpenCV takes a tenth of NumPy's time.
    planes = cv2.split(cv2.absdiff(pixels, (*ground.round().tolist(), 0)))
    differs = cv2.max(planes[0], cv2.max(planes[1], planes[2]))
    darkest = float(differs.max())
    ink = (differs > darkest / 2).view(np.uint8)
    x, y, wide, high = cv2.boundingRect(ink)
    if darkest <= 2 * EVEN:
        return None
    if cv2.connectedComponents(ink[y : y + high, x : x + wide])[0] != 2:
        return None
    # JPEG spreads ink over its blocks of 8 pixels; faint ink farther off is a second piece.
    faint = differs > 2 * EVEN
    room = 8 + max(wide, high) // 10
    faint[max(0, y - room) : y + high + room, max(0, x - room) : x + wide + room] = False
    if faint.any():
        return None
    part = differs[y : y + high, x : x + wide].astype(np.float32) / np.float32(darkest)
    return Glyph(part, (x, y, x + wide, y + high), 1.0)
