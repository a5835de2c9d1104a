"""What is pushed when: nothing that tells of others before those others are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.keyword_spotting import create_pipeline


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Whom each component waits for, itself or through others."""
    recordings = tmp_path / "recordings" / "yes"
    recordings.mkdir(parents=True)
    (recordings / "someone_nohash_0.wav").write_bytes(b"nobody reads it here")
    for name in [name for name in os.environ if name.startswith("ML4IOT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ML4IOT_AUDIO", str(recordings.parent))
    monkeypatch.setenv("ML4IOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ML4IOT_VERSIONS", "big,little,kws-a,kws-b")
    waits: dict[str, set[str]] = {}
    for component in create_pipeline()[0].components:  # in an order in which they can run
        known = {node.id for node in component.upstream_nodes}
        waits[component.id] = known.union(*(waits[name] for name in known))
    return waits


def test_the_combination_is_pushed_after_all_its_members(upstream: dict[str, set[str]]) -> None:
    assert {"EdgePusher.kws-a", "EdgePusher.kws-b"} <= upstream["CooperationTuner"]


def test_neither_of_a_pair_is_pushed_before_both_are_judged(upstream: dict[str, set[str]]) -> None:
    for pusher in ("Pusher.big", "EdgePusher.little"):
        assert "DeferralTuner.little" in upstream[pusher]
