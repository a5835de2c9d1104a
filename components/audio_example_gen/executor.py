"""AudioExampleGen: how it is done, in plain Python; Beam takes three times as long for this."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from absl import logging
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.audio_example_gen.recordings import Recording, open_source
from components.audio_example_gen.splitting import Splitting, assign
from components.errors import InputError
from components.examples import SAMPLE_RATE, SAMPLES, SplitWriter, example, split_writers
from components.progress import progress
from components.settings import from_mapping
from edge_client.audio import WavError, fit_clip, read_wav

_FILES = 4  # of each split, so that Beam can read them side by side


class Executor(BaseExecutor):
    """Reads every recording once and writes it into its split."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills ``examples``; raises InputError for the first recording that cannot be used."""
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        splitting = parse_splits(exec_properties["splits"])
        feedback = exec_properties["feedback"]
        with open_source(Path(exec_properties["input_path"])) as source:
            splits = assign(source.recordings, splitting, exec_properties["seed"])
            total = sum(map(len, splits.values()))
            left_out = len(source.recordings) - total
            with (
                split_writers(examples, files=_FILES) as writers,
                progress("reading recordings", total) as bar,
            ):
                judging = Judging(by_speaker=splitting.lists is None)
                for name, recordings in splits.items():
                    for recording in sorted(recordings, key=_shuffled):
                        serialised = to_example(recording, source.read(recording))
                        writers[name].write(serialised)
                        if name != "train":
                            judging.add(recording, serialised)
                        bar.advance()
                if feedback:
                    words = {recording.word for recording in source.recordings}
                    taken, passed = add_feedback(Path(feedback), words, judging, writers["train"])
                    examples.set_int_custom_property("clips_feedback", taken)
                    examples.set_int_custom_property("clips_feedback_left_out", passed)
        for name, recordings in splits.items():
            examples.set_int_custom_property(f"clips_{name}", len(recordings))
            speakers = len({recording.speaker for recording in recordings})
            examples.set_int_custom_property(f"speakers_{name}", speakers)
            logging.info("%s: %d recordings of %d speakers", name, len(recordings), speakers)
        if left_out:
            logging.info("%d recordings are in no list and were left out", left_out)


class Judging:
    """What validation and test hold: what judges a model must not have taught it."""

    def __init__(self, by_speaker: bool) -> None:
        """``by_speaker``: the splits share no voices; lists that somebody gave may well do."""
        self._by_speaker = by_speaker
        self._sounds: set[bytes] = set()
        self._speakers: set[str] = set()

    def add(self, recording: Recording, serialised: bytes) -> None:
        """Notes a clip of validation or test."""
        self._sounds.add(_sound(serialised))
        if self._by_speaker:
            self._speakers.add(recording.speaker)

    def knows(self, recording: Recording, serialised: bytes) -> bool:
        """Whether they hold the very clip or, in a split by speaker, the voice."""
        return recording.speaker in self._speakers or _sound(serialised) in self._sounds


def add_feedback(
    folder: Path, words: Collection[str], judging: Judging, train: SplitWriter
) -> tuple[int, int]:
    """Writes the clips on which the big model overruled a device into the train split.

    What validation or test know is left out, as when a device was tried on their clips.  A voice is
    known by the speaker in the file's name; a clip whose speaker the device did not know bears the
    device's own name, and is taken.

    Args:
        folder: of ``<word>/*.wav``; it may be empty.
        words: those of the main recordings.
        judging: what validation and test hold.
        train: the split's writer.

    Returns:
        How many clips were written, and how many left out.

    Raises:
        InputError: the folder does not exist, a clip cannot be read, or one is of another word.
    """
    taken = 0
    with open_source(folder, fewest_words=0) as source:
        strange = sorted({recording.word for recording in source.recordings} - set(words))
        if strange:
            raise InputError(
                f"{folder}: clips of {strange[0]!r}, which is none of the words to be learned; "
                "remove them"
            )
        for recording in sorted(source.recordings, key=_shuffled):
            serialised = to_example(recording, source.read(recording))
            if not judging.knows(recording, serialised):
                train.write(serialised)
                taken += 1
        left_out = len(source.recordings) - taken
    logging.info(
        "feedback: %d clips into train; %d left out, whose voice or very clip is in validation "
        "or test",
        taken,
        left_out,
    )
    return taken, left_out


def parse_splits(text: str) -> Splitting:
    """The splitting a JSON text describes; raises InputError."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise InputError(f"splits: {text!r} is no JSON ({error})") from None
    return from_mapping(Splitting, values, "splits")


def to_example(recording: Recording, wav: bytes) -> bytes:
    """A serialised Example of one recording.

    ``clipped`` is measured on the recording as it is, ``rms`` and ``peak`` on the clip the model
    will hear, both about its mean, since a constant offset is no sound.

    Raises:
        InputError: the WAV is not complete or not 16-bit PCM.
    """
    try:
        samples, rate = read_wav(wav, recording.path)
    except WavError as error:
        raise InputError(str(error)) from None
    clip = fit_clip(samples, rate, SAMPLE_RATE, SAMPLES)
    sound = (clip.astype(np.float64) - clip.mean()) / 32768
    return example(
        {
            "audio": clip.astype("<i2").tobytes(),
            "label": recording.word,
            "speaker": recording.speaker,
            "path": recording.path,
            "rms": float(np.sqrt(np.mean(sound**2))),
            "peak": float(np.abs(sound).max()),
            "clipped": _clipped(samples),
            "seconds": len(samples) / rate,
        }
    )


def _sound(serialised: bytes) -> bytes:
    """A digest of an Example's audio."""
    features = tf.train.Example.FromString(serialised).features.feature
    return hashlib.sha256(features["audio"].bytes_list.value[0]).digest()


def _clipped(samples: npt.NDArray[np.int16]) -> float:
    return float(np.mean((samples >= 32767) | (samples <= -32767)))


def _shuffled(recording: Recording) -> bytes:
    """Mixes the words, since a reader's shuffle buffer may hold fewer clips than a word has."""
    return hashlib.sha256(recording.path.encode()).digest()
