"""What the evaluator found, as other programs and the table of verdicts read it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.constraint_evaluator.budgets import BudgetLine
from components.errors import InputError
from components.json_file import write_json
from components.settings import from_mapping


@dataclass(frozen=True)
class Figure:
    """A measured value with its 95 % interval; None where there is no finite number."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float, interval: tuple[float, float] = (math.nan, math.nan)) -> Figure:
        """A figure of numbers that may be NaN or infinite."""
        return cls(*(float(v) if math.isfinite(v) else None for v in (value, *interval)))


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one prediction: the median and the 95th percentile of ``runs``.

    Devices report no percentile.  ``measured_on`` is a device's name, or ``this host``; it is empty
    where devices were not asked.
    """

    median_ms: float
    p95_ms: float | None
    runs: int
    measured_on: str = ""


@dataclass(frozen=True)
class CandidateReport:
    """One candidate: its file, its figures on validation, and how long a prediction takes."""

    recipe: str
    steps: tuple[Mapping[str, Any], ...]
    bytes: int
    raw_bytes: int
    validation: Mapping[str, Figure]
    latency: Mapping[str, Latency]


@dataclass(frozen=True)
class Report:
    """The verdict on one version.

    Figures are in the metric's unit, by the metric's name; beside ``mae.<quantity>`` stands
    ``persistence.<quantity>``, the error of repeating the last record. ``test`` are those of the
    chosen candidate on the test split, from which alone the verdict follows.
    """

    name: str
    version: str
    task: str
    run: str
    candidates: tuple[CandidateReport, ...]
    chosen: str
    test: Mapping[str, Figure]
    budgets: tuple[BudgetLine, ...]
    blessed: bool
    reason: str

    @property
    def chosen_candidate(self) -> CandidateReport:
        """The report of the chosen candidate."""
        return next(c for c in self.candidates if c.recipe == self.chosen)

    def to_json(self) -> dict[str, Any]:
        """JSON-able values; :func:`read_report` reads them back."""
        return {**asdict(self), "budgets": [line.to_json() for line in self.budgets]}


def write_report(path: Path, report: Report) -> None:
    """Writes the file that :func:`read_report` reads; a reader never sees half of it."""
    write_json(path, report.to_json())


def read_report(path: str | Path) -> Report:
    """Raises ``InputError`` where the file cannot be read or is not a report."""
    try:
        values = json.loads(Path(path).read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise InputError(f"{path}: is not JSON; give a report of the ConstraintEvaluator") from None
    if isinstance(values, dict) and isinstance(values.get("budgets"), list):
        derived = ("margin", "met")
        values["budgets"] = [
            {key: line[key] for key in line if key not in derived}
            if isinstance(line, dict)
            else line
            for line in values["budgets"]
        ]
    report = from_mapping(Report, values, str(path))
    if report.chosen not in [candidate.recipe for candidate in report.candidates]:
        raise InputError(f"{path}: chosen is {report.chosen!r}, which is none of the candidates")
    return report
