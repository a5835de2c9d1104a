"""The fleet's simulator with a few devices: registry, Mosquitto and devices are all real."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_client.bundle import read_bundle
from tests.benchmarks.fleet.own import own_fleet
from tests.benchmarks.fleet.simulation import names_of, simulate
from tests.benchmarks.fleet.summary import RegistryUse, print_summary

DEVICES = 20


@pytest.fixture
def own(mosquitto, repository, tmp_path):
    """A registry that offers 1.0, and a broker."""
    with own_fleet(read_bundle(repository / "models" / "th-a.bundle"), tmp_path) as made:
        made.push("1.0")
        yield made


def test_an_announcement_reaches_every_device(own, capsys):
    figures = simulate(own.place, DEVICES, 2, lambda: own.push("2.0"), patience_s=120)
    assert figures.lost == figures.unheard == []
    assert figures.trouble == {}
    assert len(figures.updated_s) == DEVICES
    assert 0 < figures.updated_s[0] <= figures.updated_s[-1]
    counted = figures.counted
    # Each has asked for a newer root, the timestamp and the snapshot, its channel and its bundle.
    assert len(counted.metadata_s) >= 3 * DEVICES
    assert counted.targets >= 2 * DEVICES
    assert counted.failed == 0
    assert counted.target_bytes > DEVICES * own.bundle.manifest.model.bytes
    print_summary(figures, RegistryUse(own.peak_bytes(), own.processor_s()))
    printed = capsys.readouterr().out
    assert "one announcement, 20 devices" in printed
    assert "registry: resident memory" in printed


def test_devices_that_do_not_take_it_are_lost(own, capsys):
    manifest = own.bundle.manifest
    golden = manifest.golden[0]
    wrong = replace(golden, output=tuple(each + 1000 for each in golden.output))
    broken = replace(own.bundle, manifest=replace(manifest, golden=(wrong,)))
    figures = simulate(
        own.place, 3, 2, lambda: replace(own, bundle=broken).push("2.0"), patience_s=120
    )
    assert figures.lost == names_of(3)
    assert figures.unheard == []
    assert not figures.updated_s
    print_summary(figures, None)
    printed = capsys.readouterr().out
    assert "lost: sim-0001, sim-0002, sim-0003" in printed
    assert "3 devices: " in printed and "missed" in printed
