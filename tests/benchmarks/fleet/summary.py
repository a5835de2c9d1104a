"""What is printed in the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.benchmarks.fleet.simulation import Figures

# What is to be reached with 1,000 devices on one registry and one Mosquitto (README).
ALL_UPDATED_S, METADATA_P99_MS, RESIDENT_MB = 60.0, 250.0, 500.0
_SHOWN = 3
_MB = 1e6


@dataclass(frozen=True)
class RegistryUse:
    """What serving the fleet took."""

    peak_bytes: int  # resident
    processor_s: float  # from the channel's move on


def print_summary(figures: Figures, use: RegistryUse | None) -> None:
    """A table on standard output, and below it what went wrong, if anything did."""
    console = Console()
    counted = figures.counted
    table = Table(title=f"one announcement, {figures.devices:,} devices", title_justify="left")
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("wanted", justify="right")
    table.add_column("")

    def row(what: str, measured: str, wanted: str = "", met: bool | None = None) -> None:
        verdict = "" if met is None else "[green]met[/]" if met else "[red]missed[/]"
        table.add_row(what, measured, wanted, verdict)

    lost, unheard = len(figures.lost), len(figures.unheard)
    row("devices that run what is offered", f"{figures.devices - lost:,}")
    row("lost", f"{lost:,}", "0", not lost)
    row("updated, and not known so by the registry", f"{unheard:,}", "0", not unheard)
    if figures.updated_s:
        p50, p99 = np.percentile(figures.updated_s, (50, 99))
        last = figures.updated_s[-1]
        row("updated after the announcement, half of them", f"{p50:.1f} s")
        row("updated, 99 of 100", f"{p99:.1f} s")
        met = last <= ALL_UPDATED_S and not lost
        row("updated, all", f"{last:.1f} s", f"≤ {ALL_UPDATED_S:g} s", met)
    if counted.metadata_s:
        p50, p99 = 1000 * np.percentile(counted.metadata_s, (50, 99))
        row("metadata request, as devices see it: p50", f"{p50:.1f} ms")
        row(
            "metadata request: p99",
            f"{p99:.1f} ms",
            f"≤ {METADATA_P99_MS:g} ms",
            p99 <= METADATA_P99_MS,
        )
    row("metadata requests", f"{len(counted.metadata_s):,}")
    row("metadata", f"{counted.metadata_bytes / _MB:.1f} MB")
    row("requests for bundles and channels", f"{counted.targets:,}")
    row("bundles and channels", f"{counted.target_bytes / _MB:.1f} MB")
    row("requests without an answer", f"{counted.failed:,}")
    if counted.late_s:
        late = np.percentile(counted.late_s, 99)
        row("time a device waited for the simulator: p99", f"{late:.1f} s")
    if use is not None:
        resident = use.peak_bytes / _MB
        met = resident <= RESIDENT_MB
        row("registry: resident memory, peak", f"{resident:.0f} MB", f"≤ {RESIDENT_MB:g} MB", met)
        row("registry: processor time for the update", f"{use.processor_s:.1f} s")
    console.print(table)
    for what, names in (("lost", figures.lost), ("not heard of", figures.unheard)):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            console.print(f"{what}: {', '.join(names[:_SHOWN])}{more}")
    reasons = Counter(figures.trouble.values())
    for reason, devices in reasons.most_common(_SHOWN):
        console.print(f"{devices} devices: {reason}", highlight=False, markup=False)
