"""A page as a camera sees it: paper, inks, objects, light, grain."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import taken
from .canvas import HIDDEN, SIDE, Canvas, bounds, chance, log_uniform
from .grain import noise, texture
from .legibility import forget_illegible
from .security import security_print
from .templates import Floats


def photographed(canvas: Canvas) -> NDArray[np.uint8]:
    """The picture, uint8 (256, 256, 3); digits that are not legible in it become -2 in `owner`."""
    random = canvas.random
    paper = _paper_colour(canvas)
    page = np.broadcast_to(paper, (SIDE, SIDE, 3)).astype(np.float32).copy()
    if canvas.has("grain") or not canvas.has("plain"):
        strong = 0.12 if canvas.has("grain") else 0.02
        page *= 1 + noise(random, log_uniform(random, 0.002, strong))[:, :, None]
        if canvas.has("grain") and chance(random, 0.5):  # colour, too
            speckle = noise(random, 0.06)[:, :, None]
            page *= 1 + speckle * random.normal(0, 0.6, 3).astype(np.float32)
    if canvas.has("textured"):
        strongest = 0.1 if canvas.digits else 0.5
        page *= 1 + log_uniform(random, 0.01, strongest) * texture(random)[:, :, None]
    _stain(canvas, page)
    _rule(canvas, page, paper)
    _secure(canvas, page, paper)
    _things(canvas, page)
    _ink(canvas, page, paper)
    if canvas.has("sheet"):
        page = _on_table(canvas, page)
    _light(canvas, page)
    if canvas.has("inverted"):
        page = 1 - page
    picture = taken(canvas, page)
    forget_illegible(canvas, picture)
    return picture


def _paper_colour(canvas: Canvas) -> Floats:
    random = canvas.random
    tint = 1 - np.abs(random.normal(size=3)) * random.choice([0, 0.04, 0.15, 0.35])
    bright = random.uniform(0.3 if canvas.has("plain") else 0.35, 1)
    if canvas.has("plain"):
        bright = random.choice([1.0, 0.96, bright])
    return np.clip(bright * tint, 0.08, 1).astype(np.float32)


def _contrasting(canvas: Canvas, paper: Floats, low: float, high: float) -> Floats:
    """An ink's colour: darker than the paper by a fraction from `low` to `high`; or any other."""
    random = canvas.random
    if chance(random, 0.15):
        for _ in range(5):
            shade = random.random(3)
            if np.abs(shade - paper).max() > low + 0.2:
                return shade.astype(np.float32)
    colour = np.ones(3) if chance(random, 0.5) else random.uniform(0.4, 1.2, 3)
    darker = paper * (1 - random.uniform(low, high) * np.clip(colour, 0, 1))
    return np.clip(darker, 0, 1).astype(np.float32)


def _lay(page: Floats, alpha: Floats, colours: Floats) -> None:
    """Cover the page with colours (3,) or (256, 256, 3), as opaque as `alpha` (256, 256)."""
    box = bounds(alpha > 0)
    if box:
        part = slice(box[1], box[3]), slice(box[0], box[2])
        shade = colours if colours.ndim == 1 else colours[part]
        page[part] += alpha[part][:, :, None] * (shade - page[part])


def _ink(canvas: Canvas, page: Floats, paper: Floats) -> None:
    """Lay the layers of ink on the page, that of the digits on top."""
    random, faint = canvas.random, canvas.has("faint")
    # Fine strokes, and those on grain, must be darker to be seen at all.
    size = min((digit.size for digit in canvas.digits), default=100)
    cover = min(1.0, 2 * canvas.pen.radius * size)
    restless = 2.0 if canvas.has("security") else 1.5 if canvas.has("grain") else 1.0
    least = (0.1 if faint else 0.25) * restless / cover
    least = min(0.8, least)
    colour = _contrasting(canvas, paper, least, min(1.0, 2 * least) if faint else 1.0)
    other = canvas.other.astype(np.float32) / 255 * np.float32(random.uniform(0.4, 1))
    layers = [(other, _contrasting(canvas, paper, 0.08, 0.95))]
    if canvas.form.any():
        layers += [(canvas.form.astype(np.float32) / 255, _printed(canvas, paper))]
    shade = colour if chance(random, 0.7) else _contrasting(canvas, paper, 0.15, 1)
    layers += [(canvas.same.astype(np.float32) / 255, shade)]
    # Signs are not darker than the digits beside them.
    signs = canvas.signs * np.float32(max(cover, 0.3) / 255)
    layers += [(np.maximum(canvas.ink, signs), colour)]
    if chance(random, 0.25):  # chalk, pencil, a brush running dry
        rough = np.clip(1 + noise(random, random.uniform(0.05, 0.3)), 0.3, 1.1)
        layers = [(alpha * rough, shade) for alpha, shade in layers]
    for alpha, shade in layers:
        if alpha.any():
            _lay(page, alpha, shade)


