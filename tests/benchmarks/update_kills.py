"""Kills a device at many points of an update, and of going back from one, by SIGKILL.

    python -m tests.benchmarks.update_kills [--points 200]

After each kill the device must have a verified model that passes its golden inputs, and the next
pull must complete and leave nothing behind. Exit status 1 where one does not.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from edge_client.cli.numbers import whole
from edge_client.cli.parser import OneLineParser
from tests.edge_client.fleet.kills import Killed, devices
from tests.edge_client.fleet.repository import Repository, Served

BACK_SHARE = 0.2  # going back has far fewer steps than an update


def main() -> int:
    """Runs the command."""
    parser = OneLineParser(
        prog="python -m tests.benchmarks.update_kills", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--points", type=whole(1), default=200, help="of the update (default: %(default)s)"
    )
    points = parser.parse_args().points
    console = Console()
    table = Table("", "steps", "kills", "afterwards on 1", "on 2", "violations")
    wrong: list[Killed] = []
    repository = Repository()
    with tempfile.TemporaryDirectory() as folder, Served(repository).running() as served:
        for act, kills in devices(Path(folder), served, repository):
            chosen = kills.spread(points if act == "update" else round(points * BACK_SHARE))
            seen = [kills.kill(point) for point in track(chosen, act, console=console)]
            killed = [each for each in seen if each.killed]
            left = Counter(each.active for each in killed)
            faults = [each for each in seen if each.violation]
            numbers = (len(kills.steps), len(killed), left["1"], left["2"], len(faults))
            table.add_row(act, *map(str, numbers))
            wrong += faults
    console.print(table)
    for each in wrong:
        console.print(f"point {each.point} ({each.where}): {each.violation}", style="red")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
