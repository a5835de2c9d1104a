"""In a process of its own each, for what is lowered cannot always be raised again."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """\
import resource, sys
from serving.open_files import allow_open_files
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(allow_open_files(wanted), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "allowed"),
    [(64, 512, 256, 256), (64, 512, 1024, 512), (256, 512, 64, 256), (64, 64, 256, 64)],
)
def test_as_many_as_the_system_lets_us(repository, soft, hard, wanted, allowed):
    arguments = [str(number) for number in (soft, hard, wanted)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == [str(allowed), str(allowed), str(hard)], done.stderr
