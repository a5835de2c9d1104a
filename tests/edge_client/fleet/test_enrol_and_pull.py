"""``ml4iot-edge enrol`` and ``pull``, as a person types them."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest

from edge_client.bundle import Budget
from edge_client.fleet.enrolment import read_enrolment
from edge_client.fleet.installed.home import Home
from edge_client.fleet.installed.slots import Slots
from tests.edge_client.fleet.repository import bundle


@pytest.fixture
def repository(grown):
    """One that offers version 1."""
    return grown[0].copy()


@pytest.fixture
def root(tmp_path, repository):
    path = tmp_path / "root.json"
    path.write_bytes(repository.files["metadata/1.root.json"])
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    path = tmp_path / "home"
    monkeypatch.setenv("ML4IOT_EDGE_HOME", str(path))
    return Home(path)


@pytest.fixture
def enrolled(run, served, root, home):
    command = ("enrol", "--registry", served.url, "--root", root, "--id", "pi-1")
    status, out, err = run(*command, "--model", "tones")
    assert (status, out) == (0, []) and err[0].startswith(
        "ml4iot-edge: pi-1 follows tones (stable)"
    )
    return home


def test_enrolled_and_pulled(run, enrolled, repository):
    assert run("pull") == (0, ["tones: 1 is active, instead of none"], [])
    assert run("pull") == (0, ["tones: 1, as stable offers"], [])
    repository.offer("2")
    assert run("pull") == (0, ["tones: 2 is active, instead of 1"], [])
    repository.point(None)
    assert run("pull") == (0, ["tones: 2; stable offers nothing"], [])


def test_a_refusal_costs_exit_status_2_and_a_line(run, grown_device, repository, monkeypatch):
    _, home = grown_device
    monkeypatch.setenv("ML4IOT_EDGE_HOME", str(home.path))
    written = json.loads(home.enrolment.read_text())
    written["registry"] = grown_device[0].registry
    home.enrolment.write_text(json.dumps(written))
    place = repository.offer("2", bundle("2", budgets=(Budget("total_ms", "<", 1e-9, 0.0, "ms"),)))
    status, out, err = run("pull")
    assert (status, len(err)) == (2, 1)
    assert out == ["tones: 1 stays; version 2 is refused (latency)"]
    assert err[0].startswith("ml4iot-edge: tones: tones 2: total_ms has a median of")
    assert run("pull") == (status, out, err)
    assert Slots(home, "tones").journal.read().failed
    assert run("pull", "--retry")[0] == 2
    repository.files["metadata/timestamp.json"] = b"{}"
    status, out, err = run("pull")
    assert (status, out) == (2, ["tones: 1 stays; what stable offers is refused (metadata)"])
    assert place


def test_a_registry_that_is_away(run, served, root, home):
    command = ("enrol", "--registry", "http://127.0.0.1:9", "--root", root, "--id", "pi-1")
    assert run(*command, "--model", "tones", "--model", "bells:canary")[0] == 0
    status, out, err = run("pull")
    assert (status, out, len(err)) == (2, [], 2)
    assert "http://127.0.0.1:9: no answer" in err[0]


def test_what_is_enrolled_is_kept_as_it_was_said(run, served, root, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "word").write_text("secret\n")
    status, _, err = run(
        *("enrol", "--registry", f"{served.url}/", "--root", root, "--id", "pi-1"),
        *("--model", "tones:canary", "--model", "bells", "--poll", "30", "--prefix", "house"),
        *("--broker", "broker:1884", "--broker-ca", "ca.pem"),
        *("--broker-user", "pi-1", "--broker-password-file", "word"),
    )
    assert status == 0, err
    enrolment = read_enrolment(home)
    assert enrolment.registry == served.url and enrolment.poll_s == 30
    assert [(e.model, e.channel) for e in enrolment.models] == [
        ("tones", "canary"),
        ("bells", "stable"),
    ]
    assert enrolment.broker.address == "broker:1884" and enrolment.broker.prefix == "house"
    assert enrolment.broker.password_file == str(tmp_path / "word")
    assert "secret" not in home.enrolment.read_text()
    assert enrolment.broker.open().credentials.password == "secret"


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"--registry": "registry:80"}, "no URL"),
        ({"--registry": "http://a:b@registry"}, "without user"),
        ({"--id": "../x"}, "device '../x'"),
        ({"--model": "../x"}, "model '../x'"),
        ({"--model": "tones:"}, "channel ''"),
        ({"--poll": "0"}, "every 0 s"),
        ({"--poll": "nan"}, "every nan s"),
        ({"--prefix": "a/#", "--broker": "b"}, "prefix"),
        ({"--broker": "b:99999999"}, "broker"),
        ({"--broker-user": "me"}, "--broker-user needs --broker"),
        ({"--broker-ca": "ca.pem"}, "--broker-ca needs --broker"),
        ({"--broker-password-file": "word"}, "--broker-password-file needs --broker"),
        ({"--prefix": "house"}, "--prefix needs --broker"),
        ({"--prefix": "ml4iot"}, "--prefix needs --broker"),
        ({"--prefix": "", "--broker": "b"}, "prefix"),
        ({"--root": "/nowhere/root.json"}, "no such file"),
    ],
)
def test_an_enrolment_that_cannot_be(run, served, root, home, changed, text):
    said = {"--registry": served.url, "--root": root, "--id": "pi-1", "--model": "tones"} | changed
    status, out, err = run("enrol", *(part for pair in said.items() for part in pair))
    assert (status, out, len(err)) == (2, [], 1)
    assert text in err[0]
    assert not home.enrolment.exists()


def test_a_model_twice(run, served, root, home):
    command = ("enrol", "--registry", served.url, "--root", root, "--id", "pi-1")
    status, _, err = run(*command, "--model", "tones", "--model", "tones:canary")
    assert status == 2 and "tones twice" in err[0]


@pytest.mark.parametrize("what", ["timestamp", "garbage", "unsigned", "huge"])
def test_a_root_that_is_none(run, served, root, home, repository, what):
    if what == "timestamp":
        root.write_bytes(repository.files["metadata/timestamp.json"])
    elif what == "garbage":
        root.write_bytes(b"{}")
    elif what == "unsigned":
        metadata = json.loads(root.read_text())
        metadata["signatures"] = []
        root.write_text(json.dumps(metadata))
    else:
        root.write_bytes(bytes(600_000))
    command = ("enrol", "--registry", served.url, "--root", root, "--id", "pi-1")
    status, _, err = run(*command, "--model", "tones")
    assert (status, len(err)) == (2, 1)
    assert str(root) in err[0] or "larger" in err[0]
    assert not home.enrolment.exists()


def test_a_device_that_is_not_enrolled(run, home):
    status, out, err = run("pull")
    assert (status, out) == (2, []) and "not enrolled" in err[0]


def test_a_home_that_cannot_be_read(run, tmp_path):
    status, out, err = run("pull", "--home", tmp_path / ("x" * 300))
    assert (status, out) == (2, []) and "cannot be read: File name too long" in err[0]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"device": "x", "registry": 1, "models": []}', "\xff"]
)
def test_an_enrolment_that_cannot_be_read(run, enrolled, text):
    enrolled.enrolment.write_text(text)
    status, out, err = run("pull")
    assert (status, out, len(err)) == (2, [], 1)
    assert "enrol again" in err[0]


def test_a_home_that_cannot_be_written(run, served, root, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ML4IOT_EDGE_HOME", str(tmp_path / "file" / "home"))
    command = ("enrol", "--registry", served.url, "--root", root, "--id", "pi-1")
    status, _, err = run(*command, "--model", "tones")
    assert status == 2 and "cannot be written" in err[0]


def test_a_home_on_a_disk_without_links(run, served, root, home, monkeypatch):
    def symlink(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")  # as of Linux on FAT

    monkeypatch.setattr(os, "symlink", symlink)
    command = ("enrol", "--registry", served.url, "--root", root, "--id", "pi-1")
    status, _, err = run(*command, "--model", "tones")
    assert (status, len(err)) == (2, 1) and "FAT" in err[0]
    assert not home.enrolment.exists()


def test_help_brings_neither_tuf_nor_numpy():
    program = (
        "import sys\nfrom edge_client.__main__ import main\n"
        "try:\n    main(['pull', '--help'])\nexcept SystemExit: pass\n"
        "print(*sorted({'numpy', 'tuf', 'urllib3', 'paho'} & set(sys.modules)), 'end')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert done.stdout.splitlines()[-1] == "end"
