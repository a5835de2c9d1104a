"""What the environment may say, and the line for what it may not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from components.errors import InputError
from pipeline.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("ML4IOT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ML4IOT_HOME", str(tmp_path / "home"))


def settings() -> Settings:
    return read_settings("keyword_spotting", data="ML4IOT_AUDIO")


def test_a_variable_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = settings()
    for name in (
        *("AUDIO", "SPLITS", "FEEDBACK", "VERSIONS", "PUSH", "MODELS", "DEVICE_MEASUREMENTS"),
        *("REGISTRY", "REGISTRY_TOKEN_FILE", "TARGETS_KEY", "REGISTRY_ROOT", "CHANNEL"),
    ):
        monkeypatch.setenv(f"ML4IOT_{name}", "")
    assert settings() == expected
    assert expected.registry is None and expected.measurements is None
    assert expected.data is None and expected.push == expected.home / "pushed"


def test_only_the_versions_of_the_pipelines_task_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ML4IOT_VERSIONS", "th-a, kws-b ,kws-a")
    assert [version.name for version in settings().versions] == ["kws-b", "kws-a"]


def test_a_version_named_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML4IOT_VERSIONS", "kws-a,kws-a")
    with pytest.raises(InputError, match="names 'kws-a' twice"):
        settings()


def test_a_home_that_is_a_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ML4IOT_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"ML4IOT_HOME: .*file cannot be made a folder"):
        settings()
