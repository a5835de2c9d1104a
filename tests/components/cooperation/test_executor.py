"""The executor on tones: what is pushed names the bundles beside it, and what it refuses."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tfx.types import channel_utils, standard_artifacts
from tfx.types.artifact import Artifact

from components.artifacts import EdgeBundle, ModelEnsemble
from components.cooperation.component import CooperationTuner
from components.cooperation.executor import Executor
from components.errors import InputError
from components.examples import SPLITS, example, split_writers
from edge_client.bundle import LabelOutput, write_bundle
from edge_client.cooperation.ensemble import read_ensemble
from tests.edge_client import tiny


def artifact(kind: type[Artifact], folder: Path) -> Artifact:
    folder.mkdir(parents=True, exist_ok=True)
    made = kind()
    made.uri = str(folder)
    return made


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    made = artifact(standard_artifacts.Examples, tmp_path_factory.mktemp("examples"))
    rng = np.random.default_rng(1)
    with split_writers(made) as writers:
        for split in SPLITS:
            for number in range(12):
                label = tiny.LABELS[number % 3]
                audio = tiny.EXAMPLES[label] + rng.integers(-3, 4, 16000).astype(np.int16)
                row = {"audio": audio.tobytes(), "label": label, "path": f"{label}/{number}.wav"}
                writers[split].write(example(row))
    return made


def member(folder: Path, name: str, int8: bool = False, labels=tiny.LABELS) -> Artifact:
    manifest, packed = tiny.keyword_parts(int8=int8)
    manifest = replace(manifest, name=name, output=LabelOutput(labels))
    made = artifact(EdgeBundle, folder / name / "bundle")
    write_bundle(Path(made.uri) / f"{name}.bundle", manifest, packed)
    return made


def run(folder: Path, examples: Artifact, *members: Artifact) -> None:
    ensemble = artifact(ModelEnsemble, folder / "ensemble")
    Executor().Do(
        {"bundles": list(members), "examples": [examples]},
        {"ensemble": [ensemble]},
        {"destination": str(folder / "pushed"), "reports": str(folder / "tuning")},
    )


def test_the_file_names_the_very_bundles(tmp_path: Path, examples: Artifact) -> None:
    members = [member(tmp_path, "exact"), member(tmp_path, "coarse", int8=True)]
    run(tmp_path, examples, *members)
    ensemble = read_ensemble(tmp_path / "pushed" / "cooperation.json")
    assert ensemble == read_ensemble(tmp_path / "ensemble" / "cooperation.json")
    assert ensemble.labels == tiny.LABELS
    assert [m.name for m in ensemble.members] == ["exact", "coarse"]
    for known, made in zip(ensemble.members, members, strict=True):
        data = (Path(made.uri) / f"{known.name}.bundle").read_bytes()
        assert known.sha256 == hashlib.sha256(data).hexdigest()
    report = json.loads((tmp_path / "tuning" / "cooperation.json").read_text())
    assert report["ensemble"] == ensemble.to_json()
    assert report["test"][ensemble.combination]["accuracy"]["value"] == 100
    assert set(report["validation"]["mean"]["without"]) == {"exact", "coarse"}


def test_members_that_do_not_go_together_are_named(tmp_path: Path, examples: Artifact) -> None:
    one = member(tmp_path, "one")
    with pytest.raises(InputError, match="two members are called 'one'"):
        run(tmp_path, examples, one, one)
    other = member(tmp_path, "other", labels=("high", "low", "noise"))
    with pytest.raises(InputError, match="one knows high, low, silence, other high, low, noise"):
        run(tmp_path, examples, one, other)
    assert not (tmp_path / "pushed").exists()


def test_the_component_waits_until_all_members_are_pushed() -> None:
    bundles = [channel_utils.as_channel([EdgeBundle()]) for _ in range(3)]
    pushed = [channel_utils.as_channel([standard_artifacts.PushedModel()]) for _ in range(3)]
    audio = channel_utils.as_channel([standard_artifacts.Examples()])
    tuner = CooperationTuner(bundles, pushed, audio, "pushed", "tuning")
    assert set(tuner.outputs) == {"ensemble"}
    assert len(tuner.inputs["bundles"].channels) == len(tuner.inputs["pushed"].channels) == 3
