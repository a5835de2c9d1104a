"""From recordings to Examples: what they hold, and each kind of bad input."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.errors import InputError


def value(example: tf.train.Example, name: str):
    feature = example.features.feature[name]
    (only,) = getattr(feature, feature.WhichOneof("kind")).value
    return only


def by_path(splits) -> dict[str, tf.train.Example]:
    return {value(e, "path").decode(): e for examples in splits.values() for e in examples}


@pytest.mark.parametrize("container", ["in_folder", "in_zip"])
def test_an_example_holds_the_clip_bit_by_bit(container, request, spoken, wav, ingest) -> None:
    samples = np.random.default_rng(1).integers(-9000, 9000, 16000).astype(np.int16)
    spoken["data/yes/anna_nohash_3.wav"] = wav(samples)
    found = by_path(ingest(request.getfixturevalue(container)(spoken)))
    assert len(found) == 61
    clip = found["yes/anna_nohash_3.wav"]
    assert value(clip, "audio") == samples.astype("<i2").tobytes()
    assert value(clip, "label") == b"yes"
    assert value(clip, "speaker") == b"anna"
    sound = samples / 32768 - np.mean(samples / 32768)
    assert value(clip, "rms") == pytest.approx(np.sqrt(np.mean(sound**2)), rel=1e-5)
    assert value(clip, "peak") == pytest.approx(np.abs(sound).max(), rel=1e-5)
    assert value(clip, "clipped") == 0
    assert value(clip, "seconds") == 1


def test_any_rate_length_and_channels_become_one_clip(spoken, wav, tone, in_zip, ingest) -> None:
    stereo = np.stack([tone(0.5, 44100), tone(0.5, 44100)], axis=1)
    quiet_then_loud = np.concatenate([tone(3) // 50, tone(1), tone(1) // 50])
    spoken["data/yes/a_nohash_0.wav"] = wav(stereo, 44100)
    spoken["data/yes/b_nohash_0.wav"] = wav(quiet_then_loud)
    found = by_path(ingest(in_zip(spoken)))
    short = np.frombuffer(value(found["yes/a_nohash_0.wav"], "audio"), "<i2")
    assert short.shape == (16000,)
    assert not short[8000:].any()
    expected = tone(0.5)
    assert np.abs(short[200:7800].astype(int) - expected[200:7800]).max() < 200
    assert value(found["yes/a_nohash_0.wav"], "seconds") == 0.5
    long = np.frombuffer(value(found["yes/b_nohash_0.wav"], "audio"), "<i2")
    np.testing.assert_array_equal(long, tone(1))
    assert value(found["yes/b_nohash_0.wav"], "seconds") == 5


def test_clipping_and_silence_are_measured(spoken, wav, tone, in_zip, ingest) -> None:
    square = np.where(tone() >= 0, 32767, -32768).astype(np.int16)
    spoken["data/no/loud_nohash_0.wav"] = wav(square)
    spoken["data/no/mute_nohash_0.wav"] = wav(np.full(16000, 700, np.int16))
    found = by_path(ingest(in_zip(spoken)))
    assert value(found["no/loud_nohash_0.wav"], "clipped") == 1
    assert value(found["no/mute_nohash_0.wav"], "rms") == 0  # an offset is no sound
    assert value(found["no/mute_nohash_0.wav"], "peak") == 0


def test_passes_over_what_is_no_word(spoken, wav, tone, in_zip, ingest) -> None:
    clips = len(spoken)
    spoken |= {
        "data/_background_noise_/hum.wav": wav(tone()),
        "__MACOSX/data/yes/._s01_nohash_0.wav": b"finder",
        "data/yes/.hidden.wav": b"",
        "data/README.md": b"words",
    }
    assert len(by_path(ingest(in_zip(spoken)))) == clips


def test_splits_by_lists(spoken, in_zip, tmp_path, ingest) -> None:
    wanted = {
        "train": ["./data/mini_speech_commands/yes/s00_nohash_0.wav", "no/s00_nohash_0.wav"],
        "validation": ["yes/s01_nohash_0.wav"],
        "test": ["x/yes/s02_nohash_0.wav", "", "x/no/s00_nohash_0.wav".replace("s00", "s02")],
    }
    lists = {}
    for split, lines in wanted.items():
        lists[split] = str(tmp_path / f"{split}.txt")
        Path(lists[split]).write_text("\n".join(lines) + "\n")
    splits = ingest(in_zip(spoken), {"lists": lists})
    assert {value(e, "path") for e in splits["train"]} == {
        b"yes/s00_nohash_0.wav",
        b"no/s00_nohash_0.wav",
    }
    assert [value(e, "path") for e in splits["validation"]] == [b"yes/s01_nohash_0.wav"]
    assert len(splits["test"]) == 2


def refused(ingest, path: Path, message: str, splits: dict | None = None) -> None:
    with pytest.raises(InputError, match=message) as caught:
        ingest(path, splits)
    assert "\n" not in str(caught.value)


def test_a_truncated_zip(spoken, in_zip, ingest) -> None:
    path = in_zip(spoken)
    path.write_bytes(path.read_bytes()[:-1000])
    refused(ingest, path, r"recordings\.zip: is no complete zip")


def test_a_zip_with_a_flipped_byte(spoken, in_zip, ingest) -> None:
    path = in_zip(spoken)
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    refused(ingest, path, r"data/no/s00_nohash_0\.wav is damaged in the zip")


def test_a_zip_with_a_name_that_is_no_text(spoken, in_zip, ingest) -> None:
    path = in_zip(spoken)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.start_dir
    content[entry + 9] |= 8  # the flag "this name is UTF-8", which the next byte is not
    content[entry + 46] = 0xFF
    path.write_bytes(content)
    refused(ingest, path, r"recordings\.zip: is no complete zip")


def test_an_encrypted_zip(spoken, in_zip, ingest) -> None:
    path = in_zip(spoken)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.start_dir
        header = archive.getinfo("data/no/s00_nohash_0.wav").header_offset
    content[entry + 8] |= 1  # the flag "encrypted" in the directory and before the file
    content[header + 6] |= 1
    path.write_bytes(content)
    refused(ingest, path, r"data/no/s00_nohash_0\.wav cannot be unpacked \(.*encrypted")


def test_a_truncated_wav(spoken, in_folder, ingest) -> None:
    spoken["data/yes/s05_nohash_0.wav"] = spoken["data/yes/s05_nohash_0.wav"][:-100]
    refused(ingest, in_folder(spoken), r"yes/s05_nohash_0\.wav: truncated")


def test_an_eight_bit_wav(spoken, wav, in_folder, ingest) -> None:
    spoken["data/yes/s05_nohash_0.wav"] = wav(np.zeros(16000, np.uint8))
    refused(ingest, in_folder(spoken), r"yes/s05_nohash_0\.wav: 8-bit PCM; convert")


def test_a_float_wav(spoken, wav, in_folder, ingest) -> None:
    content = bytearray(wav(np.zeros(16000, np.float32).view(np.int16)))
    struct.pack_into("<HHIIHH", content, 20, 3, 1, 16000, 64000, 4, 32)
    spoken["data/yes/s05_nohash_0.wav"] = bytes(content)
    refused(ingest, in_folder(spoken), r"yes/s05_nohash_0\.wav: 32-bit float; convert")


def test_an_empty_folder(in_folder, ingest) -> None:
    refused(ingest, in_folder({}), r"holds no <word>/\*\.wav")


def test_nothing_there(tmp_path, ingest) -> None:
    refused(ingest, tmp_path / "absent", "absent: does not exist")


def test_one_word_only(spoken, in_folder, ingest) -> None:
    only = {name: content for name, content in spoken.items() if "/no/" in name}
    refused(ingest, in_folder(only), "all recordings are of one word, 'no'")


def test_the_same_file_twice(spoken, in_zip, ingest) -> None:
    spoken["more/yes/s05_nohash_0.wav"] = spoken["data/yes/s05_nohash_0.wav"]
    refused(ingest, in_zip(spoken), r"yes/s05_nohash_0\.wav is there twice \(data/.* and more/")


def test_a_recording_in_no_folder(spoken, in_zip, ingest) -> None:
    spoken["stray.wav"] = spoken["data/yes/s05_nohash_0.wav"]
    refused(ingest, in_zip(spoken), r"stray\.wav lies in no word's folder")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("yes/absent.wav", r"test\.txt, line 2: yes/absent\.wav is not among the recordings"),
        ("yes/s00_nohash_0.wav", r"test\.txt, line 2: .* is listed twice \(also in .*train\.txt"),
    ],
)
def test_a_wrong_list(line, message, spoken, in_zip, tmp_path, ingest) -> None:
    contents = {"train": "yes/s00_nohash_0.wav", "validation": "yes/s01_nohash_0.wav"}
    contents["test"] = f"no/s02_nohash_0.wav\n{line}"
    for split, content in contents.items():
        (tmp_path / f"{split}.txt").write_text(content)
    lists = {split: str(tmp_path / f"{split}.txt") for split in contents}
    refused(ingest, in_zip(spoken), message, {"lists": lists})


def test_a_missing_list(spoken, in_zip, tmp_path, ingest) -> None:
    lists = dict.fromkeys(("train", "validation", "test"), str(tmp_path / "absent.txt"))
    refused(ingest, in_zip(spoken), r"absent\.txt: the list cannot be read", {"lists": lists})


def test_too_few_speakers(spoken, in_zip, ingest) -> None:
    few = {name: content for name, content in spoken.items() if "/s01" in name}
    refused(ingest, in_zip(few), "gets no recording; give it a larger share")


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"shares": {"train": 0.8, "test": 0.2}}, "must name exactly train, validation, test"),
        ({"shares": {"train": 0.8, "validation": 0.3, "test": 0.1}}, "add up to 1"),
        (
            {"shares": {"train": 0.8, "validation": 0.2, "test": float("nan")}},
            "above 0 and add up to 1",
        ),
        ({"sharse": {}}, "unknown key 'sharse'"),
        ({"shares": {"train": "most"}}, "must be a number"),
    ],
)
def test_wrong_splits(splits, message, spoken, in_zip, ingest) -> None:
    refused(ingest, in_zip(spoken), message, splits)


@pytest.mark.slow
def test_the_real_recordings_by_their_lists(data_folder, ingest) -> None:
    lists = {
        split: str(data_folder / "splits" / f"kws_{name}_split.txt")
        for split, name in (("train", "train"), ("validation", "val"), ("test", "test"))
    }
    splits = ingest(data_folder / "mini_speech_commands.zip", {"lists": lists})
    assert {split: len(examples) for split, examples in splits.items()} == {
        "train": 6400,
        "validation": 800,
        "test": 800,
    }
    assert len({value(e, "label") for e in splits["test"]}) == 8
