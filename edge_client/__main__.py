"""``ml4iot-edge``: the command line of a device."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from edge_client.cli.messages import say
from edge_client.errors import EdgeError

# One module of ``cli`` each, with ``HELP``, ``add_arguments`` and ``run``.  None of them imports
# NumPy before it runs, so that --help answers at once on the slowest device.
COMMANDS = ("predict", "bench")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error here."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, or 2 for wrong use and bad input."""
    parser = _Parser(
        prog="ml4iot-edge",
        description="Run the models of ml4iot on this device.",
        epilog="ml4iot-edge COMMAND --help says what a command takes. "
        "Exit status: 0 on success, 2 on wrong use or bad input.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    for name in COMMANDS:
        module = import_module(f"edge_client.cli.{name}")
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    chosen = parser.parse_args(arguments)
    # Latency is promised for one thread, and idle BLAS threads cost a small device memory.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        status: int = chosen.run(chosen)
        sys.stdout.flush()
    except EdgeError as error:
        say(error)
        return 2
    except BrokenPipeError:
        # Whoever read our lines has seen enough; nothing may be written when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
