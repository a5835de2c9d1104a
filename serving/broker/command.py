"""``ml4iot-broker``: the operator's MQTT broker, with TLS, users and rights."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from edge_client.cli.parser import OneLineParser
from serving.options import UsageError

if TYPE_CHECKING:
    from serving.broker.folder import BrokerFolder

_DESCRIPTION = """\
Makes and runs an MQTT broker for a fleet: TLS by a CA of its own, a password for each device, and
rights under which a device writes only its own topics.
"""
_EPILOG = """\
example:
  ml4iot-broker init broker --host broker.example
  ml4iot-broker run broker
  ml4iot-broker device add broker kitchen
    -> broker/credentials/kitchen.password: give it to the device together with broker/ca.crt,
       and delete it here

A device logs in under its id. It writes and reads ml4iot/devices/ID/#, writes
homeassistant/+/ID/# (with _ for a dot in ID), and reads ml4iot/models/#. The registry logs in as
`registry`, a person's monitoring client or Home Assistant as a reader, who hears all and says
nothing.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (2 on wrong use)."""
    chosen = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        status: int = chosen.action(chosen)
        return status
    except UsageError as error:
        _say(str(error))
        return 2
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = OneLineParser(
        "ml4iot-broker", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=layout
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=OneLineParser)

    init = _command(commands, "init", _init, "make the folder")
    _add_hosts(init, required=True)
    init.add_argument("--port", type=int, default=8883, help="default: %(default)s")
    init.add_argument(
        "--bind", default="", metavar="ADDRESS", help="listen there (default: on all addresses)"
    )

    device = commands.add_parser("device", help="let devices in, or out")
    steps = device.add_subparsers(metavar="add|remove", required=True, parser_class=OneLineParser)
    add = _command(steps, "add", _add_devices, "let devices in; prints where their passwords are")
    add.add_argument("names", nargs="+", metavar="ID")
    add.add_argument(
        "--cooperates",
        action="store_true",
        help="they may also hear and answer the clips of ml4iot-edge cooperate",
    )
    remove = _command(steps, "remove", _remove_device, "let a device in no more")
    remove.add_argument("name", metavar="ID")

    reader = commands.add_parser("reader", help="let those in who only listen, or out")
    steps = reader.add_subparsers(metavar="add|remove", required=True, parser_class=OneLineParser)
    add = _command(steps, "add", _add_readers, "let readers in; prints where their passwords are")
    add.add_argument("names", nargs="+", metavar="NAME")
    remove = _command(steps, "remove", _remove_reader, "let a reader in no more")
    remove.add_argument("name", metavar="NAME")

    password = _command(commands, "password", _password, "give a user another password")
    password.add_argument("name", metavar="NAME", help="a device, a reader, or registry")
    _command(commands, "users", _users, "list who may log in")
    renew = _command(commands, "renew", _renew, "make another certificate of the same CA")
    _add_hosts(renew, required=False)
    _command(commands, "run", _run, "run the broker until SIGTERM or Ctrl-C")
    return parser


def _command(
    commands: argparse._SubParsersAction[OneLineParser],
    name: str,
    action: Callable[[argparse.Namespace], int],
    help_text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help_text, description=help_text.capitalize() + ".")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.set_defaults(action=action)
    return parser


def _add_hosts(parser: argparse.ArgumentParser, required: bool) -> None:
    parser.add_argument(
        "--host",
        dest="hosts",
        action="append",
        default=[],
        required=required,
        metavar="NAME",
        help="a name or address by which clients reach the broker; may be given several times"
        + ("" if required else " (default: those of the old certificate)"),
    )


def _init(chosen: argparse.Namespace) -> int:
    from serving.broker.folder import REGISTRY, create

    made = create(chosen.folder, chosen.hosts, chosen.port, chosen.bind)
    print(
        f"{chosen.folder}: made for {', '.join(chosen.hosts)}, port {chosen.port}; devices need "
        f"{made.ca}, the registry logs in as {REGISTRY} with "
        f"{chosen.folder / 'credentials' / f'{REGISTRY}.password'}"
    )
    return 0


def _add_devices(chosen: argparse.Namespace) -> int:
    for file in _folder(chosen).add(chosen.names, "device", chosen.cooperates):
        print(file)
    return 0


def _add_readers(chosen: argparse.Namespace) -> int:
    for file in _folder(chosen).add(chosen.names, "reader"):
        print(file)
    return 0


def _remove_device(chosen: argparse.Namespace) -> int:
    _folder(chosen).remove(chosen.name, "device")
    return 0


def _remove_reader(chosen: argparse.Namespace) -> int:
    _folder(chosen).remove(chosen.name, "reader")
    return 0


def _password(chosen: argparse.Namespace) -> int:
    print(_folder(chosen).new_password(chosen.name))
    return 0


def _users(chosen: argparse.Namespace) -> int:
    for name, user in sorted(_folder(chosen).users.items()):
        print(f"{name}\t{user.role}" + ("\tcooperates" if user.cooperates else ""))
    return 0


def _renew(chosen: argparse.Namespace) -> int:
    _folder(chosen).renew(chosen.hosts)
    return 0


def _run(chosen: argparse.Namespace) -> int:
    from serving.broker.running import run_broker

    return run_broker(_folder(chosen), _say)


def _folder(chosen: argparse.Namespace) -> BrokerFolder:
    from serving.broker.folder import BrokerFolder

    return BrokerFolder(chosen.folder).checked()


def _say(text: str) -> None:
    print("ml4iot-broker:", " ".join(text.split()), file=sys.stderr)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
