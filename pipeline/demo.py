"""``make demo``: the whole way on embedded data, each step by the command a user would type."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from components.default_data.records import make_records
from components.default_data.words import WordsRecipe, make_words
from components.errors import InputError
from components.report_table import find_reports, verdict_table
from pipeline.settings import home

_BIN = Path(sys.executable).parent
_START_SECONDS = 120
_ASK_SECONDS = 30
_SHOWN = 8  # answers of each kind

console = Console()


class DemoError(Exception):
    """A step failed; its own output has said why."""


def main() -> int:
    """Runs the demo; returns the exit status."""
    started = time.monotonic()
    place = home() / "demo"
    environment = {
        **os.environ,
        "ML4IOT_HOME": str(place),
        "LOCAL_HOME": str(place / "tfx"),
        "PYTHONWARNINGS": "ignore",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    for name in ("ML4IOT_AUDIO", "ML4IOT_RECORDS", "ML4IOT_SPLITS", "ML4IOT_VERSIONS"):
        environment.pop(name, None)  # the demo is the demo, whatever the last run was set to
    for name in ("ML4IOT_PUSH", "ML4IOT_MODELS"):
        environment.pop(name, None)
    try:
        for pipeline in ("keyword_spotting", "forecasting"):
            with _step(f"pipeline {pipeline}"):
                run_pipeline(pipeline, place, environment)
        console.print(verdict_table(find_reports([place / "reports"])))
        clips, records = fresh_data(place)
        with _step("ml4iot-edge predict: fresh clips, of speakers made anew"):
            show_words(edge_predictions(place / "pushed" / "demo-kws.bundle", clips))
        with _step("ml4iot-edge predict: fresh records, of another station"):
            show_forecasts(edge_predictions(place / "pushed" / "demo-th.bundle", [records]))
        with _step("ml4iot-serve: the big model over REST"):
            show_words(big_predictions(place / "serving" / "demo-big", clips))
    except (DemoError, InputError) as error:
        console.print(f"[red]demo: {error}[/]", highlight=False)
        return 1
    console.print(
        f"Done in {time.monotonic() - started:.0f} s. Bundles: {place / 'pushed'}, "
        f"SavedModels: {place / 'serving'}, logs: {place / 'logs'}",
        highlight=False,
        soft_wrap=True,
    )
    return 0


@contextmanager
def _step(title: str) -> Iterator[None]:
    console.rule(title, align="left")
    started = time.monotonic()
    yield
    console.print(f"[dim]{time.monotonic() - started:.1f} s[/]")


def run_pipeline(name: str, place: Path, environment: dict[str, str]) -> None:
    """``tfx pipeline create`` (``update`` when there is one) and ``tfx run create``."""
    known = (place / "tfx" / "local" / name).exists() or (place / "tfx" / name).exists()
    path = Path(__file__).resolve().parent / f"{name}.py"
    verb = "update" if known else "create"
    commands = (
        ["pipeline", verb, "--engine", "local", "--pipeline-path", str(path)],
        ["run", "create", "--engine", "local", "--pipeline-name", name],
    )
    for command in commands:
        console.print(f"$ tfx {' '.join(command)}", highlight=False, soft_wrap=True)
        done = subprocess.run(
            [str(_BIN / "tfx"), *command],
            env=environment,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise DemoError(f"tfx {' '.join(command)} ended with status {done.returncode}")


def fresh_data(place: Path) -> tuple[list[Path], Path]:
    """Clips of speakers made anew and records of a station that the pipelines have not seen."""
    words, records = place / "data" / "fresh_words", place / "data" / "fresh_records.csv"
    make_words(words, WordsRecipe(seed=2026, speakers=4, takes=1))
    make_records(records, "sand-point")
    return sorted(words.rglob("*.wav")), records


def edge_predictions(bundle: Path, inputs: Sequence[Path]) -> list[dict[str, Any]]:
    """What the device client prints for the inputs."""
    command = [str(_BIN / "ml4iot-edge"), "predict", str(bundle), *map(str, inputs)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise DemoError(f"ml4iot-edge predict ended with status {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def big_predictions(models: Path, clips: Sequence[Path]) -> list[dict[str, Any]]:
    """The served model's answers, asked as any REST client would."""
    # Proxies of the environment are for the world outside, not for this machine's own server.
    with _server(models) as url, httpx.Client(trust_env=False, timeout=_ASK_SECONDS) as client:
        answers = []
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
def _server(models: Path) -> Iterator[str]:
    """``ml4iot-serve`` on a free port, until the block is left; gives the model's address."""
    with subprocess.Popen(
        [
            *(str(_BIN / "ml4iot-serve"), str(models), "--port", "0"),
            *("--log-file", str(home() / "demo" / "logs" / "serve.log")),
        ],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        # Without it a server that never says where it listens would be waited for for ever.
        too_long = Timer(_START_SECONDS, process.kill)
        too_long.daemon = True
        too_long.start()
        try:
            assert process.stdout is not None
            said = process.stdout.readline().strip()
            too_long.cancel()
            address = [word for word in said.split() if word.startswith("http://")]
            if not address:
                raise DemoError(f"ml4iot-serve did not start: {said}")
            console.print(said, highlight=False, soft_wrap=True)
            yield address[0]
        finally:
            process.terminate()
            try:
                process.wait(_START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def show_words(answers: Sequence[dict[str, Any]]) -> None:
    """A table of some answers and how many of all were right."""
    table = Table("said", "heard", "score", "ms")
    right = 0
    shown = max(1, len(answers) // _SHOWN)
    for number, answer in enumerate(answers):
        said = Path(answer["path"]).parent.name
        right += said == answer["label"]
        if number % shown == 0:
            colour = "green" if said == answer["label"] else "red"
            table.add_row(
                said,
                f"[{colour}]{answer['label']}[/]",
                f"{max(_values(answer['scores'])):.2f}",
                f"{answer['latency_ms']['total']:.2f}",
            )
    console.print(table)
    console.print(f"{right} of {len(answers)} right", highlight=False)


def _values(scores: Any) -> list[float]:
    return list(scores.values()) if isinstance(scores, dict) else list(scores)


def show_forecasts(answers: Sequence[dict[str, Any]]) -> None:
    """A table of a few forecasts."""
    table = Table("last record", "next T °C", "next RH %", title=f"{len(answers)} windows")
    for answer in answers[: _SHOWN // 2]:
        temperature, humidity = zip(*answer["forecast"], strict=True)
        table.add_row(
            str(answer["time"]),
            " ".join(f"{t:.1f}" for t in temperature),
            " ".join(f"{h:.0f}" for h in humidity),
        )
    console.print(table)


if __name__ == "__main__":
    if shutil.which(str(_BIN / "tfx")) is None:
        sys.exit(f"demo: no tfx in {_BIN}; run make setup")
    sys.exit(main())
