"""Spoken words by eSpeak NG: one-second WAVs of 16 kHz, ``<word>/<speaker>_nohash_<take>.wav``."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from components.default_data import acoustics
from components.default_data.acoustics import NOISES, Channel, noise, record
from components.default_data.aside import DataSet, is_made, written
from components.default_data.espeak import (
    RATE,
    Int16,
    Utterance,
    library_version,
    speak_all,
    variants,
)
from components.errors import InputError
from components.fingerprint import fingerprint
from components.progress import progress
from edge_client.features.resample import resample

WORDS = ("down", "go", "left", "no", "right", "stop", "up", "yes")
SAMPLE_RATE = 16000  # Hz
SAMPLES = 16000  # of one clip

_ACCENTS = (
    "en-us",
    "en",  # British
    "en-029",  # Caribbean
    "en-gb-scotland",
    "en-us-nyc",
    "en-gb-x-rp",
    "en-gb-x-gbclan",  # Lancaster
    "en-gb-x-gbcwmd",  # West Midlands
)
# Effects rather than speakers: no listener would call them a person saying a word.
_EFFECTS = ("Demonic", "Tweaky", "UniRobot", "anikaRobot", "fast", "whisper", "whisperf")

# Drawn evenly from these; wide enough that a linear model fails and a small network does not.
_RATE_WPM = (120, 220)
_PITCH = (20, 80)
_RANGE = (25, 75)
_TILT = (-0.5, 0.8)
_REVERBERATION_S = (0.05, 0.4)
_ECHO = (0.0, 0.5)
_LEVEL_DB = (-32.0, -3.0)  # peak, relative to full scale
_SNR_DB = (0.0, 28.0)
_POSITION_S = 0.12  # largest distance of a word's middle from the clip's
_ENDINGS = ("", "", "!", "?")  # the intonation


@dataclass(frozen=True)
class WordsRecipe:
    """What to make; the same recipe gives the same files bit for bit on the same processor."""

    seed: int = 1
    speakers: int = 96
    takes: int = 3  # clips of each word by each speaker
    words: tuple[str, ...] = WORDS

    def __post_init__(self) -> None:
        for name, largest in (("speakers", 10_000), ("takes", 1_000)):
            if not 1 <= getattr(self, name) <= largest:
                raise InputError(
                    f"{name} is {getattr(self, name)}; it must be between 1 and {largest}"
                )
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed is {self.seed}; it must be between 0 and {2**31 - 1}")
        if not self.words:
            raise InputError("words is empty; name at least one word")


@dataclass(frozen=True)
class _Speaker:
    name: str
    voice: str
    rate: int
    pitch: int
    range: int
    channel: Channel


def make_words(out: Path, recipe: WordsRecipe | None = None) -> bool:
    """Writes the clips of a recipe into a folder, or into a zip where ``out`` ends in ``.zip``.

    Returns:
        True when they were made, False when ``out`` holds this very recipe already.

    Raises:
        InputError: ``out`` exists and was not made by this function.
    """
    recipe = recipe or WordsRecipe()
    data_set = DataSet(
        "spoken words, synthetic",
        {
            **asdict(recipe),
            "words": list(recipe.words),
            "espeak_ng": library_version(),
            # The bounds above and the acoustics shape every clip, too.
            "code": fingerprint(__file__, acoustics.__file__),
        },
    )
    if is_made(out, data_set):
        return False
    with (
        written(out, data_set) as store,
        progress("speaking", recipe.speakers, 0) as bar,
    ):
        for clips in _clips(recipe):
            for path, samples in clips:
                store(path, _wav(samples))
            bar.advance()
    return True


def _clips(recipe: WordsRecipe) -> Iterator[list[tuple[str, Int16]]]:
    """For each speaker the paths and samples of all clips."""
    speakers = _speakers(recipe)
    batches = [_utterances(recipe, i, speaker) for i, speaker in enumerate(speakers)]
    spoken = speak_all(batches, recipe.seed)
    for index, (speaker, speech) in enumerate(zip(speakers, spoken, strict=True)):
        random = np.random.default_rng([recipe.seed, index, 1])
        paths = [
            f"{word}/{speaker.name}_nohash_{take}.wav"
            for word in recipe.words
            for take in range(recipe.takes)
        ]
        yield [
            (path, _clip(samples, speaker.channel, random))
            for path, samples in zip(paths, speech, strict=True)
        ]


def _speakers(recipe: WordsRecipe) -> list[_Speaker]:
    """Every variant once, in an order of the seed's, before any speaks with another accent."""
    names = [name for name in variants() if name not in _EFFECTS]
    order = np.random.default_rng([recipe.seed]).permutation(len(names))
    speakers = []
    for index in range(recipe.speakers):
        random = np.random.default_rng([recipe.seed, index, 0])
        turn, place = divmod(index, len(names))
        accent = _ACCENTS[(place + turn) % len(_ACCENTS)]
        speakers.append(
            _Speaker(
                name=f"s{index:04d}",
                voice=f"{accent}+{names[order[place]]}",
                rate=int(random.integers(*_RATE_WPM)),
                pitch=int(random.integers(*_PITCH)),
                range=int(random.integers(*_RANGE)),
                channel=Channel(
                    tilt=random.uniform(*_TILT),
                    reverberation_s=random.uniform(*_REVERBERATION_S),
                    echo=random.uniform(*_ECHO),
                ),
            )
        )
    return speakers


def _utterances(recipe: WordsRecipe, index: int, speaker: _Speaker) -> list[Utterance]:
    random = np.random.default_rng([recipe.seed, index, 2])
    return [
        Utterance(
            voice=speaker.voice,
            text=word + _ENDINGS[random.integers(len(_ENDINGS))],
            rate=speaker.rate + int(random.integers(-20, 21)),
            pitch=speaker.pitch + int(random.integers(-10, 11)),
            range=speaker.range,
        )
        for word in recipe.words
        for _ in range(recipe.takes)
    ]


def _clip(spoken: Int16, channel: Channel, random: np.random.Generator) -> Int16:
    """``[n]`` at eSpeak's rate to one clip, ``[SAMPLES]``."""
    speech = _trimmed(resample(spoken.astype(np.float32), RATE, SAMPLE_RATE)).astype(np.float64)
    speech = speech[:SAMPLES]
    power = np.mean(speech**2)
    received = record(speech / np.sqrt(power), channel, SAMPLE_RATE, random)
    middle = (SAMPLES - speech.size) / 2 + random.uniform(-1, 1) * _POSITION_S * SAMPLE_RATE
    start = int(np.clip(middle, 0, SAMPLES - speech.size))
    clip = np.zeros(SAMPLES)
    end = min(SAMPLES, start + received.size)
    clip[start:end] = received[: end - start]
    colour = list(NOISES)[random.integers(len(NOISES))]
    snr = random.uniform(*_SNR_DB)
    clip += noise(colour, SAMPLES, random) * 10 ** (-snr / 20)
    clip *= 32767 * 10 ** (random.uniform(*_LEVEL_DB) / 20) / np.abs(clip).max()
    return np.rint(clip).astype(np.int16)


def _trimmed(speech: np.ndarray) -> np.ndarray:
    """Without the silence eSpeak puts around a word."""
    loud = np.flatnonzero(np.abs(speech) > 0.01 * np.abs(speech).max())
    return speech[loud[0] : loud[-1] + 1]


def _wav(samples: Int16) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()
