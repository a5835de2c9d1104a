"""The candidates of a version as Compression left them: each one file, packed or not."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from components.errors import InputError
from components.settings import from_mapping
from edge_client.bundle import ModelFile
from edge_client.bundle.manifest import MAX_MODEL_BYTES, MODEL_FILES


@dataclass(frozen=True)
class Candidate:
    """One candidate: the file as it would be pushed, and the TFLite model in it."""

    recipe: str
    steps: tuple[Mapping[str, Any], ...]
    file: ModelFile
    packed: bytes
    model: bytes


@dataclass(frozen=True)
class _Description:
    """``candidate.json``."""

    recipe: str
    steps: tuple[Mapping[str, Any], ...]
    file: str
    compression: str


def read_candidates(folder: Path) -> tuple[Candidate, ...]:
    """The candidates in a ``Candidates`` artifact, by name.

    Raises:
        InputError: there are none, or one is not what its ``candidate.json`` says.
    """
    descriptions = sorted(folder.glob("*/candidate.json"))
    if not descriptions:
        raise InputError(
            f"{folder}: holds no candidate; state at least one recipe under compression"
        )
    return tuple(_read(path) for path in descriptions)


def _read(path: Path) -> Candidate:
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is not a candidate's description ({error})") from None
    described = from_mapping(_Description, values, str(path))
    compression: Literal["none", "zlib"] = "zlib" if described.compression == "zlib" else "none"
    if described.compression != compression or described.file != MODEL_FILES[compression]:
        raise InputError(
            f"{path}: file {described.file!r} with compression {described.compression!r}; "
            f"known are {', '.join(f'{file!r} ({how})' for how, file in MODEL_FILES.items())}"
        )
    if described.recipe != path.parent.name:
        raise InputError(f"{path}: recipe is {described.recipe!r}; it must be the folder's name")
    model_path = path.parent / described.file
    try:
        packed = model_path.read_bytes()
    except OSError as error:
        raise InputError(f"{model_path}: cannot be read ({error.strerror})") from None
    model = _unpacked(packed, model_path) if compression == "zlib" else packed
    if not 0 < len(model) <= MAX_MODEL_BYTES:
        raise InputError(
            f"{model_path}: the model has {len(model)} bytes; a bundle takes 1 to {MAX_MODEL_BYTES}"
        )
    entry = ModelFile(
        file=described.file,
        compression=compression,
        bytes=len(packed),
        sha256=hashlib.sha256(packed).hexdigest(),
        raw_bytes=len(model),
        raw_sha256=hashlib.sha256(model).hexdigest(),
    )
    return Candidate(described.recipe, described.steps, entry, packed, model)


def _unpacked(packed: bytes, path: Path) -> bytes:
    """Never more than one byte above what a bundle takes, however much is packed in it."""
    unpacking = zlib.decompressobj()
    try:
        model = unpacking.decompress(packed, MAX_MODEL_BYTES + 1)
    except zlib.error as error:
        raise InputError(f"{path}: does not unpack ({error}); run Compression again") from None
    if len(model) <= MAX_MODEL_BYTES and not unpacking.eof:
        raise InputError(f"{path}: is cut short; run Compression again")
    return model
