from __future__ import annotations

import contextlib
import io
import json
import stat
import zipfile
import zlib
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_client.bundle import (
    BundleDamagedError,
    BundleError,
    BundleFormatError,
    BundleHashError,
    BundleManifestError,
    BundleMembersError,
    BundleTooLargeError,
    ModelFile,
    bundle_bytes,
    pack_model,
    read_bundle,
    write_bundle,
)
from edge_client.bundle.manifest import MAX_MODEL_BYTES
from edge_client.bundle.parse import MAX_MANIFEST_BYTES, parse_manifest

per_function = settings(
    max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def whole(keyword_parts):
    return bundle_bytes(*keyword_parts, "tones")


def zipped(*members, method=zipfile.ZIP_STORED):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return made.getvalue()


def refused(data, error, message):
    with pytest.raises(BundleError) as caught:
        read_bundle(data, "x.bundle")
    assert type(caught.value) is error
    assert message in str(caught.value)
    assert str(caught.value).startswith("x.bundle: ")
    assert "\n" not in str(caught.value)


def edited(parts, change):
    """Bytes of a bundle whose manifest was changed as JSON."""
    manifest, packed = parts
    values = manifest.to_json()
    change(values)
    return zipped(("manifest.json", json.dumps(values)), (manifest.model.file, packed))


@pytest.mark.parametrize("parts", ["keyword_parts", "forecast_parts"])
def test_round_trip(parts, request, tmp_path):
    manifest, packed = request.getfixturevalue(parts)
    write_bundle(tmp_path / "b.bundle", manifest, packed)
    bundle = read_bundle(tmp_path / "b.bundle")
    assert bundle.manifest == manifest
    assert bundle.model == (zlib.decompress(packed) if packed[:1] == b"x" else packed)
    assert [path.name for path in tmp_path.iterdir()] == ["b.bundle"]
    assert stat.S_IMODE((tmp_path / "b.bundle").stat().st_mode) == 0o644


def test_the_manifest_holds_the_promised_fields(keyword_parts, forecast_parts):
    """The contract with whoever reads a bundle without this code."""
    audio, records = (json.loads(p[0].serialise()) for p in (keyword_parts, forecast_parts))
    for values in (audio, records):
        assert values["format"] == 1
        assert set(values) == {
            *("format", "name", "version", "task", "input", "output", "quantization", "deferral"),
            *("fast", "budgets", "model", "golden", "created_by"),
        }
        assert set(values["model"]) == {
            *("file", "compression", "bytes", "sha256", "raw_bytes", "raw_sha256")
        }
        assert set(values["created_by"]) == {"pipeline", "run_id", "recipe"}
        assert set(values["golden"][0]) == {"input", "output"}
        assert set(values["budgets"][0]) == {
            *("metric", "comparison", "required", "measured", "unit")
        }
    assert audio["task"] == "keyword_spotting"
    assert set(audio["input"]) == {"kind", "sample_rate", "samples", "features", "standardisation"}
    assert audio["output"] == {"kind": "labels", "labels": ["high", "low", "silence"]}
    assert audio["deferral"] == {
        "temperature": 1.5,
        "learned": {"weights": [0.5, -0.5, 0.25, -1.0, 1.0, 0.0], "bias": -0.5},
        "fusion": 0.25,
        "policy": "margin",
        "thresholds": {"margin": 0.8, "entropy": 0.5, "temperature": 0.7, "learned": 0.5},
        "target": "share < 0.08",
        "validation": {"accuracy": 97.5, "share": 0.07},
    }
    assert set(audio["fast"]) == {"features", "threshold"}
    assert set(audio["fast"]["features"]) == set(audio["input"]["features"])
    assert records["task"] == "forecasting"
    assert set(records["input"]) == {"kind", "window", "standardisation"}
    assert records["output"] == {"kind": "forecast", "quantities": ["T", "RH"], "steps": 2}
    assert records["quantization"] == {"input": None, "output": None}
    assert records["deferral"] is None
    assert records["fast"] is None


def test_a_manifest_of_before_fast_mode_has_none(keyword_parts):
    values = keyword_parts[0].to_json()
    del values["fast"]
    assert parse_manifest(json.dumps(values).encode(), "x").fast is None


def test_a_threshold_is_wanted_for_the_policies_the_bundle_chose_only(keyword_parts):
    values = keyword_parts[0].to_json()
    values["deferral"] |= {"learned": None, "thresholds": {"margin": 0.8}}
    deferral = parse_manifest(json.dumps(values).encode(), "x").deferral
    assert deferral is not None
    assert deferral.thresholds == {"margin": 0.8}


def test_the_same_content_gives_the_same_bytes(keyword_parts, whole, tmp_path):
    write_bundle(tmp_path / "b.bundle", *keyword_parts)
    assert (tmp_path / "b.bundle").read_bytes() == whole


def test_what_readers_refuse_is_not_written(keyword_parts, tmp_path):
    manifest, packed = keyword_parts
    path = tmp_path / "b.bundle"
    write_bundle(path, manifest, packed)
    before = path.read_bytes()
    with pytest.raises(BundleManifestError):
        write_bundle(path, replace(manifest, name="../name"), packed)
    with pytest.raises(BundleHashError):
        write_bundle(path, manifest, packed + b"x")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["b.bundle"]


def test_a_full_disk_leaves_what_was_there(keyword_parts, tmp_path, monkeypatch):
    path = tmp_path / "b.bundle"
    write_bundle(path, *keyword_parts)
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge_client.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bundle(path, *keyword_parts)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["b.bundle"]


def test_not_a_bundle(tmp_path):
    refused(b"", BundleDamagedError, "not a bundle")
    refused(b"TFL3 something", BundleDamagedError, "not a bundle")
    with pytest.raises(BundleDamagedError, match="no such file"):
        read_bundle(tmp_path / "none.bundle")
    with pytest.raises(BundleDamagedError, match="not a file"):
        read_bundle(tmp_path)


def test_truncated_anywhere(whole):
    for length in range(4, len(whole), 97):
        refused(whole[:length], BundleDamagedError, "truncated or damaged")


def test_a_newer_format_is_named_as_such(keyword_parts):
    def newer(values):
        values["format"] = 2
        values["surprise"] = {}

    refused(edited(keyword_parts, newer), BundleFormatError, "format 2; this client reads format 1")


def test_a_tampered_model_does_not_hash(keyword_parts):
    manifest, packed = keyword_parts
    wrong = packed[:-1] + bytes([packed[-1] ^ 1])
    members = (("manifest.json", manifest.serialise()), (manifest.model.file, wrong))
    refused(zipped(*members), BundleHashError, "is not the file its manifest describes")


def test_a_tampered_hash_of_the_unpacked_model(keyword_parts):
    def change(values):
        values["model"]["raw_sha256"] = "0" * 64

    refused(edited(keyword_parts, change), BundleHashError, "the unpacked model is not the one")


def test_a_decompression_bomb_is_not_unpacked(keyword_parts):
    manifest, _ = keyword_parts
    entry, packed = pack_model(bytes(2 * MAX_MODEL_BYTES), "zlib")

    def bomb(raw_bytes):
        model = replace(entry, raw_bytes=raw_bytes)
        content = replace(manifest, model=model).serialise()
        return zipped(("manifest.json", content), (model.file, packed))

    refused(bomb(1000), BundleTooLargeError, "unpacks to more than the 1000 bytes")
    refused(bomb(entry.raw_bytes), BundleManifestError, "model.raw_bytes")


def test_not_one_whole_zlib_stream(keyword_parts):
    manifest, packed = keyword_parts
    for wrong in (packed[:-4], packed + b"more", b"no zlib at all"):
        entry, _ = pack_model(wrong, "none")
        model = ModelFile(
            "model.tflite.zlib",
            "zlib",
            entry.bytes,
            entry.sha256,
            manifest.model.raw_bytes,
            manifest.model.raw_sha256,
        )
        content = replace(manifest, model=model).serialise()
        refused(
            zipped(("manifest.json", content), (model.file, wrong)), BundleDamagedError, model.file
        )


def test_other_members_are_refused(keyword_parts):
    manifest, packed = keyword_parts
    content = manifest.serialise()
    members = (("manifest.json", content), (manifest.model.file, packed))
    wanted = "'manifest.json' and one model are wanted"
    refused(zipped(*members, ("extra", b"x")), BundleMembersError, wanted)
    refused(zipped(members[1], members[0]), BundleMembersError, wanted)
    refused(zipped(members[0]), BundleMembersError, wanted)
    refused(zipped(), BundleDamagedError, "not a bundle")
    for name in ("../model.tflite.zlib", "/model.tflite.zlib", "a/model.tflite.zlib"):
        refused(zipped(members[0], (name, packed)), BundleMembersError, wanted)
    other = zipped(members[0], ("model.tflite", packed))
    refused(other, BundleMembersError, "where its manifest names 'model.tflite.zlib'")
    packed_zip = zipped(*members, method=zipfile.ZIP_DEFLATED)
    refused(packed_zip, BundleMembersError, "is compressed or encrypted")
    refused(zipped(*members) + b"trailing", BundleMembersError, "more in it than its two files")


def test_sizes_are_bounded(keyword_parts):
    manifest, packed = keyword_parts
    model = (manifest.model.file, packed)
    spaces = b" " * (MAX_MANIFEST_BYTES + 1)
    refused(zipped(("manifest.json", spaces), model), BundleTooLargeError, "are allowed")
    refused(b"PK\3\4" + bytes(2 * MAX_MODEL_BYTES), BundleTooLargeError, "larger than")


def put(*path):
    *parents, last, value = path

    def change(values):
        for step in parents:
            values = values[step]
        values[last] = value

    change.__name__ = ".".join(map(str, path))[:60]
    return change


def remove(*path):
    def change(values):
        for step in path[:-1]:
            values = values[step]
        del values[path[-1]]

    change.__name__ = "without " + ".".join(map(str, path))
    return change


WRONG = [
    put("surprise", 1),
    put("model", "surprise", 1),
    put("golden", 0, "surprise", 1),
    put("input", "features", "surprise", 1),
    put("quantization", "surprise", None),
    put("budgets", 0, "comparison", "<="),
    put("budgets", 0, "measured", "90"),
    put("budgets", 0, "measured", 10**400),
    put("name", ""),
    put("name", "a/b"),
    put("version", 7),
    put("format", "1"),
    put("format", True),
    put("format", None),
    put("task", "poetry"),
    put("task", "forecasting"),
    put("input", []),
    put("input", "kind", "records"),
    put("input", "samples", 8000),
    put("input", "sample_rate", 0),
    put("input", "features", "kind", "poetry"),
    put("input", "features", "clip_seconds", 1e300),
    put("input", "features", "sample_rate", 10**400),
    put("input", "features", "mel_bins", 10**6),
    put("input", "features", "frame_step_ms", 1e-3),
    put("input", "features", "frame_step_ms", 0.0625),
    put("input", "features", "resize", [10**6, 10**6]),
    put("input", "features", "resize", {"a": 1, "b": 2}),
    put("input", "standardisation", "std", [0.0] * 16),
    put("input", "standardisation", "mean", [0.0]),
    put("input", "standardisation", {"mean": [0.0], "std": [1.0]}),
    put("output", "labels", ["a"]),
    put("output", "labels", ["a", "a", "b"]),
    put("output", "labels", ["a", "b", 3]),
    put("output", "labels", ["a", "b"]),
    put("quantization", "input", {"dtype": "int4", "scale": 1.0, "zero_point": 0}),
    put("quantization", "input", {"dtype": "int8", "scale": 0.0, "zero_point": 0}),
    put("deferral", {"threshold": 0.1, "temperature": 1.5}),
    put("deferral", "temperature", 0),
    put("deferral", "policy", "always"),
    put("deferral", "policy", "poetry"),
    put("deferral", "fusion", -0.1),
    put("deferral", "fusion", None),
    put("deferral", "learned", None),
    put("deferral", "learned", "weights", [0.5] * 5),
    put("deferral", "learned", "surprise", 1),
    put("deferral", "thresholds", {}),
    put("deferral", "thresholds", "surprise", 1),
    put("deferral", "thresholds", "margin", "0.8"),
    put("deferral", "target", "a\nb"),
    put("deferral", "validation", {"accuracy": 97.5}),
    put("fast", "threshold", "0.3"),
    put("fast", "features", "resize", None),
    put("fast", "features", "clip_seconds", 2.0),
    put("fast", "surprise", 1),
    put("model", "file", "../../etc/passwd"),
    put("model", "file", "model.tflite"),
    put("model", "compression", "bz2"),
    put("model", "bytes", -1),
    put("model", "raw_bytes", MAX_MODEL_BYTES + 1),
    put("model", "sha256", "A" * 64),
    put("golden", [{}] * 17),
    put("golden", 0, "input", "no base64!"),
    put("golden", 0, "input", "AAAA"),
    put("golden", 0, "output", [1.0]),
    put("created_by", "run_id", "a\nb"),
    *[remove(name) for name in ("format", "name", "input", "quantization", "deferral", "golden")],
    remove("model", "sha256"),
    remove("input", "features", "kind"),
]


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
def test_a_manifest_that_is_not_understood_is_refused(keyword_parts, change):
    refused(edited(keyword_parts, change), BundleManifestError, "")


@pytest.mark.parametrize(
    "change",
    [
        put("input", "window", "input_steps", 10**9),
        put("input", "window", "interval_s", "600"),
        put("input", "window", "quantities", 0, "name", 5),
        put("input", "window", "quantities", 5),
        put("output", "quantities", ["T"]),
        put("output", "steps", 3),
        put("deferral", {"temperature": 1.0}),
        put("fast", {"features": {"kind": "mfcc"}, "threshold": 0.3}),
        put("golden", 0, "input", "AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/"),  # six NaN
    ],
    ids=lambda change: change.__name__,
)
def test_a_forecaster_that_is_not_understood_is_refused(forecast_parts, change):
    refused(edited(forecast_parts, change), BundleManifestError, "")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b'{"format": 1, "format": 1}',
        b'{"format": NaN}',
        b"[" * 100_000,
        b'{"format": 1' + b"1" * 5000 + b"}",
    ],
)
def test_what_is_no_manifest_is_refused(text):
    with pytest.raises((BundleManifestError, BundleFormatError)):
        parse_manifest(text, "x.bundle")


