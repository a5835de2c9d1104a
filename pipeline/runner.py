"""Runs a pipeline on TFX's local runner so that a person can follow it.

TFX, Beam and TensorFlow log hundreds of lines; those go to a file.  What is left on the terminal
is a line per component with its time, the bars of long steps, and one line for an error.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from absl import logging as absl_logging
from filelock import FileLock, Timeout
from tfx import v1 as tfx

from components.errors import InputError
from pipeline.settings import Settings

_BEAM = re.compile(r" \[while running '.*'\]$")  # what Beam adds to an error's message
_INTERRUPTED = 130  # the exit status shells give a program that Ctrl-C ended
_LONGEST_LINE = 500  # characters of a fault of ours; the log has the whole of it


def run(create: Callable[[], tuple[tfx.dsl.Pipeline, Settings]]) -> None:
    """Builds the pipeline and runs it; ends the process with status 2 for bad input.

    Args:
        create: makes the pipeline from the environment.
    """
    try:
        pipeline, settings = create()
        settings.metadata.parent.mkdir(parents=True, exist_ok=True)
        log = settings.home / "logs" / f"{settings.name}-{datetime.now():%Y%m%d-%H%M%S}.log"
        with _alone(settings), _followed(log):
            tfx.orchestration.LocalDagRunner().run(pipeline)
    except KeyboardInterrupt:
        print("interrupted; run it again to go on from what finished", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except Exception as error:
        known = _input_error(error)
        fault = f"{type(error).__name__}: {error}".splitlines()[0][:_LONGEST_LINE]
        print(f"error: {_BEAM.sub('', str(known)) if known else fault}", file=sys.stderr)
        sys.exit(2 if known else 1)


def _input_error(error: BaseException | None) -> InputError | None:
    """The input error behind what TFX or Beam made of it."""
    while error is not None:
        if isinstance(error, InputError):
            return error
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Two runs of one pipeline at once would do the work twice and race for the metadata."""
    lock = FileLock(settings.metadata.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"another run of {settings.name} is under way in {settings.home}; "
            "wait for it or set ML4IOT_HOME to another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _followed(log: Path) -> Iterator[None]:
    """Chatter goes to ``log``; the terminal gets components and their times."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    terminal = os.fdopen(os.dup(2), "w", buffering=1)
    kept = os.dup(1), os.dup(2)
    python = sys.stdout, sys.stderr
    with log.open("a", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = terminal
        handler = absl_logging.get_absl_handler()
        handler.python_handler.stream = file
        logging.captureWarnings(True)
        absl_logging.set_verbosity(absl_logging.INFO)
        components = _Components(terminal)
        logging.getLogger("absl").addHandler(components)
        try:
            yield
        except BaseException:
            components.failed()
            traceback.print_exc(file=file)
            print(f"the log is {log}", file=terminal)
            raise
        finally:
            logging.getLogger("absl").removeHandler(components)
            handler.python_handler.stream = python[1]
            sys.stdout, sys.stderr = python
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            for descriptor in kept:
                os.close(descriptor)
            terminal.close()


class _Components(logging.Handler):
    """Turns the runner's own log lines into one line per component."""

    def __init__(self, terminal: object) -> None:
        super().__init__(logging.INFO)
        self._terminal = terminal
        self._running = ""
        self._started = 0.0
        self._cached = False

    def emit(self, record: logging.LogRecord) -> None:
        message = str(record.msg)
        if message == "Component %s is running.":
            self._running, self._started = str(record.args[0]), time.monotonic()  # type: ignore[index]
            self._cached = False
            self._print(f"… {self._running}")
        elif message == "Component %s is finished.":
            seconds = time.monotonic() - self._started
            how = "unchanged, from an earlier run" if self._cached else f"{seconds:.1f} s"
            self._print(f"✓ {self._running}  {how}")
        elif message == "A cached execution %d is used.":
            self._cached = True

    def failed(self) -> None:
        if self._running:
            self._print(f"✗ {self._running}  {time.monotonic() - self._started:.1f} s")

    def _print(self, line: str) -> None:
        print(line, file=self._terminal, flush=True)  # type: ignore[call-overload]
