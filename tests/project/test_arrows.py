"""The rooms depend on one another in one direction only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOMS = ("pipeline", "components", "serving", "edge_client")
ALLOWED = {
    "pipeline": {"components", "edge_client"},
    "components": {"edge_client"},
    "serving": {"edge_client"},
    "edge_client": set(),
}
# What a device must never need.
HEAVY = {"tensorflow", "tf_keras", "keras", "tfx", "apache_beam", "tensorflow_data_validation"}


def imported_roots(source: str) -> set[str]:
    """The top-level packages that `source` imports, anywhere in it and under any condition."""
    roots = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            roots.add(node.module.split(".")[0])
    return roots


def test_imports_are_found_wherever_they_stand():
    source = "import a.b, c\nfrom d.e import f\nif c:\n    import h\nfrom . import i"
    assert imported_roots(source) == {"a", "c", "d", "h"}


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_point_one_way(room: str, tracked_files: list[Path], repository: Path):
    modules = [
        path
        for path in tracked_files
        if path.suffix == ".py" and path.relative_to(repository).parts[0] == room
    ]
    assert modules, f"no module in {room}"
    forbidden = set(ROOMS) - {room} - ALLOWED[room]
    if room == "edge_client":
        forbidden |= HEAVY
    wrong = {
        str(path.relative_to(repository)): sorted(found)
        for path in modules
        if (found := imported_roots(path.read_text(encoding="utf-8")) & forbidden)
    }
    assert not wrong


def test_no_module_of_the_device_brings_tensorflow_along(tmp_path: Path):
    """Not even through what it imports; `__main__` is the command line and runs when imported."""
    program = (
        "import importlib, pkgutil, sys, edge_client\n"
        "for module in pkgutil.walk_packages(edge_client.__path__, 'edge_client.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        f"print(*sorted(set(sys.modules) & {HEAVY | set(ROOMS[:3])!r}))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == []
