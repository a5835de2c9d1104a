"""The committed Big through the gateway, as a stock course client and as a device of ours."""

from __future__ import annotations

import base64

import httpx
import numpy as np
import pytest

from edge_client.audio import to_float
from edge_client.big.description import BigDescription
from edge_client.bundle import read_bundle
from edge_client.features.frontend import FrontEnd
from edge_client.payload import (
    PAYLOADS,
    Recording,
    content_type,
    encode_features,
    encode_recording,
)
from edge_client.predictor import AudioPredictor
from tests.serving.exchange import post_json
from tests.serving.gateway.clips import course_body


@pytest.fixture(scope="module")
def direct(big_backend, spoken) -> dict[str, object]:
    """What TensorFlow Serving itself says about the word."""
    url, name = big_backend
    row = {"b64": base64.b64encode(spoken.astype("<i2").tobytes()).decode("ascii")}
    answer = post_json(url, f"/v1/models/{name}:predict", {"instances": [row]})
    (prediction,) = answer.json["predictions"]
    return prediction


@pytest.fixture
def client():
    with httpx.Client(trust_env=False, timeout=60) as opened:
        yield opened


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_a_course_client_gets_its_answer(big_gateway, direct, spoken, client, method, kind):
    """`requests.post(url, json=...)`, then `label`, or `e` as the draft form has it."""
    audio = spoken if kind is np.int16 else to_float(spoken)
    response = client.request(method, f"{big_gateway}/big_model", json=course_body(audio))
    assert response.status_code == 200
    body = response.json()
    assert body["label"] == direct["label"]
    assert list(body["probabilities"]) == direct["labels"]
    np.testing.assert_allclose(
        list(body["probabilities"].values()), direct["probabilities"], atol=1e-5
    )
    assert body["e"] == [{"v": direct["labels"].index(direct["label"])}]
    assert body["model"] == "big"


@pytest.mark.parametrize("payload", [p for p in PAYLOADS if not p.startswith("features")])
def test_every_payload_of_audio_gets_the_same_answer(big_gateway, direct, spoken, client, payload):
    content = encode_recording(Recording(spoken, source="pi/"), payload)
    headers = {"Content-Type": content_type(payload)}
    body = client.post(f"{big_gateway}/v1/classify", content=content, headers=headers).json()
    assert body["label"] == direct["label"]
    np.testing.assert_allclose(
        list(body["probabilities"].values()), direct["probabilities"], atol=1e-5
    )


@pytest.mark.parametrize("payload", ["features-json", "features-cbor"])
def test_bigs_own_features_get_nearly_the_same_answer(big_gateway, direct, spoken, client, payload):
    values = client.get(f"{big_gateway}/v1/description").json()
    assert payload in values.pop("payloads")
    assert values.pop("max_bytes") == 4 * 2**20
    described = BigDescription.from_json(values)
    features = FrontEnd(described.features)(to_float(spoken), described.sample_rate)
    scales = described.standardisation
    standardised = (features - np.float32(scales.mean)) / np.float32(scales.std)
    content = encode_features(
        standardised.astype(np.float32), described.step, described.specification, payload, "pi/"
    )
    headers = {"Content-Type": content_type(payload)}
    body = client.post(f"{big_gateway}/v1/classify", content=content, headers=headers).json()
    assert body["label"] == direct["label"]
    np.testing.assert_allclose(
        list(body["probabilities"].values()), direct["probabilities"], atol=0.1
    )


def test_features_of_another_model_are_refused(big_gateway, client):
    content = encode_features(np.zeros((49, 40), np.float32), 0.1, "0" * 16, "features-json")
    response = client.post(f"{big_gateway}/v1/classify", content=content)
    assert response.status_code == 409
    assert "read /v1/description again" in response.json()["error"]


def test_the_slow_model_is_the_bundles(big_gateway, spoken, repository, client):
    bundle = read_bundle(repository / "models" / "little.bundle")
    expected = AudioPredictor(bundle)(spoken, 16_000)
    body = client.post(f"{big_gateway}/slow_model", json=course_body(spoken)).json()
    assert body["model"] == bundle.manifest.name
    assert body["label"] == expected.label
    np.testing.assert_allclose(list(body["probabilities"].values()), expected.scores, atol=1e-5)
    assert body["e"] == [{"v": bundle.manifest.output.labels.index(expected.label)}]
    features = encode_features(np.zeros((49, 40), np.float32), 0.1, "0" * 16, "features-json")
    assert client.post(f"{big_gateway}/slow_model", content=features).status_code == 409
