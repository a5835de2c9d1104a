"""The verdicts of several versions as one table: ``python -m components.report_table FOLDER…``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from components.constraint_evaluator.budgets import number
from components.constraint_evaluator.report import Figure, Latency, Report, read_report
from components.errors import InputError


def verdict_table(reports: Sequence[Report]) -> Table:
    """One row for each version: bytes, milliseconds, each budget and its figure, the verdict."""
    table = Table(title="Verdicts", show_lines=True, padding=(0, 0))
    table.add_column("version\n(recipe)", overflow="fold", min_width=11)
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("ms\n(p95)", justify="right", no_wrap=True)
    table.add_column("required", no_wrap=True)
    table.add_column("measured\n[95 % interval]", no_wrap=True)
    table.add_column("blessed", overflow="fold")
    for report in sorted(reports, key=lambda r: (r.task != "keyword_spotting", r.name)):
        candidate = report.chosen_candidate
        total = candidate.latency["total"]
        lines = [*_budgets(report), *_beside(report)]
        table.add_row(
            f"{report.name}\n({candidate.recipe})",
            f"{candidate.bytes:,}",
            _milliseconds(total),
            "\n".join(required for required, _ in lines),
            "\n".join(measured for _, measured in lines),
            "[green]yes[/]" if report.blessed else f"[red]no[/]: {_missed(report)}",
        )
    return table


def _milliseconds(total: Latency) -> str:
    """The median, then the 95th percentile or the device that measured."""
    below = total.measured_on if total.p95_ms is None else f"({total.p95_ms:.3f})"
    return f"{total.median_ms:.3f}\n{below}"


def _budgets(report: Report) -> list[tuple[str, str]]:
    """Each budget beside what was measured for it."""
    lines = []
    for line in report.budgets:
        figure = report.test.get(line.metric, Figure(line.measured))
        colour = "green" if line.met else "red"
        unit = line.unit if line.metric == "accuracy" else ""
        metric = line.metric.replace("mae_over_persistence", "mae/persistence")
        required = f"{metric} {line.comparison} {number(line.required)} {unit}".rstrip()
        lines.append((required, f"[{colour}]{_shown(figure)}[/]"))
    return lines


def _beside(report: Report) -> list[tuple[str, str]]:
    """Figures that no budget bounds, persistence above all: an error says little without it."""
    budgeted = {line.metric for line in report.budgets}
    return [
        (f"[dim]{metric}[/]", f"[dim]{_shown(figure)}[/]")
        for metric, figure in report.test.items()
        if metric not in budgeted and not metric.startswith("mae_over_persistence")
    ]


def _shown(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return _short(figure.value)
    return f"{_short(figure.value)} [{figure.low:.3g}–{figure.high:.3g}]"


def _short(value: float | None) -> str:
    """Whole numbers whole; errors to three digits after the point, as the budgets state them."""
    if value is None or float(value).is_integer():
        return number(value)
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def _missed(report: Report) -> str:
    """Why a version is not blessed, in as few words as a cell of a table has room for."""
    return "; ".join(
        f"{line.metric} misses by {number(-line.margin)} {line.unit}"
        if line.margin is not None
        else f"{line.metric} gave no number"
        for line in report.budgets
        if not line.met
    )


def find_reports(places: Sequence[Path]) -> list[Report]:
    """The reports in files or folders, searched to the bottom.

    Raises ``InputError`` for a place without any, and for a file that is no report.
    """
    reports = []
    for place in places:
        paths = sorted(place.rglob("*.json")) if place.is_dir() else [place]
        if not paths:
            raise InputError(f"{place}: holds no report; run a pipeline first, or name its folder")
        reports += [read_report(path) for path in paths]
    return reports


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m components.report_table",
        description="Prints the verdicts of the ConstraintEvaluator as one table.",
    )
    parser.add_argument(
        "places",
        metavar="FOLDER",
        nargs="+",
        type=Path,
        help="a report of the ConstraintEvaluator (JSON), or a folder with such reports",
    )
    places = parser.parse_args(arguments).places
    try:
        reports = find_reports(places)
    except InputError as error:
        print(f"report_table: {error}", file=sys.stderr)
        return 2
    Console().print(verdict_table(reports))
    return 0


if __name__ == "__main__":
    sys.exit(main())
