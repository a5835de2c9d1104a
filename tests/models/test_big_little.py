"""What the committed Little and Big reach together, by the command the README names."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_client.bundle import read_bundle
from tests.benchmarks.big_little import MODELS, Measured, measure


@pytest.fixture(scope="module")
def measured(data_folder: Path) -> Measured:
    return measure(data_folder, "little")


def test_asking_pays_and_costs_little(measured: Measured) -> None:
    assert measured.deferral == read_bundle(MODELS / "little.bundle").manifest.deferral
    report = measured.reports["features-cbor"]
    system = report.policies[measured.deferral.policy]
    assert report.clips == 800
    assert system.accuracy.value >= max(96.5, measured.reports["pcm-json"].big.value - 0.2)
    assert system.share <= 0.08
    assert system.megabytes <= 0.30
    assert measured.reports["pcm-json"].policies[measured.deferral.policy].megabytes <= 2.8


def test_every_policy_tells_wrong_answers_from_right_ones(measured: Measured) -> None:
    for policy in measured.reports["features-cbor"].policies.values():
        assert policy.auroc > 0.95
        assert policy.share <= 0.08
        assert 0 < policy.area <= 1


def test_the_figures_are_printed_at_a_glance(measured: Measured) -> None:
    text = str(measured)
    for wanted in (
        "little alone",
        "big alone",
        "both, features-cbor",
        "both, pcm-json",
        "(chosen)",
    ):
        assert wanted in text
