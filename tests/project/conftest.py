from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tracked_files(repository: Path) -> list[Path]:
    """The files git would commit: tracked, or new and not ignored; deleted ones left out."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=repository,
            capture_output=True,
            check=True,
            timeout=60,
        )
    except (FileNotFoundError, subprocess.CalledProcessError) as problem:
        pytest.skip(f"not a git checkout: {problem}")
    names = (name for name in listing.stdout.decode().split("\0") if name)
    return [path for path in (repository / name for name in names) if path.is_file()]
