"""Architectures: shapes, widths, and what a forecaster starts as."""

from __future__ import annotations

import numpy as np
import pytest

from components.errors import InputError
from components.trainer.models import (
    FORECASTERS,
    KEYWORD_MODELS,
    build_forecaster,
    build_keyword_model,
    check_architecture,
)
from components.trainer.recipe import Architecture
from edge_client.features.spec import Standardisation

STANDARDISATION = Standardisation((10.0, 60.0), (8.0, 15.0))


@pytest.mark.parametrize("name", sorted(KEYWORD_MODELS))
def test_keyword_models_give_one_logit_a_label(name: str) -> None:
    model = build_keyword_model(Architecture(name, width=0.1), (20, 16), labels=5)
    assert model(np.zeros((3, 20, 16, 1), np.float32)).shape == (3, 5)


@pytest.mark.parametrize("name", sorted(KEYWORD_MODELS))
def test_width_scales_parameters(name: str) -> None:
    sizes = [
        build_keyword_model(Architecture(name, width=width), (20, 16), 5).count_params()
        for width in (0.1, 0.2)
    ]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("name", sorted(FORECASTERS))
@pytest.mark.parametrize("steps", [(6, 6), (6, 3), (3, 9)])
def test_an_untrained_forecaster_is_persistence(name: str, steps: tuple[int, int]) -> None:
    model = build_forecaster(Architecture(name, width=0.1), *steps, STANDARDISATION)
    records = np.random.default_rng(1).normal(size=(4, steps[0], 2)).astype(np.float32)
    forecast = model(records.reshape(4, -1)).numpy().reshape(4, steps[1], 2)
    last = records[:, -1:] * STANDARDISATION.std + STANDARDISATION.mean
    np.testing.assert_allclose(forecast, np.repeat(last, steps[1], axis=1), rtol=1e-5)


def test_every_architecture_passes_the_check_that_precedes_a_run() -> None:
    for registry, task in ((KEYWORD_MODELS, "keyword spotting"), (FORECASTERS, "forecasting")):
        for name in registry:
            check_architecture(Architecture(name), task)
    check_architecture(Architecture("res_net", options={"stages": [8, 16]}), "keyword spotting")


def test_an_unknown_architecture_is_named_with_the_known_ones() -> None:
    said = r"'transformer'.*ds_cnn.*residual_ds_cnn"
    with pytest.raises(InputError, match=said):
        build_keyword_model(Architecture("transformer"), (20, 16), 5)
    with pytest.raises(InputError, match=said):
        check_architecture(Architecture("transformer"), "keyword spotting")


@pytest.mark.parametrize("option", ["depth", "width", "x"])
def test_an_unknown_option_is_named(option: str) -> None:
    wrong = Architecture("ds_cnn", options={option: 3})
    said = f"architecture.options of ds_cnn.*{option}"
    with pytest.raises(InputError, match=said):
        build_keyword_model(wrong, (20, 16), 5)
    with pytest.raises(InputError, match=said):
        check_architecture(wrong, "keyword spotting")
