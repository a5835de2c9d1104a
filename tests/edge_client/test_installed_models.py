"""``predict``, ``run`` and ``bench`` with the name of an installed model in place of a file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edge_client.bundle import LabelOutput
from edge_client.cli.models import open_model, resolve
from edge_client.fleet.errors import FleetError
from edge_client.fleet.installed.home import Home
from edge_client.fleet.use.usage import read_usage
from tests.edge_client import tiny
from tests.edge_client.fleet.installed import install, keyword_bundle, state

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    install(home, "tones", "1", keyword_bundle("1"))
    return home


@pytest.fixture
def words(tmp_path):
    root = tmp_path / "words"
    for word, clip in tiny.EXAMPLES.items():
        (root / word).mkdir(parents=True)
        (root / word / "ann_nohash_0.wav").write_bytes(tiny.wav(clip))
    return root


def inferences(home, version, model="tones"):
    usage = read_usage(home.model(model) / "in_use", version)
    return 0 if usage is None else usage.inferences


def test_predict(run, home, words):
    status, out, err = run("predict", "tones", words, "--home", home.path, "--summary")
    assert (status, len(out), len(err)) == (0, 3, 1)
    assert [json.loads(line)["label"] for line in out] == ["high", "low", "silence"]
    assert inferences(home, "1") == 3
    status, _, err = run("predict", "tones", "--self-test", "--home", home.path)
    assert status == 0 and "3 golden inputs" in err[0]


def test_the_home_of_the_environment(run, home, words, monkeypatch):
    monkeypatch.setenv("ML4IOT_EDGE_HOME", str(home.path))
    assert run("predict", "tones", words)[0] == 0
    assert run("run", "tones", words, "--policy", "never")[0] == 0
    assert inferences(home, "1") == 6


def test_run_in_both_modes(run, home, words):
    status, out, _ = run("run", "tones", words, "--home", home.path, "--mode", "fast-slow")
    assert (status, len(out)) == (0, 3)
    assert {json.loads(line)["decided_by"] for line in out} <= {"fast", "slow"}
    assert inferences(home, "1") >= 3


def test_bench_uses_no_page(run, home):
    status, out, _ = run("bench", "tones", "--home", home.path, "--runs", 100)
    assert status == 0 and out[0].startswith("tones 1,")
    assert inferences(home, "1") == 0


def test_resolve(home, tmp_path, monkeypatch):
    assert resolve("tones", home.path) == home.model("tones") / "slots" / "a" / "tones.bundle"
    assert resolve("../home", home.path) == Path("../home")
    monkeypatch.chdir(tmp_path)
    Path("tones").write_bytes(b"a file of that name comes first")
    assert resolve("tones", home.path) == Path("tones")


@pytest.mark.parametrize("command", ["predict", "bench", "run"])
def test_neither_file_nor_model(run, home, words, command):
    inputs = [] if command == "bench" else [words]
    neither = "ml4iot-edge: tunes: no such file, and no model of this name is installed in"
    install(home, "bells", "1", keyword_bundle("1"))
    (home.path / "models" / "tolls").mkdir()  # where a pull has not come to its end
    said = f"{neither} {home.path} (there: bells, tones); ml4iot-edge pull installs models"
    assert run(command, "tunes", *inputs, "--home", home.path) == (2, [], [said])
    empty = home.path / "empty"
    said = f"{neither} {empty} (none is there); ml4iot-edge pull installs models"
    assert run(command, "tunes", *inputs, "--home", empty) == (2, [], [said])


@pytest.mark.parametrize("command", ["predict", "bench", "run"])
def test_a_model_that_is_not_there_yet(run, home, words, command):
    (home.path / "models" / "tolls").mkdir()
    inputs = [] if command == "bench" else [words]
    status, out, err = run(command, "tolls", *inputs, "--home", home.path)
    assert (status, out, len(err)) == (2, [], 1)
    assert "tolls: no" in err[0] and "of this name is installed" in err[0]


def test_of_very_many_models_some_are_named(home):
    bundle = keyword_bundle("1")
    for number in range(12):
        install(home, f"x-{number:02}", "1", bundle)
    with pytest.raises(FleetError, match=r"\(there: tones, x-00, .*, x-06, …\);") as error:
        resolve("tunes", home.path)
    assert "x-07" not in str(error.value)


def test_a_folder_is_no_model_either(run, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tunes").mkdir()
    status, out, err = run("bench", "tunes", "--home", home.path)
    assert (status, out, err) == (2, [], ["ml4iot-edge: tunes: not a file"])


def test_a_folder_of_that_name_is_no_model(run, home, words, monkeypatch):
    """Such as one of recordings, where the command is typed."""
    monkeypatch.chdir(words)
    (words / "tones").mkdir()
    assert run("predict", "tones", "low", "--home", home.path)[0] == 0


# Runs a command as somebody who may not do what only root may.
NOBODY = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-m", "edge_client")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
@pytest.mark.parametrize("closed", ["", "models/tones/slots"])
@pytest.mark.parametrize("command", [("predict", "tones", "x.wav"), ("bench", "tones")])
def test_a_home_of_somebody_else(home, command, closed):
    home.path.chmod(0o755)
    os.chown(home.path / closed, 65534, 65534)
    (home.path / closed).chmod(0o700)
    done = subprocess.run(
        [*NOBODY, *command, "--home", home.path],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"{home.path}: cannot be read: Permission denied" in done.stderr


def test_a_user_without_a_home(run, monkeypatch):
    monkeypatch.delenv("ML4IOT_EDGE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    status, _, err = run("predict", "tones", "x.wav")
    assert status == 2 and "--home" in err[0]


def test_a_model_without_a_version(run, home, words):
    (home.model("tones") / "active").unlink()
    status, out, err = run("predict", "tones", words, "--home", home.path)
    assert (status, out, len(err)) == (2, [], 1)
    assert "pull" in err[0]


FOLLOWS = """
import sys
from edge_client.__main__ import main
from edge_client.cli import run_setup
from edge_client.run.clip import Clip
import numpy as np
def clips(chosen, first):
    def heard():
        for line in sys.stdin:
            yield Clip(line.strip(), np.zeros(16000, np.int16), 16000, None, None)
    return heard(), None
