"""Audio Examples in, features and their specification out, through the component's executor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils, channel_utils
from tfx.types.channel import Channel
from tfx.types.standard_artifacts import Examples

from components.artifacts import FeatureSpecification
from components.errors import InputError
from components.examples import SPLITS, example, read_split, split_writers
from components.mfcc_transform.component import MfccTransform
from components.mfcc_transform.executor import Executor
from components.specification import read_specification
from edge_client.features.frontend import FrontEnd
from edge_client.features.spec import AudioFeatures

WORDS = ("no", "go", "yes")
CLIPS = {"train": 21, "validation": 5, "test": 9}  # neither a multiple of batch nor of files


def write_audio(folder: Path, clips: dict[str, np.ndarray]) -> Examples:
    """An Examples artifact with the clips of each split, ``[n, samples]`` int16, in two files."""
    artifact = Examples()
    artifact.uri = str(folder)
    with split_writers(artifact, files=2) as writers:
        for split, audio in clips.items():
            for index, clip in enumerate(audio):
                word = WORDS[index % len(WORDS)]
                writers[split].write(
                    example(
                        {
                            "audio": clip.astype("<i2").tobytes(),
                            "label": word,
                            "speaker": f"s{index}",
                            "path": f"{word}/{split}-{index}.wav",
                            "rms": 0.1,
                        }
                    )
                )
    return artifact


def noises(samples: int = 16000) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)
    return {
        split: (rng.standard_normal((count, samples)) * 2000).astype(np.int16)
        for split, count in CLIPS.items()
    }


def run(audio: Examples, features: dict, out: Path) -> tuple[Examples, FeatureSpecification]:
    examples, specification = Examples(), FeatureSpecification()
    examples.uri, specification.uri = str(out / "examples"), str(out / "specification")
    context = BaseBeamExecutor.Context(beam_pipeline_args=["--direct_running_mode=in_memory"])
    Executor(context).Do(
        {"examples": [audio]},
        {"transformed_examples": [examples], "specification": [specification]},
        {"features": json.dumps(features)},
    )
    return examples, specification


def rows(examples: Examples, split: str) -> dict[str, tuple[str, str, np.ndarray]]:
    """Label, speaker and flat features of each path."""
    found = {}
    for each in read_split(examples, split):
        feature = each.features.feature
        path, label, speaker, values = (
            feature[name].bytes_list.value[0] for name in ("path", "label", "speaker", "features")
        )
        found[path.decode()] = (label.decode(), speaker.decode(), np.frombuffer(values, "<f4"))
    return found


def artifact_channel(folder: Path) -> Channel:
    artifact = Examples()
    artifact.uri = str(folder)
    return channel_utils.as_channel([artifact])


@pytest.mark.parametrize(
    "features",
    [
        {"kind": "mfcc"},
        {"kind": "log_mel", "high_hz": 7600.0},
        {"kind": "stft", "frame_length_ms": 16, "frame_step_ms": 16, "resize": [32, 32]},
        {"kind": "mfcc", "sample_rate": 8000, "frame_length_ms": 32},
    ],
    ids=lambda f: f"{f['kind']}-{f.get('sample_rate', 16000)}",
)
def test_every_clip_gets_the_features_the_device_would_compute(features, tmp_path):
    clips = noises()
    spec = AudioFeatures.from_json(features)
    examples, artifact = run(write_audio(tmp_path / "in", clips), features, tmp_path)

    assert artifact_utils.decode_split_names(examples.split_names) == list(SPLITS)
    for split in SPLITS:
        found = rows(examples, split)
        assert len(found) == CLIPS[split]
        for index, clip in enumerate(clips[split]):
            word = WORDS[index % len(WORDS)]
            label, speaker, values = found[f"{word}/{split}-{index}.wav"]
            expected = FrontEnd(spec)(clip * np.float32(2**-15), 16000)
            assert (label, speaker) == (word, f"s{index}")
            np.testing.assert_allclose(values.reshape(spec.shape), expected, rtol=0, atol=1e-4)

    specification = read_specification(artifact.uri)
    frames = np.concatenate([v for _, _, v in rows(examples, "train").values()])
    frames = frames.reshape(-1, spec.shape[1]).astype(np.float64)
    assert specification.features == spec
    assert specification.labels == tuple(sorted(WORDS))
    np.testing.assert_allclose(specification.standardisation.mean, frames.mean(0), rtol=1e-9)
    np.testing.assert_allclose(specification.standardisation.std, frames.std(0), rtol=1e-9)


def test_a_second_run_writes_the_same_bytes(tmp_path):
    audio = write_audio(tmp_path / "in", noises())
    contents = []
    for attempt in ("first", "second"):
        run(audio, {"kind": "log_mel"}, tmp_path / attempt)
        files = sorted(p for p in (tmp_path / attempt).rglob("*") if p.is_file())
        contents.append({str(p.relative_to(tmp_path / attempt)): p.read_bytes() for p in files})
    assert contents[0] == contents[1]
    assert sorted(contents[0]) == [
        *(f"examples/Split-{s}/{s}-{i:05d}-of-00002" for s in sorted(SPLITS) for i in range(2)),
        "specification/specification.json",
    ]


def test_clips_of_another_length_are_named_and_nothing_is_left_half_written(tmp_path):
    audio = write_audio(tmp_path / "in", noises(samples=15000))
    with pytest.raises(InputError, match=r"Split-.*audio has 15000 samples; .* take 16000"):
        run(audio, {"kind": "mfcc"}, tmp_path)
    assert [p for p in tmp_path.rglob("*") if p.is_file() and "in" not in p.parts] == []


def test_a_truncated_file_is_named(tmp_path):
    audio = write_audio(tmp_path / "in", noises())
    (path,) = Path(audio.uri, "Split-test").glob("test-00001-*")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"test-00001-of-00002: truncated or damaged"):
        run(audio, {"kind": "mfcc"}, tmp_path)


def test_an_empty_train_split_is_refused(tmp_path):
    clips = noises()
    clips["train"] = clips["train"][:0]
    with pytest.raises(InputError, match="train split is empty"):
        run(write_audio(tmp_path / "in", clips), {"kind": "mfcc"}, tmp_path)


def test_a_bin_without_a_filter_is_standardised_to_zero(tmp_path):
    # At frames of 8 ms the spectrum has a bin each 125 Hz: the lowest filters fall between two.
    features = {"kind": "log_mel", "frame_length_ms": 8, "frame_step_ms": 8}
    examples, artifact = run(write_audio(tmp_path / "in", noises()), features, tmp_path)
    standardise = read_specification(artifact.uri).standardisation
    (values, *_) = (v for _, _, v in rows(examples, "test").values())
    bins = standardise(values.reshape(-1, 40))
    constant = np.ptp(bins, axis=0) == 0
    assert constant.any()
    np.testing.assert_allclose(bins[:, constant], 0, atol=1e-5)


def test_a_recipe_that_cannot_be_computed_is_refused_when_the_pipeline_is_written(tmp_path):
    audio = artifact_channel(tmp_path)
    with pytest.raises(InputError, match=r"features.kind is 'mel'"):
        MfccTransform(examples=audio, features='{"kind": "mel"}')
    with pytest.raises(InputError, match="does not know 'bands'"):
        MfccTransform(examples=audio, features='{"kind": "mfcc", "bands": 3}')
    with pytest.raises(InputError, match=r"^features: "):
        MfccTransform(examples=audio, features="{kind")


def test_the_component_has_the_outputs_the_pipelines_use(tmp_path):
    component = MfccTransform(examples=artifact_channel(tmp_path), features='{"kind": "mfcc"}')
    assert component.outputs["transformed_examples"].type is Examples
    assert component.outputs["specification"].type is FeatureSpecification
