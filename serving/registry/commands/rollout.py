"""``ml4iot-registry rollout``: begin one, look at it, hold it, let it go on, call it off."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

from edge_client.fleet.errors import FleetError
from edge_client.fleet.names import check_name
from serving.options import UsageError
from serving.registry.client import RegistryClient
from serving.registry.commands import Subparsers
from serving.registry.commands.models import add_registry_arguments

LOOK_EVERY_S = 1.0
AWAY_S = 60.0  # for a registry that starts again while somebody looks on
_OVER = ("finished", "reverted", "aborted")
_DESCRIPTION = """\
Brings a version to the devices of a channel group by group. The next group follows by itself once
enough devices of the one before are active on the version; too many failures take the version back
from all. Devices that are away delay a group until its patience is over, and are left out then;
those that began and never ended count as failed. When there is nothing left to wait for and still
too little success, the rollout pauses and says why.
"""
_START = """\
Groups come in the order in which they are named: devices by name, or a share of the whole fleet
that includes the shares before it. Everybody is the last group, named or not.

example:
  ml4iot-registry rollout start kws-a 2.0 --channel stable --token-file operator.token \\
      --group canary=pi-1,pi-2 --group tenth=0.1 --success 0.95 --errors 0.05 --follow
"""
_FOLLOW = "look on until it is over; exit status 1 unless it finished"


def add_parsers(subparsers: Subparsers) -> None:
    """Adds the command and its actions."""
    parser = subparsers.add_parser(
        "rollout", help="roll a version out in groups", description=_DESCRIPTION
    )
    actions = parser.add_subparsers(required=True, metavar="start|show|pause|resume|abort")
    starting = actions.add_parser(
        "start",
        help="let the first group have a version",
        description=_START,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = starting.add_argument
    add("model", metavar="MODEL")
    add("version", metavar="VERSION")
    add("--channel", required=True)
    add("--group", type=_group, action="append", required=True, dest="groups",
        metavar="NAME=DEVICE,...|NAME=SHARE", help="again for each, in order")  # fmt: skip
    add("--success", type=float, default=0.95, metavar="SHARE",
        help="of a group's devices, before the next group; default: %(default)s")  # fmt: skip
    add("--errors", type=float, default=0.05, metavar="SHARE",
        help="of failures; more of them take it back; default: %(default)s")  # fmt: skip
    add("--minimum", type=int, default=1, metavar="N",
        help="devices of a group that must have come to an end; default: %(default)s")  # fmt: skip
    add("--patience", type=float, default=3600.0, metavar="S", dest="patience_s",
        help="for the devices of one group; default: 3600 s")  # fmt: skip
    add("--follow", action="store_true", help=_FOLLOW)
    add_registry_arguments(starting, token=True)
    starting.set_defaults(run=start)

    showing = actions.add_parser("show", help="list rollouts, or show one")
    showing.add_argument("rollout", nargs="?", metavar="ROLLOUT", help="its id")
    showing.add_argument("--follow", action="store_true", help=f"{_FOLLOW}; default: the newest")
    add_registry_arguments(showing)
    showing.set_defaults(run=show)

    for name, text in (
        ("pause", "reach no further group; those reached keep the version"),
        ("resume", "go on; the group's patience begins anew"),
        ("abort", "all devices go back to the version before"),
    ):
        acting = actions.add_parser(name, help=text)
        acting.add_argument("rollout", metavar="ROLLOUT", help="its id")
        add_registry_arguments(acting, token=True)
        acting.set_defaults(run=act, action=name)


def start(arguments: argparse.Namespace) -> int:
    """Begins a rollout."""
    model, channel = (check_name(getattr(arguments, each), each) for each in ("model", "channel"))
    wanted = {
        "version": check_name(arguments.version, "version"),
        "groups": arguments.groups,
        **{each: getattr(arguments, each) for each in ("success", "errors", "minimum")},
        "patience_s": arguments.patience_s,
    }
    with RegistryClient(arguments.registry, arguments.token_file) as registry:
        rollout = registry.post(f"/models/{model}/channels/{channel}/rollouts", wanted)
        print(f"rollout {rollout['id']} has begun")
        return _follow(registry, rollout["id"]) if arguments.follow else 0


def show(arguments: argparse.Namespace) -> int:
    """Shows all rollouts, or one."""
    from rich.console import Console

    from serving.registry.commands.rollout_view import details, overview

    with RegistryClient(arguments.registry, arguments.token_file) as registry:
        chosen = arguments.rollout and check_name(arguments.rollout, "rollout")
        if chosen is None:
            rollouts = registry.get("/rollouts")["rollouts"]
            if not arguments.follow or not rollouts:
                Console().print(overview(rollouts) if rollouts else "no rollouts yet")
                return 0
            chosen = rollouts[0]["id"]
        if arguments.follow:
            return _follow(registry, chosen)
        Console().print(details(registry.get(f"/rollouts/{chosen}")))
    return 0


def act(arguments: argparse.Namespace) -> int:
    """Pauses, resumes or aborts."""
    chosen = check_name(arguments.rollout, "rollout")
    with RegistryClient(arguments.registry, arguments.token_file) as registry:
        rollout = registry.post(f"/rollouts/{chosen}/{arguments.action}")
    print(f"rollout {rollout['id']} is {rollout['status']}")
    return 0


def _follow(registry: RegistryClient, rollout_id: str) -> int:
    """Shows a rollout until it is over: live at a terminal, else a line for each transition."""
    from rich.console import Console
    from rich.live import Live

    from serving.registry.commands.rollout_view import details, event_line

    console = Console()
    rollout: dict[str, Any] = {}
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            for rollout in _states(registry, rollout_id):
                live.update(details(rollout))
    else:
        told = 0
        for rollout in _states(registry, rollout_id):
            for event in rollout["history"][told:]:
                print(event_line(event), flush=True)
            told = len(rollout["history"])
    return 0 if rollout["status"] == "finished" else 1


def _states(registry: RegistryClient, rollout_id: str) -> Iterator[dict[str, Any]]:
    """The rollout as it is every second, until it is over."""
    seen = None
    while True:
        try:
            rollout: dict[str, Any] = registry.get(f"/rollouts/{rollout_id}")
        except UsageError:
            # Only for one that was there: else the name or the address is wrong.
            if seen is None or time.monotonic() - seen > AWAY_S:
                raise
        else:
            seen = time.monotonic()
            yield rollout
            if rollout["status"] in _OVER:
                return
        time.sleep(LOOK_EVERY_S)


def _group(text: str) -> dict[str, Any]:
    """``NAME=DEVICE,DEVICE`` or ``NAME=SHARE``; what reads as a number is a share."""
    name, _, members = text.partition("=")
    try:
        check_name(name, "group")
        try:
            return {"name": name, "share": float(members)}
        except ValueError:
            return {"name": name, "devices": [check_name(x, "device") for x in members.split(",")]}
    except FleetError as error:
        raise argparse.ArgumentTypeError(
            f"{error}; NAME=DEVICE,DEVICE or NAME=SHARE is wanted"
        ) from None
