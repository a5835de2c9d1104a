"""``ml4iot-registry token``: who may write."""

from __future__ import annotations

import argparse
from pathlib import Path

from serving.registry.commands import Subparsers
from serving.registry.options import check_folder

_DESCRIPTION = """\
Makes or voids the token of somebody who writes to a registry. A running one sees it at once.

roles:
  push     push bundles, and offer them on the channel canary
  operate  all of that, and activate, retire and roll out
  device   report measurements; NAME is the device's
"""


def add_parsers(subparsers: Subparsers) -> None:
    """Adds the command."""
    parser = subparsers.add_parser("token", help="add or remove tokens", description=_DESCRIPTION)
    actions = parser.add_subparsers(required=True, metavar="add|remove")
    adding = actions.add_parser("add", help="make one; it is printed once, and kept nowhere")
    adding.add_argument("folder", type=Path, metavar="FOLDER")
    adding.add_argument("name", metavar="NAME")
    adding.add_argument("--role", choices=("push", "operate", "device"), required=True)
    adding.set_defaults(run=add)
    removing = actions.add_parser("remove", help="void one")
    removing.add_argument("folder", type=Path, metavar="FOLDER")
    removing.add_argument("name", metavar="NAME")
    removing.set_defaults(run=remove)


def add(arguments: argparse.Namespace) -> int:
    """Prints a new token, and nothing else."""
    from serving.registry.tokens import Tokens

    check_folder(arguments.folder)
    print(Tokens(arguments.folder).add(arguments.name, arguments.role))
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """Voids a token."""
    from serving.registry.tokens import Tokens

    check_folder(arguments.folder)
    Tokens(arguments.folder).remove(arguments.name)
    print(f"the token of {arguments.name} is void")
    return 0
