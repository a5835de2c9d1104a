"""``ml4iot-registry init``: a new registry and its keys."""

from __future__ import annotations

import argparse
from pathlib import Path

from serving.registry.commands import Subparsers

_DESCRIPTION = """\
Makes a registry in a new folder, and the offline keys in another.

The root keys say which keys count; the targets key signs bundles and belongs to whoever runs the
pipeline. Neither is needed to serve. The keys that are (snapshot, timestamp, channels) lie in the
registry's folder: who steals them can withhold updates or point a channel at another signed bundle,
but never offer a bundle that was not signed.
"""


def add_parsers(subparsers: Subparsers) -> None:
    """Adds the command."""
    parser = subparsers.add_parser("init", help="make a registry", description=_DESCRIPTION)
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="new or empty")
    add("--keys", type=Path, required=True, metavar="DIR", help="for the offline keys")
    add("--root-keys", type=int, default=1, metavar="N", help="default: 1")
    add("--threshold", type=int, default=1, metavar="M", help="of them must sign; default: 1")
    add("--targets-keys", type=int, default=1, metavar="N", help="default: 1")
    add("--targets-threshold", type=int, default=1, metavar="M", help="must sign; default: 1")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Makes it, and says what to do next."""
    from serving.registry.tuf.create import KeyCounts, create  # late: --help is to be instant

    counts = KeyCounts(
        arguments.root_keys,
        arguments.threshold,
        arguments.targets_keys,
        arguments.targets_threshold,
    )
    made = create(arguments.folder, arguments.keys, counts)
    root, targets = (
        ", ".join(path.name for path in paths) for paths in (made.root_keys, made.targets_keys)
    )
    folder, keys = arguments.folder, arguments.keys
    print(f"""\
Registry made in {folder}.
In {keys}:
  {root}: keep offline; {counts.root_threshold} of {counts.root} must sign to change any key
  {targets}: for the pipeline only; {counts.targets_threshold} of {counts.targets} must sign a push
  {made.trusted_root.name}: for every device and the pipeline; not secret, but must arrive unaltered
Next:
  ml4iot-registry token add {folder} NAME --role operate
  ml4iot-registry serve {folder}""")
    return 0
