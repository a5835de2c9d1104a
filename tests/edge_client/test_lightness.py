"""What the device pays: time to import, memory, disk.  No time is asserted, for machines differ."""

from __future__ import annotations

import importlib.metadata as metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.edge_client.tiny import EXAMPLES, wav

HEAVY = ("tensorflow", "tfx", "tf_keras", "keras", "apache_beam", "components", "serving")
MAX_RESIDENT = 120e6

# Runs the command line as a device does and says afterwards what it brought along and needed.
PROGRAM = """
import json, sys
from pathlib import Path
from edge_client.__main__ import main
status = main(sys.argv[1:])
# Not getrusage: its peak is inherited from the process that started this one.
lines = Path("/proc/self/status").read_text().splitlines()
peak = 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
print(json.dumps({"status": status, "modules": sorted(sys.modules), "peak": peak}), file=sys.stderr)
"""


def measured(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.splitlines()[-1]), done.stdout


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc"
)


@needs_proc
def test_predicting_is_light_in_memory_and_free_of_tensorflow(
    keyword_bundle, tmp_path, record_property
):
    for number in range(50):
        (tmp_path / f"{number:02}.wav").write_bytes(wav(EXAMPLES["low"]))
    result, out = measured("predict", keyword_bundle, tmp_path)
    assert result["status"] == 0
    assert len(out.splitlines()) == 50
    assert not [name for name in result["modules"] if name.split(".")[0] in HEAVY]
    assert "scipy.signal" not in result["modules"]  # a second on a Pi, for nothing at 16 kHz
    print(f"peak resident memory of predict: {result['peak'] / 1e6:.0f} MB")
    record_property("peak_resident_mb", result["peak"] / 1e6)
    assert result["peak"] <= MAX_RESIDENT


@needs_proc
def test_running_with_a_big_model_is_as_light(keyword_bundle, tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(EXAMPLES["low"]))
    result, out = measured(
        *("run", keyword_bundle, tmp_path, "--policy", "always", "--big", "http://127.0.0.1:9")
    )
    assert (result["status"], len(out.splitlines())) == (0, 1)
    brought = {name.split(".")[0] for name in result["modules"]}
    assert not brought & {*HEAVY, "paho", "soundfile", "sounddevice"}
    assert "scipy.signal" not in result["modules"]
    print(f"peak resident memory of run: {result['peak'] / 1e6:.0f} MB")
    assert result["peak"] <= MAX_RESIDENT


@needs_proc
def test_a_year_of_records_stays_light_too(forecast_bundle, data_folder):
    result, out = measured("predict", forecast_bundle, data_folder / "jena_climate_2020.csv.zip")
    assert result["status"] == 0
    assert len(out.splitlines()) > 52_000
    print(f"peak resident memory over a year of records: {result['peak'] / 1e6:.0f} MB")
    assert result["peak"] <= MAX_RESIDENT


def test_help_needs_neither_numpy_nor_litert():
    program = (
        "import sys\nfrom edge_client.__main__ import main\n"
        "try:\n    main(['predict', '--help'])\nexcept SystemExit: pass\n"
        "print(*sorted({'numpy', 'scipy', 'ai_edge_litert'} & set(sys.modules)), 'end')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "end"


def test_importing_brings_nothing_along(record_property):
    program = (
        "import sys, time\nfirst = set(sys.modules)\nbefore = time.perf_counter()\n"
        "import edge_client\nseconds = time.perf_counter() - before\n"
        "print(seconds, *sorted(m for m in set(sys.modules) - first if '.' not in m))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    seconds, *modules = done.stdout.split()
    print(f"import edge_client: {float(seconds) * 1e3:.1f} ms")
    record_property("import_seconds", float(seconds))
    assert modules == ["edge_client"]


def installed_bytes(name):
    files = metadata.files(name)
    if files is None:
        pytest.skip(f"{name} was installed without a list of its files")
    return sum(path.stat().st_size for file in files if (path := file.locate()).is_file())


def test_installed_size(repository):
    large = ("numpy", "scipy", "ai-edge-litert", "cryptography", "tuf", "securesystemslib")
    sizes = {name: installed_bytes(name) for name in large}
    ours = [p for p in (repository / "edge_client").rglob("*.py") if "build" not in p.parts]
    sizes["ml4iot-edge"] = sum(path.stat().st_size for path in ours)
    for name, size in sizes.items():
        print(f"{name:<16}{size / 1e6:8.1f} MB")
    print(f"{'together':<16}{sum(sizes.values()) / 1e6:8.1f} MB")
    assert sizes["ml4iot-edge"] < 1e6
    # What a device needs at all, besides the Python it has.
    requires = metadata.requires("ml4iot-edge") or []
    wanted = {re.split("[<>]", each)[0] for each in requires if "extra ==" not in each}
    network = {"urllib3", "cbor2", "paho-mqtt"}
    updates = {"tuf", "securesystemslib[crypto]"}
    assert wanted == {"numpy", "scipy", "ai-edge-litert"} | network | updates
