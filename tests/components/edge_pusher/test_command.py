"""``ml4iot-push``: bundles of earlier runs into a registry."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from components.edge_pusher.__main__ import main
from edge_client.bundle import bundle_bytes, pack_model, read_bundle
from serving.registry.tuf.create import KeyCounts
from tests.components.edge_pusher.conftest import running


def options(target, keys: tuple[str, ...] | None = None) -> list[str]:
    where = ["--registry", target.url, "--token-file", target.token_file, "--root", target.root]
    keys = target.targets_keys if keys is None else keys
    signing = [part for key in keys for part in ("--targets-key", key)]
    return [*where, *signing, "--channel", target.channel]


def test_what_kept_its_budgets_is_pushed_once(tmp_path: Path, bundle, capsys) -> None:
    path = tmp_path / "th-a.bundle"
    path.write_bytes(bundle("7"))
    with running(tmp_path / "place") as there:
        assert main([str(path), *options(there.target)]) == 0
        assert main([str(path), *options(there.target)]) == 0
        assert there.registry.store.channel("th-a", "canary").version == "7"
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"th-a 7 in {there.target.url}, channel canary"
    assert second == first + ", which was there already"


@pytest.mark.parametrize(
    ("manifest_changes", "said"),
    [
        ({"budgets": ()}, "was made to keep no budget"),
        ("missed", "misses a budget: mae.T is 0.5, required < 0.5"),
    ],
)
def test_what_kept_no_budget_is_not_signed(
    tmp_path: Path, bundle, capsys, manifest_changes, said
) -> None:
    made = read_bundle(bundle("7"))
    if manifest_changes == "missed":
        budget = replace(made.manifest.budgets[0], measured=0.5)
        manifest_changes = {"budgets": (budget, *made.manifest.budgets[1:])}
    _, packed = pack_model(b"a model, as far as a pusher can tell", "zlib")
    path = tmp_path / "th-a.bundle"
    path.write_bytes(bundle_bytes(replace(made.manifest, **manifest_changes), packed, "th-a"))
    with running(tmp_path / "place") as there:
        assert main([str(path), *options(there.target)]) == 2
        assert there.registry.store.models() == []
    assert capsys.readouterr().err.strip() == f"ml4iot-push: {path}: not pushed, for it {said}"


def test_several_keys_by_option_or_by_variable(tmp_path, bundle, capsys, monkeypatch) -> None:
    for version in "78":
        (tmp_path / version).write_bytes(bundle(version))
    with running(tmp_path / "place", KeyCounts(targets=2, targets_threshold=2)) as there:
        first, second = there.target.targets_keys
        assert main([str(tmp_path / "7"), *options(there.target)]) == 0
        without = options(there.target, keys=())
        monkeypatch.setenv("ML4IOT_TARGETS_KEY", f"{first}{os.pathsep}{second}")
        assert main([str(tmp_path / "8"), *without]) == 0
        assert there.registry.store.channel("th-a", "canary").version == "8"
        capsys.readouterr()
        (tmp_path / "9").write_bytes(bundle("9"))
        assert main([str(tmp_path / "9"), *without, "--targets-key", first]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"signed by 2 different keys, and 1 of them given: {first}; " in line
    monkeypatch.setenv("ML4IOT_TARGETS_KEY", os.pathsep)
    with pytest.raises(SystemExit):
        main([str(tmp_path / "9"), *without])
    (line,) = capsys.readouterr().err.splitlines()
    assert "--targets-key" in line


@pytest.mark.parametrize("content", [b"PK", None, "/dev/zero"])
def test_no_bundle_is_one_line(tmp_path: Path, capsys, content) -> None:
    damaged = tmp_path / "x.bundle"
    if isinstance(content, str):
        damaged.symlink_to(content)
    elif content is not None:
        damaged.write_bytes(content)
    nowhere = ["--registry", "http://127.0.0.1:1", "--token-file", "t", "--targets-key", "k"]
    assert main([str(damaged), *nowhere, "--root", "r"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ml4iot-push: {damaged}: not pushed, for a device would refuse it")
