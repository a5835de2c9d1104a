"""edge_client and its tests into a userland, by pip and with the wheels of its processor."""

from __future__ import annotations

import ast
import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from tests.pi.process import PiError, run, said
from tests.pi.userland import Userland

PYTHON = "/opt/edge/bin/python"
EDGE = "/opt/edge/bin/ml4iot-edge"
CHECKOUT = "/opt/ml4iot"
_TOOLS = ("pytest", "pytest-timeout", "pytest-xdist", "hypothesis")
# What only the other rooms have: their tests are of the machine outside.
_OUTSIDE = ("components", "pipeline", "rich", "serving", "tensorflow", "tests.benchmarks")


def install(userland: Userland, repository: Path) -> str:
    """Installs the checkout's edge_client into a virtual environment; gives the version of Python.

    The packages it needs are kept between runs as long as it asks for the same.
    """
    asked = (repository / "edge_client/pyproject.toml").read_bytes() + repr(_TOOLS).encode()
    wanted = hashlib.sha256(asked).hexdigest()
    marker = userland.root / "opt/edge/wanted"
    with tempfile.TemporaryDirectory() as folder:
        wheel = _wheel(repository, Path(folder))
        inside = userland.root / "opt" / wheel.name
        shutil.copy(wheel, inside)
    if not marker.exists() or marker.read_text() != wanted:
        shutil.rmtree(userland.root / "opt/edge", ignore_errors=True)
        _checked(userland, ["python3", "-m", "venv", "/opt/edge"])
        _pip(userland, f"/opt/{wheel.name}[flac]", *_TOOLS)
        marker.write_text(wanted)
    else:
        _pip(userland, "--no-deps", "--force-reinstall", f"/opt/{wheel.name}")
    ask = "import platform; print(platform.machine(), platform.python_version())"
    return _checked(userland, [PYTHON, "-c", ask]).strip()


def copy_tests(userland: Userland, repository: Path) -> list[str]:
    """Lays the device's tests and the committed models beside each other; gives those left out.

    The fixtures of the whole tree import other rooms only where they are asked for.
    """
    target = userland.root / CHECKOUT.lstrip("/")
    shutil.rmtree(target, ignore_errors=True)
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(repository / "tests/edge_client", target / "tests/edge_client", ignore=leave)
    shutil.copytree(repository / "models", target / "models", ignore=shutil.ignore_patterns("big"))
    shutil.copy(repository / "pyproject.toml", target / "pyproject.toml")
    left_out: list[str] = []
    while found := _of_other_rooms(target):  # again, for others need what was just left out
        for path in found:
            left_out.append(str(path.relative_to(target)))
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copy(repository / "tests/conftest.py", target / "tests/conftest.py")
    return sorted(left_out)


def _of_other_rooms(target: Path) -> list[Path]:
    """Test modules that import what is not on a device, and folders whose conftest does."""
    found = set()
    for path in (target / "tests").rglob("*.py"):
        if any(not _is_here(name, target) for name in _imports(path)):
            found.add(path.parent if path.name == "conftest.py" else path)
    return sorted(path for path in found if not found & set(path.parents))


def _is_here(name: str, target: Path) -> bool:
    if any(f"{name}.".startswith(f"{room}.") for room in _OUTSIDE):
        return False
    place = target / name.replace(".", "/")
    return not name.startswith("tests.") or place.is_dir() or place.with_suffix(".py").exists()


def _imports(path: Path) -> set[str]:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {node.module}
    return imported


def _wheel(repository: Path, folder: Path) -> Path:
    # From a copy: setuptools leaves a build folder beside what it builds.
    source = folder / "edge_client"
    shutil.copytree(
        repository / "edge_client",
        source,
        ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"),
    )
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    done = run([sys.executable, "-c", build, str(folder)], folder=source)
    if done.returncode:
        raise PiError(f"edge_client has no wheel: {done.stderr.strip().splitlines()[-1]}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def _pip(userland: Userland, *arguments: str) -> None:
    _checked(userland, [PYTHON, "-m", "pip", "install", "--quiet", *arguments])


def _checked(userland: Userland, command: list[str]) -> str:
    return said(command, userland.run(command))
