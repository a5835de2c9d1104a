"""A user's shell: the tfx command with a home of its own, and data of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
VERSIONS = Path(__file__).parent / "versions"
_SECONDS = 600


@dataclass(frozen=True)
class Shell:
    """Runs commands as a user would, with ML4IOT_HOME and TFX's state under one folder."""

    repository: Path
    home: Path

    def environment(self, **settings: str) -> dict[str, str]:
        """The variables a command sees; none of the developer's own settings."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ML4IOT_")}
        kept.pop("TF_USE_LEGACY_KERAS")  # a user's shell does not have it
        return {
            **kept,
            "PATH": f"{BIN}{os.pathsep}{kept['PATH']}",  # as `activate` sets it
            "ML4IOT_HOME": str(self.home),
            "LOCAL_HOME": str(self.home / "tfx"),
            "PYTHONWARNINGS": "ignore",
            **settings,
        }

    def tfx(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """``tfx ARGUMENTS``, from a folder that is not the repository."""
        return subprocess.run(
            [str(BIN / "tfx"), *arguments],
            cwd=self.home,
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def create(self, name: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """``tfx pipeline create`` of one of our DAGs."""
        path = self.repository / "pipeline" / f"{name}.py"
        return self.tfx(
            "pipeline", "create", "--engine", "local", "--pipeline-path", str(path), **settings
        )

    def run(self, name: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """``tfx run create``."""
        return self.tfx("run", "create", "--engine", "local", "--pipeline-name", name, **settings)


@pytest.fixture
def shell(repository: Path, tmp_path: Path) -> Shell:
    return Shell(repository, tmp_path)
