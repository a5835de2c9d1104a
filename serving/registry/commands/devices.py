"""``ml4iot-registry devices``: the fleet as it last spoke."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from edge_client.fleet.names import check_name
from serving.registry.client import RegistryClient
from serving.registry.commands import Subparsers
from serving.registry.commands.models import add_registry_arguments

_DESCRIPTION = """\
Lists the devices that report over MQTT: whether they are there, and for each of their models the
version that is active, the one that is wanted and what became of it.
"""


def add_parsers(subparsers: Subparsers) -> None:
    """Adds the command."""
    parser = subparsers.add_parser("devices", help="list devices", description=_DESCRIPTION)
    parser.add_argument("device", nargs="?", metavar="DEVICE", help="only this one, and its usage")
    add_registry_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """A line a device and model."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    with RegistryClient(arguments.registry, arguments.token_file) as registry:
        if arguments.device is not None:
            name = check_name(arguments.device, "device")
            devices = [registry.get(f"/devices/{name}")]
        else:
            devices = list(_all(registry))
    columns = ("device", "", "model", "channel", "state", "active", "wanted", "why")
    table = Table(*columns, box=box.SIMPLE)
    for device in devices:
        there = "online" if device["online"] else "away"
        models = [_model_cells(report) for report in device["models"]] or [("",) * 6]
        for cells in models:
            table.add_row(device["device"], there, *cells)
    console = Console()
    console.print(table if devices else "no device was heard of yet")
    if arguments.device is not None:
        for usage in devices[0]["usage"]:
            console.print(_usage_line(usage))
    return 0


def _all(registry: RegistryClient) -> Iterator[dict[str, Any]]:
    after = ""
    while after is not None:
        page = registry.get(f"/devices?after={after}")
        yield from page["devices"]
        after = page["next"]


def _model_cells(report: dict[str, Any]) -> tuple[str, ...]:
    state = report["state"]
    if state == "downloading":
        state += f" {report['progress']:.0%}"
    active = report["active"]["version"] if report["active"] else "none"
    cells = (report["model"], report["channel"], state, active, report["wanted"] or "none")
    return (*cells, report["reason"])


def _usage_line(usage: dict[str, Any]) -> str:
    latency = ", ".join(f"{name} {value:.2f} ms" for name, value in usage["latency_ms"].items())
    return (
        f"{usage['model']} {usage['version']}: {usage['inferences']} inferences since "
        f"{usage['since']}, {latency}"
    )
