"""Reader: pictures in, digits with their confidence out. Runs on ONNX Runtime, without torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .errors import CheckpointError, PictureError
from .framing import BOX, FRAME, as_framed, frame
from .ink import find_sheets, is_plain
from .picture import Picture, Source, open_picture
from .segmentation import Glyph, find_rows, find_single, halves

Pixels: TypeAlias = NDArray[np.uint8]

MODEL = "model.onnx"
# The run that the package brings along.
SHIPPED = Path(__file__).parent / "models" / "digits"
FORMAT = "mnist-digits model 1"
# How its checksum begins in a model file, in the words of protobuf: an entry of the metadata of
# this name, with a value of 64 characters.
CHECKSUM = b"\n\x06sha256\x12\x40"
# Frames that go through the network at once: more gain no speed, but take memory.
BATCH = 500
# With less confidence ink is taken for something else than a digit: ten guesses have 0.1 each.
NO_DIGIT = 0.3
# Ink that is taken for a digit with less confidence than this, and is wider than this times its
# height, may be several digits that touch.
TOUCHING_CONFIDENCE, TOUCHING_WIDTH = 0.7, 0.85
# An ensemble of a hundred networks like the shipped one has a fifth of it.
MAXIMUM_BYTES = 1_000_000_000
# More than this are not digits on a page but the weave of a carpet.
MAXIMUM_DIGITS = 500


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
    box: tuple[int, int, int, int]
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
        complete: whether nothing of a digit's size was passed over.
    """

    rows: list[list[Digit]]
    complete: bool = True

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

    def __str__(self) -> str:
        if not self.rows:
            return "no digits found"
        least = min(digit.confidence for digit in self.digits)
        return f"{self.text}  ({'sure' if self.sure else 'not sure'}, {percentage(least)})"

    def to_dict(self) -> dict[str, Any]:
        """What JSON has of it: text, sure, digits."""
        digits = [digit.to_dict() for digit in self.digits]
        return {"text": self.text, "sure": self.sure, "digits": digits}


def percentage(confidence: float) -> str:
    """Rounded down to a tenth of a per cent: nothing is 100% sure."""
    return f"{int(1000 * confidence) / 10}%"


