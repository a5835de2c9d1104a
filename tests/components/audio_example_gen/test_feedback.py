"""Clips that devices kept teach, and never judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.errors import InputError
from edge_client.feedback import Feedback


@pytest.fixture
def spoken(wav: Callable[..., bytes], tone: Callable[..., np.ndarray]) -> dict[str, bytes]:
    """Two words by thirty speakers, each at a pitch of its own."""
    return {
        f"data/{word}/s{speaker:02d}_nohash_0.wav": wav(tone(hertz=base + 10 * speaker))
        for word, base in (("no", 300), ("yes", 2000))
        for speaker in range(30)
    }


def values(examples: list, name: str) -> list[bytes]:
    return [example.features.feature[name].bytes_list.value[0] for example in examples]


def test_what_a_device_kept_goes_into_train_alone(
    ingest, spoken, in_folder, tone, tmp_path: Path
) -> None:
    main = in_folder(spoken)
    before = {split: sorted(values(rows, "path")) for split, rows in ingest(main).items()}
    kept = Feedback(tmp_path / "kept", ("no", "yes"))
    assert kept.keep(tone(hertz=5000), 16000, "yes", "someone")
    assert kept.keep(tone(hertz=5100), 16000, "yes", None)
    after = ingest(main, feedback=str(tmp_path / "kept"))
    assert values(after["train"], "label").count(b"yes") == before_yes(before) + 2
    assert b"someone" in values(after["train"], "speaker")
    for split in ("validation", "test"):
        assert sorted(values(after[split], "path")) == before[split]


def before_yes(before: dict[str, list[bytes]]) -> int:
    return sum(path.startswith(b"yes/") for path in before["train"])


def test_a_clip_that_judges_is_left_out(ingest, spoken, in_folder, tmp_path: Path) -> None:
    main = in_folder(spoken)
    before = ingest(main)
    kept = Feedback(tmp_path / "kept", ("no", "yes"))
    for split in ("train", "test"):
        audio = np.frombuffer(values(before[split], "audio")[0], "<i2")
        assert kept.keep(audio, 16000, "no", split)
    speakers = values(ingest(main, feedback=str(tmp_path / "kept"))["train"], "speaker")
    assert b"train" in speakers
    assert b"test" not in speakers


def test_nothing_kept_yet_changes_nothing(ingest, spoken, in_folder, tmp_path: Path) -> None:
    Feedback(tmp_path / "kept", ("no", "yes"))
    main = in_folder(spoken)
    assert ingest(main, feedback=str(tmp_path / "kept")) == ingest(main)


def test_a_word_nobody_learns_is_named(ingest, spoken, in_folder, tone, tmp_path: Path) -> None:
    Feedback(tmp_path / "kept", ("maybe",)).keep(tone(), 16000, "maybe", None)
    with pytest.raises(InputError, match="kept: clips of 'maybe', which is none of the words"):
        ingest(in_folder(spoken), feedback=str(tmp_path / "kept"))
