"""``ml4iot-edge``: the command line of a device."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TextIO

from edge_client.cli.messages import say
from edge_client.cli.parser import OneLineParser
from edge_client.errors import EdgeError

# One module of ``cli`` each, with ``HELP``, ``add_arguments`` and ``run``.  None of them imports
# NumPy before it runs, so that --help answers at once on the slowest device.
COMMANDS = ("predict", "run", "bench", "cooperate", "enrol", "pull", "monitor", "alarms")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, or 2 for wrong use and bad input."""
    chosen = _parse(arguments)
    # Latency is promised for one thread, and idle BLAS threads cost a small device memory.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        status: int = chosen.run(chosen)
        sys.stdout.flush()
    except EdgeError as error:
        say(error)
        return 2
    except BrokenPipeError:
        # Whoever read our lines has seen enough.
        _give_up(sys.stdout)
        return 0
    except OSError as error:
        # Inputs are opened by functions that raise EdgeError, so it is the output that failed.
        _give_up(sys.stdout)
        say(f"the answers cannot be written: {error.strerror or error}")
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        try:
            sys.stderr.flush()
        except OSError:  # a log on a full disk, which is no failure of what was done
            _give_up(sys.stderr)
    return status


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = OneLineParser(
        prog="ml4iot-edge",
        description="Run the models of ml4iot on this device.",
        epilog="ml4iot-edge COMMAND --help says what a command takes. "
        "Exit status: 0 on success, 2 on wrong use or bad input.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=OneLineParser)
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
    chosen, further = parser.parse_known_args(arguments)
    # argparse fills a list of INPUTs from one place only; those behind an option are handed back.
    if further and hasattr(chosen, "inputs") and not any(each.startswith("-") for each in further):
        chosen.inputs += further
    elif further:
        parser.error(f"unrecognized arguments: {' '.join(further)}")
    return chosen


def _give_up(stream: TextIO) -> None:
    """Nothing more may be written to it, not even what is buffered when Python exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
