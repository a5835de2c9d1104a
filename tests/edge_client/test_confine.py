"""What a confined process may have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

PROGRAM = """
import resource
from edge_client.confine import confine
resource.setrlimit(resource.RLIMIT_CPU, (50, 50))
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
confine(2**36, 100)
print(resource.getrlimit(resource.RLIMIT_CPU), resource.getrlimit(resource.RLIMIT_AS))
confine(2**20, 20)
print(resource.getrlimit(resource.RLIMIT_CPU))
try:
    bytes(2**24)
except MemoryError:
    print("confined")
"""


def test_it_gives_no_more_than_there_was():
    """A service manager's own limits may be below ours, and nobody may raise them."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == [
        "(50, 50) (4294967296, 4294967296)",
        "(20, 20)",
        "confined",
    ], done.stderr
