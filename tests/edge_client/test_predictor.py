from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_client.bundle import (
    Bundle,
    BundleManifestError,
    Golden,
    LabelOutput,
    Quantization,
    TensorQuantization,
    read_bundle,
)
from edge_client.features.frontend import FrontEnd
from edge_client.interpreter import Interpreter, ModelError
from edge_client.predictor import AudioPredictor, RecordPredictor
from edge_client.self_test import SelfTestError, self_test
from tests.edge_client import tiny


def softmax(values):
    shares = np.exp(values - values.max())
    return shares / shares.sum()


@pytest.mark.parametrize("int8", [False, True])
def test_keyword_predictor(int8):
    manifest, packed = tiny.keyword_parts(int8)
    bundle = read_bundle(tiny.bundle_bytes(manifest, packed, "tones"))
    predict = AudioPredictor(bundle)
    for label, clip in tiny.EXAMPLES.items():
        heard = predict(clip, 16000)
        assert heard.label == label
        assert heard.scores.dtype == np.float32
        assert heard.scores.sum() == pytest.approx(1, abs=0.01)
        best, second = sorted(heard.scores.tolist(), reverse=True)[:2]
        assert heard.margin == pytest.approx(best - second)
        latency = heard.latency
        assert latency.total == pytest.approx(latency.features + latency.inference)
        assert min(latency.features, latency.inference) > 0


def test_any_rate_and_channel_count_is_heard_alike(keyword_bundle):
    predict = AudioPredictor(read_bundle(keyword_bundle))
    high = np.stack([tiny.tone(3000, 44100, 1.2)] * 2, axis=1)
    assert predict(high, 44100).label == "high"
    assert predict(tiny.tone(300, 8000, 3.0), 8000).label == "low"


def test_answers_do_not_change_under_the_hand_that_holds_them(keyword_bundle):
    predict = AudioPredictor(read_bundle(keyword_bundle))
    first = predict(tiny.EXAMPLES["high"], 16000)
    before = first.scores.copy()
    predict(tiny.EXAMPLES["low"], 16000)
    np.testing.assert_array_equal(first.scores, before)


def test_record_predictor(forecast_bundle):
    predict = RecordPredictor(read_bundle(forecast_bundle))
    rows = np.array([[1, 40], [2, 41], [-7.5, 99]], np.float32)
    np.testing.assert_allclose(predict(rows).values, [[-7.5, 99]] * 2, rtol=1e-5)


def test_a_manifest_that_does_not_fit_its_model(keyword_bundle, forecast_bundle):
    tones, repeats = read_bundle(keyword_bundle), read_bundle(forecast_bundle)
    with pytest.raises(ModelError, match="takes no records"):
        RecordPredictor(tones)
    with pytest.raises(ModelError, match="takes no recordings"):
        AudioPredictor(repeats)
    with pytest.raises(ModelError, match="an input of 6 values, not rows of 16"):
        AudioPredictor(Bundle(tones.manifest, repeats.model))
    two = replace(tones.manifest, output=LabelOutput(("high", "low")))
    with pytest.raises(ModelError, match="takes 240 values and gives 3, its manifest says 240 and"):
        AudioPredictor(Bundle(two, tones.model))
    other = Quantization(TensorQuantization("int8", 0.5, 0), None)
    with pytest.raises(ModelError, match="quantised otherwise"):
        AudioPredictor(Bundle(replace(tones.manifest, quantization=other), tones.model))


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"scale": 1 + 5e-7}, True),  # float32 by way of JSON
        ({"scale": 1 + 5e-6}, False),
        ({"zero_point": 1}, False),
        ({"dtype": "uint8"}, False),
    ],
)
@pytest.mark.parametrize("end", ["input", "output"])
def test_a_manifest_says_how_its_model_is_quantised(end, changes, same):
    manifest, packed = tiny.keyword_parts(int8=True)
    bundle = read_bundle(tiny.bundle_bytes(manifest, packed, "tones"))
    true = getattr(manifest.quantization, end)
    said = replace(
        true,
        dtype=changes.get("dtype", true.dtype),
        scale=true.scale * changes.get("scale", 1),
        zero_point=true.zero_point + changes.get("zero_point", 0),
    )
    quantization = replace(manifest.quantization, **{end: said})
    changed = Bundle(replace(manifest, quantization=quantization), bundle.model)
    if same:
        AudioPredictor(changed)
    else:
        with pytest.raises(ModelError, match="quantised otherwise"):
            AudioPredictor(changed)


@pytest.mark.parametrize(
    ("rate", "samples", "taken", "seconds", "fits"),
    [
        (16000, 8000, 8000, 0.5, True),
        (44100, 44100, 16000, 1.0, True),
        (22050, 11025, 16000, 0.5, True),
        (16000, 8000, 11025, 0.5, False),  # 5512.5 samples: resampling gives one more than taken
        (16000, 8001, 8000, 0.5, False),
    ],
)
def test_a_clip_that_is_read_is_one_the_front_end_takes(
    keyword_parts, rate, samples, taken, seconds, fits
):
    manifest, packed = keyword_parts
    features = replace(
        tiny.FEATURES, sample_rate=taken, clip_seconds=seconds, resize=tiny.FEATURES.shape
    )
    audio = replace(manifest.input, sample_rate=rate, samples=samples, features=features)
    changed = replace(manifest, input=audio, golden=(), fast=None)
    if fits:
        predict = AudioPredictor(read_bundle(tiny.bundle_bytes(changed, packed, "tones")))
        assert predict(tiny.tone(300, rate), rate).scores.shape == (3,)
    else:
        with pytest.raises(BundleManifestError, match="are not the features' clip"):
            tiny.bundle_bytes(changed, packed, "tones")


def test_self_test(keyword_bundle, forecast_bundle):
    for path, kind, inputs in (
        (keyword_bundle, AudioPredictor, 3),
        (forecast_bundle, RecordPredictor, 1),
    ):
        bundle = read_bundle(path)
        passed = self_test(bundle, kind(bundle))
        assert passed.inputs == inputs
        assert passed.difference < 1e-5
        first = bundle.manifest.golden[0]
        for wrong in (first.output[0] + 0.1, float("nan")):
            golden = Golden(first.input, (wrong, *first.output[1:]))
            changed = Bundle(replace(bundle.manifest, golden=(golden,)), bundle.model)
            with pytest.raises(SelfTestError, match="does not run correctly here"):
                self_test(changed, kind(bundle))
        with pytest.raises(SelfTestError, match="no golden inputs"):
            self_test(Bundle(replace(bundle.manifest, golden=()), bundle.model), kind(bundle))


def test_features_reach_the_model_as_the_front_end_gives_them(keyword_bundle):
    """The scores are those of the model's arithmetic done by hand on the front end's features."""
    bundle = read_bundle(keyword_bundle)
    clip = tiny.tone(1200)
    features = FrontEnd(tiny.FEATURES)(clip * np.float32(2**-15))
    taken = bundle.manifest.input
    run = Interpreter(bundle.model, taken.standardisation)
    np.testing.assert_array_equal(run(features), AudioPredictor(bundle)(clip, 16000).scores)
