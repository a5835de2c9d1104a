"""Plain TFLite models that clients of the coursework add: monitored with, never blessed.

They lie in ``added/`` beside the metadata, which names none of them: no device is ever offered one.
"""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from edge_client.files import write_whole
from edge_client.fleet.names import NAME
from serving.registry.coursework.added_child import Request, command, first_line
from serving.registry.errors import BadRequestError, StorageError

MAX_ADDED = 100
MAX_MODEL_BYTES = 180 * 1024  # in base64 within what the registry takes of a request
_TIMEOUT_S = 60.0
_SUFFIX = ".tflite"


class Added:
    """The models that were added; safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "added"
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Of all models, in order."""
        if not self._folder.is_dir():
            return []
        return sorted(
            path.name.removesuffix(_SUFFIX)
            for path in self._folder.iterdir()
            if path.name.endswith(_SUFFIX) and NAME.fullmatch(path.name.removesuffix(_SUFFIX))
        )

    def model(self, name: str) -> bytes:
        """The model of this name; raises `BadRequestError` where there is none."""
        if name in self.names():
            return self._path(name).read_bytes()
        raise BadRequestError(
            f"model {name[:64]!r}: not one of {', '.join(self.names()) or 'none'}"
        )

    def add(self, name: str, model: bytes) -> None:
        """Keeps a model, in place of one of the same name, once it has run in a child process.

        Raises:
            BadRequestError: no name, too large, one too many, or no model that can be monitored
                with.
            StorageError: it cannot be written.
        """
        if not NAME.fullmatch(name):
            raise BadRequestError(
                f"name {name[:40]!r}: 1 to 64 letters, digits and ._- are wanted, a letter or "
                "digit first"
            )
        if len(model) > MAX_MODEL_BYTES:
            raise BadRequestError(f"model: {len(model)} bytes; {MAX_MODEL_BYTES} are taken")
        with self._lock:  # one child at a time
            names = self.names()
            if name not in names and len(names) >= MAX_ADDED:
                raise BadRequestError(f"{MAX_ADDED} models have been added, which are all it takes")
            _try_out(name, model)
            try:
                self._folder.mkdir(exist_ok=True)
                write_whole(self._path(name), model)
            except OSError as error:
                raise StorageError(f"{self._folder}: {error.strerror or error}") from error

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"


def _try_out(name: str, model: bytes) -> None:
    """Runs the model where it can bring down nothing; raises `BadRequestError` if it should not."""
    try:
        done = subprocess.run(
            command(),
            input=Request(name, model, 2 * _TIMEOUT_S).line(),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BadRequestError(f"{name}: does not answer within {_TIMEOUT_S:g} s") from None
    said = first_line(done.stdout)
    if not said:
        raise BadRequestError(f"{name}: a model that crashes LiteRT")
    if "error" in said:
        raise BadRequestError(str(said["error"]))
