"""Pictures by a writer with habits that no data set has."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from mnist_digits import Digits
from mnist_digits.synthesis.handwriting import write

# A seven like a one with a hook: see FORMS in handwriting.py.
SEVEN = "14 11 40 51! 49"


def sevens(count: int, seed: int = 0) -> Digits:
    """Digits by a writer whose sevens are like ones."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        images = write(SEVEN, count).round().to(torch.uint8)
    return Digits(images, torch.full((count,), 7))


def save_pictures(digits: Digits, folder: Path, labels: list[str] | None = None) -> Path:
    """Each digit as a picture, dark on white, 140 × 140, with a labels.csv of their labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["file,label"]
    for number, image in enumerate(digits.images[:, 0].numpy()):
        Image.fromarray(255 - image).resize((140, 140)).save(folder / f"{number}.png")
        label = labels[number] if labels else str(int(digits.labels[number]))
        rows.append(f"{number}.png,{label}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder
