"""Pages that several processes count on, some of which die."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.fleet.installed import boot
from edge_client.fleet.use.usage import MAX_PROCESSES, Page, deaths, open_page, read_usage

REPOSITORY = Path(__file__).resolve().parents[3]
ENDED = 7

COUNTS = f"""
import os, sys
from pathlib import Path
from edge_client.fleet.use.usage import open_page
page = open_page(Path(sys.argv[1]), sys.argv[2])
print("there", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    page.enter()
    page.count(float(sys.argv[4]), float(sys.argv[4]) / 2)
    page.leave()
if sys.argv[5] == "inside":
    page.enter()
os._exit({ENDED})
"""


def process(folder, version, times, ms, end="outside"):
    return subprocess.Popen(
        [sys.executable, "-c", COUNTS, *map(str, (folder, version, times, ms, end))],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(*processes):
    """Lets them all count at the same time."""
    for one in processes:
        assert one.stdout.readline() == "there\n"
    for one in processes:
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in processes:
        one.communicate(timeout=60)
        assert one.returncode == ENDED


def dead(folder):
    versions = []
    deaths(folder, versions.append)
    return versions


def test_two_processes_at_once_lose_no_count(tmp_path):
    run(process(tmp_path, "2", 30_000, 1.0), process(tmp_path, "2", 20_000, 8.0))
    found = read_usage(tmp_path, "2")
    assert found.inferences == sum(found.total) == sum(found.inference) == 50_000
    assert found.percentile(0.5) == pytest.approx(1.0, rel=0.05)
    assert found.percentile(0.95) == pytest.approx(8.0, rel=0.05)
    assert found.percentile(0.5, inference=True) == pytest.approx(0.5, rel=0.05)
    # The next process counts on from there.
    run(process(tmp_path, "2", 5, 1.0))
    assert read_usage(tmp_path, "2").inferences == 50_005
    assert dead(tmp_path) == []


def test_who_died_inside_is_found_once_it_is_settled(tmp_path):
    run(process(tmp_path, "3", 2, 1.0, "inside"))
    page = open_page(tmp_path, "3")  # takes another page: that one is evidence
    with pytest.raises(RuntimeError):
        deaths(tmp_path, lambda version: (_ for _ in ()).throw(RuntimeError("power cut")))
    assert dead(tmp_path) == ["3"]
    assert dead(tmp_path) == []
    page.close()
    assert read_usage(tmp_path, "3").inferences == 2


def test_whoever_lives_is_not_taken_for_dead(tmp_path):
    page = open_page(tmp_path, "1")
    page.enter()
    assert dead(tmp_path) == []
    page.leave()
    page.close()
    assert dead(tmp_path) == []


def test_when_the_whole_device_went_down_no_model_is_to_blame(tmp_path, monkeypatch):
    run(process(tmp_path, "3", 0, 1.0, "inside"))
    another = tmp_path / "boot_id"
    another.write_text("01234567-89ab-cdef-0123-456789abcdef\n")
    monkeypatch.setattr(boot, "_BOOT_ID", another)
    assert dead(tmp_path) == []


def test_each_version_counts_for_itself(tmp_path):
    for version, times in (("1", 3), ("2", 1), ("1", 4)):
        page = open_page(tmp_path, version)
        for _ in range(times):
            page.count(1, 1)
        page.close()
    assert read_usage(tmp_path, "1").inferences == 7
    assert read_usage(tmp_path, "2").inferences == 1


def test_the_pages_of_old_versions_are_used_again(tmp_path):
    for version in range(2 * MAX_PROCESSES):
        page = open_page(tmp_path, str(version))
        page.count(1, 1)
        page.close()
    assert len(list(tmp_path.iterdir())) == MAX_PROCESSES
    assert read_usage(tmp_path, str(version)).inferences == 1


def test_pages_are_bounded(tmp_path):
    pages = [open_page(tmp_path, "1") for _ in range(MAX_PROCESSES)]
    assert all(isinstance(page, Page) for page in pages)
    assert open_page(tmp_path, "1") is None
    for page in pages:
        page.close()


@given(st.binary(max_size=8000))
def test_a_damaged_page_is_counted_from_zero(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "0").write_bytes(content)
    assert dead(folder) == []
    read_usage(folder, "1")
    page = open_page(folder, "1")
    assert page.inferences == 0
    page.count(1, 1)
    page.close()
    assert read_usage(folder, "1").inferences == 1


@given(st.lists(st.floats(0.002, 100_000), min_size=1, max_size=60))
def test_percentiles_are_right_within_a_bucket(tmp_path_factory, latencies):
    folder = tmp_path_factory.mktemp("latencies")
    page = open_page(folder, "1")
    for ms in latencies:
        page.count(ms, ms)
    page.close()
    ordered = sorted(latencies)
    median = ordered[(len(ordered) + 1) // 2 - 1]
    assert read_usage(folder, "1").percentile(0.5) == pytest.approx(median, rel=0.023)


@pytest.mark.parametrize("ms", [0.0, -1.0, float("nan"), float("inf"), 1e30])
def test_no_latency_breaks_the_counting(tmp_path, ms):
    page = open_page(tmp_path, "1")
    page.count(ms, ms)
    page.close()
    assert read_usage(tmp_path, "1").inferences == 1


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        open_page(tmp_path / "file", "1")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