@per_function
@given(st.data())
def test_damage_gives_the_same_bundle_or_the_named_error(whole, data):
    damaged = bytearray(whole)
    # Headers lie at both ends; the middle is base64 and model, which the hashes cover.
    ends = st.integers(0, 3000) | st.integers(len(whole) - 600, len(whole) - 1)
    for place in data.draw(st.lists(ends | st.integers(0, len(whole) - 1), max_size=4)):
        damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    cut = damaged[: data.draw(st.integers(0, len(damaged)) | st.just(len(damaged)))]
    try:
        bundle = read_bundle(bytes(cut))
    except BundleError:
        return
    assert bundle == read_bundle(whole)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@per_function
@given(st.data())
def test_any_value_in_any_field_gives_a_manifest_or_the_named_error(
    keyword_parts, forecast_parts, data
):
    manifest = data.draw(st.sampled_from([keyword_parts[0], forecast_parts[0]]))
    place = values = manifest.to_json()
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else [0]))
        inner = place[key]
        if not (isinstance(inner, (dict, list)) and inner) or data.draw(st.booleans()):
            break
        place = inner
    place[key] = data.draw(json_values)
    try:
        text = json.dumps(values, allow_nan=False)
    except ValueError:
        return  # an infinity is no JSON
    with contextlib.suppress(BundleError):
        parse_manifest(text.encode(), "x.bundle")
