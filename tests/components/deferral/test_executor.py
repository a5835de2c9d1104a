"""The executor on tones: a bundle that learns to ask, its curve, its blessing, and how it fails."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tfx.components.util import model_utils
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from components.artifacts import DeferralCurve, EdgeBundle
from components.blessing import bless, blessed_sha256
from components.deferral.executor import Executor
from components.errors import InputError
from components.examples import SPLITS, example, split_writers
from components.graph_frontend import export_big
from edge_client.bundle import Manifest, read_bundle, write_bundle
from edge_client.features.frontend import FrontEnd
from edge_client.features.spec import Standardisation
from edge_client.predictor import AudioPredictor
from tests.edge_client import tiny

DEFERRAL = {"big": "large", "target": {"share": 0.5}, "budgets": {"accuracy": 60, "megabytes": 1}}
FAST = {"features": {"frame_length_ms": 32}, "accuracy": 50, "budgets": {"accuracy": 40}}
CLIPS = 60


def artifact(kind: type[Artifact], folder: Path) -> Artifact:
    folder.mkdir(parents=True, exist_ok=True)
    made = kind()
    made.uri = str(folder)
    return made


def clip(number: int, split: str) -> tuple[np.ndarray, str]:
    """Silence, or a tone whose label is plain only to whoever learned where high begins."""
    rng = np.random.default_rng((number, SPLITS.index(split)))
    if number % 3 == 0:
        return rng.integers(-2, 3, 16000).astype(np.int16), "silence"
    hertz = np.exp(rng.uniform(np.log(200), np.log(5000)))
    return tiny.tone(hertz), "high" if hertz > 600 else "low"


@dataclass(frozen=True)
class Tones:
    examples: Artifact
    model: Artifact
    manifest: Manifest
    packed: bytes


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Tones:
    folder = tmp_path_factory.mktemp("tones")
    examples = artifact(standard_artifacts.Examples, folder / "examples")
    with split_writers(examples) as writers:
        for split in SPLITS:
            for number in range(CLIPS):
                audio, label = clip(number, split)
                row = {"audio": audio.tobytes(), "label": label, "path": f"{label}/{number}.wav"}
                writers[split].write(example(row))
    clips, words = zip(*(clip(number, "train") for number in range(CLIPS)), strict=True)
    features = FrontEnd(tiny.FEATURES)(np.stack(clips) * np.float32(2**-15))
    mean, std = features.mean((0, 1)), features.std((0, 1))
    rows = ((features - mean) / std).reshape(CLIPS, -1)
    truth = np.eye(3)[[tiny.LABELS.index(word) for word in words]]
    weights = np.linalg.solve(rows.T @ rows + 10 * np.eye(rows.shape[1]), rows.T @ (truth - 1 / 3))
    model = tf.keras.Sequential(
        [
            tf.keras.layers.Input((*tiny.FEATURES.shape, 1)),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.set_weights([6 * weights, np.zeros(3)])
    standardisation = Standardisation(tuple(map(float, mean)), tuple(map(float, std)))
    trained = artifact(standard_artifacts.Model, folder / "model")
    export_big(
        model, tiny.FEATURES, standardisation, tiny.LABELS, Path(trained.uri) / "Format-Serving"
    )
    return Tones(examples, trained, *tiny.keyword_parts())


@dataclass(frozen=True)
class Left:
    bundle: Path
    blessing: Artifact
    curve: Path
    reports: Path


Run = Callable[..., Left]


@pytest.fixture
def run(tones: Tones, tmp_path: Path) -> Run:
    def go(settings: dict, blessed: str = "this") -> Left:
        bundle = artifact(EdgeBundle, tmp_path / "in")
        path = Path(bundle.uri) / "tones.bundle"
        write_bundle(path, tones.manifest, tones.packed)
        blessing = artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing-in")
        digests = {"this": hashlib.sha256(path.read_bytes()).hexdigest(), "another": "0" * 64}
        bless(blessing, digests.get(blessed))
        inputs = {
            "incoming_bundle": [bundle],
            "incoming_blessing": [blessing],
            "examples": [tones.examples],
        }
        if "deferral" in settings:
            inputs["model"] = [tones.model]
        outputs = {
            "bundle": artifact(EdgeBundle, tmp_path / "bundle"),
            "blessing": artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing"),
            "curve": artifact(DeferralCurve, tmp_path / "curve"),
        }
        properties = {
            "name": "tones",
            "settings": json.dumps(settings),
            "reports": str(tmp_path / "reports"),
        }
        Executor().Do(inputs, {key: [value] for key, value in outputs.items()}, properties)
        return Left(
            tmp_path / "bundle" / "tones.bundle",
            outputs["blessing"],
            tmp_path / "curve",
            tmp_path / "reports",
        )

    return go


def test_the_bundle_learns_when_to_ask_and_keeps_its_model(tones: Tones, run: Run) -> None:
    left = run({"deferral": DEFERRAL})
    bundle = read_bundle(left.bundle)
    assert bundle.manifest.model == tones.manifest.model
    assert tones.packed in left.bundle.read_bytes()
    deferral = bundle.manifest.deferral
    assert deferral is not None
    assert deferral.target == "share < 0.5"
    assert deferral.validation_share < 0.5
    assert bundle.manifest.fast == tones.manifest.fast
    assert model_utils.is_model_blessed(left.blessing)
    assert blessed_sha256(left.blessing) == hashlib.sha256(left.bundle.read_bytes()).hexdigest()

    report = json.loads((left.curve / "curve.json").read_text())
    assert report == json.loads((left.reports / "tones.json").read_text())
    assert report["deferral"] == deferral.to_json()
    assert (report["big"], report["payload"]) == ("large", "features-cbor")
    system = report["test"]["policies"][deferral.policy]
    assert report["test"]["little"]["value"] < system["accuracy"]["value"]
    assert 0 < system["megabytes"] < 1
    assert all(line["met"] for line in report["budgets"])
    for svg in (left.curve / "curve.svg", left.reports / "tones.svg"):
        assert svg.read_text().startswith("<?xml")


def test_a_fast_mode_needs_no_big_model(tones: Tones, run: Run) -> None:
    left = run({"fast": FAST})
    bundle = read_bundle(left.bundle)
    mode = bundle.manifest.fast
    assert mode is not None
    assert mode.features.frame_length_ms == 32
    assert mode.features.shape == tiny.FEATURES.shape
    AudioPredictor(bundle, features=mode.features)(tiny.EXAMPLES["low"], 16000)
    assert bundle.manifest.deferral == tones.manifest.deferral
    report = json.loads((left.curve / "curve.json").read_text())["fast"]
    assert report["features"] == mode.features.to_json()
    assert report["threshold"] == mode.threshold
    assert report["validation"]["accuracy"] > 50
    (line,) = report["budgets"]
    assert (line["metric"], line["required"], line["met"]) == ("accuracy", 40, True)
    assert line["measured"] == report["test"]["accuracy"]
    assert 0 <= report["test"]["again"] <= 1
    assert not list(left.curve.glob("*.svg"))


@pytest.mark.parametrize("blessed", ["another", "none"])
def test_the_blessing_of_another_bundle_blesses_nothing(run: Run, blessed: str) -> None:
    left = run({"deferral": DEFERRAL}, blessed)
    assert not model_utils.is_model_blessed(left.blessing)


def test_a_missed_budget_fails_in_one_line_and_leaves_the_curve(run: Run, tmp_path: Path) -> None:
    greedy = {**DEFERRAL, "budgets": {"accuracy": 99.9, "megabytes": 0.0001}}
    with pytest.raises(InputError) as caught:
        run({"deferral": greedy})
    message = str(caught.value)
    assert message.startswith("tones with large: accuracy: required > 99.9 %, measured ")
    assert "megabytes: required < 0.0001 MB" in message
    assert "\n" not in message
    assert not (tmp_path / "bundle" / "tones.bundle").exists()
    report = json.loads((tmp_path / "reports" / "tones.json").read_text())
    assert not any(line["met"] for line in report["budgets"])
    assert [p.name for p in (tmp_path / "blessing").iterdir()] == ["NOT_BLESSED"]


def test_a_fast_mode_that_misses_its_budget_fails_beside_the_deferral(
    run: Run, tmp_path: Path
) -> None:
    deferral = {**DEFERRAL, "budgets": {"accuracy": 99.9}}
    with pytest.raises(InputError) as caught:
        run({"deferral": deferral, "fast": {**FAST, "budgets": {"accuracy": 99.8}}})
    message = str(caught.value)
    assert message.startswith("tones with large: accuracy: required > 99.9 %, measured ")
    assert "missed; tones in fast mode: accuracy: required > 99.8 %, measured " in message
    assert not (tmp_path / "bundle" / "tones.bundle").exists()
    report = json.loads((tmp_path / "reports" / "tones.json").read_text())
    assert not report["fast"]["budgets"][0]["met"]
    assert [p.name for p in (tmp_path / "blessing").iterdir()] == ["NOT_BLESSED"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"fast": {**FAST, "accuracy": 99.99}}, r"tones: fast\.accuracy 99\.99 %: at best"),
        ({"fast": {**FAST, "features": {"speed": 3}}}, r"tones: fast: .*does not know 'speed'"),
        ({"deferral": {**DEFERRAL, "target": {}}}, r"tones\.deferral\.target: state exactly one"),
        ({"deferral": {**DEFERRAL, "payload": "mp3"}}, r"tones\.deferral: payload is 'mp3'"),
        (
            {"deferral": {**DEFERRAL, "budgets": {"bytes": 3}}},
            r"^tones\.deferral: budgets\.bytes",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line(run: Run, settings: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        run(settings)


def test_another_payload_counts_its_own_bytes(run: Run) -> None:
    left = run({"deferral": {**DEFERRAL, "payload": "pcm-json", "budgets": {}}})
    report = json.loads((left.curve / "curve.json").read_text())
    each = report["test"]["random"]["megabytes"][-1] * 2**20 / CLIPS
    assert 42_000 < each < 44_000  # 16,000 samples of two bytes in base64


def test_big_models_of_an_earlier_version_are_named(tones: Tones, run: Run, tmp_path: Path) -> None:
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serve(audio: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.zeros([tf.shape(audio)[0], 3])}

    old = artifact(standard_artifacts.Model, tmp_path / "old")
    tf.saved_model.save(module, f"{old.uri}/Format-Serving", {"serving_default": serve})
    model, known = tones.model, tones.model.uri
    model.uri = old.uri
    try:
        with pytest.raises(InputError, match=r"not a big model of this version .*export it again"):
            run({"deferral": DEFERRAL})
    finally:
        model.uri = known
