"""Clips that devices kept teach, and never judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tfx.types.standard_artifacts import Examples

from components.audio_example_gen.executor import Executor
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


def test_a_voice_that_judges_is_left_out_unless_lists_split(
    ingest, spoken, in_folder, tone, tmp_path: Path
) -> None:
    main, kept = in_folder(spoken), Feedback(tmp_path / "kept", ("no", "yes"))
    before = ingest(main)
    for number, split in enumerate(before):
        speaker = values(before[split], "speaker")[0].decode()
        assert kept.keep(tone(hertz=5000 + 100 * number), 16000, "yes", speaker)
    after = ingest(main, feedback=str(tmp_path / "kept"))
    assert new_clips(after) == [values(before["train"], "speaker")[0]]

    lists = {}
    for split, rows in before.items():
        lists[split] = str(tmp_path / f"{split}.txt")
        Path(lists[split]).write_bytes(b"\n".join(values(rows, "path")))
    listed = ingest(main, {"lists": lists}, feedback=str(tmp_path / "kept"))
    assert len(new_clips(listed)) == 3


def new_clips(splits: dict[str, list]) -> list[bytes]:
    """Their speakers; all of them must be in train."""
    rows = [row for split in splits.values() for row in split]
    paths, speakers = values(rows, "path"), values(rows, "speaker")
    new = [i for i, path in enumerate(paths) if b"_overruled_" in path]
    assert all(i < len(splits["train"]) for i in new)
    return [speakers[i] for i in new]


def test_what_was_taken_and_left_out_is_counted(spoken, in_folder, tone, tmp_path: Path) -> None:
    kept = Feedback(tmp_path / "kept", ("no", "yes"))
    for speaker in range(30):
        assert kept.keep(tone(hertz=4000 + 10 * speaker), 16000, "no", f"s{speaker:02d}")
    examples = Examples()
    examples.uri = str(tmp_path / "examples")
    given = {"input_path": str(in_folder(spoken)), "splits": "{}", "seed": 0}
    Executor().Do({}, {"examples": [examples]}, {**given, "feedback": str(tmp_path / "kept")})
    taken = examples.get_int_custom_property("clips_feedback")
    assert taken == examples.get_int_custom_property("speakers_train") < 30
    assert examples.get_int_custom_property("clips_feedback_left_out") == 30 - taken


def test_nothing_kept_yet_changes_nothing(ingest, spoken, in_folder, tmp_path: Path) -> None:
    Feedback(tmp_path / "kept", ("no", "yes"))
    main = in_folder(spoken)
    assert ingest(main, feedback=str(tmp_path / "kept")) == ingest(main)


def test_a_word_nobody_learns_is_named(ingest, spoken, in_folder, tone, tmp_path: Path) -> None:
    Feedback(tmp_path / "kept", ("maybe",)).keep(tone(), 16000, "maybe", None)
    with pytest.raises(InputError, match="kept: clips of 'maybe', which is none of the words"):
        ingest(in_folder(spoken), feedback=str(tmp_path / "kept"))
