"""Reader: pictures in, digits with their confidence out. Runs on ONNX Runtime, without torch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError, PictureError
from . import percentage
from .drawing import only_piece
from .finder import MAXIMUM_FINDS, Box, Finder, Found, Glyph, turned_back
from .framing import FRAME, as_framed, frame
from .layout import in_rows
from .onnx_file import open_model
from .picture import Source, open_picture

Pixels: TypeAlias = NDArray[np.uint8]

MODEL = "model.onnx"
# The run that the package brings along.
SHIPPED = Path(__file__).parent / "models" / "digits"
FORMAT = "mnist-digits model 1"
# Frames that go through the network at once: more are not faster, and take more memory.
BATCH = 500
# Ink that is read with less confidence is taken for no digit; a pure guess has 0.1.
NO_DIGIT = 0.3
# Of a model file: an ensemble of a hundred networks like the shipped one has a fifth of this.
MAXIMUM_BYTES = 1_000_000_000
# In a picture of one digit so many finds may be pieces of it.
MAXIMUM_PIECES = 4
# A reading is incomplete if the ink outside of all digits is at least this fraction of a digit's.
MISSED = 0.25
# The finder confirms a drawing if its box for it differs by no more than SAME_BOX of the drawing's
# size; a drawing that it does not confirm is a digit as surely as UNCONFIRMED says.
SAME_BOX, UNCONFIRMED = 0.1, 0.8
# A page with fewer digits is not turned: a lone 6 would become a 9.
LEAST_TURNED = 2


@dataclass(frozen=True)
class Digit:
    """A digit that was read.

    Attributes:
        confidence: the probability that it is right.
        probabilities: float32 (10,), summing to 1.
        box: x0, y0, x1, y1 in pixels of the picture as displayed; x1, y1 are just outside.
        frame: uint8 (28, 28), what the network saw.
        sure: whether the confidence is enough to rely on.
    """

    digit: int
    confidence: float
    probabilities: NDArray[np.float32]
    box: Box
    frame: NDArray[np.uint8]
    sure: bool

    def to_dict(self) -> dict[str, Any]:
        """What JSON has of it."""
        return {
            "digit": self.digit,
            "confidence": round(self.confidence, 4),
            "box": list(self.box),
        }


@dataclass(frozen=True)
class Reading:
    """What was read in a picture: rows from top to bottom, in each the digits from the left.

    Attributes:
        missing: what was passed over, if it has the size of a digit.
        found: what the finder saw; None where nothing had to be searched: in a frame of MNIST, and
            in a drawing of one digit.
        turns: quarter turns, anticlockwise, by which the picture was turned to be read.
        image: which of the images of an animation was read, from 1: the first that is not empty.
    """

    rows: list[list[Digit]]
    missing: str = ""
    found: Found | None = None
    turns: int = 0
    image: int = 1

    @property
    def digits(self) -> list[Digit]:
        return [digit for row in self.rows for digit in row]

    @property
    def text(self) -> str:
        """The digits, with `/` between the rows; empty if there are none."""
        return "/".join("".join(str(digit.digit) for digit in row) for row in self.rows)

    @property
    def sure(self) -> bool:
        """Whether there are digits, each of them can be relied on, and none may be missing."""
        return bool(self.rows) and self.complete and all(digit.sure for digit in self.digits)

    @property
    def complete(self) -> bool:
        """Whether nothing of a digit's size was passed over."""
        return not self.missing

    @property
    def why(self) -> str:
        """The main reason why it is not sure, in a few words; empty if it is."""
        doubtful = [digit for digit in self.digits if not digit.sure]
        if doubtful:
            return _doubt(min(doubtful, key=lambda digit: digit.confidence))
        return self.missing if self.rows else self.missing or "no digits found"

    def __str__(self) -> str:
        notes = [f"image {self.image} of the animation"] if self.image > 1 else []
        if self.rows:
            least = percentage(min(digit.confidence for digit in self.digits))
            notes[:0] = [f"sure, {least}" if self.sure else f"not sure, {least}: {self.why}"]
        elif self.missing:
            notes[:0] = [self.missing]
        told = f"  ({'; '.join(notes)})" if notes else ""
        return f"{self.text or 'no digits found'}{told}"

    def scaled(self, reduction: tuple[float, float]) -> Reading:
        """With its places in pixels of the picture before it was reduced by these factors."""
        across, down = reduction

        def back(box: Box) -> Box:
            x0, y0, x1, y1 = box
            return round(x0 * across), round(y0 * down), round(x1 * across), round(y1 * down)

        return self._moved(back, self.found and self.found.scaled(reduction))

    def turned_back(self, turns: int, shape: tuple[int, ...]) -> Reading:
        """With its places in the picture (H, W) as it was before it was turned to be read."""

        def back(box: Box) -> Box:
            corners = turned_back(np.reshape(box, (2, 2)), turns, shape)
            return (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())

        found = self.found and self.found.turned_back(turns, shape)
        return replace(self._moved(back, found), turns=turns)

    def _moved(self, move: Callable[[Box], Box], found: Found | None) -> Reading:
        rows = [[replace(digit, box=move(digit.box)) for digit in row] for row in self.rows]
        return replace(self, rows=rows, found=found)

    def to_dict(self) -> dict[str, Any]:
        """What JSON has of it: text, sure, why if it is not, image if not the first, digits."""
        why = {} if self.sure else {"why": self.why}
        image = {"image": self.image} if self.image > 1 else {}
        digits = [digit.to_dict() for digit in self.digits]
        return {"text": self.text, "sure": self.sure, **why, **image, "digits": digits}


