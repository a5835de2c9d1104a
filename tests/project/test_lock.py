"""requirements.lock pins what the two pyproject.toml ask for, and names no host."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

OURS = {"ml4iot", "ml4iot-edge"}
PYTHONS = {"3.10": "3.10.14", "3.11": "3.11.7"}


class Pin(NamedTuple):
    requirement: Requirement
    hashes: list[str]

    def applies_to(self, environment: dict[str, str]) -> bool:
        marker = self.requirement.marker
        return marker is None or marker.evaluate(environment)


def linux(python: str) -> dict[str, str]:
    """The marker environment of 64-bit Linux with this Python, for instance "3.10"."""
    return {
        "python_version": python,
        "python_full_version": PYTHONS[python],
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "os_name": "posix",
    }


@pytest.fixture(scope="module")
def pins(repository: Path) -> list[Pin]:
    text = (repository / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [
        Pin(Requirement(line.split(" --hash=")[0].strip()), re.findall(r"--hash=(\S+)", line))
        for line in lines
    ]


@pytest.fixture(scope="module")
def wanted(repository: Path) -> list[Requirement]:
    root = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    edge = tomllib.loads((repository / "edge_client/pyproject.toml").read_text(encoding="utf-8"))
    lines = [
        *root["project"]["dependencies"],
        *root["dependency-groups"]["dev"],
        *edge["project"]["dependencies"],
    ]
    return [
        requirement
        for requirement in map(Requirement, lines)
        if canonicalize_name(requirement.name) not in OURS
    ]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_is_pinned_to_a_version_it_allows(
    python: str, pins: list[Pin], wanted: list[Requirement]
):
    environment = linux(python)
    versions = {
        canonicalize_name(pin.requirement.name): str(pin.requirement.specifier)[2:]
        for pin in pins
        if pin.applies_to(environment)
    }
    stale = [
        f"{requirement}: {versions.get(canonicalize_name(requirement.name), 'missing')}"
        for requirement in wanted
        if requirement.marker is None or requirement.marker.evaluate(environment)
        if not requirement.specifier.contains(
            versions.get(canonicalize_name(requirement.name), "0"), prereleases=True
        )
    ]
    assert not stale, "the lock is out of step, run `make lock`"


@pytest.mark.parametrize("python", PYTHONS)
def test_no_package_is_pinned_twice(python: str, pins: list[Pin]):
    environment = linux(python)
    names = [canonicalize_name(p.requirement.name) for p in pins if p.applies_to(environment)]
    assert len(names) == len(set(names))


def test_every_pin_is_exact_and_hashed(pins: list[Pin]):
    assert len(pins) > 100
    loose = [
        pin.requirement.name
        for pin in pins
        if [specifier.operator for specifier in pin.requirement.specifier] != ["=="]
        or not pin.hashes
        or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in pin.hashes)
    ]
    assert not loose


def test_it_says_nothing_of_where_packages_come_from(repository: Path):
    text = (repository / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--index-url|--extra-index-url|--find-links)\b", text, re.M)
    assert not re.search(r"^(ml4iot|-e|\.)", text, re.M)
