"""WAVs and archives made on the spot, and an executor run on them."""

from __future__ import annotations

import io
import json
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tfx.types.standard_artifacts import Examples

from components.audio_example_gen.executor import Executor
from components.examples import SPLITS, read_split

Files = dict[str, bytes]


@pytest.fixture(scope="session")
def wav() -> Callable[..., bytes]:
    """A PCM WAV of ``[n]`` or ``[n, channels]`` samples."""

    def make(samples: np.ndarray, rate: int = 16000) -> bytes:
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
            file.setsampwidth(samples.dtype.itemsize)
            file.setframerate(rate)
            file.writeframes(samples.tobytes())
        return buffer.getvalue()

    return make


@pytest.fixture(scope="session")
def tone() -> Callable[..., np.ndarray]:
    """Int16 at half of full scale."""

    def make(seconds: float = 1.0, rate: int = 16000, hertz: float = 440) -> np.ndarray:
        time = np.arange(round(seconds * rate)) / rate
        return np.rint(16384 * np.sin(2 * np.pi * hertz * time)).astype(np.int16)

    return make


@pytest.fixture
def in_folder(tmp_path: Path) -> Callable[[Files], Path]:
    def write(files: Files) -> Path:
        root = tmp_path / "recordings"
        root.mkdir()
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root

    return write


@pytest.fixture
def in_zip(tmp_path: Path) -> Callable[[Files], Path]:
    def write(files: Files) -> Path:
        path = tmp_path / "recordings.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path

    return write


@pytest.fixture
def spoken(wav: Callable[..., bytes], tone: Callable[..., np.ndarray]) -> Files:
    """Two words by thirty speakers: enough for each split to get some."""
    clip = wav(tone())
    return {
        f"data/{word}/s{speaker:02d}_nohash_0.wav": clip
        for word in ("no", "yes")
        for speaker in range(30)
    }


@pytest.fixture
def ingest(tmp_path: Path) -> Callable[..., dict[str, list[tf.train.Example]]]:
    """Runs the executor as TFX does and reads back what it wrote, split by split."""

    def run(path: Path, splits: dict | None = None, seed: int = 0, feedback: str = ""):
        examples = Examples()
        examples.uri = str(tmp_path / "examples")
        Executor().Do(
            {},
            {"examples": [examples]},
            {
                "input_path": str(path),
                "splits": json.dumps(splits or {}),
                "seed": seed,
                "feedback": feedback,
            },
        )
        return {split: list(read_split(examples, split)) for split in SPLITS}

    return run