class Reader:
    """Reads digits with the network that the package ships, or one that was exported.

    Attributes:
        information: what the model file says of itself: recipe, result, data.
        sure_above: the least confidence of an answer that is called sure.
        size: bytes of the model file.
    """

    def __init__(self, model: bytes, threads: int | None = None) -> None:
        # First of all: the runtime sees no file that has been damaged.
        if sealed(model) != model:
            raise ValueError("it is damaged: its checksum is not that of its content")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads or 0
        # Waiting threads would otherwise keep a core busy between two pictures.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        values = self._session.get_modelmeta().custom_metadata_map
        if values.get("format") != FORMAT:
            raise ValueError("it does not say that it is a model of mnist-digits")
        self.size = len(model)
        self.sure_above = float(values["sure_above"])
        self.information: dict[str, Any] = json.loads(values["information"])

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

    def read(self, source: Source) -> Reading:
        """Find and read the digits in a picture: a path, bytes, a PIL image or an array.

        Ink that looks like no digit at all is passed over; where it is as large as a digit, the
        reading is not sure.

        Raises:
            PictureError: it cannot be opened or is not a picture.
        """
        picture = open_picture(source)
        return self._read(picture, self._read_rows)

    def read_digit(self, source: Source) -> Reading:
        """Read a picture that holds exactly one digit; a blank one gives none.

        Raises:
            PictureError: it cannot be opened or is not a picture.
        """
        picture = open_picture(source)
        return self._read(picture, self._read_single)

    def _read(self, picture: Picture, read: Callable[..., Reading]) -> Reading:
        """Read a frame as it is; any other picture is searched."""
        pixels = picture.pixels
        reading = self._read_framed(pixels)
        if not reading.rows:
            reading = _searched(pixels, read)
        if reading.sure and pixels.shape[:2] == (FRAME, FRAME):
            reading = self._seconded(reading, pixels)
        rows = [[_in_place(digit, picture.reduction) for digit in row] for row in reading.rows]
        return Reading(rows, reading.complete)

    def _read_framed(self, pixels: Pixels) -> Reading:
        """A picture of 28 × 28 pixels that is a frame of MNIST: as it is."""
        image = as_framed(pixels)
        if image is None:
            return Reading([])
        ys, xs = np.nonzero(image > 16)
        box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
        return Reading([[self._digit(image, self.classify(image[None])[0], box)]])

    def _seconded(self, reading: Reading, pixels: Pixels) -> Reading:
        """A picture as small as a frame, read also as it is: sure only if that agrees.

        Not where the digit has room to move: the network expects it in the middle. But a thing
        that fills the picture, and had to be shrunk to the size of a digit, looks more like one.
        """
        x0, y0, x1, y1 = zip(*(digit.box for digit in reading.digits), strict=True)
        if max(max(x1) - min(x0), max(y1) - min(y0)) <= BOX + 2:
            return reading
        grey = pixels.mean(axis=2).round().astype(np.uint8)
        light = grey if np.median(grey) < 128 else 255 - grey
        whole = self._digit(light, self.classify(light[None])[0], (0, 0, FRAME, FRAME))
        agrees = len(reading.digits) == 1 and whole.sure and whole.digit == reading.digits[0].digit
        return reading if agrees else Reading(reading.rows, complete=False)

    def _read_rows(self, pixels: Pixels, inverted: bool = False, plain: bool = False) -> Reading:
        rows, covered = find_rows(pixels, inverted, plain)
        if sum(map(len, rows)) > MAXIMUM_DIGITS:
            return Reading([])
        answers = iter(self._apart([glyph for row in rows for glyph in row]))
        read = [[digit for _ in row for digit in next(answers)] for row in rows]
        digits = [[digit for digit in row if digit.confidence >= NO_DIGIT] for row in read]
        kept = [_height(digit) for row in digits for digit in row]
        passed = [_height(d) for row in read for d in row if d.confidence < NO_DIGIT]
        legible = not kept or max(passed, default=0) < 0.5 * float(np.median(kept))
        return Reading([row for row in digits if row], covered and legible)

    def _read_single(self, pixels: Pixels, inverted: bool = False, plain: bool = False) -> Reading:
        glyphs, covered = find_single(pixels, inverted, plain)
        best = max(self._answers(glyphs), key=lambda digit: digit.confidence, default=None)
        return Reading([[best]] if best else [], covered)

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

    def _answers(self, glyphs: list[Glyph]) -> list[Digit]:
        """Each glyph as one digit; boxes are still those of what was searched."""
        if not glyphs:
            return []
        frames = np.stack([frame(glyph.ink) for glyph in glyphs])
        answers = zip(frames, self.classify(frames), glyphs, strict=True)
        return [self._digit(image, row, glyph.box) for image, row, glyph in answers]

    def _digit(
        self, image: Pixels, probabilities: NDArray[np.float32], box: tuple[int, int, int, int]
    ) -> Digit:
        confidence = float(probabilities.max())
        # Of MNIST's 70,000 digits five are wider; digits that a line joins are.
        possible = box[2] - box[0] <= 2 * (box[3] - box[1])
        sure = confidence >= self.sure_above and possible
        return Digit(int(probabilities.argmax()), confidence, probabilities, box, image, sure)

    def _apart(self, glyphs: list[Glyph]) -> list[list[Digit]]:
        """Each glyph as the digits that it holds: digits that touch are cut apart.

        A wide glyph that the network doubts is cut at each of its thin places; the cut whose
        worse half is the most convincing is taken, if it convinces more than the whole.
        """
        result = [[digit] for digit in self._answers(glyphs)]
        for place, glyph in enumerate(glyphs):
            whole = result[place][0]
            if _may_touch(glyph, whole):
                result[place] = self._cut(glyph, whole)
        return result

    def _cut(self, glyph: Glyph, whole: Digit) -> list[Digit]:
        cuts = halves(glyph)
        answers = iter(self._answers([half for cut in cuts for half in cut]))
        options = [(next(answers), next(answers), cut[1]) for cut in cuts]
        # Of three digits or more, one is cut off; the rest is cut in its turn.
        several = glyph.width > 2 * glyph.height

        def conviction(option: tuple[Digit, Digit, Glyph]) -> float:
            left, right, _ = option
            return left.confidence if several else min(left.confidence, right.confidence)

        if not options:
            return [whole]
        left, right, rest = max(options, key=conviction)
        if conviction((left, right, rest)) <= max(whole.confidence, 0.5):
            return [whole]
        return [left, *(self._cut(rest, right) if _may_touch(rest, right) else [right])]


