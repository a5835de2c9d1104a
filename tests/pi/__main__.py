"""Runs edge_client in a 64-bit ARM Debian: its tests, then a signed pull from a registry outside.

python -m tests.pi [--suite trixie] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from edge_client.cli.ending import ended_in_order
from tests.pi.install import CHECKOUT, PYTHON, copy_tests, install
from tests.pi.process import TOO_LATE, PiError
from tests.pi.signed_pull import signed_pull
from tests.pi.userland import Userland, build, prepare

REPOSITORY = Path(__file__).resolve().parents[2]
_TESTS_S = 7200.0  # they take 20 minutes
_EPILOG = """\
Exit status: 0 when all held, 1 when something did not, 2 when nothing can be tried here.
"""


def main() -> int:
    """Exit status: 0 when all held, 1 when something did not, 2 when nothing can be tried here."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.pi",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--suite", default="bookworm", help="Debian release (default: %(default)s)")
    parser.add_argument(
        "--folder",
        type=Path,
        default=REPOSITORY / ".pi",
        help="where userlands are kept between runs (default: .pi)",
    )
    asked = parser.parse_args()
    try:
        with ended_in_order():
            return _try(asked.folder, asked.suite)
    except PiError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _try(folder: Path, suite: str) -> int:
    started = time.monotonic()

    def say(what: str) -> None:
        print(f"[{time.monotonic() - started:4.0f} s] {what}", flush=True)

    say(f"Debian {suite} for arm64 (about five minutes the first time)")
    prepare()
    userland = build(folder.resolve(), suite)
    say("edge_client by pip")
    say(f"  {install(userland, REPOSITORY)}")
    left_out = copy_tests(userland, REPOSITORY)
    say(f"its tests, but for {len(left_out)} that need what is only outside:")
    for name in left_out:
        print(f"           {name}")
    sys.stdout.flush()
    held = _tests(userland, say)
    say("a signed pull from a registry outside")
    try:
        held &= signed_pull(userland, REPOSITORY, say)
    except PiError as error:
        say(f"  {error}")
        held = False
    say("all of it held" if held else "something did not hold")
    return 0 if held else 1


def _tests(userland: Userland, say) -> bool:
    # What QEMU itself takes counts as the process's, 30 MB of it, and it passes over limits of
    # memory; emulated code takes its time.
    outside = (
        "predicting_is_light_in_memory",
        "running_with_a_big_model_is_as_light",
        "it_gives_no_more_than_there_was",
    )
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-n2",
        "--dist=loadfile",
        "--timeout=900",
        "--hypothesis-profile=ci",  # no health check of how fast examples come
        "-k",
        f"not ({' or '.join(outside)})",
    ]
    tests = userland.run(
        [PYTHON, "-m", "pytest", "tests/edge_client", *options],
        folder=CHECKOUT,
        seconds=_TESTS_S,
        shown=True,
    )
    if tests.returncode == TOO_LATE:
        say(f"  {tests.stderr.strip()}")
    return tests.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
