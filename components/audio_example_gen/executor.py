"""AudioExampleGen: how it is done, in plain Python; Beam takes three times as long for this."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from absl import logging
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.audio_example_gen.recordings import Recording, open_source
from components.audio_example_gen.splitting import Splitting, assign
from components.errors import InputError
from components.examples import SAMPLE_RATE, SAMPLES, example, split_writers
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
        with open_source(Path(exec_properties["input_path"])) as source:
            splits = assign(source.recordings, splitting, exec_properties["seed"])
            total = sum(map(len, splits.values()))
            left_out = len(source.recordings) - total
            with (
                split_writers(examples, files=_FILES) as writers,
                progress("reading recordings", total) as bar,
            ):
                for name, recordings in splits.items():
                    for recording in sorted(recordings, key=_shuffled):
                        writers[name].write(to_example(recording, source.read(recording)))
                        bar.advance()
        for name, recordings in splits.items():
            examples.set_int_custom_property(f"clips_{name}", len(recordings))
            speakers = len({recording.speaker for recording in recordings})
            examples.set_int_custom_property(f"speakers_{name}", speakers)
            logging.info("%s: %d recordings of %d speakers", name, len(recordings), speakers)
        if left_out:
            logging.info("%d recordings are in no list and were left out", left_out)


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


def _clipped(samples: npt.NDArray[np.int16]) -> float:
    return float(np.mean((samples >= 32767) | (samples <= -32767)))


def _shuffled(recording: Recording) -> bytes:
    """Mixes the words, since a reader's shuffle buffer may hold fewer clips than a word has."""
    return hashlib.sha256(recording.path.encode()).digest()
