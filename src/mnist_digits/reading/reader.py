"""Reader: pictures in, digits with their confidence out. Runs on ONNX Runtime, without torch."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError, PictureError
from .detection import BATCH, POSSIBLE, READ, Detections, Detector, is_new, log_odds, softmax
from .documents import MAXIMUM_BYTES, Source, open_picture
from .mnist_frame import FRAME, GROUND, already_normalized
from .onnx_file import open_model
from .reading_order import in_numbers, reading_order
from .result import Box, Digit, Number, Reading, can_be_sure
from .separators import Signs, find_signs

Pixels: TypeAlias = NDArray[np.uint8]

MODEL = "model.onnx"
# The run that the package brings along.
SHIPPED = Path(__file__).parent / "models" / "digits"
FORMAT = "mnist-digits model 1"
CROWDED = "more than 1,000 places look like digits"
# In a picture of one digit, its score may be below READ, but not as low as that of blank paper.
NOTHING = 0.01
# Of fewer digits, half that are sure do not tell that a page stands upright.
FEW_DIGITS = 6
# One that does not part thousands.
APOSTROPHE = re.compile(r"'(?!\d{3}(?!\d))")


class Reader:
    """Reads digits with the network that the package ships, or one that was exported.

    Attributes:
        information: what the model file says of itself: recipe, result, data.
        sure_above: the least confidence of an answer to a frame that is called sure.
        size: bytes of the model file.
    """

    def __init__(self, model: bytes, threads: int | None = None, shipped: bool = False) -> None:
        self._session, values = open_model(model, FORMAT, threads)
        self._threads, self._shipped = threads, shipped
        self.size = len(model)
        self.sure_above = float(values["sure_above"])
        self.information: dict[str, Any] = json.loads(values["information"])

    @cached_property
    def detector(self) -> Detector:
        """What detects digits: always the shipped one, whichever network reads them."""
        return Detector.load(self._threads)

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
            return cls(file.read_bytes(), threads, shipped=path is None)
        # The runtime has exceptions of its own, one for each of its status codes.
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else "damaged"
            raise CheckpointError(f"{file} cannot be used to read ({reason}): {remedy}") from error

    def read(self, source: Source, single: bool = False) -> Reading:
        """Find and read the digits in a picture: a path, bytes, a PIL image or an array.

        What looks like no digit at all is passed over; if it could be one, the reading is not
        sure. A page that lies on its side or upside down is turned.

        Args:
            single: whether the picture holds exactly one digit, as for `read_digit`.

        Raises:
            PictureError: it cannot be opened or is not a picture.
        """
        picture = open_picture(source)
        pixels = picture.pixels
        search = self._read_one if single else self._read_way_up
        reading = self._read_normalized(pixels) or search(pixels)
        return replace(reading.displayed(pixels.shape, picture.reduction), image=picture.image)

    def read_digit(self, source: Source) -> Reading:
        """Read a picture that holds exactly one digit; a blank one gives none.

        Raises:
            PictureError: it cannot be opened or is not a picture.
        """
        return self.read(source, single=True)

    def _read_normalized(self, pixels: Pixels) -> Reading | None:
        """The reading of a picture that is framed as in MNIST, which needs no search; else None."""
        image = already_normalized(pixels)
        if image is None:
            return None
        ys, xs = np.nonzero(image > GROUND)
        box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
        probabilities = self.classify(image[None])[0]
        confidence = float(probabilities.max())
        digit = _digit(probabilities, confidence, box, image, self.sure_above)
        return Reading([[Number([digit], [""])]])

    def _read_one(self, pixels: Pixels) -> Reading:
        """The detection with the highest score."""
        detections, crowded = self.detector.detect(pixels)
        detections = detections.chosen(
            (detections.scores > NOTHING) & (detections.frames.max(axis=(1, 2)) > 0)
        )
        if not len(detections):
            return Reading([], CROWDED if crowded else "", detections)
        (digit,) = self.answers(detections.chosen(np.arange(1)))
        return Reading([[Number([digit], [""])]], _missing(detections, 1), detections)

    def _read_way_up(self, pixels: Pixels) -> Reading:
        """The digits as the picture lies if half or more are sure; or turned, if much clearer."""
        reading = self.read_as_it_lies(pixels)
        sure = sum(digit.sure for digit in reading.digits)
        if reading.sure or not reading.seen or 2 * sure >= max(len(reading.digits), FEW_DIGITS):
            return reading
        pages = (np.ascontiguousarray(np.rot90(pixels, turns)) for turns in range(1, 4))
        ways = [replace(self.read_as_it_lies(page), turns=n) for n, page in enumerate(pages, 1)]
        clearest, second = sorted([reading, *ways], key=_clarity, reverse=True)[:2]
        return clearest if _clarity(clearest) > _clarity(second) + READ else reading

    def read_as_it_lies(self, pixels: Pixels) -> Reading:
        """Read pixels (H, W, 3) that are not turned, whatever way up they are."""
        detections, crowded = self.detector.detect(pixels)
        if crowded:
            return Reading([], CROWDED, detections)
        count = int((detections.scores > READ).sum())
        digits = self.answers(detections.chosen(np.arange(count)))
        rows = reading_order(detections.boxes[:count])
        signs = find_signs(self.detector, pixels, detections, rows)
        numbers = [
            [_number(digits, signs, which) for which in row]
            for row in in_numbers(detections.boxes[:count], rows, signs)
        ]
        order = [number for row in rows for number in row]
        seen = detections.chosen(np.array([*order, *range(count, len(detections))], np.int64))
        return Reading(numbers, _missing(detections, count), seen)

    def classify(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (N, 10) of digits framed as in MNIST: uint8 (N, 28, 28), light on dark.

        Raises:
            PictureError: the array is of another shape or type.
        """
        batches = _checked(frames)
        starts = range(0, max(len(batches), 1), BATCH)
        feeds = [{"frames": batches[start : start + BATCH]} for start in starts]
        return np.concatenate([self._session.run(["probabilities"], feed)[0] for feed in feeds])

    def features(self, frames: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """What the stages of the network make of frames, as `classify` takes them.

        For each stage its feature maps, (N, channels, h, w); no stages for a model that is
        exported without them: one with test-time augmentation.

        Raises:
            PictureError: the array is of another shape or type.
        """
        batch = _checked(frames)
        stages = [output.name for output in self._session.get_outputs()[1:]]
        return list(self._session.run(stages, {"frames": batch})) if stages else []

    def answers(self, detections: Detections) -> list[Digit]:
        """The digit that each is, if it is one; boxes are in pixels of the picture searched."""
        by_look, by_classifier, by_score, by_agreement, offset = self.detector.answer
        sure_above = self.detector.sure_above
        if not self._shipped:  # a network of the user's own: it alone says which digit it is
            by_look, by_classifier, sure_above = 0, 1, self.sure_above
        smallest = np.finfo(np.float32).eps
        logarithms = np.log(self.classify(detections.frames) + smallest)
        logits = by_look * detections.logits + by_classifier * logarithms
        probabilities = softmax(logits)
        agreement = logarithms[np.arange(len(detections)), probabilities.argmax(axis=1)]
        evidence = by_score * log_odds(detections.scores) + by_agreement * agreement + offset
        calibrated_scores = 1 / (1 + np.exp(-evidence))
        confidences = (probabilities.max(axis=1) * calibrated_scores).tolist()
        table = zip(
            probabilities, confidences, detections.boxes.tolist(), detections.frames, strict=True
        )
        return [
            _digit(row, confidence, tuple(box), image, sure_above)
            for row, confidence, box, image in table
        ]


def _digit(
    probabilities: NDArray[np.float32],
    confidence: float,
    box: Box,
    image: Pixels,
    sure_above: float,
) -> Digit:
    sure = can_be_sure(confidence, box, sure_above)
    return Digit(int(probabilities.argmax()), confidence, probabilities, box, image, sure)


def _number(digits: list[Digit], signs: Signs, which: list[int]) -> Number:
    """The number of these digits; what stands before the first is a minus, or nothing of it.

    A point there leaves doubt: .5 may be a half. So does an apostrophe not before three digits.
    """
    written = [signs.written.get(number, "") for number in which]
    sure = signs.doubtful.isdisjoint(which) and written[0] in ("", " ", "-")
    written[0] = written[0].strip(" .,'")
    number = Number([digits[number] for number in which], written, sure)
    return replace(number, signs_sure=sure and not APOSTROPHE.search(number.text))


def _missing(detections: Detections, count: int) -> str:
    """What is said if there may be more digits than the first `count`."""
    return more_digits(count) if likely(detections, count).any() else ""


def more_digits(count: int) -> str:
    """In words, that there may be more than so many digits."""
    return "there may be another digit" if count else "there may be a digit"


def likely(detections: Detections, count: int) -> NDArray[np.bool_]:
    """Which of those behind the first `count`, the digits, one of both networks takes for one."""
    digits, others = (
        detections.chosen(np.arange(count)),
        detections.chosen(np.arange(count, len(detections))),
    )
    beside = (others.proposed > READ) & is_new(others.places, digits)
    size = float(np.median(digits.places[:, 2])) if count else 0.0
    return np.asarray(((others.scores > POSSIBLE) | beside) & (2 * others.places[:, 2] > size))


def _checked(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frames as the network takes them: uint8 (N, 1, 28, 28)."""
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.shape[1:] not in ((FRAME, FRAME), (1, FRAME, FRAME)):
        raise PictureError(f"frames must be uint8 (N, 28, 28), not {frames.dtype} {frames.shape}")
    return frames.reshape(-1, 1, FRAME, FRAME)


def _clarity(reading: Reading) -> float:
    """The sum of the digits' confidence above 0.5."""
    return sum(max(digit.confidence - READ, 0) for digit in reading.digits)
