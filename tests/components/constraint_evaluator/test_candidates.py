"""Candidates that are not what they say."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest

from components.constraint_evaluator import candidates
from components.constraint_evaluator.candidates import read_candidates
from components.errors import InputError

MODEL = b"not really a model " * 50


def write(folder: Path, data: bytes, **changes: object) -> None:
    place = folder / "int8"
    place.mkdir()
    description = {
        "recipe": "int8",
        "steps": [{"step": "int8"}, {"step": "zlib"}],
        "file": "model.tflite.zlib",
        "compression": "zlib",
        **changes,
    }
    (place / "candidate.json").write_text(json.dumps(description))
    (place / "model.tflite.zlib").write_bytes(data)


def test_reads_what_compression_writes(tmp_path: Path) -> None:
    packed = zlib.compress(MODEL, 9)
    write(tmp_path, packed)
    (candidate,) = read_candidates(tmp_path)
    assert (candidate.packed, candidate.model) == (packed, MODEL)
    assert (candidate.file.bytes, candidate.file.raw_bytes) == (len(packed), len(MODEL))
    assert [step["step"] for step in candidate.steps] == ["int8", "zlib"]


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        (zlib.compress(MODEL)[:-6], {}, "is cut short"),
        (b"", {}, "is cut short"),
        (MODEL, {}, "does not unpack"),
        (zlib.compress(b""), {}, "the model has 0 bytes"),
        (zlib.compress(MODEL), {"compression": "lzma"}, "with compression 'lzma'; known are"),
        (zlib.compress(MODEL), {"compression": "none"}, "file 'model.tflite.zlib' with"),
        (zlib.compress(MODEL), {"file": "../../model.tflite.zlib"}, "known are 'model.tflite'"),
        (zlib.compress(MODEL), {"recipe": "float16"}, "it must be the folder's name"),
        (zlib.compress(MODEL), {"extra": 1}, "unknown key 'extra'"),
    ],
)
def test_refused(tmp_path: Path, data: bytes, changes: dict, message: str) -> None:
    write(tmp_path, data, **changes)
    with pytest.raises(InputError) as error:
        read_candidates(tmp_path)
    assert message in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MAX_MODEL_BYTES", 1000)
    write(tmp_path, zlib.compress(bytes(10_000_000)))
    with pytest.raises(InputError, match="the model has 1001 bytes; a bundle takes 1 to 1000"):
        read_candidates(tmp_path)


def test_no_candidates(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no candidate"):
        read_candidates(tmp_path)
