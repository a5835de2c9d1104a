"""The cache key: changed input must not be taken for the old one."""

from __future__ import annotations

import json
import shutil

import pytest

from components.audio_example_gen.component import AudioExampleGen
from components.errors import InputError


def fingerprint(*arguments) -> str:
    return AudioExampleGen(*arguments).spec.exec_properties["fingerprint"]


def test_the_fingerprint_follows_the_content(spoken, in_folder, tmp_path) -> None:
    folder = in_folder(spoken)
    first = fingerprint(str(folder))
    assert fingerprint(str(shutil.copytree(folder, tmp_path / "copy"))) == first
    changed = folder / "data/yes/s00_nohash_0.wav"
    changed.write_bytes(changed.read_bytes()[:-2] + b"\1\0")
    assert fingerprint(str(folder)) != first


def test_the_fingerprint_follows_the_lists(spoken, in_zip, tmp_path) -> None:
    lists = {}
    for split in ("train", "validation", "test"):
        lists[split] = str(tmp_path / f"{split}.txt")
        (tmp_path / f"{split}.txt").write_text("yes/s00_nohash_0.wav\n")
    splits = json.dumps({"lists": lists})
    path = str(in_zip(spoken))
    first = fingerprint(path, splits)
    (tmp_path / "test.txt").write_text("yes/s01_nohash_0.wav\n")
    assert fingerprint(path, splits) != first


def test_the_fingerprint_follows_the_feedback(spoken, in_zip, tmp_path) -> None:
    path, kept = str(in_zip(spoken)), tmp_path / "kept"
    kept.mkdir()
    empty = fingerprint(path, "{}", 0, str(kept))
    (kept / "yes").mkdir()
    (kept / "yes" / "pi_overruled_0.wav").write_bytes(b"RIFF")
    assert fingerprint(path, "{}", 0, str(kept)) != empty


def test_wrong_parameters_are_found_when_the_pipeline_is_built(spoken, in_zip, tmp_path) -> None:
    with pytest.raises(InputError, match="absent: does not exist"):
        AudioExampleGen(str(tmp_path / "absent"))
    with pytest.raises(InputError, match="nothing: does not exist"):
        AudioExampleGen(str(in_zip(spoken)), feedback=str(tmp_path / "nothing"))
    with pytest.raises(InputError, match="is no JSON"):
        AudioExampleGen(str(in_zip(spoken)), "{")
