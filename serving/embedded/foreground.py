"""Runs the embedded server as this process, with TensorFlow's chatter out of sight."""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path
from typing import TextIO

from rich.console import Console

from serving.announce import announcement, open_log
from serving.embedded.model_config import ConfigError, ModelConfig, read
from serving.options import ServeOptions, UsageError, base_url, bind, bind_error


def run(options: ServeOptions) -> int:
    """Serves until SIGTERM or SIGINT; the exit status. Raises `UsageError` before loading."""
    configs = _configs(options)
    with bind(options.host, options.port) as bound:
        log_file = open_log(options.log_file, f"serve-{bound.getsockname()[1]}.log")
        terminal = _divert_standard_error(log_file)
        try:
            _serve(options, configs, bound, log_file, terminal)
        except UsageError as error:
            print(f"ml4iot-serve: {error}", file=terminal)
            return 2
        except Exception as error:
            # The traceback goes where standard error goes now; somebody must say so.
            kind = type(error).__name__
            print(f"ml4iot-serve: ended by {kind}; {log_file} has the details", file=terminal)
            raise
    return 0


def _configs(options: ServeOptions) -> list[ModelConfig]:
    if options.config is None:
        assert options.model_folder is not None  # `ServeOptions.checked` saw to it
        return [ModelConfig(options.name, options.model_folder)]
    try:
        return read(options.config)
    except ConfigError as error:
        raise UsageError(str(error)) from error


def _serve(
    options: ServeOptions,
    configs: list[ModelConfig],
    bound: socket.socket,
    log_file: Path,
    terminal: TextIO,
) -> None:
    port = bound.getsockname()[1]
    line = announcement("embedded server", options, base_url(options.host, port), log_file)
    status = Console(file=terminal).status("Loading TensorFlow and the models ...")
    status.start()

    def announce() -> None:
        status.stop()
        print(line, flush=True)

    # TensorFlow's warnings repeat what clients are told, and would fill the log without a bound.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        from serving.embedded.server import serve

        _send_log_to(terminal)
        serve(configs, bound, announce, options.config)
    except OSError as error:
        raise bind_error(options.host, port, error) from error
    finally:
        status.stop()


def _divert_standard_error(log_file: Path) -> TextIO:
    """Sends standard error to the log, with what C++ code writes; returns where it went before."""
    sys.stderr.flush()
    terminal = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="replace")
    with log_file.open("ab") as log:
        os.dup2(log.fileno(), 2)
    return terminal


def _send_log_to(terminal: TextIO) -> None:
    """Shows people this package's own messages; all others stay in the log."""
    handler = logging.StreamHandler(terminal)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("serving")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
