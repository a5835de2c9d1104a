"""The cooperative figures from the committed models, offline and through a broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_client.bundle import read_bundle
from tests.benchmarks.cooperation import (
    MAX_BYTES,
    MODELS,
    WANTED,
    WITHOUT_ONE,
    bundle_path,
    checked_ensemble,
    hear,
    through_broker,
)
from tests.benchmarks.figures import official_clips

FILE = MODELS / "cooperation.json"


@pytest.fixture(scope="module")
def ensemble():
    return checked_ensemble(FILE)


@pytest.fixture(scope="module")
def clips(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return official_clips(data_folder, tmp_path_factory.mktemp("clips"))


def test_the_members_hear_what_is_promised_even_without_any_one(ensemble, clips) -> None:
    heard = hear(ensemble, *clips)
    weights = [member.weight for member in ensemble.members]
    everybody = list(range(len(ensemble.members)))

    def percent(members: list[int]) -> float:
        right = heard.right(ensemble.combination, weights, members)
        return 100 * right / len(heard.words)

    assert len(heard.words) == 800
    assert percent(everybody) >= WANTED
    for dead in everybody:
        assert percent([member for member in everybody if member != dead]) >= WITHOUT_ONE


def test_they_stay_small(ensemble) -> None:
    sizes = [
        read_bundle(bundle_path(member.name)).manifest.model.bytes for member in ensemble.members
    ]
    assert sum(sizes) <= MAX_BYTES


def test_the_room_hears_what_the_members_hear(ensemble, clips) -> None:
    listed, root = clips
    heard = hear(ensemble, listed, root)
    weights = [member.weight for member in ensemble.members]
    right = heard.right(ensemble.combination, weights, list(range(len(weights))))
    line = through_broker(ensemble, FILE, listed, root)
    assert f"{100 * right / 800:.2f} %" in line
    assert "0 without an answer" in line
