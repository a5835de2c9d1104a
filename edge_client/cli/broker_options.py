"""The options by which every command names a broker."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_client.mqtt.broker import Broker


def add_broker_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Adds ``--broker``, ``--broker-ca``, ``--broker-user`` and ``--broker-password-file``."""
    group = parser.add_argument_group("MQTT broker")
    group.add_argument(
        "--broker",
        required=required,
        metavar="HOST[:PORT]",
        help="where it listens (port 1883, or 8883 with --broker-ca)",
    )
    group.add_argument(
        "--broker-ca",
        type=Path,
        metavar="FILE",
        help="speak TLS, and only where a CA of this PEM file vouches for the broker; without it "
        "all travels in clear",
    )
    group.add_argument("--broker-user", metavar="NAME", help="who we are to it (default: anybody)")
    group.add_argument(
        "--broker-password-file", type=Path, metavar="FILE", help="a line with the user's password"
    )


def broker_of(arguments: argparse.Namespace) -> Broker:
    """The broker that was named; raises :class:`~edge_client.mqtt.broker.BrokerError`."""
    from edge_client.mqtt.broker import BrokerError, open_broker

    if arguments.broker is None:
        raise BrokerError("no broker; name one with --broker HOST[:PORT]")
    return open_broker(
        arguments.broker,
        arguments.broker_ca,
        arguments.broker_user,
        arguments.broker_password_file,
    )


def check_no_broker(arguments: argparse.Namespace) -> None:
    """For a command without ``--broker``: no option that would go unused.

    A ``--prefix`` of its own, of the topics, is to be None where it was not given.

    Raises:
        BrokerError: there is one.
    """
    from edge_client.mqtt.broker import BrokerError

    for option in ("broker_ca", "broker_user", "broker_password_file", "prefix"):
        if getattr(arguments, option) is not None:
            raise BrokerError(f"--{option.replace('_', '-')} needs --broker")
