"""Which recordings a command line names, and how well they were heard."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_client.errors import EdgeError
from edge_client.files import check_size, read_input
from edge_client.predictor import Scores
from edge_client.wilson import wilson

_MAX_LIST_BYTES = 64 * 2**20


def find(
    inputs: Sequence[str], list_file: str | None, root: str | None
) -> Iterator[Path | EdgeError]:
    """The recordings, in order; an error stands for each input that leads to none.

    Args:
        inputs: files, and folders whose WAV files are taken at any depth, sorted.
        list_file: a text file of paths, one a line; see :func:`_locate`.
        root: the folder where those paths begin.
    """
    for name in inputs:
        path = Path(name)
        if not os.path.isdir(path):  # noqa: PTH112 - Path's own raises for over-long names
            yield path  # whoever reads it says what is wrong with it
            continue
        inside = list(_wavs(path))
        yield from inside
        if not inside:
            yield EdgeError(f"{name}: no WAV files in this folder")
    if list_file is not None:
        for line in _lines(Path(list_file)):
            yield _locate(Path(root or "."), line)


def known_word(path: Path, labels: Collection[str]) -> str | None:
    """The name of the recording's folder, where it is one of the labels."""
    word = path.absolute().parent.name
    return word if word in labels else None


def line(
    path: str,
    label: str,
    scores: Mapping[str, float],
    margin: float,
    latency_ms: Mapping[str, float],
) -> dict[str, Any]:
    """An answer as it is printed, rounded to what means something."""
    return {
        "path": path,
        "label": label,
        "scores": {word: round(float(score), 6) for word, score in scores.items()},
        "margin": round(margin, 6),
        "latency_ms": {step: round(ms, 4) for step, ms in latency_ms.items()},
    }


class Tally:
    """Counts how often the label is the name of the recording's folder."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = set(labels)
        self._right = self._known = 0
        self._latencies: list[tuple[float, float, float]] = []

    def add(self, path: Path, heard: Scores) -> None:
        """Takes note of one recording."""
        latency = heard.latency
        self._latencies.append((latency.features, latency.inference, latency.total))
        word = known_word(path, self._labels)
        if word is not None:
            self._known += 1
            self._right += word == heard.label

    def summary(self) -> str:
        """One line: accuracy with its Wilson 95 % interval, and median latencies."""
        if not self._latencies:
            return "no recordings were classified"
        features, inference, total = np.median(np.array(self._latencies), axis=0)
        if self._known:
            low, high = wilson(self._right, self._known)
            accuracy = (
                f"accuracy {100 * self._right / self._known:.2f} % ({self._right} of "
                f"{self._known}, 95 % interval {100 * low:.2f} to {100 * high:.2f} %)"
            )
        else:
            accuracy = "no accuracy, for no folder is named as a label"
        return (
            f"{len(self._latencies)} recordings: {accuracy}; median ms: features "
            f"{features:.3f}, inference {inference:.3f}, total {total:.3f}"
        )


def _wavs(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            # Archives made on a Mac hold a "._name.wav" of other content beside each file.
            if file.lower().endswith(".wav") and not file.startswith("."):
                yield Path(parent, file)


def _lines(path: Path) -> list[str]:
    data = read_input(path, _MAX_LIST_BYTES, str(path), EdgeError)
    check_size(len(data), _MAX_LIST_BYTES, str(path), EdgeError)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise EdgeError(f"{path}: not a text file of paths") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise EdgeError(f"{path}: an empty list")
    return lines


def _locate(root: Path, listed: str) -> Path | EdgeError:
    """The listed path below ``root``, with as many of its leading folders as exist there.

    Lists are published relative to where their author unpacked the data.
    """
    parts = Path(listed).parts
    for first in range(len(parts)):
        path = root.joinpath(*parts[first:])
        if os.path.isfile(path):  # noqa: PTH113 - Path's own raises for over-long names
            return path
    return EdgeError(f"{listed}: no such file below {root}")
