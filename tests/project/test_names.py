"""Nothing in the repository depends on the machine or the registry it was written with."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

# Put together here, as this file is searched as well.
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("ghcr", "io"),
        ("quay", "io"),
    )
]
UNFINISHED = ["TO" + "DO", "FIX" + "ME", "raise NotImplemented" + "Error", "pragma: no " + "cover"]


def texts(paths: list[Path]) -> dict[Path, str]:
    """The text files among `paths`; models and other binary files hold no names of ours."""
    found = {}
    for path in paths:
        content = path.read_bytes()
        if b"\0" not in content[:8192]:
            found[path] = content.decode("utf-8", errors="replace")
    return found


def offenders(patterns: dict[str, re.Pattern[str]], paths: list[Path]) -> list[str]:
    return [
        f"{path}:{text.count(chr(10), 0, hit.start()) + 1}: {name}"
        for path, text in texts(paths).items()
        for name, pattern in patterns.items()
        if (hit := pattern.search(text))
    ]


def test_a_name_is_found_with_its_line(tmp_path: Path):
    (tmp_path / "a.txt").write_text("first\nsee example.test here\n")
    (tmp_path / "b.bin").write_bytes(b"\0 example.test")
    patterns = {"host": re.compile(r"example\.test")}
    assert offenders(patterns, sorted(tmp_path.iterdir())) == [f"{tmp_path / 'a.txt'}:2: host"]


def test_no_registry_is_named(tracked_files: list[Path]):
    patterns = {host: re.compile(re.escape(host), re.IGNORECASE) for host in REGISTRY_HOSTS}
    assert not offenders(patterns, tracked_files)


def test_no_path_of_this_machine_is_named(tracked_files: list[Path], repository: Path):
    """A whole path only, and none so short (`/`, `/app`) that it may be meant for itself."""
    here = {repository, repository.parent, Path.home(), Path(sys.base_prefix)}
    names = {str(path) for path in here if len(path.parts) > 2}
    if len(Path.home().parts) > 1:
        names.add(f"{Path.home()}/")
    if not names:
        pytest.skip("every path of this machine is too short to tell from an ordinary word")
    patterns = {name: re.compile(rf"(?<![\w.:/]){re.escape(name)}(?![\w-])") for name in names}
    assert not offenders(patterns, tracked_files)


def test_nothing_is_left_unfinished(tracked_files: list[Path], repository: Path):
    sources = [path for path in tracked_files if path.suffix in {".py", ".yaml", ".toml", ".sh"}]
    patterns = {word: re.compile(rf"\b{re.escape(word)}\b") for word in UNFINISHED}
    assert not offenders(patterns, sources)