run_setup._clips = clips
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def running(home):
    """``run`` with a clip for every line it is given."""
    command = ["run", "tones", "--microphone", "--home", str(home.path), "--policy", "never"]
    process = subprocess.Popen(
        [sys.executable, "-c", FOLLOWS, *command],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def clip(name):
        process.stdin.write(f"{name}\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())["path"]

    process.clip = clip
    yield process
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()


def test_run_follows_a_switch(home, running):
    assert running.clip("one") == "one"
    install(home, "tones", "2", keyword_bundle("2"))
    assert running.clip("two") == "two"
    manifest, packed = tiny.keyword_parts()
    others = replace(manifest, output=LabelOutput(("up", "down", "off")))
    install(home, "tones", "3", keyword_bundle("3", parts=(others, packed)))
    assert running.clip("three") == "three"
    assert running.clip("four") == "four"
    running.stdin.close()
    assert running.wait(20) == 0
    said = running.stderr.read().splitlines()
    assert len(said) == 2
    assert "tones 2 is used from now on, instead of 1" in said[0]
    assert "tones 2 is used on: tones 3 knows other words" in said[1]
    assert (inferences(home, "1"), inferences(home, "2"), inferences(home, "3")) == (1, 3, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_told_to_end_does_not_blame_the_model(home, number):
    """By whoever stops a service, say, or by closing the terminal."""
    install(home, "tones", "2", keyword_bundle("2"))
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from edge_client.cli.models import Maker, open_model\n"
        "with open_model('tones', Path(sys.argv[1]), lambda maker: maker) as model:\n"
        "    model.started()\n"
        "    os.kill(os.getpid(), int(sys.argv[2]))\n"
        "    while True: pass\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", program, str(home.path), str(int(number))],
        cwd=REPOSITORY,
        timeout=60,
    )
    assert process.returncode == 128 + number
    with open_model("tones", home.path, lambda maker: maker) as model:
        assert model.version == "2"
    assert state(home, "tones") == ("2", "1", {})


def test_who_was_begun_to_outlive_its_terminal_does(home):
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from edge_client.cli.models import open_model\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does\n"
        "with open_model('tones', Path(sys.argv[1]), lambda maker: maker):\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
    )
    command = [sys.executable, "-c", program, str(home.path)]
    assert subprocess.run(command, cwd=REPOSITORY, timeout=60).returncode == 0
