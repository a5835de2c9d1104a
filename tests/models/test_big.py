"""The committed Big over REST: recordings, features a device computed, its own description."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from edge_client.audio import fit_clip, read_wav, to_float
from edge_client.big.description import BigDescription
from edge_client.features.frontend import FrontEnd
from serving.launcher import start_server
from serving.options import ServeOptions
from tests.benchmarks.figures import MODELS, official_clips

_EVERY = 10  # of the official test clips


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with (
        start_server(ServeOptions(MODELS / "big", port=0)) as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def recordings(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    listed, root = official_clips(data_folder, tmp_path_factory.mktemp("clips"))
    names = sorted("/".join(line.split("/")[-2:]) for line in listed.read_text().split())
    clips = [fit_clip(*read_wav(root / name), 16000, 16000) for name in names[::_EVERY]]
    return np.stack(clips)


def ask(client: httpx.Client, signature: str, instances: list[Any]) -> list[Any]:
    answer = client.post(
        "/v1/models/big:predict", json={"signature_name": signature, "instances": instances}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def binary(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def description(client: httpx.Client) -> BigDescription:
    (text,) = ask(client, "specification", [""])
    return BigDescription.from_json(json.loads(text))


def test_features_of_the_device_are_heard_as_the_recording_is(
    client: httpx.Client, recordings: np.ndarray
) -> None:
    big = description(client)
    features = big.standardisation(FrontEnd(big.features)(to_float(recordings), big.sample_rate))
    quantised = np.clip(np.round(features / big.step), -128, 127).astype(np.int8)
    by_audio = ask(client, "serving_default", [binary(clip.tobytes()) for clip in recordings])
    by_features = ask(client, "features", [binary(clip.tobytes()) for clip in quantised])

    assert all(tuple(answer["labels"]) == big.labels for answer in by_features)
    same = [a["label"] == f["label"] for a, f in zip(by_audio, by_features, strict=True)]
    assert np.mean(same) >= 0.975
    apart = np.abs(
        np.subtract(*([a["probabilities"] for a in answers] for answers in (by_audio, by_features)))
    )
    assert apart.max(-1).mean() < 0.01


def test_features_of_another_model_are_refused(client: httpx.Client) -> None:
    answer = client.post(
        "/v1/models/big:predict",
        json={"signature_name": "features", "instances": [binary(bytes(490))]},
    )
    assert answer.status_code == 400
    assert "compute them as the specification says" in answer.json()["error"]
