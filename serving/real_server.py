"""The real ``tensorflow_model_server``: as a program on this machine or in its container."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from serving.announce import state_folder
from serving.options import ServeOptions, UsageError, bind
from serving.readiness import is_ready

BINARY = "tensorflow_model_server"
IMAGE = "tensorflow/serving:2.16.1"
ENGINES = ("docker", "podman")
ENGINE_TIMEOUT_S = 5
PULL_TIMEOUT_S = 900
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 15

# A broken new version must not hold up the others; the metrics are off unless asked for.
_COMMON = ("--max_num_load_retries=0", "--file_system_poll_wait_seconds=1")
_MONITORING = 'prometheus_config { enable: true, path: "/monitoring/prometheus/metrics" }\n'


class ServerDied(RuntimeError):
    """The server ended or did not get ready; the message has the end of its log."""


def find_binary(options: ServeOptions) -> str | None:
    """The program's path, or None. Raises `UsageError` when one is named and not there."""
    if options.binary is None:
        return shutil.which(BINARY)
    found = shutil.which(options.binary)
    if found is None:
        raise UsageError(f"{options.binary}: no such program")
    return found


def find_engine() -> str | None:
    """A container engine that answers, or None."""
    for engine in ENGINES:
        path = shutil.which(engine)
        if path is not None and _succeeds([path, "info"]):
            return path
    return None


def has_image(engine: str) -> bool:
    """Whether the server's image is on this machine already."""
    return _succeeds([engine, "image", "inspect", IMAGE])


def pull_image(engine: str) -> None:
    """Fetches the image; the engine shows its progress. Raises `UsageError`."""
    try:
        subprocess.run([engine, "pull", IMAGE], check=True, timeout=PULL_TIMEOUT_S)
    except (subprocess.SubprocessError, OSError) as error:
        raise UsageError(f"{engine} could not fetch {IMAGE}: {error}") from error


def _succeeds(command: list[str]) -> bool:
    try:
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=ENGINE_TIMEOUT_S
        )
    except (subprocess.SubprocessError, OSError):
        return False
    return done.returncode == 0


def binary_command(binary: str, options: ServeOptions, port: int) -> list[str]:
    """The command line of the program. It always listens on every interface."""
    monitoring = _monitoring_file()
    command = [binary, f"--rest_api_port={port}", "--port=0", *_COMMON]
    command.append(f"--monitoring_config_file={monitoring}")
    if options.config is not None:
        command += [
            f"--model_config_file={options.config}",
            "--allow_version_labels_for_unavailable_models=true",
        ]
    else:
        command += [f"--model_name={options.name}", f"--model_base_path={options.model_folder}"]
    return command


def container_command(engine: str, options: ServeOptions, port: int) -> list[str]:
    """The command line that runs the container, published on the host asked for."""
    if options.config is not None:
        raise UsageError("--config names folders of this machine; the container takes MODEL_FOLDER")
    monitoring = _monitoring_file()
    host = f"[{options.host}]" if ":" in options.host else options.host
    return [
        engine,
        "run",
        "--rm",
        "--init",
        f"--name=ml4iot-serve-{port}",
        f"--publish={host}:{port}:8501",
        f"--volume={options.model_folder}:/models/{options.name}:ro",
        f"--volume={monitoring}:/monitoring.config:ro",
        f"--env=MODEL_NAME={options.name}",
        IMAGE,
        *_COMMON,
        "--monitoring_config_file=/monitoring.config",
    ]


def _monitoring_file() -> Path:
    path = state_folder() / "monitoring.config"
    aside = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(_MONITORING, encoding="ascii")
        aside.replace(path)
    except OSError as error:
        problem = f"cannot write {path}: {error.strerror}; name another folder by XDG_STATE_HOME"
        raise UsageError(problem) from error
    return path


def free_port(options: ServeOptions) -> int:
    """The port asked for, or a free one for 0; checked here, for the server only logs it."""
    with bind(options.host, options.port) as probe:
        port: int = probe.getsockname()[1]
    return port


def run(
    command: list[str], url: str, log_file: Path, model: str, when_ready: Callable[[], None]
) -> int:
    """Runs the server until it ends or this process gets SIGTERM or SIGINT; its exit status.

    Raises `ServerDied` when it ends by itself or is not ready in time.
    """
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    # Before there is a server: a signal in between would leave it behind.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with log_file.open("wb") as log:
        # Its own session: a Ctrl-C in the terminal must reach it through this process only.
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while server.poll() is None and not stopped and not is_ready(url, model):
                if time.monotonic() > deadline:
                    raise ServerDied(f"not ready within {START_TIMEOUT_S} s; {_tail(log_file)}")
                time.sleep(0.1)
            if server.poll() is None and not stopped:
                when_ready()
            while not stopped:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.wait(timeout=0.2)
                    break
        finally:
            _end(server)
    if not stopped:
        raise ServerDied(f"{command[0]} ended with status {server.returncode}; {_tail(log_file)}")
    return 0


def _end(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        server.terminate()
    try:
        server.wait(timeout=STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _tail(log_file: Path) -> str:
    with log_file.open("rb") as log:
        log.seek(max(0, log_file.stat().st_size - 2000))
        lines = log.read().decode("utf-8", "replace").strip().splitlines()
    return f"{log_file} ends: {lines[-1] if lines else '(empty)'}"
