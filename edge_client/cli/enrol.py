"""Enrol this device in a fleet: whom it trusts, which models it runs, whom it asks for them.

ROOT.json is the registry's root metadata. It is all the device will ever trust, so bring it here by
a way you trust; nothing else the registry says needs one. Enrolling again changes what is named
here and keeps the models that are installed; with another root, what was known of the old registry
is forgotten.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_client.cli.broker_options import add_broker_arguments, broker_of, check_no_broker
from edge_client.cli.messages import say
from edge_client.cli.models import add_home_argument
from edge_client.fleet.topics import DEFAULT_PREFIX

HELP = "join a fleet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "--registry", required=True, metavar="URL", help="such as http://registry:8600"
    )
    parser.add_argument(
        "--root", required=True, type=Path, metavar="ROOT.json", help="the only one to trust"
    )
    parser.add_argument("--id", required=True, metavar="NAME", help="of this device in the fleet")
    parser.add_argument(
        "--model",
        required=True,
        action="append",
        metavar="MODEL[:CHANNEL]",
        help="a model to run, and the channel to follow (default: stable); may be repeated",
    )
    parser.add_argument(
        "--poll",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="how often to ask where nothing is announced (default: %(default)g)",
    )
    parser.add_argument("--prefix", help=f"of the fleet's MQTT topics (default: {DEFAULT_PREFIX})")
    add_home_argument(parser)
    add_broker_arguments(parser, required=False)


def run(chosen: argparse.Namespace) -> int:
    """Runs the command."""
    from edge_client.errors import EdgeError
    from edge_client.fleet.enrolment import (
        EnrolledBroker,
        EnrolledModel,
        Enrolment,
        write_enrolment,
    )
    from edge_client.fleet.installed.home import Home, default_home
    from edge_client.fleet.topics import Topics
    from edge_client.server_url import server_url

    server_url(chosen.registry)
    broker = None
    if chosen.broker is not None:
        broker_of(chosen)  # says now what is wrong with it
        broker = EnrolledBroker(
            address=chosen.broker,
            ca=_absolute(chosen.broker_ca),
            username=chosen.broker_user,
            password_file=_absolute(chosen.broker_password_file),
            prefix=Topics(DEFAULT_PREFIX if chosen.prefix is None else chosen.prefix).prefix,
        )
    else:
        check_no_broker(chosen)
    enrolment = Enrolment(
        device=chosen.id,
        registry=chosen.registry.rstrip("/"),
        models=tuple(map(EnrolledModel.parse, chosen.model)),
        broker=broker,
        poll_s=chosen.poll,
    )
    home = Home(chosen.home or default_home())
    try:
        write_enrolment(home, enrolment, chosen.root)
    except OSError as error:
        raise EdgeError(f"{home.path}: cannot be written: {error.strerror or error}") from None
    followed = ", ".join(f"{each.model} ({each.channel})" for each in enrolment.models)
    say(f"{enrolment.device} follows {followed} at {enrolment.registry}; ml4iot-edge pull is next")
    return 0


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
