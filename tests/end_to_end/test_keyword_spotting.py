"""``tfx run create`` for keyword spotting: clips to an answer on the device and from the server."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path

import httpx
import pytest

from components.default_data.words import WordsRecipe, make_words
from edge_client.bundle import read_bundle
from edge_client.cooperation.ensemble import read_ensemble
from tests.end_to_end.conftest import BIN, VERSIONS, Shell

pytestmark = pytest.mark.timeout(900)


def test_from_clips_to_answers_on_the_device_and_from_the_server(shell: Shell) -> None:
    words = shell.home / "words"
    make_words(words, WordsRecipe(speakers=40, takes=2))
    settings = {
        "ML4IOT_AUDIO": str(words),
        "ML4IOT_VERSIONS": ",".join(
            str(VERSIONS / f"{name}.yaml") for name in ("tiny-kws", "tiny-mate", "tiny-big")
        ),
    }
    created = shell.create("keyword_spotting", **settings)
    assert created.returncode == 0, created.stderr
    ran = shell.run("keyword_spotting", **settings)
    assert ran.returncode == 0, ran.stderr

    clips = sorted(words.glob("*/*.wav"))[::80]
    bundle = shell.home / "pushed" / "tiny-kws.bundle"
    manifest = read_bundle(bundle).manifest
    assert manifest.fast is not None
    assert manifest.deferral is not None
    assert manifest.deferral.validation_share < 0.6
    curve = json.loads((shell.home / "tuning" / "tiny-kws.json").read_text())
    assert curve["deferral"] == manifest.deferral.to_json()
    ensemble = read_ensemble(shell.home / "pushed" / "cooperation.json")
    assert {member.name: member.sha256 for member in ensemble.members} == {
        name: hashlib.sha256((bundle.parent / f"{name}.bundle").read_bytes()).hexdigest()
        for name in ("tiny-kws", "tiny-mate")
    }

    predicted = subprocess.run(
        [str(BIN / "ml4iot-edge"), "predict", str(bundle), *map(str, clips)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answers = [json.loads(line) for line in predicted.stdout.splitlines()]
    assert [answer["path"] for answer in answers] == [str(clip) for clip in clips]

    with subprocess.Popen(
        [str(BIN / "ml4iot-serve"), str(shell.home / "serving" / "tiny-big"), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            said = server.stdout.readline()
            (url,) = [word for word in said.split() if word.startswith("http://")]
            instances = [{"b64": _audio(clip)} for clip in clips]
            assert url.endswith("/v1/models/tiny-big")
            answer = httpx.post(
                f"{url}:predict", json={"instances": instances}, timeout=60, trust_env=False
            )
        finally:
            server.terminate()
            server.wait(60)
    assert answer.status_code == 200, answer.text
    predictions = answer.json()["predictions"]
    assert len(predictions) == len(clips)
    for prediction in predictions:
        assert sum(prediction["probabilities"]) == pytest.approx(1, abs=1e-4)
        assert prediction["label"] in {folder.name for folder in words.iterdir()}


def _audio(clip: Path) -> str:
    return base64.b64encode(clip.read_bytes()).decode()
