"""The synthetic words: the same every time, valid input, and never half there."""

from __future__ import annotations

import io
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest

from components.audio_example_gen.recordings import open_source
from components.default_data import words
from components.default_data.__main__ import main
from components.default_data.words import WORDS, WordsRecipe, make_words
from components.errors import InputError

RECIPE = WordsRecipe(seed=7, speakers=10, takes=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("words") / "words.zip"
    assert make_words(out, RECIPE)
    return out


def contents(path: Path) -> dict[str, bytes]:
    if path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file())
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_same_recipe_gives_the_same_bits(made, tmp_path) -> None:
    assert make_words(tmp_path / "again.zip", RECIPE)
    assert (tmp_path / "again.zip").read_bytes() == made.read_bytes()
    assert make_words(tmp_path / "folder", RECIPE)
    assert contents(tmp_path / "folder") == contents(made)


def test_another_seed_gives_other_clips(made, tmp_path) -> None:
    make_words(tmp_path / "other.zip", WordsRecipe(seed=8, speakers=10, takes=2))
    mine, other = contents(made), contents(tmp_path / "other.zip")
    assert set(mine) == set(other)
    assert not [name for name in mine if name.endswith(".wav") and mine[name] == other[name]]


def test_clips_are_one_second_of_sound_and_all_different(made) -> None:
    with open_source(made) as source:
        clips = {r.path: source.read(r) for r in source.recordings}
        assert {r.word for r in source.recordings} == set(WORDS)
        assert len({r.speaker for r in source.recordings}) == 10
    assert len(clips) == len(WORDS) * 10 * 2
    assert len(set(clips.values())) == len(clips)
    for content in clips.values():
        with wave.open(io.BytesIO(content)) as file:
            assert file.getparams()[:4] == (1, 2, 16000, 16000)
            samples = np.frombuffer(file.readframes(16000), "<i2")
        assert 500 < np.abs(samples.astype(int)).max() < 32767


def test_what_is_there_is_not_made_again(made) -> None:
    before = made.stat().st_mtime_ns
    assert not make_words(made, RECIPE)
    assert made.stat().st_mtime_ns == before


def test_another_recipe_replaces_the_first(tmp_path) -> None:
    out = tmp_path / "words"
    make_words(out, WordsRecipe(speakers=2, takes=1))
    make_words(out, WordsRecipe(speakers=1, takes=1))
    assert len(list(out.rglob("*.wav"))) == len(WORDS)
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == ["words"]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is not default data of ours"):
        make_words(tmp_path, RECIPE)
    assert contents(tmp_path) == {"thesis.txt": b"mine"}


def test_a_failure_half_way_leaves_what_was_there(tmp_path, monkeypatch) -> None:
    out = tmp_path / "words.zip"
    make_words(out, WordsRecipe(speakers=1, takes=1))
    before = out.read_bytes()
    written = 0

    def full(samples: np.ndarray) -> bytes:
        nonlocal written
        written += 1
        if written > 5:
            raise OSError(28, "No space left on device")
        return b"RIFF"

    monkeypatch.setattr(words, "_wav", full)
    with pytest.raises(OSError, match="No space left"):
        make_words(out, RECIPE)
    assert out.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == ["words.zip"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--speakers", "0"], "speakers is 0; it must be between 1 and 10000"),
        (["--seed", "-1"], "seed is -1"),
    ],
)
def test_wrong_use_exits_with_2_and_one_line(arguments, message, tmp_path, capsys) -> None:
    assert main(["audio", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
