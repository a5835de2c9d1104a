"""Simulated devices on one registry and one broker: how an update reaches all of them.

    python -m tests.benchmarks.fleet --devices 1000

starts a registry and Mosquitto on this machine, lets the fleet enrol and install a first version,
pushes a second one, and measures from its announcement on.  Every device keeps and verifies TUF
metadata of its own, downloads, hashes and installs the bundle, and has an MQTT connection with
birth, last will and reports; only the self-test of a bundle runs once per process of the simulator
instead of once per device.  The devices' folders lie in memory where there is /dev/shm.

With --registry it joins a fleet that runs already, as devices sim-0001, sim-0002, ..., and waits
for its operator to push or activate.  Exit status 1 when a device was lost, 2 on wrong use.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from components.errors import InputError
from components.pushing import PushError
from edge_client.bundle import read_bundle
from edge_client.cli.numbers import number, whole
from edge_client.cli.parser import OneLineParser
from edge_client.errors import EdgeError
from edge_client.fleet.enrolment import DEFAULT_CHANNEL
from edge_client.fleet.names import check_name
from edge_client.fleet.topics import DEFAULT_PREFIX
from serving.open_files import allow_open_files
from serving.options import UsageError
from tests.benchmarks.fleet.device import Place
from tests.benchmarks.fleet.own import own_fleet
from tests.benchmarks.fleet.simulation import Fault, Figures, simulate
from tests.benchmarks.fleet.summary import RegistryUse, print_summary

REPOSITORY = Path(__file__).resolve().parents[3]
MAX_DEVICES = 9999
_FIRST, _SECOND = "1.0", "2.0"
# Of a device in the simulator: its connections to broker and registry, and the file at hand.  Of
# the broker and the registry: one connection each.
_FILES_EACH, _FILES_BESIDE = 4, 1024


def _parser() -> OneLineParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = OneLineParser(
        prog="python -m tests.benchmarks.fleet", description=__doc__, formatter_class=layout
    )
    parser.add_argument(
        "--devices", type=whole(1, MAX_DEVICES), default=1000, help="default: %(default)s"
    )
    parser.add_argument(
        "--processes",
        type=whole(1, 64),
        default=max(2, os.cpu_count() or 2),
        help="that the devices are spread over (default: %(default)s)",
    )
    parser.add_argument(
        "--patience",
        type=number(0, 86400, "number of seconds"),
        default=180.0,
        metavar="SECONDS",
        help="for all to be updated (default: %(default)g)",
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        default=REPOSITORY / "models" / "kws-a.bundle",
        help="the model that is pushed (default: models/kws-a.bundle)",
    )
    running = parser.add_argument_group("a fleet that runs already")
    running.add_argument("--registry", metavar="URL", help="its registry")
    running.add_argument(
        "--root", type=Path, metavar="FILE", help="the root.json its devices are enrolled with"
    )
    running.add_argument("--model", metavar="NAME", help="that the devices follow")
    running.add_argument("--channel", default=DEFAULT_CHANNEL, help="default: %(default)s")
    running.add_argument("--broker", metavar="HOST[:PORT]", help="its broker")
    running.add_argument("--broker-ca", type=Path, metavar="FILE", help="of the broker's TLS")
    running.add_argument(
        "--credentials",
        type=Path,
        metavar="FOLDER",
        help="sim-0001.password and so on, as `ml4iot-broker device add` makes them",
    )
    running.add_argument("--prefix", default=DEFAULT_PREFIX, help="of topics (%(default)s)")
    return parser


def _place(parser: OneLineParser, chosen: argparse.Namespace) -> Place:
    """Where the fleet is that runs already."""
    for option in ("root", "model", "broker"):
        if getattr(chosen, option) is None:
            parser.error(f"--registry needs --{option} as well")
    return Place(
        registry=chosen.registry,
        root=chosen.root,
        model=check_name(chosen.model, "model"),
        channel=check_name(chosen.channel, "channel"),
        broker=chosen.broker,
        ca=chosen.broker_ca,
        credentials=chosen.credentials,
        prefix=chosen.prefix,
    )


def _with_own(chosen: argparse.Namespace) -> tuple[Figures, RegistryUse | None]:
    bundle = read_bundle(chosen.bundle)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ml4iot-fleet-"))
        own = stack.enter_context(own_fleet(bundle, Path(folder)))
        own.push(_FIRST)
        before = 0.0

        def began() -> None:
            nonlocal before
            before = own.processor_s()

        figures = simulate(
            own.place,
            chosen.devices,
            chosen.processes,
            lambda: own.push(_SECOND),
            chosen.patience,
            began,
        )
        return figures, RegistryUse(own.peak_bytes(), own.processor_s() - before)


def main() -> int:
    """Prints the figures; returns the exit status."""
    parser = _parser()
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    allow_open_files(chosen.devices * _FILES_EACH + _FILES_BESIDE)
    try:
        if chosen.registry is None:
            figures, use = _with_own(chosen)
        else:
            place = _place(parser, chosen)
            waiting = f"the fleet is there; move channel {place.channel} of {place.model} now"
            figures, use = (
                simulate(
                    place,
                    chosen.devices,
                    chosen.processes,
                    lambda: print(waiting, file=sys.stderr),
                    chosen.patience,
                ),
                None,
            )
    except (EdgeError, InputError, PushError, UsageError, TimeoutError, Fault) as error:
        print(f"fleet: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print_summary(figures, use)
    return 1 if figures.lost or figures.unheard else 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
