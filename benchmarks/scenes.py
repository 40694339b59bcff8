"""Generated scenes that each show one difficulty, with MNIST's test digits.

The detector learns from such scenes too, but from others: there the digits are MNIST's for training
and chance mixes what is drawn. Here they are MNIST's test digits, and each kind shows one thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from answers import Answer, Pixels, by_kind, digits_right, share, table

from mnist_digits import Reader
from mnist_digits.synthesis.scene import Scene, scene
from mnist_digits.synthesis.templates import Templates

# What a scene holds at most: with fifty small ones "all right" would count only how many there are.
MAX_DIGITS = 12
# The third number of each seed. The training's seeds have two, which stand for two and zeros.
STREAM = 999


@dataclass(frozen=True)
class Kind:
    """A kind of scenes.

    Attributes:
        layouts: taken in turn.
        features: what is drawn; None for what chance brings.
        least: the height in pixels of its smallest digit.
    """

    layouts: tuple[str, ...]
    features: frozenset[str] | None
    least: float = 0


def _kind(*features: str, layouts: tuple[str, ...] = ("one", "rows"), least: float = 0) -> Kind:
    return Kind(layouts, frozenset(features), least)


ONE, ROWS, NONE = ("one",), ("rows",), ("none",)
KINDS = {
    "one digit": _kind("plain", layouts=ONE),
    "rows": _kind("plain", layouts=ROWS),
    "table": _kind("plain", layouts=("table",)),
    "11 to 18 pixels high": _kind("plain", "tiny"),
    "as high as the picture": _kind("plain", "whole", layouts=ONE),
    "touching": _kind("plain", "touching", layouts=ROWS),
    "broken": _kind("plain", "broken"),
    "in boxes": _kind("plain", "boxed"),
    "in circles": _kind("plain", "circled"),
    "underlined": _kind("plain", "underlined"),
    "crossed by a line": _kind("plain", "crossed"),
    "with marks: + - = , .": _kind("plain", "marks"),
    "some deleted": _kind("plain", "deleted", layouts=ROWS),
    "letters around": _kind("plain", "letters"),
    "scribbles around": _kind("plain", "scribbles"),
    "things around": _kind("plain", "things"),
    "squared paper": _kind("plain", "squared"),
    "ruled paper": _kind("plain", "ruled"),
    "stains": _kind("plain", "stains"),
    "grain, some in colour": _kind("grain"),
    "faint, in uneven light": _kind("faint", "uneven"),
    "shadow": _kind("shadow", "uneven"),
    "out of focus": _kind("blurred"),
    "sheet on a table": _kind("sheet", "uneven"),
    "light on dark": _kind("plain", "inverted"),
    # Only scenes of large digits are made from few pixels.
    "from few pixels": _kind("enlarged", least=62),
    "anything, by chance": Kind(("one", "rows"), None),
    "no digit: things": _kind("things", layouts=NONE),
    "no digit: letters": _kind("letters", layouts=NONE),
    "no digit: scribbles": _kind("scribbles", layouts=NONE),
    "no digit: stained paper": _kind("stains", "shadow", "grain", layouts=NONE),
}


def example(templates: Templates, name: str, number: int) -> Scene:
    """Scene `number` of a kind: always the same."""
    kind = KINDS[name]
    layout = kind.layouts[number % len(kind.layouts)]
    random = np.random.default_rng((list(KINDS).index(name), number, STREAM))
    while True:
        made = scene(random, templates, layout, kind.features)
        if _is_of(kind, made):
            return made


def _is_of(kind: Kind, made: Scene) -> bool:
    """Whether a random scene shows what its kind is about, and all its digits are visible."""
    if kind.layouts == NONE:
        return True
    if (made.owner == -2).any() or len(made.digits) > MAX_DIGITS:
        return False
    features = kind.features or frozenset()
    if "deleted" in features:
        return 0 < len(made.text.replace("/", "")) < len(made.digits)
    if "touching" in features and not _any_touch(made):
        return False
    return bool(made.text) and min(digit.size for digit in made.digits) >= kind.least


def _any_touch(made: Scene) -> bool:
    """Whether two neighbouring digits of a row touch."""
    ordered = sorted(made.digits, key=lambda digit: (digit.row, digit.x))
    return any(
        one.row == other.row and other.box[0] <= one.box[2] for one, other in pairwise(ordered)
    )


def pixels_of(templates: Templates, name: str, number: int) -> Pixels:
    """The pixels of a scene."""
    return example(templates, name, number).pixels


def read_scenes(reader: Reader, templates: Templates, count: int) -> list[Answer]:
    """Read so many scenes of each kind."""
    answers = []
    for name in KINDS:
        for number in range(count):
            made = example(templates, name, number)
            reading = reader.read(made.pixels)
            show = partial(pixels_of, templates, name, number)
            answers.append(Answer(name, made.text, reading.text, reading.sure, show))
    return answers


def scene_table(answers: list[Answer]) -> str:
    """A table with rows for all scenes and for each kind."""
    groups = {
        "all with digits": [answer for answer in answers if answer.truth],
        "all without": [answer for answer in answers if not answer.truth],
        **by_kind(answers),
    }
    head = ("scenes", "number", "all right", "digits right", "sure", "wrong of these")
    rows = [
        (
            name,
            f"{len(group):,}",
            share(answer.right for answer in group),
            digits_right(group),
            sum(answer.sure for answer in group),
            sum(answer.surely_wrong for answer in group),
        )
        for name, group in groups.items()
    ]
    return table(head, rows)
