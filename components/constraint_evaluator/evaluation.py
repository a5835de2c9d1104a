"""The evaluation itself: measure on validation, choose, measure once on test, judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from components.constraint_evaluator.budgets import (
    BudgetLine,
    all_met,
    check_budgets,
    number,
    verdict,
    worst_miss,
)
from components.constraint_evaluator.candidates import Candidate
from components.constraint_evaluator.device import Device, quantization
from components.constraint_evaluator.device_measurements import THIS_HOST, device_latency
from components.constraint_evaluator.manifest import given, golden, stated, taken, task_of
from components.constraint_evaluator.measuring import Measure, Split, measure_of
from components.constraint_evaluator.report import CandidateReport, Figure, Latency, Report
from components.constraint_evaluator.selection import Contender, choose
from components.errors import InputError
from components.progress import Bar, progress
from components.specification import AudioSpecification, RecordSpecification
from edge_client.bundle import Manifest, Origin
from edge_client.measurement import Measurement

ReadSplit = Callable[[str], Sequence[Mapping[str, Any]]]


class BudgetsMissedError(InputError):
    """No candidate of a version keeps its budgets; names the nearest and its lines."""


@dataclass(frozen=True)
class Request:
    """What is to be judged."""

    name: str
    version: str
    budgets: Mapping[str, float]
    pipeline: str
    run: str
    measurements: tuple[Measurement, ...] | None = None  # by devices; None: this host's count


@dataclass(frozen=True)
class Evaluation:
    """The verdict, the chosen candidate as a device would get it, and all as one can run them."""

    report: Report
    manifest: Manifest
    candidate: Candidate
    runnable: tuple[tuple[Manifest, Candidate], ...]  # without budgets: nothing is proven of them


@dataclass(frozen=True)
class _Measured:
    """A candidate after validation."""

    candidate: Candidate
    manifest: Manifest
    device: Device
    report: CandidateReport
    outputs: npt.NDArray[np.float32]


def evaluate(
    request: Request,
    specification: AudioSpecification | RecordSpecification,
    candidates: Sequence[Candidate],
    read_split: ReadSplit,
) -> Evaluation:
    """Judges the candidates of one version.

    Args:
        request: the version and its budgets.
        specification: of its features or windows.
        candidates: at least one.
        read_split: the Examples of a split by its name; ``test`` is asked for once, and only
            after the choice has been made.

    Raises:
        InputError: a budget that cannot be, a candidate that does not run, an unknown label.
    """
    measure = measure_of(specification)
    check_budgets(request.budgets, measure.units, request.name)
    validation = measure.split(read_split("validation"))
    title = f"evaluating {request.name}"
    with progress(title, len(candidates) * len(validation.inputs)) as bar:
        measured = {}
        for candidate in candidates:
            manifest = _manifest(request, specification, candidate)
            measured[candidate.recipe] = _measure(
                request, candidate, manifest, measure, validation, bar
            )
    contenders = [_contender(request, measure, m.report) for m in measured.values()]
    chosen = measured[choose(contenders).recipe]
    test = measure.split(read_split("test"))
    with progress(f"testing {request.name}", len(test.inputs)) as bar:
        figures = measure.figures(chosen.device.outputs(test.inputs, bar), test)
    lines = _verdict(request, measure, chosen.report, figures)
    missed = "; ".join(str(line) for line in lines if not line.met)
    report = Report(
        name=request.name,
        version=request.version,
        task=chosen.manifest.task,
        run=f"{request.pipeline}/{request.run}",
        candidates=tuple(m.report for m in measured.values()),
        chosen=chosen.candidate.recipe,
        test=figures,
        budgets=lines,
        blessed=all_met(lines),
        reason=missed or "keeps every budget",
    )
    manifest = replace(
        chosen.manifest,
        budgets=stated(lines),
        golden=golden(validation.inputs, chosen.outputs),
    )
    runnable = tuple(
        (replace(m.manifest, golden=golden(validation.inputs, m.outputs)), m.candidate)
        for m in measured.values()
    )
    return Evaluation(report, manifest, chosen.candidate, runnable)


def missed_budgets(report: Report) -> BudgetsMissedError:
    """The error a version without a blessed candidate fails its run with."""
    miss = worst_miss(report.budgets)
    off = f" ({number(100 * miss)} % off at worst)" if math.isfinite(miss) else ""
    lines = "; ".join(str(line) for line in report.budgets)
    return BudgetsMissedError(
        f"{report.name}: no candidate of {len(report.candidates)} keeps its budgets; the nearest "
        f"is {report.chosen!r}{off}: {lines}; change the recipe or the budget"
    )


def _manifest(
    request: Request,
    specification: AudioSpecification | RecordSpecification,
    candidate: Candidate,
) -> Manifest:
    """All of the manifest but what only measuring can tell."""
    return Manifest(
        name=request.name,
        version=request.version,
        task=task_of(specification),
        input=taken(specification),
        output=given(specification),
        quantization=quantization(candidate, specification),
        deferral=None,
        budgets=(),
        model=candidate.file,
        golden=(),
        created_by=Origin(request.pipeline, request.run, candidate.recipe),
    )


def _measure(
    request: Request,
    candidate: Candidate,
    manifest: Manifest,
    measure: Measure,
    validation: Split,
    bar: Bar,
) -> _Measured:
    device = Device(manifest, candidate)
    outputs = device.outputs(validation.inputs, bar)
    report = CandidateReport(
        recipe=candidate.recipe,
        steps=candidate.steps,
        bytes=candidate.file.bytes,
        raw_bytes=candidate.file.raw_bytes,
        validation=measure.figures(outputs, validation),
        latency=_latency(request, candidate, device, validation),
    )
    return _Measured(candidate, manifest, device, report, outputs)


def _latency(
    request: Request, candidate: Candidate, device: Device, validation: Split
) -> dict[str, Latency]:
    """What devices measured of this very file, or else this host."""
    if request.measurements is None:
        return device.latency(validation.inputs)
    measured = device_latency(request.measurements, candidate.file.sha256)
    if measured is not None:
        return measured
    here = device.latency(validation.inputs)
    return {part: replace(latency, measured_on=THIS_HOST) for part, latency in here.items()}


def _contender(request: Request, measure: Measure, report: CandidateReport) -> Contender:
    return Contender(
        recipe=report.recipe,
        lines=_verdict(request, measure, report, report.validation),
        merit=measure.merit(report.validation),
        bytes=report.bytes,
    )


def _verdict(
    request: Request, measure: Measure, report: CandidateReport, figures: Mapping[str, Figure]
) -> tuple[BudgetLine, ...]:
    places = {f"{part}_ms": latency.measured_on for part, latency in report.latency.items()}
    return verdict(request.budgets, _values(report, figures), measure.units, places)


def _values(report: CandidateReport, figures: Mapping[str, Figure]) -> dict[str, float | None]:
    """What the budgets bound: the figures of a split, and the costs that know no split."""
    return {
        **{metric: figure.value for metric, figure in figures.items()},
        "bytes": report.bytes,
        **{f"{part}_ms": latency.median_ms for part, latency in report.latency.items()},
    }
