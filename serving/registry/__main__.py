"""``ml4iot-registry``: signed bundles and the channels that offer them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from edge_client.cli.parser import OneLineParser
from edge_client.errors import EdgeError
from serving.options import UsageError
from serving.registry.commands import devices, init, models, rollout, rotate, serve, token

_DESCRIPTION = """\
Keeps blessed bundles in a folder that devices verify by The Update Framework, and serves it.
"""
_EPILOG = """\
examples:
  ml4iot-registry init registry --keys offline-keys
  ml4iot-registry token add registry ada --role operate
  ml4iot-registry serve registry --port 8600
  ml4iot-registry list --registry http://127.0.0.1:8600
"""
COMMANDS = (init, serve, token, rotate, models, rollout, devices)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (2 on wrong use)."""
    parser = OneLineParser(
        "ml4iot-registry",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parsers(subparsers)
    arguments = parser.parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        return status
    except (UsageError, EdgeError) as error:
        print("ml4iot-registry:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
