"""What a run came to: as JSON, and as a table for a person."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_client.big.client import BigClient
from edge_client.errors import EdgeError
from edge_client.feedback import Feedback
from edge_client.files import write_whole
from edge_client.run.decision import Decision
from edge_client.run.tally import PERCENTILES, Tally

_MB = 2**20  # as the coursework counts them


@dataclass(frozen=True)
class Circumstances:
    """What was run."""

    bundle: str  # name and version
    mode: str
    decision: Decision
    payload: str | None  # None where no question leaves the device


def report(
    circumstances: Circumstances,
    tally: Tally,
    client: BigClient | None,
    feedback: Feedback | None,
    seconds: float,
    cpu_seconds: float,
) -> dict[str, Any]:
    """All figures as JSON-able values.

    Args:
        circumstances: of the run.
        tally: of its answers.
        client: whose traffic counts; None where there was no network.
        feedback: what was kept of it, where clips are kept at all.
        seconds: of wall-clock time.
        cpu_seconds: of this process, the proxy for energy.
    """
    decision = circumstances.decision
    values: dict[str, Any] = {
        "bundle": circumstances.bundle,
        "mode": circumstances.mode,
        "policy": {
            "name": decision.policy,
            "threshold": None if decision.policy in ("never", "always") else decision.threshold,
        },
        "payload": circumstances.payload,
        "clips": tally.clips,
        "doubtful": tally.doubtful,
        "asked": tally.asked,
        "share_asked": round(tally.asked / tally.clips, 6) if tally.clips else None,
        "decided_by": dict(tally.decided_by),
        "accuracy": tally.accuracy(),
        "accuracy_first_model": tally.accuracy(first=True),
        "latency_ms": {"kept": tally.latency(asked=False), "asked": tally.latency(asked=True)},
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
    }
    if client is not None:
        traffic = client.traffic
        values |= {
            "requests": traffic.requests,
            "bytes": traffic.bytes,
            "megabytes": round(traffic.bytes / _MB, 6),
            "retries": traffic.retries,
            "refused_by_budget": traffic.refused_by_budget,
            "descriptions_fetched": traffic.descriptions,
            "failures": dict(traffic.failures),
            "breaker_openings": client.breaker.openings,
        }
    if feedback is not None:
        values["feedback"] = {"kept": feedback.kept, "refused": feedback.refused}
    return values


def write_report(path: Path, values: Mapping[str, Any]) -> None:
    """Writes it as JSON, whole or not at all; raises :class:`EdgeError` where it cannot."""
    text = json.dumps(values, indent=1, allow_nan=False) + "\n"
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise EdgeError(f"{path}: the report cannot be written: {error.strerror}") from None


def table(values: Mapping[str, Any]) -> Iterator[str]:
    """Lines of what :func:`report` gave."""
    for name, text in _rows(values):
        yield f"{name:<20}{text}"


def _rows(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    policy, clips = values["policy"], values["clips"]
    first = "fast" if values["mode"] == "fast-slow" else "little"
    threshold = "" if policy["threshold"] is None else f", threshold {policy['threshold']:.4g}"
    yield values["mode"], f"{values['bundle']}, policy {policy['name']}{threshold}"
    if not clips:
        yield "clips", "none"
        return
    yield "accuracy", _accuracy(values["accuracy"])
    yield f"  {first} alone", _accuracy(values["accuracy_first_model"])
    share = 100 * values["share_asked"]
    yield (
        "clips",
        f"{clips}, doubtful {values['doubtful']}, asked {values['asked']} ({share:.2f} %)",
    )
    for name, count in sorted(values["decided_by"].items(), key=lambda item: -item[1]):
        yield f"  {name}", str(count)
    if "requests" in values:
        megabytes = f"{values['bytes']} bytes = {values['megabytes']:.4f} MB (2^20)"
        yield "requests", f"{values['requests']} of {values['payload']}, {megabytes}"
        refused, openings = values["refused_by_budget"], values["breaker_openings"]
        yield (
            "  and",
            f"{values['retries']} retries, {refused} refused by budget, breaker opened "
            f"{openings} times",
        )
        failures = values["failures"]
        if failures:
            yield "failures", ", ".join(f"{name} {count}" for name, count in failures.items())
    head = "/".join(f"p{p}" for p in PERCENTILES)
    for kind in ("kept", "asked"):
        latency = values["latency_ms"][kind]
        if latency is not None:
            numbers = " / ".join(f"{ms:.2f}" for ms in latency.values())
            yield f"{kind} clips", f"{numbers} ms ({head})"
    yield "time", f"{values['seconds']:.1f} s, CPU {values['cpu_seconds']:.2f} s"
    if "feedback" in values:
        kept = values["feedback"]
        yield "feedback", f"{kept['kept']} clips kept, {kept['refused']} refused"


def _accuracy(accuracy: Mapping[str, Any] | None) -> str:
    if accuracy is None:
        return "unknown, for no folder is named as a label"
    return (
        f"{accuracy['percent']:.2f} % ({accuracy['right']} of {accuracy['known']}, 95 % interval "
        f"{accuracy['low']:.2f} to {accuracy['high']:.2f} %)"
    )
