"""The registry of a run: checked while nothing has been trained yet, each fault in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.errors import InputError
from pipeline.registry import read_registry
from serving.registry.tuf.create import KeyCounts, create
from tests.components.edge_pusher.conftest import Running, running

VARIABLES = {
    "ML4IOT_REGISTRY": "url",
    "ML4IOT_REGISTRY_TOKEN_FILE": "token_file",
    "ML4IOT_TARGETS_KEY": "targets_keys",
    "ML4IOT_REGISTRY_ROOT": "root",
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture(autouse=True)
def environment(registry: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ML4IOT_")]:
        monkeypatch.delenv(name)
    for variable, field in VARIABLES.items():
        value = getattr(registry.target, field)
        monkeypatch.setenv(variable, value if isinstance(value, str) else os.pathsep.join(value))


def test_all_that_is_needed(registry: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_registry() == registry.target
    assert capsys.readouterr().err == ""


def test_a_channel_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML4IOT_CHANNEL", "stable")
    target = read_registry()
    assert target is not None
    assert target.channel == "stable"


def test_a_key_for_each_signature_that_the_root_wants(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with running(tmp_path, KeyCounts(targets=2, targets_threshold=2)) as registry:
        for variable, field in VARIABLES.items():
            value = getattr(registry.target, field)
            monkeypatch.setenv(variable, value if isinstance(value, str) else value[0])
        with pytest.raises(InputError, match=r"ML4IOT_REGISTRY: .*by 2 different keys, and 1 of"):
            read_registry()
        first, second = registry.target.targets_keys
        monkeypatch.chdir(Path(first).parent)  # where each path begins
        names = (Path(first).name, Path(second).name)
        monkeypatch.setenv("ML4IOT_TARGETS_KEY", os.pathsep.join(names))
        assert read_registry() == registry.target


def test_without_a_registry_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable)
    assert read_registry() is None


@pytest.mark.parametrize("variable", list(VARIABLES))
def test_half_of_it_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv(variable)
    with pytest.raises(InputError, match=f"{variable} is not"):
        read_registry()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ML4IOT_REGISTRY", "registry:8600", "ML4IOT_REGISTRY: registry:8600: no URL"),
        ("ML4IOT_CHANNEL", "a/b", "ML4IOT_CHANNEL: channel 'a/b': 1 to 64 letters"),
        ("ML4IOT_REGISTRY_TOKEN_FILE", "/none", "ML4IOT_REGISTRY_TOKEN_FILE: /none: no such file"),
        ("ML4IOT_TARGETS_KEY", "/none", "ML4IOT_TARGETS_KEY: /none: no such file"),
        ("ML4IOT_TARGETS_KEY", "/", "ML4IOT_TARGETS_KEY: /: not a file"),
        ("ML4IOT_TARGETS_KEY", __file__, "no private Ed25519 key in PEM"),
        ("ML4IOT_REGISTRY_ROOT", __file__, "no signed root metadata"),
    ],
)
def test_what_cannot_be_is_named(monkeypatch, variable: str, value: str, message: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=message) as error:
        read_registry()
    assert str(error.value).startswith(f"{variable}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("ML4IOT_TARGETS_KEY", "its root does not name the key"),
        ("ML4IOT_REGISTRY_ROOT", "are not signed as the given root says"),
    ],
)
def test_what_belongs_to_another_registry_is_known_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, message: str
) -> None:
    other = create(tmp_path / "other", tmp_path / "keys", KeyCounts())
    given = {
        "ML4IOT_TARGETS_KEY": other.targets_keys[0],
        "ML4IOT_REGISTRY_ROOT": other.trusted_root,
    }
    monkeypatch.setenv(variable, str(given[variable]))
    with pytest.raises(InputError, match=message):
        read_registry()


def test_one_that_is_away_costs_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ML4IOT_REGISTRY", "http://127.0.0.1:9")
    target = read_registry()
    assert target is not None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ML4IOT_REGISTRY: http://127.0.0.1:9: no answer")
