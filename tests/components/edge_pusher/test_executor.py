"""The executor pushes what is blessed, that very file, and nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components.artifacts import EdgeBundle
from components.blessing import bless
from components.edge_pusher.executor import Executor
from components.pushing import PushError
from edge_client.bundle import read_bundle
from edge_client.fleet.paths import bundle_target
from tests.components.edge_pusher.conftest import Make, Running


class Bench:
    """The executor's surroundings in a folder."""

    def __init__(self, folder: Path) -> None:
        self.destination, self.registry = folder / "pushed", ""
        self.bundle, self.blessing, self.pushed = (
            EdgeBundle(),
            standard_artifacts.ModelBlessing(),
            standard_artifacts.PushedModel(),
        )
        for made, name in (
            (self.bundle, "bundle"),
            (self.blessing, "blessing"),
            (self.pushed, "pushed_artifact"),
        ):
            (folder / name).mkdir()
            made.uri = str(folder / name)

    def put(self, data: bytes, name: str = "th-a") -> None:
        (Path(self.bundle.uri) / f"{name}.bundle").write_bytes(data)

    def push(self) -> None:
        Executor().Do(
            {"bundle": [self.bundle], "blessing": [self.blessing]},
            {"pushed": [self.pushed]},
            {"destination": str(self.destination), "registry": self.registry},
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_pushes_what_is_blessed(bench: Bench, bundle: Make) -> None:
    for version in ("1", "2"):
        data = bundle(version)
        bench.put(data)
        bless(bench.blessing, sha256(data))
        bench.push()
        target = bench.destination / "th-a.bundle"
        assert target.read_bytes() == data
        assert read_bundle(target).manifest.version == version
        assert bench.pushed.get_int_custom_property("pushed") == 1
        assert bench.pushed.get_string_custom_property("pushed_destination") == str(target)
        assert bench.pushed.get_string_custom_property("pushed_version") == version


@pytest.mark.parametrize("judged", [True, False])
def test_refuses_what_is_not_blessed(bench: Bench, bundle: Make, judged: bool) -> None:
    bench.put(bundle("1"))
    if judged:
        bless(bench.blessing, None)
    with pytest.raises(PushError, match="not pushed, for its version is not blessed"):
        bench.push()
    assert not bench.destination.exists()


def test_refuses_the_blessing_of_another_bundle(bench: Bench, bundle: Make) -> None:
    bench.put(bundle("2"))
    bless(bench.blessing, sha256(bundle("1")))
    with pytest.raises(PushError, match="the blessing is of another bundle"):
        bench.push()
    assert not bench.destination.exists()


def test_refuses_what_a_device_would_refuse(bench: Bench, bundle: Make) -> None:
    data = bundle("1")[:-40]
    bench.put(data)
    bless(bench.blessing, sha256(data))
    with pytest.raises(PushError, match="a device would refuse it: bundle: truncated or damaged"):
        bench.push()
    assert not bench.destination.exists()


def test_refuses_a_folder_without_the_one_bundle(bench: Bench, bundle: Make) -> None:
    bless(bench.blessing, sha256(bundle("1")))
    with pytest.raises(PushError, match="holds 0 bundles, not one"):
        bench.push()
    bench.put(bundle("1"))
    bench.put(bundle("1"), "th-b")
    with pytest.raises(PushError, match="holds 2 bundles, not one"):
        bench.push()


def test_pushes_to_the_registry_as_well(bench: Bench, bundle: Make, registry: Running) -> None:
    data = bundle("1")
    bench.put(data)
    bless(bench.blessing, sha256(data))
    bench.registry = registry.target.to_json()
    bench.push()
    store = registry.registry.store
    assert store.version("th-a", "1").sha256 == sha256(data)
    assert store.channel("th-a", "canary").version == "1"
    assert (bench.destination / "th-a.bundle").read_bytes() == data
    properties = bench.pushed.get_string_custom_property
    assert properties("pushed_registry") == registry.target.url
    assert properties("pushed_channel") == "canary"
    assert bench.pushed.get_int_custom_property("serial") == store.serial


@pytest.mark.parametrize("judged", [True, False])
def test_the_registry_gets_nothing_that_is_not_blessed(
    bench: Bench, bundle: Make, registry: Running, judged: bool
) -> None:
    bench.put(bundle("1"))
    bless(bench.blessing, sha256(bundle("2")) if judged else None)
    bench.registry = registry.target.to_json()
    with pytest.raises(PushError, match="not pushed, for"):
        bench.push()
    targets = registry.registry.store.repository.contents.targets.signed.targets
    assert bundle_target("th-a", "1") not in targets


def test_what_the_registry_refuses_goes_into_no_folder(
    bench: Bench, bundle: Make, registry: Running
) -> None:
    bench.registry = registry.target.to_json()
    for run in ("run", "another run"):
        data = bundle("1", run)
        bench.put(data)
        bless(bench.blessing, sha256(data))
        if run == "run":
            bench.push()
        else:
            with pytest.raises(PushError, match="raise `version:`"):
                bench.push()
    assert (bench.destination / "th-a.bundle").read_bytes() == bundle("1")
