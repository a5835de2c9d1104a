"""``ml4iot-registry serve``: the HTTP service."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_client.cli.broker_options import add_broker_arguments, broker_of, check_no_broker
from edge_client.fleet.topics import DEFAULT_PREFIX
from serving.announce import open_log
from serving.options import base_url, bind, bind_error
from serving.registry.commands import Subparsers
from serving.registry.log import log
from serving.registry.options import RegistryOptions, SensorOptions
from serving.request_log import open_request_log

if TYPE_CHECKING:
    from serving.registry.registry import Registry

_DESCRIPTION = """\
Serves a registry: to devices the signed metadata and bundles, to everybody lists and descriptions,
and to holders of tokens what changes it (OpenAPI document at /openapi.json). With a broker it
announces over MQTT what channels offer, and hears what devices report. It ends on SIGTERM or
Ctrl-C, after the requests in flight.
"""


def add_parsers(subparsers: Subparsers) -> None:
    """Adds the command."""
    parser = subparsers.add_parser("serve", help="serve a registry", description=_DESCRIPTION)
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER")
    add("--host", default="127.0.0.1", help="default: %(default)s")
    add("--port", type=int, default=8600, help="0: a free one; default: %(default)s")
    add("--log-file", type=Path, metavar="FILE", help="default: in the user's state folder")
    add_broker_arguments(parser, required=False)
    add("--prefix", help=f"of all topics; default: {DEFAULT_PREFIX}")
    group = parser.add_argument_group("monitoring by this machine, which /predict starts")
    group.add_argument("--sensor", metavar="KIND:PIN", help="such as dht11:GPIO4")
    group.add_argument("--replay", type=Path, metavar="CSV", help="records in place of a sensor")
    group.add_argument("--interval", type=float, default=1.0, metavar="S", help="default: 1 s")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serves until it is told to stop."""
    if arguments.broker is None:
        check_no_broker(arguments)
    options = RegistryOptions(
        folder=arguments.folder,
        host=arguments.host,
        port=arguments.port,
        log_file=arguments.log_file,
        broker=None if arguments.broker is None else broker_of(arguments),
        prefix=DEFAULT_PREFIX if arguments.prefix is None else arguments.prefix,
        sensor=SensorOptions(arguments.sensor, arguments.replay, arguments.interval),
    ).checked()
    with bind(options.host, options.port) as bound:
        from serving.registry.http.server import (
            serve,  # late: --help and wrong use are to be instant
        )

        port = bound.getsockname()[1]
        log_file = open_log(options.log_file, f"registry-{port}.log")
        open_request_log(log_file, log)
        url = base_url(options.host, port)
        line = f"ml4iot-registry serves {url} (folder {options.folder}, log {log_file})"

        def say(registry: Registry) -> None:
            print(line, flush=True)
            for warning in registry.store.repository.expiring():
                print(f"ml4iot-registry: {warning}", file=sys.stderr)

        try:
            serve(options, bound, say)
        except OSError as error:
            raise bind_error(options.host, port, error) from error
    return 0
