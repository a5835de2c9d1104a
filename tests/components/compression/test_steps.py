"""Recipes are refused with their place before anything runs."""

from __future__ import annotations

import json

import pytest

from components.compression.executor import read_recipes
from components.errors import InputError
from components.version import CompressionRecipe


def recipes(*steps: object, name: str = "one") -> str:
    listed = [{"step": s} if isinstance(s, str) else s for s in steps]
    return json.dumps([{"name": name, "steps": listed}])


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (["int4"], r"compression\[0\]\.steps\[0\]\.step: no step 'int4'; known steps are width_"),
        ([{"stp": "int8"}], r"steps\[0\]: the key 'step' is missing"),
        ([{"step": ["int8"]}], r"steps\[0\]\.step: no step \['int8'\]"),
        (["int8", "zlib", "slim"], r"steps\[2\]: 'slim' cannot follow 'zlib': it belongs before"),
        (["slim", "int8"], r"steps\[1\]: 'int8' cannot follow 'slim'"),
        (["int8", "float16"], r"'float16' cannot follow 'int8': both stand in the same place"),
        (["magnitude_pruning", "width_pruning", "int8"], r"it belongs before 'magnitude_pruning'"),
        (["width_pruning"], r"steps: nothing turns the model into a file; add one of float32"),
        ([], r"steps: nothing turns the model into a file"),
        ([{"step": "int8", "perchannel": True}], r"steps\[0\] int8: unknown key 'perchannel'"),
        ([{"step": "int8", "per_channel": 1}], r"int8\.per_channel: must be true or false"),
        ([{"step": "int8", "samples": 0}], r"samples is 0; it must be above 0"),
        ([{"step": "slim", "level": 9}], r"steps\[0\] slim: unknown key 'level'"),
        ([{"step": "width_pruning", "keep": 1}, "int8"], r"keep is 1.0; it must lie between"),
        ([{"step": "magnitude_pruning", "sparsity": 1.0}, "int8"], r"sparsity < 1"),
        ([{"step": "magnitude_pruning", "epochs": 0}, "int8"], r"give at least 1"),
        ([{"step": "width_pruning", "epochs": -1}, "int8"], r"epochs is -1"),
        ([{"step": "width_pruning", "learning_rate": 0}, "int8"], r"learning_rate is 0.0"),
    ],
)
def test_a_recipe_that_cannot_run_is_refused_with_its_place(steps, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_recipes(recipes(*steps))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 65])
def test_a_name_that_is_no_folder_is_refused(name) -> None:
    with pytest.raises(InputError, match=r"compression\[0\]\.name"):
        read_recipes(recipes("int8", name=name))


def test_two_recipes_of_one_name_are_refused() -> None:
    twice = json.loads(recipes("int8")) + json.loads(recipes("float16"))
    with pytest.raises(InputError, match=r"compression\[1\]\.name: 'one' is taken"):
        read_recipes(json.dumps(twice))


@pytest.mark.parametrize("text", ["[]", "{}", '[{"name": "a"}]', '["int8"]'])
def test_what_is_no_list_of_recipes_is_refused(text) -> None:
    with pytest.raises(InputError, match="compression"):
        read_recipes(text)


def test_a_good_recipe_is_read_whole() -> None:
    (read,) = read_recipes(
        recipes({"step": "width_pruning", "keep": 0.5}, {"step": "int8", "samples": 10}, "zlib")
    )
    assert read == CompressionRecipe(
        "one",
        ({"step": "width_pruning", "keep": 0.5}, {"step": "int8", "samples": 10}, {"step": "zlib"}),
    )


def test_nothing_runs_when_a_later_step_is_wrong(keywords, compressor, recipe) -> None:
    before = [w.copy() for w in keywords.model.get_weights()]
    with pytest.raises(InputError, match=r"steps\[2\]\.step: no step 'gzip'"):
        compressor(recipe("magnitude_pruning", "int8", "gzip"))
    assert all((a == b).all() for a, b in zip(before, keywords.model.get_weights(), strict=True))