def sealed(model: bytes) -> bytes:
    """A model file with its checksum: SHA-256 of the file as it is with zeros in its place.

    Against damage, not against malice: whoever changes a model can seal it anew.

    Raises:
        ValueError: it has no place for a checksum.
    """
    before, key, rest = model.rpartition(CHECKSUM)
    if not key:
        raise ValueError("it has no checksum, so it is no model of mnist-digits")
    blank = b"".join([before, key, b"0" * 64, rest[64:]])
    return b"".join([before, key, hashlib.sha256(blank).hexdigest().encode(), rest[64:]])


def _checked(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frames as the network takes them: uint8 (N, 1, 28, 28)."""
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.shape[1:] not in ((FRAME, FRAME), (1, FRAME, FRAME)):
        raise PictureError(f"frames must be uint8 (N, 28, 28), not {frames.dtype} {frames.shape}")
    return frames.reshape(-1, 1, FRAME, FRAME)


def _may_touch(glyph: Glyph, answer: Digit) -> bool:
    """Whether what was read as one digit may be several that touch."""
    wide = TOUCHING_WIDTH * glyph.height < glyph.width < 15 * glyph.height
    return wide and answer.confidence < TOUCHING_CONFIDENCE


def _searched(pixels: Pixels, read: Callable[..., Reading], whole: bool = True) -> Reading:
    """A drawing read by its plain ground; if that is not sure, and of photos, what stands out.

    Of a `whole` picture that may show a sheet on a table, also the sheet alone.
    """
    reading = Reading([])
    if is_plain(pixels):
        reading = read(pixels, plain=True)
    if reading.sure:
        return reading
    reading = max(reading, read(pixels), key=_merit)
    if not reading.rows:
        reading = read(pixels, inverted=True)
    if whole and min(pixels.shape[:2]) > 2 * FRAME:
        for part, x, y in find_sheets(pixels):
            reading = _on_sheet(reading, part, x, y, read)
    return reading


def _on_sheet(
    reading: Reading, part: Pixels, x: int, y: int, read: Callable[..., Reading]
) -> Reading:
    """The better reading: of the whole picture, or of the sheet alone, whose corner is at x, y.

    The edges of a sheet may look like ones: what reaches beyond it is not enough, however sure.
    """
    high, wide = part.shape[:2]
    boxes = np.array([digit.box for digit in reading.digits]).reshape(-1, 4) - [x, y, x, y]
    inside = (boxes >= 0).all() and (boxes <= [wide, high, wide, high]).all()
    if reading.sure and inside:
        return reading
    alone = _searched(part, read, whole=False)
    # Edges come in addition to digits: one digit for one is a shadow beside it, not a sheet.
    if reading.sure and len(alone.digits) == len(reading.digits):
        return reading
    rows = [[_moved(digit, x, y) for digit in row] for row in alone.rows]
    alone = Reading(rows, alone.complete)
    # The fewer digits, the higher the least confidence: that alone does not make it better.
    several = len(alone.digits) >= len(reading.digits) and _merit(alone) > _merit(reading)
    return alone if alone.sure or several else reading


def _merit(reading: Reading) -> tuple[bool, float]:
    """How far a reading is to be relied on: if it is sure, and its least confidence."""
    return reading.sure, min((digit.confidence for digit in reading.digits), default=0.0)


def _height(digit: Digit) -> int:
    return digit.box[3] - digit.box[1]


def _moved(digit: Digit, x: int, y: int) -> Digit:
    """The digit of a part of a picture with its box in the whole."""
    x0, y0, x1, y1 = digit.box
    return replace(digit, box=(x0 + x, y0 + y, x1 + x, y1 + y))


def _in_place(digit: Digit, reduction: float) -> Digit:
    """The digit with its box in pixels of the picture as displayed."""
    x0, y0, x1, y1 = (round(side * reduction) for side in digit.box)
    return replace(digit, box=(x0, y0, x1, y1))