class Reader:
    """Reads digits with the network that the package ships, or one that was exported.

    Attributes:
        information: what the model file says of itself: recipe, result, data.
        sure_above: the least confidence of an answer that is called sure.
        size: bytes of the model file.
    """

    def __init__(self, model: bytes, threads: int | None = None) -> None:
        self._session, values = open_model(model, FORMAT, threads)
        self._threads = threads
        self.size = len(model)
        self.sure_above = float(values["sure_above"])
        self.information: dict[str, Any] = json.loads(values["information"])

    @cached_property
    def finder(self) -> Finder:
        """The finder that the package ships, whatever the network that reads."""
        return Finder.load(self._threads)

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None, threads: int | None = None) -> Reader:
        """The shipped network; with a path, that of an exported run (its folder or .onnx file).

        Raises:
            CheckpointError: there is none, or the file is damaged or something else.
        """
        if path is None:
            file, remedy = SHIPPED / MODEL, "install the package again"
        else:
            file = Path(path) / MODEL if os.path.isdir(path) else Path(path)
            remedy = "`mnist-digits export RUN` writes such files"
        if not os.path.isfile(file):
            raise CheckpointError(
                f"there is no {file}: `mnist-digits export RUN` makes it from a trained run"
            )
        try:
            if file.stat().st_size > MAXIMUM_BYTES:
                raise ValueError(f"it has more than {MAXIMUM_BYTES:,} bytes")
            return cls(file.read_bytes(), threads)
        # The runtime has exceptions of its own, one for each of its status codes.
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else "damaged"
            raise CheckpointError(f"{file} cannot be used to read ({reason}): {remedy}") from error

    def read(self, source: Source, single: bool = False) -> Reading:
        """Find and read the digits in a picture: a path, bytes, a PIL image or an array.

        Ink that looks like no digit at all is passed over; where it is as large as a digit, the
        reading is not sure. A page that lies on its side or upside down is turned.

        Args:
            single: whether the picture holds exactly one digit, as for `read_digit`.

        Raises:
            PictureError: it cannot be opened or is not a picture.
        """
        picture = open_picture(source)
        # What is framed as in MNIST, or surely a drawing of one digit, needs no search.
        reading = self._read_framed(picture.pixels)
        if reading is None:
            drawn = self._drawn(picture.pixels)
            if drawn and drawn.sure:
                reading = Reading([[drawn]])
            else:
                search = self._read_one if single else self._read_any_way_up
                reading = search(picture.pixels, drawn)
        return replace(reading.scaled(picture.reduction), image=picture.image)

    def read_digit(self, source: Source) -> Reading:
        """Read a picture that holds exactly one digit; a blank one gives none.

        Raises:
            PictureError: it cannot be opened or is not a picture.
        """
        return self.read(source, single=True)

    def _read_framed(self, pixels: Pixels) -> Reading | None:
        image = as_framed(pixels)
        if image is None:
            return None
        ys, xs = np.nonzero(image > 16)
        box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
        return Reading([[self._digit(image, self.classify(image[None])[0], box)]])

    def _drawn(self, pixels: Pixels) -> Digit | None:
        """The only piece of ink in a drawing, read as a digit; None if there are several."""
        piece = only_piece(pixels)
        if not piece:
            return None
        seen = self.finder.as_one(pixels, piece.box)
        x0, y0, x1, y1 = piece.box
        room = SAME_BOX * max(x1 - x0, y1 - y0)
        confirmed = seen and np.abs(np.subtract(seen.box, piece.box)).max() <= room
        surely = seen.surely if seen and confirmed else UNCONFIRMED
        return self.answers([replace(piece, surely=surely)])[0]

    def _read_one(self, pixels: Pixels, drawn: Digit | None) -> Reading:
        """The most prominent of the digits that are found, all of them as one digit included."""
        found = self.finder.find(pixels)
        glyphs = found.glyphs
        if not drawn and 1 < len(glyphs) <= MAXIMUM_PIECES:
            corners = np.array([glyph.box for glyph in glyphs])
            box = (*corners[:, :2].min(axis=0).tolist(), *corners[:, 2:].max(axis=0).tolist())
            whole = self.finder.as_one(pixels, box)
            glyphs = [*glyphs, whole] if whole else glyphs
        digits = [*self.answers(glyphs), *([drawn] if drawn else [])]
        best = max(digits, key=_prominence, default=None)
        if best is None:
            return Reading([], found=found)
        others = [_height(d) for d in digits if not _within(d.box, best.box)]
        several = max(others, default=0) >= 0.5 * _height(best)
        missing = "there may be another digit" if several else _left_over(found)
        return Reading([[best]], missing, found)

    def _read_any_way_up(self, pixels: Pixels, drawn: Digit | None) -> Reading:
        """As the picture is; or turned, if several digits are not sure and are clearer then."""
        reading = self._read_rows(pixels, drawn)
        if reading.sure or len(reading.digits) < LEAST_TURNED:
            return reading
        frames = np.stack([digit.frame for digit in reading.digits])
        # Only the turn in which the frames look most like digits is tried.
        ways = [self.classify(np.rot90(frames, turns, axes=(1, 2))) for turns in range(4)]
        turns = int(np.argmax([answers.max(axis=1).sum() for answers in ways]))
        if not turns:
            return reading
        turned = self._read_rows(np.ascontiguousarray(np.rot90(pixels, turns)))
        if _clarity(turned) <= _clarity(reading) + 0.5:
            return reading
        return turned.turned_back(turns, pixels.shape[:2])

    def _read_rows(self, pixels: Pixels, drawn: Digit | None = None) -> Reading:
        found = self.finder.find(pixels)
        if len(found.middles) > MAXIMUM_FINDS:
            return Reading([], f"more than {MAXIMUM_FINDS:,} places look like digits", found)
        digits = self.answers(found.glyphs)
        if drawn and len(digits) <= 1:
            digits = [max([*digits, drawn], key=_prominence)]
        read = [digit for digit in digits if digit.confidence >= NO_DIGIT]
        size = float(np.median([_height(digit) for digit in read])) if read else 0.0
        doubtful = [d for d in digits if d.confidence < NO_DIGIT and _height(d) > 0.5 * size]
        rows = in_rows(np.array([digit.box for digit in read], np.float64).reshape(-1, 4))
        missing = "what may be a digit is passed over" if doubtful else _left_over(found)
        return Reading([[read[number] for number in row] for row in rows], missing, found)

    def classify(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (N, 10) of digits framed as in MNIST: uint8 (N, 28, 28), light on dark.

        Raises:
            PictureError: the array is of another shape or type.
        """
        batches = _checked(frames)
        parts = [
            self._session.run(["probabilities"], {"frames": batches[start : start + BATCH]})[0]
            for start in range(0, len(batches), BATCH)
        ]
        return np.concatenate([np.empty((0, 10), np.float32), *parts])

    def features(self, frames: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """What the stages of the network make of frames, as `classify` takes them.

        For each stage its feature maps, (N, channels, h, w); no stages for a model that is
        exported without them, such as an ensemble.

        Raises:
            PictureError: the array is of another shape or type.
        """
        batch = _checked(frames)
        stages = [output.name for output in self._session.get_outputs()[1:]]
        return list(self._session.run(stages, {"frames": batch})) if stages else []

    def answers(self, glyphs: list[Glyph]) -> list[Digit]:
        """Each glyph as one digit; boxes are in pixels of what was searched."""
        if not glyphs:
            return []
        frames = np.stack([frame(glyph.ink) for glyph in glyphs])
        answers = zip(frames, self.classify(frames), glyphs, strict=True)
        return [
            self._digit(image, row, glyph.box, self.finder.certainty(glyph.surely))
            for image, row, glyph in answers
        ]

    def _digit(
        self,
        image: Pixels,
        probabilities: NDArray[np.float32],
        box: Box,
        certainty: float = 1.0,
    ) -> Digit:
        confidence = float(probabilities.max()) * certainty
        sure = can_be_sure(confidence, box, self.sure_above)
        return Digit(int(probabilities.argmax()), confidence, probabilities, box, image, sure)


def can_be_sure(confidence: float, box: Box, sure_above: float) -> bool:
    """Whether an answer can be relied on: it is confident enough, and no wider than digits are."""
    return confidence >= sure_above and not _too_wide(box)


def _too_wide(box: Box) -> bool:
    # Digits joined by a line are wider than this; of MNIST's 70,000 five are.
    return box[2] - box[0] > 2 * (box[3] - box[1])


def _doubt(digit: Digit) -> str:
    """What speaks against a digit that is not sure."""
    if _too_wide(digit.box):
        return f"the {digit.digit} is wide for one digit"
    *_, second, first = digit.probabilities.argsort().tolist()
    # Where most of the doubt comes from: one other digit, all of them, or else the finder.
    most = (1 - digit.confidence) / 2
    if digit.probabilities[second] >= most:
        return f"the {first} could be a{'n' if second == 8 else ''} {second}"
    if 1 - digit.probabilities[first] >= most:
        return f"the {first} may be no digit"
    return f"which ink is the {first}'s is unclear"


def _left_over(found: Found) -> str:
    return "some ink is of no digit that was read" if found.missed >= MISSED else ""


def _checked(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frames as the network takes them: uint8 (N, 1, 28, 28)."""
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.shape[1:] not in ((FRAME, FRAME), (1, FRAME, FRAME)):
        raise PictureError(f"frames must be uint8 (N, 28, 28), not {frames.dtype} {frames.shape}")
    return frames.reshape(-1, 1, FRAME, FRAME)


def _within(box: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether the middle of a box lies in the other one."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return other[0] <= x <= other[2] and other[1] <= y <= other[3]


def _height(digit: Digit) -> float:
    return digit.box[3] - digit.box[1]


def _prominence(digit: Digit) -> float:
    """How prominent a digit is: by its height and its confidence."""
    return _height(digit) * (0.2 + digit.confidence)


def _clarity(reading: Reading) -> float:
    """The sum of the digits' confidence above 0.5."""
    return sum(digit.confidence - 0.5 for digit in reading.digits)
