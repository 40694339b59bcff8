"""How much examples of a hand help the shipped network; writes TEACHING.md and teaching.png.

    python benchmarks/teaching.py                  # invented writers
    python benchmarks/teaching.py FOLDER           # also those whose digits are in a folder

A folder has labelled pictures, as `mnist-digits teach` takes them, or small images of digits in an
.npz (see `other_digits.py`), or both. Nothing but the examples that are taught is seen in
teaching; all others are judged. Two threads.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import torch
from answers import grouped
from other_digits import small_images
from PIL import Image
from tables import machine

from mnist_digits import Digits, Run, evaluate, load, load_mnist, plots, train
from mnist_digits.classifier.examples import examples_of
from mnist_digits.classifier.teaching import Taught, hardest, lesson, teach, with_examples
from mnist_digits.plots.style import INK, card, plain, series
from mnist_digits.reading.labelled import find_labelled
from mnist_digits.reading.reader import SHIPPED
from mnist_digits.synthesis.handwriting import write

HERE = Path(__file__).parent
COUNTS = (1, 3, 10, 30, 100)
DRAWS = 5
# Forms that neither MNIST nor the drawn digits have: see FORMS in handwriting.py.
WRITERS = {
    "sevens like ones, with a hook": (7, "14 11 40 51! 49"),
    "ones that end in a hook": (1, "13 20 50 62 58 79! 39"),
    "fours in one line": (4, "50 14 06 37 66 53! 69"),
    "twos that bend back": (2, "21 50 61 44 17! 38 79"),
}
TEXT = """# Teaching

Written by `python benchmarks/teaching.py FOLDER` on {day}, in {minutes:.0f} minutes, on {machine}.
The network that ships is taught; "right" are digits that it was not taught with.

## A whole hand

{hands}

Mean of {draws} draws of the examples. MNIST is its test set; of the network as it ships {base} are
right.

![Right digits by examples](teaching.png)

## One form of one digit

Five examples of a form that a program invents (`WRITERS` in `teaching.py`), and 500 others of it.

{writers}

## Pictures

{pictures}

## Time