def _secure(canvas: Canvas, page: Floats, paper: Floats) -> None:
    """Patterns that protect a cheque, in one colour or in several."""
    if not canvas.has("security"):
        return
    random = canvas.random
    colour = _contrasting(canvas, paper, 0.04, 0.4)
    for pattern in security_print(random):
        if chance(random, 0.3):
            colour = _contrasting(canvas, paper, 0.04, 0.4)
        _lay(page, pattern * np.float32(random.uniform(0.3, 1)), colour)


def _printed(canvas: Canvas, paper: Floats) -> Floats:
    """The colour of what is printed: black, grey, or of one hue, as orange or green forms are."""
    random = canvas.random
    if chance(random, 0.4):
        return paper * np.float32(random.uniform(0.05, 0.85))
    hue = random.uniform(0.1, 1, 3)
    hue[random.integers(3)] = 1
    return (paper * (1 - random.uniform(0.2, 1) * (1 - hue))).astype(np.float32)


def _rule(canvas: Canvas, page: Floats, paper: Floats) -> None:
    """Ruled or squared paper."""
    if not (canvas.has("ruled") or canvas.has("squared")):
        return
    random, lines = canvas.random, np.zeros((SIDE, SIDE), np.uint8)
    pitch, tilt = log_uniform(random, 9, 80), random.normal(0, 8)
    thickness = 1 if chance(random, 0.6) else int(random.integers(1, 4))
    start = random.uniform(-pitch, 0)
    for offset in np.arange(start - 40, SIDE + 40, pitch):
        canvas.line((0, offset), (SIDE, offset + tilt), thickness, lines, ruler=True)
        if canvas.has("squared"):
            canvas.line((offset, 0), (offset - tilt, SIDE), thickness, lines, ruler=True)
    if chance(random, 0.2):  # the margin
        x = random.uniform(10, 80)
        canvas.line((x, 0), (x - tilt, SIDE), 2, lines, ruler=True)
    alpha = lines.astype(np.float32) / 255 * np.float32(random.uniform(0.4, 1))
    _lay(page, alpha, _contrasting(canvas, paper, 0.02, 0.6))


def _stain(canvas: Canvas, page: Floats) -> None:
    """Spots that darken the paper."""
    if not canvas.has("stains"):
        return
    random = canvas.random
    for _ in range(random.integers(1, 5)):
        alpha = np.zeros((SIDE, SIDE), np.float32)
        _blob(random, alpha, random.uniform(0, SIDE, 2), log_uniform(random, 2, 90))
        if chance(random, 0.6):
            alpha = cv2.GaussianBlur(alpha, (0, 0), log_uniform(random, 0.5, 12))
        page *= 1 - alpha[:, :, None] * random.uniform(0, 0.5, 3).astype(np.float32)
    if chance(random, 0.5):
        _dust(canvas, page)


def _dust(canvas: Canvas, page: Floats) -> None:
    """Dots and hairs too small to be digits."""
    random, dust = canvas.random, np.zeros((SIDE, SIDE), np.uint8)
    for x, y in random.uniform(0, SIDE, (random.integers(2, 40), 2)):
        end = np.array([x, y]) + random.normal(0, 2.5, 2) * chance(random, 0.5)
        canvas.line((x, y), end, int(random.integers(1, 4)), dust)
    alpha = (dust * ~canvas.near_digits(9)).astype(np.float32)[:, :, None] / 255
    page *= 1 - alpha * np.float32(random.uniform(0.1, 0.9))


