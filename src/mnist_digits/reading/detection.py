"""Where the digits of a picture are: one network proposes places, another looks at each of them.

    pixels (H, W, 3) -> detections: of each the score, which digit it is, its box, its ink

The picture is first searched at a reduced size. As long as nothing is found, or some digits are too
small to be read, it is searched again at twice that size: up to its own size, and for small digits
up to twice its own, but at most 1,600 pixels. Runs on ONNX Runtime, without torch
(`detector.networks` are the networks, `detector.onnx_networks` writes the files).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError
from .mnist_frame import FRAME
from .onnx_file import open_model
from .picture import WORKING_SIZE

Pixels: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]
# x, y of points (N, 2) to others.
Move: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]

# The networks that the package brings along, and what they call themselves.
MODELS = Path(__file__).parent / "models"
DETECT, LOOK = "detect.onnx", "look.onnx"
DETECT_FORMAT, LOOK_FORMAT = "mnist-digits detect 1", "mnist-digits look 1"
# The longer side at which a picture is searched first; a tiny one, which a single digit may fill,
# is searched at twice that.
LEVEL = 128
# Probabilities of a digit. Above READ it is read. A proposal below POSSIBLE is not looked at, and
# what the look gives less than POSSIBLE is ignored. What lies between may make the reading unsure.
READ, POSSIBLE = 0.5, 0.1
# In units of a digit's size. A proposal nearer than SAME to a digit is that digit again; one that
# is smaller than SAME / 2 of the median digit is dust. If a box is off its proposal by more than
# MOVED, the place of the box is looked at, too.
SAME, MOVED = 0.3, 0.1
# Pixels along a side of a crop, and of its ink: a digit in it is FRAME pixels large. A digit that
# has fewer pixels is looked at in a larger copy of the picture, if there is one.
CROP = 2 * FRAME
# Places that are looked at together: more are not faster, and take more memory.
BATCH = 128
# The classes that are no digits, but signs: points and commas, minus signs.
SIGNS = [10, 11]
NAMES = ["classes", "scores", "boxes", "places", "ink", "frames"]
NOWHERE = np.empty((0, 4), np.float32)


@dataclass(frozen=True)
class Detections:
    """Places that were looked at.

    Attributes:
        places: float32 (N, 3): x, y and the size that a digit would have, in pixels.
        proposed: float32 (N,), the detector's score of the proposal.
        scores: float32 (N,), the probability that there is a digit, by both networks.
        logits: float32 (N, 10), which one.
        boxes: float32 (N, 4): x0, y0, x1, y1 in pixels.
        ink: float32 (N, 56, 56), 0 to 1, in a square of two sizes around the place.
        frames: uint8 (N, 28, 28), the ink framed as in MNIST.
    """

    places: Floats
    proposed: Floats
    scores: Floats
    logits: Floats
    boxes: Floats
    ink: Floats
    frames: Pixels

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def heights(self) -> Floats:
        return self.boxes[:, 3] - self.boxes[:, 1]

    def chosen(self, which: NDArray[Any] | list[int]) -> Detections:
        """Those with these numbers, or where a mask (N,) is true."""
        return Detections(*(values[which] for values in vars(self).values()))

    def joined(self, other: Detections) -> Detections:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Detections(*(np.concatenate(pair) for pair in pairs))

    def moved(self, move: Move, turns: int = 0) -> Detections:
        """The same in another picture: `move` gives where points (N, 2) are there.

        Args:
            turns: by how many quarters the ink is turned back, clockwise.
        """
        middles, sizes = self.places[:, :2], self.places[:, 2:]
        places = move(middles)
        sizes = np.abs(move(middles + sizes) - places).max(axis=1, keepdims=True)
        table = np.column_stack([places, sizes]).astype(np.float32)
        ink = np.rot90(self.ink, -turns, axes=(1, 2))
        boxes = moved_boxes(self.boxes, move).astype(np.float32)
        return replace(self, places=table, boxes=boxes, ink=ink)


class Detector:
    """Detects digits with the two networks that the package ships.

    Attributes:
        presence: the three numbers that join the scores of both networks: a factor for the look's
            logit, one for the detector's, and what is added.
        answer: the five numbers that join the answers of the look and of the classifier
            (`detector.confidence`).
        sure_above: the least confidence of an answer that is called sure.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._detect, _ = open_model((MODELS / DETECT).read_bytes(), DETECT_FORMAT, threads)
        self._look, values = open_model((MODELS / LOOK).read_bytes(), LOOK_FORMAT, threads)
        self.presence: list[float] = json.loads(values.get("presence", "[1, 0, 0]"))
        self.answer: list[float] = json.loads(values.get("answer", "[0.5, 0.5, 1, 0, 0]"))
        self.sure_above = float(values.get("sure_above", "0.9"))

    @classmethod
    def load(cls, threads: int | None = None) -> Detector:
        """The shipped networks.

        Raises:
            CheckpointError: one is damaged, or missing.
        """
        try:
            return cls(threads)
        # The runtime has exceptions of its own, one for each of its status codes.
        except Exception as error:
            raise CheckpointError(
                f"{MODELS} has networks that cannot be used: install the package again"
            ) from error

    def detect(self, pixels: Pixels) -> tuple[Detections, bool]:
        """What was looked at in pixels (H, W, 3), the best first; whether it is a texture.

        What shares most of its ink with a better one is left out, except a possible neighbour
        (`_distinct`). A texture has more places that look like digits than the detector can give.
        """
        detections, longest = self._look_at(pixels, NOWHERE)[0], max(pixels.shape[:2])
        side = LEVEL if 2 * longest > LEVEL else 2 * LEVEL
        while True:
            reduced, proposals, move = self._propose(pixels, side)
            if proposals[-1, 3] > READ:
                return detections, True
            new = proposals[proposals[:, 3] > POSSIBLE]
            # In all, no more than the detector gives at once: this bounds the time.
            room = len(proposals) - len(detections)
            sure = detections.chosen(detections.scores > 1 - POSSIBLE)
            new = new[is_new(new[:, :3] * (longest / side), sure)][:room]
            small = new[:, 2] < FRAME
            detections = detections.joined(self._looked(reduced, new[~small]).moved(move))
            most = max(longest, min(2 * longest, WORKING_SIZE)) if small.any() else longest
            # What looks large may be made of small digits: only a sure one ends the search.
            found = (detections.scores > 1 - POSSIBLE).any()
            if side >= most or (found and not small.any()):
                # If nothing was proposed or found, the best place is still looked at.
                last = new[small] if len(new) or len(detections) else proposals[:1]
                detections = detections.joined(self._looked(reduced, last).moved(move))
                return _distinct(detections), False
            side = min(2 * side, most)

    def signs(self, pixels: Pixels, places: Floats) -> Floats:
        """How surely places (N, 3) in pixels (H, W, 3) are of signs, float32 (N, 2).

        The first column is for points and commas, the second for minus signs. A sign is looked at
        in the size of the digits beside it.
        """
        (logits,) = self._run_look(NAMES[:1], pixels, places)
        return softmax(logits)[:, SIGNS]

    def _propose(self, pixels: Pixels, side: int) -> tuple[Pixels, Floats, Move]:
        """The picture reduced to this longer side; where digits may be in it; and the move back.

        Proposals are x, y, size and score, float32 (K, 4), the best first.
        """
        lengths = np.array(pixels.shape[:2])
        size = np.maximum((lengths * side / lengths.max()).round(), 1).astype(np.int64)
        reduced, proposals = self._detect.run(None, {"pixels": pixels, "size": size})
        return reduced, proposals, lambda points: points * (lengths / size)[::-1]

    def _looked(self, pixels: Pixels, proposals: Floats) -> Detections:
        """What is at proposals (N, 4).

        If a box is off its place, the place of the box is looked at, too; the better look is kept.
        """
        first, boxes = self._look_at(pixels, proposals)
        moved = np.abs(boxes - first.places).max(axis=1) > MOVED * proposals[:, 2]
        again = np.flatnonzero(moved & (first.scores > POSSIBLE))
        second, _ = self._look_at(pixels, np.column_stack([boxes, proposals[:, 3]])[again])
        better = second.scores > first.scores[again]
        kept = np.delete(np.arange(len(first)), again[better])
        return first.chosen(kept).joined(second.chosen(better))

    def _look_at(self, pixels: Pixels, proposals: Floats) -> tuple[Detections, Floats]:
        """What is at proposals (N, 4) in pixels (H, W, 3); and the places of its boxes."""
        places, proposed = proposals[:, :3], proposals[:, 3]
        if not len(places):
            pixels = pixels[:1, :1]  # it takes time to make them floats
        logits, scores, boxes, moved, ink, frames = self._run_look(NAMES, pixels, places)
        by_look, by_detector, offset = self.presence
        odds = by_look * log_odds(scores) + by_detector * log_odds(proposed) + offset
        scores = (1 / (1 + np.exp(-odds))).astype(np.float32)
        return Detections(places, proposed, scores, logits[:, :10], boxes, ink, frames), moved

    def _run_look(self, names: list[str], pixels: Pixels, places: Floats) -> list[NDArray[Any]]:
        """What the look says of places (N, 3), by its outputs' names."""
        starts = range(0, max(len(places), 1), BATCH)
        feeds = [{"pixels": pixels, "proposals": places[start : start + BATCH]} for start in starts]
        parts = [self._look.run(names, feed) for feed in feeds]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _distinct(detections: Detections) -> Detections:
    """What may be digits, the best first, without what shares most of its ink with a better one.

    But if this is named as another digit, or lies elsewhere, it may be a digit that touches the
    better one: it is kept with the score READ, so that it is not read but makes the reading unsure.
    """
    left, digits = detections.scores.argsort()[::-1], detections.logits.argmax(axis=1)
    best: list[int] = []
    beside: list[int] = []
    while len(left):
        first, left = int(left[0]), left[1:]
        same = _same(detections, first, left)
        best.append(first)
        other = (digits[left] != digits[first]) | is_new(
            detections.places[left], detections.chosen([first])
        )
        beside.extend(left[same & other & (detections.scores[left] > READ)])
        left = left[~same]
    scores = detections.scores.copy()
    scores[beside] = READ
    kept = np.array([*best, *beside], np.int64)
    return replace(detections, scores=scores).chosen(kept[(-scores[kept]).argsort(kind="stable")])


