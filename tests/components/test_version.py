"""A version's YAML: what is understood, and the place named for what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components.errors import InputError
from components.trainer.recipe import Recipe
from components.version import read_version, to_json

GOOD = {
    "name": "v",
    "features": {"kind": "mfcc", "coefficients": 10},
    "architecture": {"name": "ds_cnn", "width": 0.5},
    "training": {"epochs": 3, "augmentation": {"noise": 0.8}},
    "compression": [{"name": "int8", "steps": [{"step": "int8"}, {"step": "zlib"}]}],
    "budgets": {"accuracy": 90, "bytes": 25000},
}


def written(folder: Path, values: object) -> Path:
    path = folder / "v.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return path


def test_every_version_of_the_repository_is_understood(repository: Path) -> None:
    names = [read_version(path).name for path in sorted(repository.glob("pipeline/versions/*"))]
    assert {"kws-a", "kws-b", "kws-c", "little", "big", "th-a", "th-b", "th-a3", "th-b9"} < {*names}


def test_recipe_survives_the_trip_through_an_execution_parameter(tmp_path: Path) -> None:
    recipe = read_version(written(tmp_path, GOOD)).recipe
    assert Recipe.from_json(yaml.safe_load(to_json(recipe))) == recipe


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"budgets": {"accuracy": "ninety"}}, r"budgets\.accuracy: must be a number"),
        ({"budgets": {"speed": 3}}, r"budgets\.speed is not measured"),
        ({"budgets": {"bytes": float("nan")}}, r"budgets\.bytes"),
        ({"budgets": {"bytes": True}}, r"budgets\.bytes: must be a number"),
        ({"budget": {"bytes": 3}}, r"unknown key 'budget'.*budgets"),
        ({"training": {"epochs": 2.5}}, r"training\.epochs: must be a whole number"),
        ({"training": {"epochs": 0}}, r"training: epochs is 0; it must be at least 1"),
        ({"training": {"epochs": 1, "batch_size": 0}}, r"training: batch_size is 0"),
        ({"training": {"epochs": 1, "learning_rate": float("nan")}}, r"learning_rate is nan"),
        ({"training": {"epochs": 1, "augmentation": {"noise": 2}}}, r"augmentation: noise is 2"),
        ({"deferral": {"big": "b", "target": {"share": 2}}}, r"deferral\.target: share is 2"),
        (
            {"deferral": {"big": "b", "target": {"share": 0.1}}, "compression": []},
            r"deferral is for a keyword model with compression",
        ),
        ({"fast": {"features": {"clip_seconds": 2}, "accuracy": 90}}, r"fast: clip_seconds"),
        ({"fast": {"features": {}, "accuracy": 90}}, r"fast: features is empty"),
        (
            {"fast": {"features": {"frame_step_ms": float("inf")}, "accuracy": 90}},
            r"fast: features\.frame_step_ms is inf; it must be a number above 0 and at most 1e\+09",
        ),
        (
            {"fast": {"features": {"frame_length_ms": 10**400}, "accuracy": 90}},
            r"fast: features\.frame_length_ms is 10{59}; it must be a number above 0",
        ),
        (
            {"fast": {"features": {"mel_bins": 10**400}, "accuracy": 90}},
            r"fast: features\.mel_bins is 10{59}; it must be a whole number above 0",
        ),
        (
            {"fast": {"features": {"mel_bins": 10**8}, "accuracy": 90}},
            r"v: fast\.features: too large for a device",
        ),
        (
            {"fast": {"features": {"mel_bins": 20}, "accuracy": 90, "budgets": {"bytes": 3}}},
            r"v\.yaml\.fast: budgets\.bytes is not measured; known metrics are accuracy",
        ),
        (
            {"deferral": {"big": "b", "target": {"share": 0.1}, "budgets": {"accuracy": 100}}},
            r"v\.yaml\.deferral: budgets\.accuracy is 100\.0; no accuracy is above 100 %",
        ),
        (
            {"features": {"kind": "mfcc", "frame_step_ms": float("inf")}},
            r"v\.yaml\.features: features\.frame_step_ms is inf",
        ),
        (
            {"training": {"epochs": 1, "augmentation": {"noise_snr_db": [9, 3]}}},
            r"augmentation: noise_snr_db is \(9\.0, 3\.0\)",
        ),
        (
            {"training": {"epochs": 1, "augmentation": {"time_mask_ms": 999}}},
            r"time_mask_ms is 999, longer than 49 frames",
        ),
        (
            {"training": {"epochs": 1, "augmentation": {"frequency_mask": 11}}},
            r"frequency_mask is 11, more than the 10 bins",
        ),
        ({"architecture": {"name": "ds_cnn", "width": -1}}, r"architecture: width is -1"),
        ({"version": "1/2"}, r"version is '1/2'; use up to 64 letters"),
        ({"budgets": {"bytes": 10**400}}, r"budgets\.bytes: 1000.* is too large for a number"),
        ({"training": {}}, r"training: the key 'epochs' is missing"),
        ({"training": {"epochs": 1, "augmentation": {"echo": 1}}}, r"augmentation: unknown key"),
        ({"features": {"kind": "mel"}}, r"features.*'mel'"),
        ({"features": {"kind": "mfcc", "coefficients": 99}}, r"coefficients is 99"),
        ({"features": None}, r"either features .* or window"),
        ({"name": "w"}, r"must be the name of the file"),
        ({"compression": {"name": "int8"}}, r"compression: must be a list"),
    ],
)
def test_a_fault_is_named_with_its_place(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read_version(written(tmp_path, {**GOOD, **change}))
    assert "v.yaml" in str(caught.value) or "v:" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_no_bundle_could_have_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a b.yaml"
    path.write_text(yaml.safe_dump({**GOOD, "name": "a b"}))
    with pytest.raises(InputError, match="name is 'a b'; use up to 64 letters"):
        read_version(path)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(InputError, match=r"v\.yaml: is not UTF-8 text"):
        read_version(path)


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2", "", "just words", "name: 2026-13-45"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"v\.yaml"):
        read_version(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.yaml: cannot be read"):
        read_version(tmp_path / "nothing.yaml")
