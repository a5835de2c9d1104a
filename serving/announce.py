"""The one line that says what serves where, and the log that takes everything else."""

from __future__ import annotations

import os
from pathlib import Path

from serving.options import ServeOptions, UsageError


def announcement(what: str, options: ServeOptions, url: str, log_file: Path) -> str:
    """One line for standard output once the server answers."""
    served = f"{url}/v1/models/{options.name}" if options.name else f"{url} ({options.config})"
    return f"{what} serves {served} (log: {log_file})"


def state_folder() -> Path:
    """Where what a server leaves behind goes, unless told otherwise."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state, "ml4iot")


def open_log(log_file: Path | None, default: str) -> Path:
    """The log's path, its folder made and the file emptied. Raises `UsageError`.

    Without a `log_file` it is the file called `default` in the user's state folder.
    """
    path = log_file.resolve() if log_file is not None else state_folder() / default
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    except OSError as error:
        problem = f"cannot write the log {path}: {error.strerror}; choose another with --log-file"
        raise UsageError(problem) from error
    return path
