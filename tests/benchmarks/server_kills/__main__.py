"""Kills the registry and the broker of a small fleet in the middle of its updates, by SIGKILL.

    python -m tests.benchmarks.server_kills --points 50

On this machine: a registry, Mosquitto as ``ml4iot-broker init`` sets it up, three devices with
``ml4iot-edge pull --watch``, and a process that uses the model on one of them.  Versions are pushed
by EdgePusher's code.  During each push, or what follows it, the server is killed, and started again
soon after; the delays are spread evenly over the time a whole update takes.  Then every device must
come to the new version, as it was signed, and pass its golden inputs; and whatever is active on a
device at any moment must be a whole version that was pushed.  Exit status 1 where that fails.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from components.errors import InputError
from components.progress import progress
from edge_client.bundle import read_bundle
from edge_client.cli.numbers import number, whole
from edge_client.cli.parser import OneLineParser
from edge_client.errors import EdgeError
from serving.options import UsageError
from tests.benchmarks.push_to_answer import REPOSITORY
from tests.benchmarks.server_kills.rounds import POLLS_S, Fleet, Killed, Violation, fleet, spread

SERVERS = ("registry", "broker")
_FRESH = 8  # kills, after which devices would begin to look less often


def kill_all(running: Fleet, name: str, delays: list[float], pause_s: float) -> list[Killed]:
    """One kill after the other.

    Args:
        running: the fleet.
        name: of the server.
        delays: seconds from the beginning of each push.
        pause_s: seconds before it, in which the devices come to rest.

    Raises:
        Violation: of the first that goes wrong.
    """
    kills = []
    with progress(f"killing the {name}", len(delays)) as bar:
        for number, delay in enumerate(delays):
            if number % _FRESH == 0:
                running.start_devices()
            time.sleep(pause_s)
            try:
                kills.append(running.kill(name, delay))
            except Violation as violation:
                raise Violation(f"{name}, killed after {delay:.3f} s: {violation}") from None
            bar.advance(f"{kills[-1].recovered_s:.1f} s")
    return kills


def table_of(kills: dict[str, list[Killed]], length_s: float) -> Table:
    """What became of them."""
    table = Table(
        title=f"SIGKILL within an update of {length_s:.2f} s, {len(POLLS_S)} devices",
        title_justify="left",
    )
    table.add_column("")
    for name in kills:
        table.add_column(name, justify="right")

    def row(what: str, values: list[str]) -> None:
        table.add_row(what, *values)

    all_kills = list(kills.values())
    devices = len(POLLS_S)
    row("kills", [str(len(each)) for each in all_kills])
    for what, holds in (
        ("before the push was answered", lambda kill: not kill.answered),
        (
            "after that, before all devices had it",
            lambda kill: kill.answered and kill.active < devices,
        ),
        ("after the last device had it", lambda kill: kill.answered and kill.active == devices),
        ("EdgePusher had to be run again", lambda kill: kill.repeats > 0),
    ):
        row(what, [str(sum(map(holds, each))) for each in all_kills])
    for what, share in (("median", 50), ("max", 100)):
        seconds = [np.percentile([kill.recovered_s for kill in each], share) for each in all_kills]
        row(f"server back and all have it, {what}", [f"{each:.1f} s" for each in seconds])
    return table


def main() -> int:
    """Prints the figures; returns the exit status."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = OneLineParser(
        prog="python -m tests.benchmarks.server_kills", description=__doc__, formatter_class=layout
    )
    parser.add_argument(
        "--points", type=whole(1), default=50, help="of each (default: %(default)s)"
    )
    parser.add_argument("--what", choices=(*SERVERS, "both"), default="both", help="(%(default)s)")
    parser.add_argument(
        "--pause", type=number(0), default=1.0, metavar="SECONDS", help="default: %(default)s"
    )
    parser.add_argument(
        "--bundle", type=Path, default=REPOSITORY / "models" / "kws-a.bundle", help="the model"
    )
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the servers and devices, too
    names = SERVERS if chosen.what == "both" else (chosen.what,)
    console = Console()
    try:
        bundle = read_bundle(chosen.bundle)
        if not bundle.manifest.golden:
            parser.error(f"{chosen.bundle}: no golden inputs in it")
        with (
            tempfile.TemporaryDirectory(prefix="ml4iot-kills-") as folder,
            fleet(bundle, Path(folder)) as running,
        ):
            length_s = running.length(chosen.pause)
            delays = spread(length_s, chosen.points)
            kills = {name: kill_all(running, name, delays, chosen.pause) for name in names}
            looks = running.looks
    except Violation as violation:
        console.print(f"NOT survived: {violation}", style="red", highlight=False)
        return 1
    except KeyboardInterrupt:
        return 130
    except (EdgeError, InputError, UsageError, TimeoutError) as error:
        print(f"server_kills: {error}", file=sys.stderr)
        return 2
    console.print(table_of(kills, length_s))
    console.print("after each kill every device came to the new version, verified and working;")
    console.print(f"{looks:,} looks at active slots meanwhile, each of them whole and as pushed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
