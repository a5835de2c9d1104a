"""The demo's steps as the commands a user would type, and the services they need meanwhile."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import Any

import httpx

from pipeline.demo.shown import console

BIN = Path(sys.executable).parent
_PIPELINES = Path(__file__).resolve().parents[1]
_START_SECONDS = 120
_ASK_SECONDS = 30
_END_SECONDS = 10


class DemoError(Exception):
    """A step failed; its own output has said why."""


def run_pipeline(name: str, place: Path, environment: dict[str, str]) -> None:
    """``tfx pipeline create`` (``update`` when there is one) and ``tfx run create``."""
    known = (place / "tfx" / "local" / name).exists() or (place / "tfx" / name).exists()
    verb = "update" if known else "create"
    path = str(_PIPELINES / f"{name}.py")
    commands = (
        ["pipeline", verb, "--engine", "local", "--pipeline-path", path],
        ["run", "create", "--engine", "local", "--pipeline-name", name],
    )
    for command in commands:
        type_out("tfx", *command)
        run("tfx", *command, environment=environment)


def edge_lines(*arguments: str, inputs: Sequence[Path]) -> list[dict[str, Any]]:
    """What ``ml4iot-edge`` prints for the inputs; its summary goes to the terminal."""
    type_out("ml4iot-edge", *arguments, "…")
    said = run("ml4iot-edge", *arguments, *map(str, inputs))
    return [json.loads(line) for line in said.splitlines()]


def run(program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Runs a command to its end; who is interrupted meanwhile ends it and all that it began.

    Args:
        program: in the environment's ``bin``.
        arguments: of its command line.
        environment: this process's own when left out; ``bin`` comes first on its path, as in an
            activated shell, for ``tfx`` runs ``pip``.

    Returns:
        What it printed.

    Raises:
        DemoError: it failed.
    """
    surroundings = os.environ if environment is None else environment
    with subprocess.Popen(
        [str(BIN / program), *arguments],
        env={**surroundings, "PATH": f"{BIN}{os.pathsep}{surroundings.get('PATH', os.defpath)}"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that `tfx`, which starts others, can be ended with them
    ) as process:
        try:
            said, _ = process.communicate()
        except BaseException:
            _end_group(process)
            raise
    if process.returncode:
        raise DemoError(f"{program} {arguments[0]} ended with status {process.returncode}")
    return said


def big_predictions(url: str, clips: Sequence[Path]) -> list[dict[str, Any]]:
    """The served model's answers, asked as any REST client of TensorFlow Serving would."""
    answers = []
    # Proxies of the environment are for the world outside, not for this machine's own server.
    with httpx.Client(trust_env=False, timeout=_ASK_SECONDS) as client:
        for clip in clips:
            started = time.perf_counter()
            audio = base64.b64encode(clip.read_bytes()).decode()
            try:
                answer = client.post(f"{url}:predict", json={"instances": [{"b64": audio}]})
            except httpx.HTTPError as error:
                raise DemoError(f"{url} does not answer: {error}") from None
            if answer.status_code != 200:
                raise DemoError(f"the server answered {answer.status_code}: {answer.text}")
            (prediction,) = answer.json()["predictions"]
            answers.append(
                {
                    "path": str(clip),
                    "label": prediction["label"],
                    "scores": prediction["probabilities"],
                    "latency_ms": {"total": (time.perf_counter() - started) * 1e3},
                }
            )
    return answers


@contextmanager
def service(program: str, *arguments: str, address: str) -> Iterator[str]:
    """Runs a service until the block is left.

    Args:
        program: in the environment's ``bin``.
        arguments: of its command line.
        address: a pattern; what it finds in the one line the service announces itself with is
            what this gives.
    """
    type_out(program, *arguments)
    with subprocess.Popen(
        [str(BIN / program), *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        # Without it a service that never says where it listens would be waited for for ever.
        too_long = Timer(_START_SECONDS, process.kill)
        too_long.daemon = True
        too_long.start()
        try:
            assert process.stdout is not None
            said = process.stdout.readline().strip()
            too_long.cancel()
            found = re.search(address, said)
            if not found:
                raise DemoError(f"{program} did not start: {said}")
            console.print(said, highlight=False, soft_wrap=True)
            yield found[0]
        finally:
            _end(process, signal.SIGTERM)


@contextmanager
def local_broker() -> Iterator[str]:
    """A broker for this machine alone until the block is left; gives its address."""
    command = ("-m", "serving.broker", "--port", "0")
    with service("python", *command, address=r"[\w.]+:\d+$") as broker:
        yield broker


@contextmanager
def node(*arguments: str) -> Iterator[None]:
    """``ml4iot-edge cooperate node`` until the block is left."""
    type_out("ml4iot-edge", "cooperate", "node", *arguments)
    with subprocess.Popen(
        [str(BIN / "ml4iot-edge"), "cooperate", "node", *arguments], stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield
        finally:
            _end(process, signal.SIGINT)


def _end(process: subprocess.Popen[Any], how: signal.Signals) -> None:
    process.send_signal(how)
    try:
        process.wait(_START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _end_group(process: subprocess.Popen[Any]) -> None:
    """Ends the first process of a session, and what is left of its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
        finally:  # also for who is interrupted once more: no Ctrl-C reaches another session
            os.killpg(process.pid, signal.SIGKILL)


def type_out(*words: str) -> None:
    """Shows a command as it would be typed."""
    console.print(f"$ {' '.join(words)}", highlight=False, soft_wrap=True, markup=False)
