"""Bundles and plain models, float32 or int8, of every shape that coursework hands in."""

from __future__ import annotations

import numpy as np
import pytest

from edge_client.bundle import read_bundle
from edge_client.errors import EdgeError
from edge_client.features.spec import Standardisation
from edge_client.monitor.constants import JENA_DEVIATION, JENA_MEAN
from edge_client.monitor.forecaster import of_bundle, of_plain, read_plain
from edge_client.predictor import load_predictor
from tests.edge_client.monitor.house import persistence_model
from tests.edge_client.tiny import linear_model

JENA = Standardisation(JENA_MEAN, JENA_DEVIATION)
SAMPLES = np.array([[20 + n, 50 - n] for n in range(6)], np.float32)


def load(path):
    bundle = read_bundle(path)
    return of_bundle(bundle, load_predictor(bundle), str(path))


@pytest.mark.parametrize("shape", [(1, 6, 2), (1, 12)])
@pytest.mark.parametrize("steps", [1, 3])
def test_plain_models(shape, steps):
    forecaster = of_plain(persistence_model(steps, shape), "my/th.tflite", JENA)
    assert (forecaster.name, forecaster.input_steps, forecaster.output_steps) == ("th", 6, steps)
    np.testing.assert_allclose(forecaster(SAMPLES), [[25, 45]] * steps, rtol=1e-5)


def test_int8_inside_and_outside():
    weights = np.zeros((2, 12))
    weights[0, 10], weights[1, 11] = 1, 1
    model = linear_model(weights, [0, 0], (1, 6, 2), int8=True)
    # It gives what it takes, in steps of an eighth of a deviation.
    forecast = of_plain(model, "m", JENA)(SAMPLES)
    wanted = (SAMPLES[-1] - JENA_MEAN) / JENA_DEVIATION
    np.testing.assert_allclose(forecast[0], wanted, atol=0.1)


def test_bundles(forecast_bundle, repository):
    forecaster = load(forecast_bundle)
    assert (forecaster.name, forecaster.input_steps, forecaster.output_steps) == ("repeats:1", 3, 2)
    np.testing.assert_allclose(forecaster(SAMPLES[:3]), [[22, 48]] * 2, rtol=1e-4)
    ours = load(repository / "models" / "th-a.bundle")
    assert np.abs(ours(SAMPLES)[0] - SAMPLES[-1]).max() < 5


def test_what_does_not_forecast_both_is_told(keyword_bundle):
    for model, said in (
        (persistence_model(outputs=3), "1x6x2 to 1x3"),
        (linear_model(np.zeros((2, 10)), [0, 0], (1, 5, 2)), "1x5x2 to 1x2"),
        (linear_model(np.zeros((2, 12)), [0, 0], (1, 2, 6)), "1x2x6 to 1x2"),
        (b"1234TFL3" + b"\0" * 99, "LiteRT"),
        (b"nothing", "not a TFLite"),
    ):
        with pytest.raises(EdgeError, match=said) as told:
            of_plain(model, "m", JENA)
        assert "\n" not in str(told.value)
    with pytest.raises(EdgeError, match="keyword_spotting model"):
        load(keyword_bundle)


def test_plain_models_are_known_by_their_content(tmp_path, keyword_bundle):
    plain = tmp_path / "th.anything"
    plain.write_bytes(persistence_model())
    assert read_plain(plain) == persistence_model()
    assert read_plain(keyword_bundle) is None
    assert read_plain(tmp_path) is None
    assert read_plain(tmp_path / "gone") is None