def _same(detections: Detections, one: int, others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the others, (N,), share most ink with one: over half of the ink of the smaller."""
    same = np.zeros(len(others), bool)
    box, boxes = detections.boxes[one], detections.boxes[others]
    near = np.flatnonzero(((boxes[:, :2] < box[2:]) & (boxes[:, 2:] > box[:2])).all(axis=1))
    places, inks, half = detections.places[others[near]], detections.ink[others[near]], CROP // 2
    # The middles of one's pixels of ink, x and y of each (N, 2, 56), in pixels of the others' ink.
    steps = (np.arange(CROP) + 0.5) / half - 1
    spots = detections.places[one, :2, None] + detections.places[one, 2] * steps
    spots = np.floor(((spots - places[:, :2, None]) / places[:, 2:, None] + 1) * half).astype(int)
    x, y = np.moveaxis(spots, 1, 0)
    outside = (x < 0) | (x >= CROP), (y < 0) | (y >= CROP)
    x, y = x.clip(0, CROP - 1), y.clip(0, CROP - 1)
    seen = inks[np.arange(len(near))[:, None, None], y[:, :, None], x[:, None, :]]
    seen[outside[0][:, None, :] | outside[1][:, :, None]] = 0
    common = np.minimum(seen, detections.ink[one]).sum(axis=(1, 2)) * detections.places[one, 2] ** 2
    own = detections.ink[one].sum() * detections.places[one, 2] ** 2
    same[near] = 2 * common > np.minimum(own, inks.sum(axis=(1, 2)) * places[:, 2] ** 2)
    return same


def softmax(logits: NDArray[np.floating]) -> Floats:
    """Probabilities (N, K) of logits (N, K)."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float32)


def log_odds(probabilities: Floats) -> Floats:
    """Their logits, (N,); those of 0 and 1 are finite."""
    smallest = np.finfo(np.float32).eps
    kept = probabilities.clip(smallest, 1 - smallest)
    return np.asarray(np.log(kept / (1 - kept)), np.float32)


def is_new(places: Floats, detections: Detections) -> NDArray[np.bool_]:
    """Whether places (N, 3) are of digits that were not found yet, and not dust beside them."""
    digits = detections.places[detections.scores > READ]
    if not len(digits):
        return np.ones(len(places), bool)
    away = np.hypot(*np.moveaxis(places[:, None, :2] - digits[:, :2], 2, 0))
    large = 2 * places[:, 2] > SAME * np.median(digits[:, 2])
    return np.asarray((away > SAME * digits[:, 2]).all(axis=1) & large)


def moved_boxes(boxes: NDArray[Any], move: Move) -> NDArray[Any]:
    """Boxes (N, 4), from the left upper corner to the right lower one, as `move` moves them."""
    corners = np.stack([move(boxes[:, :2]), move(boxes[:, 2:])])
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)], axis=1)
