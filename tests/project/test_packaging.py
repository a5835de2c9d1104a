"""What is installed is whole: importable from any folder, and with all its modules and data."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


def python(*arguments: str, cwd: Path) -> str:
    finished = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=240
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    return finished.stdout


def wheel_names(project: Path, built: Path) -> set[str]:
    """Build `project`'s wheel, offline, and list the files in it."""
    built.mkdir()
    program = f"from setuptools import build_meta; build_meta.build_wheel({str(built)!r})"
    python("-W", "ignore", "-c", program, cwd=project)
    (wheel,) = built.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def copied(files: list[Path], source: Path, target: Path) -> Path:
    """Copy `files` of `source` to `target`, for setuptools writes beside what it builds."""
    for path in files:
        destination = target / path.relative_to(source)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, destination)
    return target


def inside(files: list[Path], repository: Path, *rooms: str) -> list[Path]:
    return [path for path in files if path.relative_to(repository).parts[0] in rooms]


def test_the_rooms_are_importable_from_any_folder(repository: Path, tmp_path: Path):
    program = (
        "import components, edge_client, pipeline, serving\n"
        "for room in (components, edge_client, pipeline, serving): print(room.__file__)"
    )
    found = [Path(line).parent for line in python("-c", program, cwd=tmp_path).splitlines()]
    assert found == [repository / r for r in ("components", "edge_client", "pipeline", "serving")]


def test_a_script_in_pipeline_shadows_no_module(repository: Path):
    """`tfx run create` starts a pipeline as a script, with its folder first on the path."""
    names = {path.stem for path in (repository / "pipeline").iterdir()} - {
        "__init__",
        "__main__",
        "__pycache__",
    }
    assert not names & set(sys.stdlib_module_names)
    installed = {path.stem for path in Path(sys.prefix).glob("lib/python3*/site-packages/*")}
    assert not names & installed


@pytest.mark.parametrize("room", ["pipeline", "components", "serving", "edge_client"])
def test_every_folder_with_modules_is_a_package(
    room: str, repository: Path, tracked_files: list[Path]
):
    folders = {p.parent for p in inside(tracked_files, repository, room) if p.suffix == ".py"}
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]


def test_the_device_wheel_holds_every_module(
    repository: Path, tracked_files: list[Path], tmp_path: Path
):
    files = inside(tracked_files, repository, "edge_client")
    project = copied(files, repository / "edge_client", tmp_path / "project")
    names = wheel_names(project, tmp_path / "built")
    modules = {str(p.relative_to(repository)) for p in files if p.suffix == ".py"}
    missing = sorted(modules - names)
    assert not missing, "add their packages to [tool.setuptools] in edge_client/pyproject.toml"
    assert any(name.endswith("LICENSE") for name in names), "Apache-2.0 wants a copy with it"
    roots = {name.split("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"edge_client"}


def test_the_pipeline_wheel_holds_every_module_and_every_version(
    repository: Path, tracked_files: list[Path], tmp_path: Path
):
    rooms = inside(tracked_files, repository, "pipeline", "components", "serving")
    top = [repository / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    project = copied([*rooms, *top], repository, tmp_path / "project")
    names = wheel_names(project, tmp_path / "built")
    wanted = {
        str(path.relative_to(repository))
        for path in rooms
        if path.suffix in {".py", ".yaml", ".pbtxt"}
    }
    assert not sorted(wanted - names)
