"""Folders of labelled pictures, read by this package, in the usual way, and by RapidOCR.

A folder has a `labels.csv` with file,label,kind, or one folder for each label. The usual way is
what most demos do: turn grey, resize to 28×28, invert if bright. It cannot read several digits.
A folder that mostly has pictures of several digits gets a table of its own, of whole texts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from answers import Answer, by_kind, digits, digits_right, grouped, share, table
from numpy.typing import NDArray
from PIL import Image
from rapidocr import Rapid

from mnist_digits import Reader
from mnist_digits.reading.documents import open_picture
from mnist_digits.reading.labelled import Labelled, find_labelled, read_labelled

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Folder:
    """The pictures of a folder, and what was read in them.

    Attributes:
        pictures: all of them.
        answers: to each, in the same order.
        told: whether each picture of one digit is read right when the reader knows it has one.
    """

    pictures: list[Labelled]
    answers: list[Answer]
    told: dict[Path, bool]

    @property
    def of_numbers(self) -> bool:
        """Whether most of the pictures have several digits."""
        several = sum(len(digits(picture.label)) > 1 for picture in self.pictures)
        return 2 * several > len(self.pictures)


def usual_way(path: Path) -> Frames:
    """A picture as most demos prepare it for a network: (28, 28)."""
    image = Image.open(path).convert("L").resize((28, 28))
    frame = np.asarray(image)
    return 255 - frame if frame.mean() > 127 else frame


def read_folder(reader: Reader, path: Path) -> Folder:
    """Read all pictures of a folder."""
    pictures = find_labelled(path)
    answers = []
    for outcome in read_labelled(reader, pictures):
        picture = outcome.picture
        kind = f"{picture.path.relative_to(path).parts[0]}: {picture.kind}"
        text = outcome.reading.text if outcome.reading else ""
        show = partial(_pixels, picture.path)
        answers.append(Answer(kind, picture.label, text, outcome.sure, show))
    alone = [picture for picture in pictures if len(picture.label) == 1]
    told = {o.picture.path: o.right for o in read_labelled(reader, alone, single=True)}
    return Folder(pictures, answers, told)


def _pixels(path: Path) -> NDArray[np.uint8]:
    return open_picture(path).pixels


def folder_table(
    reader: Reader, folder: Folder, plain: Callable[[Frames], Frames], rapid: Rapid | None
) -> str:
    """A table with a row for each kind of picture."""
    paired = list(zip(folder.answers, folder.pictures, strict=True))
    groups = {"all": folder.answers, **by_kind(folder.answers)}
    rows = []
    for name, answers in groups.items():
        kinds = {answer.kind for answer in answers}
        pictures = [picture for answer, picture in paired if answer.kind in kinds]
        rows.append(
            [
                name,
                len(answers),
                share(answer.right for answer in answers),
                digits_right(answers),
                share(folder.told[p.path] for p in pictures if p.path in folder.told),
                sum(answer.sure for answer in answers),
                sum(answer.surely_wrong for answer in answers),
                *_usual_cells(reader, pictures, plain),
                *(_rapid_cells(rapid, pictures) if rapid else ()),
            ]
        )
    head = ["pictures", "number", "read", "digits right", "one digit, told so", "sure"]
    head += ["wrong of these", "usual way, shipped model", "usual way, `fast`"]
    return table([*head, *(("RapidOCR", "RapidOCR, one line") if rapid else ())], rows)


def number_table(folder: Folder, rapid: Rapid | None) -> str:
    """A table with rows for all, for each folder within it, and for each kind of picture."""
    paired = list(zip(folder.answers, folder.pictures, strict=True))
    rows = []
    for name, group in _within(folder.answers).items():
        chosen = {id(answer) for answer in group}
        pictures = [picture for answer, picture in paired if id(answer) in chosen]
        right = [answer for answer in group if answer.right]
        rows.append(
            [
                name,
                len(group),
                share(answer.right for answer in group),
                digits_right(group),
                sum(answer.sure for answer in group),
                sum(answer.surely_wrong for answer in group),
                share(answer.sure for answer in right),
                share(folder.told[p.path] for p in pictures if p.path in folder.told),
                *(_rapid_cells(rapid, pictures) if rapid else ()),
            ]
        )
    head = ["pictures", "number", "whole text right", "digits right", "sure", "wrong of these"]
    head += ["sure of the right", "one digit, told so"]
    return table([*head, *(("RapidOCR", "RapidOCR, one line") if rapid else ())], rows)


def _within(answers: list[Answer]) -> dict[str, list[Answer]]:
    """All the answers, those of each folder, and of each kind in it if there are several."""
    groups = {"all": answers}
    for name, group in grouped(answers, lambda answer: answer.kind.split(": ")[0]).items():
        kinds = by_kind(group)
        groups |= {name: group, **(kinds if len(kinds) > 1 else {})}
    return groups


def _usual_cells(
    reader: Reader, pictures: list[Labelled], plain: Callable[[Frames], Frames]
) -> list[str]:
    """The usual way on the pictures of one digit, with both networks."""
    alone = [picture for picture in pictures if len(picture.label) == 1]
    if not alone:
        return ["–", "–"]
    frames = np.stack([usual_way(picture.path) for picture in alone])
    truth = np.array([int(picture.label) for picture in alone])
    shipped = reader.classify(frames).argmax(axis=1)
    return [f"{(answer == truth).mean():.2%}" for answer in (shipped, plain(frames))]


def _rapid_cells(rapid: Rapid, pictures: list[Labelled]) -> list[str]:
    """RapidOCR: right if the digits are, in their order, wherever it breaks lines."""
    return [
        share(texts[p.path] == digits(p.label) for p in pictures if p.path in texts)
        for texts in (rapid.found, rapid.line)
    ]


def rapid_text(rapid: Rapid, folder: Folder) -> str:
    """Which RapidOCR it was, and how many pictures of several digits it reads."""
    several = [p for p in folder.pictures if len(p.label) > 1 and p.path in rapid.found]
    right = sum(rapid.found[p.path] == digits(p.label) for p in several)
    left = len(folder.pictures) - len(rapid.found)
    late = f" It had no time for {left} pictures, which do not count for it." if left else ""
    return (
        f"RapidOCR {rapid.version} is right if the digits are, whatever else it reads and however "
        f'it breaks lines; "one line": told that the whole picture is one. It reads {right} of '
        f"{len(several)} pictures of several digits.{late}"
    )