{time}
"""


@dataclass
class Lessons:
    """What came of teaching with so many examples, a number for each draw."""

    right: list[float] = field(default_factory=list)
    mnist: list[float] = field(default_factory=list)


class Teacher:
    """The shipped network, and what to teach and judge it with."""

    def __init__(self) -> None:
        self.base: Run = load(SHIPPED)
        self.digits, self.test = load_mnist()
        self.mnist = self.judge(self.base, self.test)
        self.hard = hardest(self.base.model, self.digits)

    @staticmethod
    def judge(run: Run, digits: Digits) -> float:
        return evaluate(run.model, digits).accuracy

    def teach(self, examples: Digits, seed: int) -> Run:
        """The network, taught with these digits."""
        model = load(SHIPPED).model
        mixture = with_examples(self.digits, self.hard, examples, seed)
        return train(lesson(self.base.recipe, seed), mixture, model=model)


def drawn(digits: Digits, count: int, seed: int) -> torch.Tensor:
    """A mask of so many examples of each digit."""
    random = torch.Generator().manual_seed(seed)
    mask = torch.zeros(len(digits), dtype=torch.bool)
    for digit in range(10):
        indices = (digits.labels == digit).nonzero()[:, 0]
        mask[indices[torch.randperm(len(indices), generator=random)[:count]]] = True
    return mask


def learn_hand(teacher: Teacher, digits: Digits) -> dict[int, Lessons]:
    """Teach with more and more examples of each digit; 0 is the network as it ships."""
    lessons = {count: Lessons() for count in (0, *COUNTS)}
    lessons[0].right.append(teacher.judge(teacher.base, digits))
    lessons[0].mnist.append(teacher.mnist)
    for count in COUNTS:
        for seed in range(DRAWS):
            taught = drawn(digits, count, seed)
            run = teacher.teach(digits[taught], seed)
            lessons[count].right.append(teacher.judge(run, digits[~taught]))
            lessons[count].mnist.append(teacher.judge(run, teacher.test))
        print(f"{count} examples of each: {statistics.mean(lessons[count].right):.2%}", flush=True)
    return lessons


def hand_table(hands: dict[str, dict[int, Lessons]]) -> str:
    """A row for each hand and number of examples."""
    rows = ["| digits | examples of each | right | MNIST |", "|---|---|---|---|"]
    for name, lessons in hands.items():
        for count, lesson_ in lessons.items():
            spread = f" ± {statistics.stdev(lesson_.right):.2%}" if len(lesson_.right) > 1 else ""
            rows.append(
                f"| {name} | {count} | {statistics.mean(lesson_.right):.2%}{spread} "
                f"| {statistics.mean(lesson_.mnist):.2%} |"
            )
    return "\n".join(rows)


def curve(hands: dict[str, dict[int, Lessons]], file: Path) -> None:
    """Draw the right digits by the number of examples, each draw a dot."""
    figure = card(6.5, 4)
    axes = figure.subplots()
    plain(axes)
    for index, (name, lessons) in enumerate(hands.items()):
        # A place for "none" on an axis of powers.
        places = {count: count or 0.4 for count in lessons}
        means = [statistics.mean(lesson_.right) for lesson_ in lessons.values()]
        style = series(index)
        axes.plot(list(places.values()), means, label=name, **style)
        for count, lesson_ in lessons.items():
            dots = [places[count]] * len(lesson_.right)
            axes.scatter(dots, lesson_.right, s=9, color=style["color"], alpha=0.5)
    axes.set_xscale("log")
    axes.set_xticks([0.4, *COUNTS], ["none", *map(str, COUNTS)])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:.1%}")
    axes.set_xlabel("examples of each digit", color=INK)
    axes.set_ylabel("digits read right", color=INK)
    axes.legend(frameon=False)
    plots.save_figure(figure, file)


def writer_table(teacher: Teacher) -> str:
    """Each invented writer, before and after five examples."""
    rows = ["| writer | before | after | MNIST |", "|---|---|---|---|"]
    for name, (digit, form) in WRITERS.items():
        with torch.random.fork_rng():
            torch.manual_seed(1)
            images = write(form, 505).round().to(torch.uint8)
        written = Digits(images, torch.full((505,), digit))
        run = teacher.teach(written[:5], seed=0)
        before, after = (teacher.judge(each, written[5:]) for each in (teacher.base, run))
        mnist = teacher.judge(run, teacher.test)
        rows.append(f"| {name} | {before:.1%} | {after:.1%} | {mnist:.2%} |")
        print(rows[-1], flush=True)
    return "\n".join(rows)


def teach_pictures(teacher: Teacher, folder: Path) -> Iterator[tuple[str, Taught]]:
    """Each kind of picture of a folder that can be judged, by cross-validation."""
    for kind, pictures in grouped(find_labelled(folder), lambda p: p.kind).items():
        if len(pictures) < 100:
            continue
        examples = examples_of(pictures)
        yield kind, teach(teacher.base, examples, teacher.digits, teacher.test)


def picture_table(teacher: Teacher, folders: list[Path]) -> str:
    """Pictures right before and after, each judged by a network that was taught with others."""
    rows = ["| pictures | left out | before | after | MNIST |", "|---|---|---|---|---|"]
    for folder in folders:
        for kind, taught in teach_pictures(teacher, folder):
            told = taught.report()
            cells = [
                f"{kind}, {told['pictures']}",
                str(len(told["left_out"])),
                f"{told['before']['right']} ({told['before']['accuracy']:.2%})",
                f"{told['after']['right']} ({told['after']['accuracy']:.2%})",
                f"{taught.run.result['test_accuracy']:.2%}",
            ]
            rows.append("| " + " | ".join(cells) + " |")
            print(rows[-1], flush=True)
    return "\n".join(rows) if len(rows) > 2 else "None: no folder was named."


def command_time(digits: Digits) -> str:
    """How long `mnist-digits teach` takes with 100 pictures, from its start to its end."""
    mask = drawn(digits, 10, 0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "pictures"
        for number, index in enumerate(mask.nonzero()[:, 0].tolist()):
            target = folder / str(int(digits.labels[index])) / f"{number}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            small = Image.fromarray(255 - digits.images[index, 0].numpy())
            small.resize((140, 140)).save(target)
        command = [sys.executable, "-m", "mnist_digits", "teach", str(folder)]
        seconds = []
        for number in range(3):
            started = time.perf_counter()
            output = ["--output", str(Path(place) / f"run-{number}")]
            subprocess.run([*command, *output], check=True, capture_output=True)
            seconds.append(time.perf_counter() - started)
    return (
        f"`mnist-digits teach` with 100 pictures takes {statistics.median(seconds):.0f} s, from "
        f"its start to the files on disk (median of three)."
    )


def main() -> None:
    """Measure all, and write TEACHING.md and teaching.png."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    torch.set_num_threads(2)
    started, teacher = time.perf_counter(), Teacher()
    files = [file for folder in options.folders for file in sorted(folder.glob("*.npz"))]
    hands = {file.stem: learn_hand(teacher, small_images(file)) for file in files}
    if hands:
        curve(hands, HERE / "teaching.png")
    text = TEXT.format(
        hands=hand_table(hands),
        writers=writer_table(teacher),
        pictures=picture_table(teacher, options.folders),
        time=command_time(teacher.test),
        draws=DRAWS,
        base=f"{teacher.mnist:.2%}",
        day=date.today(),
        machine=machine(),
        minutes=(time.perf_counter() - started) / 60,
    )
    (HERE / "TEACHING.md").write_text(text)


if __name__ == "__main__":
    main()
