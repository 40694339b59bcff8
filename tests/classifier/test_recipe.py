from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_digits import ACCURATE, FAST, Recipe, RecipeError
from mnist_digits.classifier.recipe import named

recipes = st.builds(
    Recipe,
    name=st.sampled_from(["fast", "_", "9-x", "a.b", "a" * 64]),
    seed=st.integers(0, 2**32 - 1),
    widths=st.tuples(st.integers(1, 1024), st.integers(1, 1024)),
    learning_rate=st.floats(1e-9, 1e3),
    rotation=st.integers(0, 180) | st.floats(0, 180),
    precision=st.sampled_from(["auto", "float32", "bfloat16"]),
)


@given(recipes)
def test_a_recipe_round_trips_through_json(recipe: Recipe) -> None:
    assert Recipe.from_json(recipe.to_json()) == recipe
    # Where a fraction may stand, a whole number will do.
    assert isinstance(recipe.rotation, float)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("epochs", (-1, 0, 1.5, True, "3", None)),
        ("batch_size", (1,)),
        ("learning_rate", (float("nan"), float("inf"), 0, "fast")),
        ("warmup", (1.01,)),
        ("label_smoothing", (-0.1,)),
        ("calibration_fraction", (0.6,)),
        ("seed", (-1, 2**32)),
        ("widths", ((32,), (32, 0), (32, 10**9), 32, "32", (32, 64, 128))),
        ("hidden", (-1, 0)),
        ("precision", ("float16", 16)),
        ("name", ("", "../escape", ".", "..", "a..b", "a.", ".hidden", "--flag", "a\n", "a" * 65)),
        ("name", (3,)),
    ],
)
def test_a_wrong_value_is_refused_by_name(field: str, values: tuple[object, ...]) -> None:
    for value in values:
        with pytest.raises(RecipeError, match=f"^{field} must be"):
            Recipe.from_dict({field: value})


@given(
    st.text()
    | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps)
)
def test_invalid_recipe_is_refused(text: str) -> None:
    with pytest.raises(RecipeError):
        Recipe.from_json(text)


def test_an_unknown_field_is_refused() -> None:
    values = dataclasses.asdict(FAST) | {"epoch": 3}
    with pytest.raises(RecipeError, match="no field 'epoch'"):
        Recipe.from_json(json.dumps(values))


def test_recipes_have_names() -> None:
    assert (named("fast"), named("accurate")) == (FAST, ACCURATE)
    with pytest.raises(RecipeError, match="no recipe 'slow': choose one of fast, balanced, acc"):
        named("slow")
