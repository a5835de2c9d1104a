"""A push by EdgePusher reaches a waiting device and is used there: every process a real one."""

from __future__ import annotations

from pathlib import Path

from edge_client.bundle import read_bundle
from tests.benchmarks.push_to_answer import Times, measure


def test_every_version_that_is_pushed_answers(repository: Path, tmp_path: Path) -> None:
    bundle = read_bundle(repository / "models" / "th-a.bundle")
    times = measure(bundle, pushes=2, pause_s=0.1, folder=tmp_path)
    assert len(times.pushed) == len(times.answered) == 2
    assert min(times.answered) > 0
    assert (tmp_path / "pushes" / "pushed" / "th-a.bundle").is_file()


def test_the_table_is_of_seconds() -> None:
    table = str(Times([0.1, 0.3], [0.25, 0.75]))
    assert "| 2 pushes | median | p95 | max |" in table
    assert "| new model answers | 0.500 s | 0.725 s | 0.750 s |" in table
