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
from edge_client.bundle import (
    ForecastOutput,
    Manifest,
    Origin,
    Quantization,
    RecordInput,
    bundle_bytes,
    pack_model,
    read_bundle,
)
from edge_client.features.spec import Quantity, RecordWindow, Standardisation


def bundle(version: str) -> bytes:
    entry, packed = pack_model(b"a model, as far as a pusher can tell", "zlib")
    window = RecordWindow((Quantity("T", "T (degC)", "Cel"),), 6, 3, 600)
    manifest = Manifest(
        name="th-a",
        version=version,
        task="forecasting",
        input=RecordInput(window, Standardisation((9.0,), (7.0,))),
        output=ForecastOutput(("T",), 3),
        quantization=Quantization(None, None),
        deferral=None,
        budgets=(),
        model=entry,
        golden=(),
        created_by=Origin("forecasting", "run", "float16"),
    )
    return bundle_bytes(manifest, packed, "th-a")


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


def test_pushes_what_is_blessed(bench: Bench) -> None:
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
def test_refuses_what_is_not_blessed(bench: Bench, judged: bool) -> None:
    bench.put(bundle("1"))
    if judged:
        bless(bench.blessing, None)
    with pytest.raises(PushError, match="not pushed, for its version is not blessed"):
        bench.push()
    assert not bench.destination.exists()


def test_refuses_the_blessing_of_another_bundle(bench: Bench) -> None:
    bench.put(bundle("2"))
    bless(bench.blessing, sha256(bundle("1")))
    with pytest.raises(PushError, match="the blessing is of another bundle"):
        bench.push()
    assert not bench.destination.exists()


def test_refuses_what_a_device_would_refuse(bench: Bench) -> None:
    data = bundle("1")[:-40]
    bench.put(data)
    bless(bench.blessing, sha256(data))
    with pytest.raises(PushError, match="a device would refuse it: bundle: truncated or damaged"):
        bench.push()
    assert not bench.destination.exists()


def test_refuses_a_folder_without_the_one_bundle(bench: Bench) -> None:
    bless(bench.blessing, sha256(bundle("1")))
    with pytest.raises(PushError, match="holds 0 bundles, not one"):
        bench.push()
    bench.put(bundle("1"))
    bench.put(bundle("1"), "th-b")
    with pytest.raises(PushError, match="holds 2 bundles, not one"):
        bench.push()
