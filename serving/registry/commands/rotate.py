"""``ml4iot-registry rotate``: new keys for a role."""

from __future__ import annotations

import argparse
from pathlib import Path

from serving.options import UsageError
from serving.registry.commands import Subparsers
from serving.registry.options import check_folder

_DESCRIPTION = """\
Replaces the keys of a role and signs anew what they sign. Devices follow by themselves, however
many rotations they have missed; a running registry takes it up within seconds.

After an older copy of the folder was put back, devices that saw the newer one refuse it (rollback):
rotate timestamp, then snapshot, and they start afresh from what is there.

Also the way to have root or targets signed for another year. As many of the root keys as must sign
are wanted in --keys; for the role channels, of the targets keys. Keys are found by what they are,
not by their file's name.
"""


def add_parsers(subparsers: Subparsers) -> None:
    """Adds the command."""
    parser = subparsers.add_parser("rotate", help="replace keys", description=_DESCRIPTION)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--keys", type=Path, required=True, metavar="DIR", help="offline keys")
    parser.add_argument("role", choices=("root", "targets", "snapshot", "timestamp", "channels"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Rotates, and says which keys are void."""
    from serving.registry.tuf.repository import Repository
    from serving.registry.tuf.rotation import rotate

    check_folder(arguments.folder)
    try:
        done = rotate(Repository(arguments.folder), arguments.keys, arguments.role)
    except OSError as error:
        raise UsageError(
            f"{error.filename or arguments.folder}: {error.strerror or error}"
        ) from error
    print(f"new key of {arguments.role}: {', '.join(map(str, done.made))}")
    if done.void:
        print(f"void from now on, to be destroyed: {', '.join(map(str, done.void))}")
    if arguments.role == "targets":
        print("give the new key to the pipeline; with the old one it cannot push any more")
    print(f"the root is version {done.root_version} now")
    return 0
