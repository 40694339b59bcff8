"""The finder's training: its targets, and that it goes on as if it had never stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_digits import CheckpointError, Digits, RecipeError, TrainingError
from mnist_digits.command.cli import main
from mnist_digits.reading.finder import Finder
from mnist_digits.training import finder_training
from mnist_digits.training.finder_model import OFFSET_UNIT, SIZE_UNIT, FinderNet
from mnist_digits.training.finder_training import (
    FinderRun,
    load_finder,
    quartered,
    save_finder,
    targets,
    train_finder,
)
from mnist_digits.training.recipe import FinderRecipe
from mnist_digits.training.scenes.glyphs import Glyphs, load_glyphs
from mnist_digits.training.scenes.scene import scene

SMALL = FinderRecipe(
    scenes=24, batch_size=4, widths=(4, 8, 8, 8, 8), synthetic=10, ema_decay=0.5, warmup=0.5
)


@pytest.fixture(scope="module")
def few(mnist: tuple[Digits, Digits]) -> Digits:
    return mnist[0][:60]


@pytest.fixture(scope="module")
def glyphs(few: Digits) -> Glyphs:
    return load_glyphs(few, 10)


def weights(run: FinderRun) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in run.model.state_dict().values()])


def test_votes_point_to_the_middle_of_their_digit(glyphs: Glyphs) -> None:
    for seed in range(10):
        made = scene(np.random.default_rng(seed), glyphs, "rows", [])
        _, ink, votes, counts = targets(made)
        assert set(ink.unique().tolist()) <= {0, 1, 2}
        rows, columns = torch.nonzero(counts[0], as_tuple=True)
        x = 4 * columns + 1.5 + OFFSET_UNIT * votes[0, rows, columns]
        y = 4 * rows + 1.5 + OFFSET_UNIT * votes[1, rows, columns]
        sizes = SIZE_UNIT * votes[2, rows, columns].exp()
        table = torch.tensor([[d.x, d.y, d.size] for d in made.digits])
        found = torch.stack([x, y, sizes], dim=1)
        assert (torch.cdist(found, table).amin(dim=1) < 0.01).all()


def test_a_quarter_shows_what_was_in_its_place(glyphs: Glyphs) -> None:
    made = scene(np.random.default_rng(0), glyphs, "rows", [])
    batch = tuple(part[None].repeat(2, 1, 1, 1) for part in targets(made))
    pixels, ink, votes, counts = quartered(batch)  # type: ignore[arg-type]
    assert pixels.shape == (8, 3, 128, 128)
    assert (ink.shape[2:], votes.shape[2:], counts.shape[2:]) == ((64, 64), (32, 32), (32, 32))
    np.testing.assert_array_equal(pixels[0].permute(1, 2, 0), made.pixels[:128, :128])
    np.testing.assert_array_equal(pixels[6].permute(1, 2, 0), made.pixels[128:, 128:])


def test_the_network_takes_any_size_and_is_small() -> None:
    model = FinderNet(FinderRecipe().widths).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) <= 400_000
    ink, votes = model(torch.zeros(2, 3, 96, 160, dtype=torch.uint8))
    assert ink.shape == (2, 1, 48, 80)
    assert votes.shape == (2, 3, 24, 40)


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_weights_stopped_or_not(few: Digits, tmp_path: Path) -> None:
    parts: list[Path] = []

    def keep(run: FinderRun) -> None:
        parts.append(tmp_path / f"{run.steps}.safetensors")
        save_finder(run, parts[-1])

    whole = train_finder(SMALL, few, workers=0, on_part=keep, steps_per_part=2)
    assert [path.stem for path in parts] == ["2", "4", "6"]
    begun = load_finder(parts[0])
    assert begun.recipe == SMALL
    resumed = train_finder(SMALL, few, begun, workers=0, steps_per_part=2)
    assert torch.equal(weights(whole), weights(resumed))
    values = [[entry[name] for name in ("step", "ink", "votes")] for entry in whole.history]
    assert values == [[e[name] for name in ("step", "ink", "votes")] for e in resumed.history]
    assert not torch.equal(weights(whole), weights(begun))


def test_a_batch_may_be_larger_than_all_scenes(few: Digits) -> None:
    run = train_finder(dataclasses.replace(SMALL, scenes=16, batch_size=32), few, workers=0)
    assert (run.steps, len(run.history)) == (1, 1)


def infinite_loss(ink: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
    return (ink.mean() / 0).expand(3)


def infinite_gradient(ink: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
    return (ink.mean() * 0).sqrt().expand(3)


@pytest.mark.parametrize("loss", [infinite_loss, infinite_gradient])
def test_a_training_stops_at_what_is_no_number(
    few: Digits, loss: Callable[..., torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything of it is saved."""
    kept: list[int] = []
    monkeypatch.setattr(finder_training, "finder_loss", loss)
    recipe = dataclasses.replace(SMALL, scenes=16)
    with pytest.raises(TrainingError, match="became infinite in the 2 steps up to step 2: choose"):
        train_finder(
            *(recipe, few),
            workers=0,
            on_part=lambda run: kept.append(run.steps),
            steps_per_part=2,
        )
    assert not kept


@pytest.mark.parametrize(("precision", "wanted"), [("auto", False), ("bfloat16", True)])
def test_a_cpu_is_not_made_to_use_bfloat16(
    few: Digits, precision: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those without it are 13 times slower."""
    seen: set[bool] = set()
    forward = FinderNet.forward

    def watched(model: FinderNet, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.add(torch.is_autocast_enabled("cpu"))
        return forward(model, pixels)

    monkeypatch.setattr(FinderNet, "forward", watched)
    recipe = dataclasses.replace(SMALL, scenes=16, batch_size=16, precision=precision)
    train_finder(recipe, few, workers=0)
    assert seen == {wanted}


def test_a_run_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "finder.safetensors"
    for content in (None, b"", b"seven", bytes(1000)):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"finder\.safetensors is no finder's run"):
            load_finder(file)


@pytest.mark.parametrize(
    "changes", [{"widths": (1, 2)}, {"scenes": 0}, {"batch_size": 1.5}, {"learning_rate": -1.0}]
)
def test_recipes_that_cannot_be(changes: dict[str, object]) -> None:
    with pytest.raises(RecipeError):
        FinderRecipe(**changes)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_command_trains_resumes_and_exports(tmp_path: Path, cache: Path) -> None:  # noqa: ARG001
    folder = tmp_path / "run"
    choices = ["--scenes", "16", "--batch-size", "8", "--synthetic", "0", "--workers", "0"]
    small = ["--widths", "4", "8", "8", "8", "8"]
    assert main(["finder", *choices, *small, "--output", str(folder), "--threads", "1"]) == 0
    model = (folder / "finder.onnx").read_bytes()
    assert Finder(model).find(np.full((60, 90, 3), 255, np.uint8)).ink.shape[1] > 0
    assert main(["finder", "--resume", str(folder), "--scenes", "32"]) == 2
    assert main(["finder", "--resume", str(folder), "--workers", "0"]) == 0
    assert main(["finder", "--resume", str(tmp_path / "none")]) == 2
