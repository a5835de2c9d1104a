"""``tfx run create`` for forecasting: to a bundle that forecasts, to a clear no, and back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.constraint_evaluator.report import read_report
from tests.end_to_end.conftest import BIN, VERSIONS, Shell

pytestmark = pytest.mark.timeout(900)


def test_from_records_to_forecasts_and_to_a_no_that_names_the_budget(shell: Shell) -> None:
    settings = {"ML4IOT_VERSIONS": str(VERSIONS / "tiny-th.yaml")}
    created = shell.create("forecasting", **settings)
    assert created.returncode == 0, created.stderr

    ran = shell.run("forecasting", **settings)
    assert ran.returncode == 0, ran.stderr
    report = read_report(shell.home / "reports" / "tiny-th.json")
    assert report.blessed
    bundle = shell.home / "pushed" / "tiny-th.bundle"
    records = shell.home / "data" / "station_year.csv"
    predicted = subprocess.run(
        [str(BIN / "ml4iot-edge"), "predict", str(bundle), str(records), "--last", "0.01"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [json.loads(line) for line in predicted.stdout.splitlines()]
    assert lines and all(len(line["forecast"]) == 3 for line in lines)

    # The same data with a budget nobody can keep: finished components are not run again, the
    # old bundle stays, and the user reads which budget was missed.
    before = bundle.read_bytes()
    greedy = shell.run("forecasting", ML4IOT_VERSIONS=str(VERSIONS / "greedy-th.yaml"))
    assert greedy.returncode != 0
    assert "RecordExampleGen  unchanged" in greedy.stderr
    (line,) = [line for line in greedy.stderr.splitlines() if line.startswith("error:")]
    assert "greedy-th" in line and "bytes" in line and "100" in line
    assert not (shell.home / "pushed" / "greedy-th.bundle").exists()
    assert bundle.read_bytes() == before


def test_a_killed_run_goes_on_from_what_finished(shell: Shell) -> None:
    settings = {"ML4IOT_VERSIONS": str(VERSIONS / "tiny-th.yaml")}
    log = shell.home / "killed.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, str(shell.repository / "pipeline" / "forecasting.py")],
            env=shell.environment(**settings),
            stderr=file,
            stdout=file,
            start_new_session=True,
        )
        _wait_for(log, "… Trainer.tiny-th", process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
    assert not list((shell.home / "pushed").glob("*.bundle"))

    again = subprocess.run(
        [sys.executable, str(shell.repository / "pipeline" / "forecasting.py")],
        env=shell.environment(**settings),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert "WindowTransform.1  unchanged" in again.stderr
    assert (shell.home / "pushed" / "tiny-th.bundle").is_file()


def test_two_runs_at_once_are_refused(shell: Shell) -> None:
    settings = {"ML4IOT_VERSIONS": str(VERSIONS / "tiny-th.yaml")}
    command = [sys.executable, str(shell.repository / "pipeline" / "forecasting.py")]
    log = shell.home / "first.log"
    with log.open("w") as file:
        first = subprocess.Popen(
            command, env=shell.environment(**settings), stderr=file, start_new_session=True
        )
        try:
            _wait_for(log, "… RecordExampleGen", first)
            os.killpg(first.pid, signal.SIGSTOP)
            second = subprocess.run(
                command,
                env=shell.environment(**settings),
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
        finally:
            os.killpg(first.pid, signal.SIGKILL)
            first.wait(30)
    assert second.returncode == 2
    assert "another run of forecasting is under way" in second.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ML4IOT_VERSIONS": "th-z"}, "there is no version 'th-z'"),
        ({"ML4IOT_VERSIONS": "kws-a"}, "names no version for forecasting"),
        ({"ML4IOT_RECORDS": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_wrong_settings_get_one_line_and_status_2(
    shell: Shell, settings: dict[str, str], said: str
) -> None:
    ran = subprocess.run(
        [sys.executable, str(shell.repository / "pipeline" / "forecasting.py")],
        env=shell.environment(**settings),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 2
    (line,) = [line for line in ran.stderr.splitlines() if line.startswith("error:")]
    assert said in line


def _wait_for(log: Path, text: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        if text in log.read_text():
            return
        if process.poll() is not None:
            break
        time.sleep(0.25)
    raise AssertionError(f"{text!r} never appeared:\n{log.read_text()}")
