"""Reports survive the disk; the table says for each version whether it is blessed or why not."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from components.constraint_evaluator.budgets import all_met, metric_units, verdict
from components.constraint_evaluator.report import (
    CandidateReport,
    Figure,
    Latency,
    Report,
    read_report,
    write_report,
)
from components.errors import InputError
from components.report_table import main, verdict_table
from edge_client.features.spec import Quantity

LATENCY = {part: Latency(0.125, 0.25, 200) for part in ("features", "inference", "total")}


def words_report(accuracy: float = 95.75, bound: float = 90) -> Report:
    test = {"accuracy": Figure.of(accuracy, (94.1, 96.9))}
    lines = verdict(
        {"accuracy": bound, "bytes": 25000}, {"accuracy": accuracy, "bytes": 15276}, metric_units()
    )
    return Report(
        name="kws-a",
        version="1",
        task="keyword_spotting",
        run="keyword_spotting/1",
        candidates=(
            CandidateReport(
                "int8", ({"step": "int8", "samples": 200},), 15276, 26000, test, LATENCY
            ),
        ),
        chosen="int8",
        test=test,
        budgets=lines,
        blessed=all_met(lines),
        reason="; ".join(str(line) for line in lines if not line.met) or "keeps every budget",
    )


def records_report() -> Report:
    quantities = (Quantity("T", "T (degC)", "Cel"), Quantity("RH", "rh (%)", "%RH"))
    test = {
        "mae.T": Figure.of(0.234, (0.22, 0.25)),
        "persistence.T": Figure.of(0.259),
        "mae_over_persistence.T": Figure.of(0.9035),
        "mae.RH": Figure.of(math.nan),
        "persistence.RH": Figure.of(1.311),
        "mae_over_persistence.RH": Figure.of(math.nan),
    }
    values = {metric: figure.value for metric, figure in test.items()}
    lines = verdict({"mae.T": 0.5, "mae.RH": 1.8}, values, metric_units(quantities))
    return replace(
        words_report(),
        name="th-a",
        task="forecasting",
        test=test,
        budgets=lines,
        blessed=False,
        reason=str(lines[1]),
    )


def drawn(reports: list[Report]) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(verdict_table(reports))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("report", [words_report(), words_report(89), records_report()])
def test_round_trip(tmp_path: Path, report: Report) -> None:
    write_report(tmp_path / "new" / "report.json", report)
    assert read_report(tmp_path / "new" / "report.json") == report
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["report.json"]


@given(st.floats(), st.floats(), st.floats())
def test_figures_are_always_json(value: float, low: float, high: float) -> None:
    figure = Figure.of(value, (low, high))
    again = json.loads(json.dumps(vars(figure), allow_nan=False))
    assert again["value"] == (value if math.isfinite(value) else None)


def test_report_says_margin_and_verdict_to_others(tmp_path: Path) -> None:
    write_report(tmp_path / "report.json", words_report())
    lines = json.loads((tmp_path / "report.json").read_text())["budgets"]
    assert lines[0] == {
        "metric": "accuracy",
        "comparison": ">",
        "required": 90.0,
        "measured": 95.75,
        "unit": "%",
        "measured_on": "",
        "margin": 5.75,
        "met": True,
    }


def test_table(tmp_path: Path) -> None:
    text = drawn([records_report(), words_report(), words_report(95.75, bound=96)])
    assert text.index("kws-a") < text.index("th-a")
    for part in (
        "95.75 [94.1–96.9]",
        "15,276",
        "(0.250)",
        "accuracy > 90 %",
        "mae.T < 0.5",
        "0.234 [0.22–0.25]",
        "persistence.T",
        "0.259",
        "no number",
        "yes",
        "no: mae.RH gave no number",
        "no: accuracy misses by 0.25 %",
    ):
        assert part in text


def test_command_line(tmp_path: Path) -> None:
    write_report(tmp_path / "a" / "kws-a.json", words_report())
    write_report(tmp_path / "b" / "th-a.json", records_report())
    done = subprocess.run(
        [sys.executable, "-m", "components.report_table", str(tmp_path / "a"), str(tmp_path / "b")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "kws-a" in done.stdout
    assert "th-a" in done.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no report"),
        ("{", "is not JSON"),
        ("[]", "must be a mapping"),
        ('{"name": "x"}', "is missing"),
        ('{"name": "x", "colour": 3}', "unknown key 'colour'"),
    ],
)
def test_no_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.json")]) == 2
    assert "cannot be read (No such file or directory)" in capsys.readouterr().err


def test_chosen_must_be_a_candidate(tmp_path: Path) -> None:
    write_report(tmp_path / "report.json", replace(words_report(), chosen="other"))
    with pytest.raises(InputError, match="'other', which is none of the candidates"):
        read_report(tmp_path / "report.json")