def _blob(
    random: np.random.Generator,
    layer: Floats,
    middle: NDArray[np.float64],
    size: float,
    symmetric: bool = False,
) -> None:
    """A filled shape of any outline."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.ones(48)
    for wave in range(1, 6):
        amplitude = random.normal(0, 0.3 / wave)
        radius += amplitude * np.cos(wave * angle + (0 if symmetric else random.uniform(0, 7)))
    reach = size * np.maximum(radius, 0.1)
    stretch = random.uniform(0.5, 1.5)
    outline = np.column_stack([np.sin(angle) * reach, -np.cos(angle) * reach * stretch]) + middle
    cv2.fillPoly(layer, [np.round(outline).astype(np.int32)], 1.0, cv2.LINE_AA)


def _polygon(layer: Floats, corners: NDArray[np.float64], value: float, line: int) -> None:
    """Fill the convex hull of the corners (N, 2)."""
    cv2.fillConvexPoly(layer, cv2.convexHull(corners.astype(np.int32)), value, line)


def _things(canvas: Canvas, page: Floats) -> None:
    """Things: fingers and edges that reach in, clothes, tools, and pictures of them."""
    if not canvas.has("things"):
        return
    near = canvas.near_digits(7)
    for _ in range(canvas.random.integers(1, 4)):
        alpha = _outline(canvas.random, alone=not canvas.digits)
        if (alpha[near] > 0).sum() <= 0.01 * near.sum():
            _lay(page, alpha, _surface(canvas.random))


def _outline(random: np.random.Generator, alone: bool) -> Floats:
    """Where a thing is, (256, 256); one that is alone in the picture may be large and symmetric."""
    alpha = np.zeros((SIDE, SIDE), np.float32)
    kind = 1 if alone and chance(random, 0.4) else random.integers(4)
    if kind == 0:  # a finger, a pen, a ruler from outside
        edge = SIDE * np.array([random.choice([-0.05, 1.05]), random.uniform(0, 1)])
        edge = edge if chance(random, 0.5) else edge[::-1]
        tip = edge + (SIDE / 2 - edge) * random.uniform(0.1, 0.8) + random.normal(0, 30, 2)
        ends = np.array([edge, tip]).astype(np.int32)
        cv2.line(alpha, ends[0], ends[1], 1.0, int(log_uniform(random, 4, 70)))
    elif kind == 1 and alone:  # of several parts
        middle = SIDE / 2 + random.normal(0, 10, 2)
        for _ in range(random.integers(1, 4)):
            spot = middle + random.normal(0, 25, 2)
            _blob(random, alpha, spot, log_uniform(random, 25, 100), chance(random, 0.7))
    elif kind == 2:  # with straight edges
        middle = random.uniform(-0.2, 1.2, 2) * SIDE
        corners = random.uniform(-1, 1, (random.integers(3, 6), 2)) * log_uniform(random, 15, 150)
        _polygon(alpha, middle + corners, 1.0, cv2.LINE_AA)
    else:
        _blob(random, alpha, random.uniform(0, SIDE, 2), log_uniform(random, 8, 60))
    return alpha


def _surface(random: np.random.Generator) -> Floats:
    """The colours of a thing, (256, 256, 3): coloured or grey, grained, at times patterned."""
    coloured = chance(random, 0.6)
    shade = random.uniform(0, 1, 3 if coloured else 1).astype(np.float32)
    colours = shade * (1 + noise(random, random.uniform(0.01, 0.25)))[:, :, None]
    if chance(random, 0.3):
        y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) * log_uniform(random, 0.05, 1.2)
        strength = random.uniform(0.1, 0.6)
        colours *= (1 + strength * np.sin(x * random.uniform(-1, 1) + y))[:, :, None]
    return colours


def _on_table(canvas: Canvas, page: Floats) -> Floats:
    """The page as a sheet that does not fill the picture."""
    random, mask = canvas.random, np.zeros((SIDE, SIDE), np.float32)
    written = np.maximum(canvas.ink, canvas.layers.max(axis=0) / np.float32(255)) > 0.2
    x, y, wide, high = 100, 100, 50, 50
    if written.any():
        x, y, wide, high = cv2.boundingRect(written.astype(np.uint8))
    share = random.uniform(0.1, 0.97, 4) * random.choice([0, 1], 4, p=[0.2, 0.8])
    left, top = x * share[0], y * share[1]
    right, bottom = SIDE - (SIDE - x - wide) * share[2], SIDE - (SIDE - y - high) * share[3]
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    corners += random.normal(0, 3, (4, 2)) * [[min(left, 1), min(top, 1)]]
    cv2.fillConvexPoly(mask, np.round(corners).astype(np.int32), 1.0, cv2.LINE_AA)
    table = random.uniform(0, 1, 3) * random.uniform(0.1, 1)
    ground = table.astype(np.float32) * (1 + noise(random, random.uniform(0, 0.15)))[:, :, None]
    if chance(random, 0.4):
        ground *= 1 + random.uniform(0, 0.3) * texture(random)[:, :, None]
    if chance(random, 0.4):  # its own shadow on the table
        ground *= 1 - 0.4 * cv2.GaussianBlur(mask, (0, 0), log_uniform(random, 1, 10))[:, :, None]
    soft = cv2.GaussianBlur(mask, (0, 0), 0.6)[:, :, None]
    if not chance(random, 0.5):  # ink outside of the sheet lies on the table
        canvas.owner[(mask < 0.5) & (canvas.owner >= 0)] = HIDDEN
    else:
        soft = np.maximum(soft, cv2.dilate(written.astype(np.float32), np.ones((5, 5)))[:, :, None])
    return page * soft + ground * (1 - soft)


def _light(canvas: Canvas, page: Floats) -> None:
    """Light that falls off to the sides, and a shadow."""
    random = canvas.random
    if canvas.has("uneven"):
        y, x = _grid()
        slope_x, slope_y = random.uniform(-0.4, 0.4, 2).astype(np.float32)
        bulge = np.float32(random.uniform(0, 0.3))
        light = 1 + slope_x * x + slope_y * y - bulge * (x * x + y * y)
        canvas.light = np.clip(light, 0.15, 1.5)[:, :, None]
    if canvas.has("webcam"):
        canvas.light = canvas.light * _webcam(random)
    if canvas.light.size > 1:
        page *= canvas.light
    if canvas.has("shadow"):
        shade = np.ones((SIDE, SIDE), np.float32)
        corners = random.uniform(-0.4, 1.4, (random.integers(3, 6), 2)) * SIDE
        _polygon(shade, corners, float(random.uniform(0.35, 0.85)), cv2.LINE_8)
        page *= cv2.GaussianBlur(shade, (0, 0), log_uniform(random, 0.7, 25))[:, :, None]


def _webcam(random: np.random.Generator) -> Floats:
    """Light of another colour at each side, and little of it in the corners, (256, 256, 3)."""
    y, x = _grid()
    middle = random.normal(0, 0.25, 2).astype(np.float32)
    far = (x - middle[0]) ** 2 + (y - middle[1]) ** 2
    dark = 1 / (1 + np.float32(log_uniform(random, 0.1, 1.2)) * far)
    angle = random.uniform(0, 2 * np.pi)
    side = np.cos(angle).astype(np.float32) * x + np.sin(angle).astype(np.float32) * y
    tints = 1 + random.uniform(0.03, 0.3) * random.uniform(-1, 1, (2, 3)).astype(np.float32)
    share = np.clip(side[:, :, None] / 2 + 0.5, 0, 1)
    return (dark[:, :, None] * (tints[0] * share + tints[1] * (1 - share))).astype(np.float32)


@cache
def _grid() -> Floats:
    """The places of all pixels, from -1 to 1: down and to the right, (2, 256, 256)."""
    return np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j].astype(np.float32)
