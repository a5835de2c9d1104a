"""The operator's folder: made whole, kept private, changed as a whole."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509

from serving.broker import authority
from serving.broker import folder as folder_module
from serving.broker.authority import hosts_of, issue, make_authority
from serving.broker.command import main
from serving.broker.expiry import expiring
from serving.broker.folder import BrokerFolder, create
from serving.broker.passwords import matches
from serving.options import UsageError

SECRET = {"acl", "ca.key", "passwords", "server.pem", "users.json"}


@pytest.fixture
def folder(tmp_path):
    return create(tmp_path / "broker", ["broker.example", "10.0.0.1"])


@pytest.fixture
def run(capsys):
    def call(*arguments):
        try:
            status = main(list(map(str, arguments)))
        except SystemExit as left:  # argparse
            status = left.code
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return call


def modes(path):
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.rglob("*")}


def test_what_is_made(folder, tmp_path):
    found = modes(folder.path)
    assert (
        found.items()
        >= {
            "mosquitto.conf": 0o644,
            "ca.crt": 0o644,
            "credentials": 0o700,
            "data": 0o700,
            "registry.password": 0o600,
        }.items()
    )
    assert {name: found[name] for name in SECRET} == dict.fromkeys(SECRET, 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["broker"]
    assert folder.listens() == ("", 8883)
    password = (folder.path / "credentials" / "registry.password").read_text().strip()
    (line,) = (folder.path / "passwords").read_text().splitlines()
    assert line.startswith("registry:$7$")
    assert matches(password, line.split(":")[1])
    assert password not in "".join(
        each.read_text() for each in folder.path.iterdir() if each.is_file()
    )


def test_what_cannot_be_made_whole_leaves_no_keys_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(BrokerFolder, "_password_file", lambda *_: tmp_path / "no/such/file")
    with pytest.raises(UsageError, match="cannot be written"):
        create(tmp_path / "broker", ["broker.example"])
    assert list(tmp_path.iterdir()) == []


def test_a_user_without_a_name_makes_one(tmp_path, monkeypatch):
    """As in a container that is run under a number."""
    monkeypatch.setattr(folder_module.os, "getuid", lambda: 2**31 - 7)
    made = create(tmp_path / "broker", ["broker.example"])
    assert "\nuser mosquitto\n" in (made.path / "mosquitto.conf").read_text()


@pytest.mark.parametrize(
    ("life", "leeway", "says"),
    [
        (timedelta(days=-1), timedelta(days=30), "expired on .* ml4iot-broker renew"),
        (timedelta(days=9), timedelta(days=-2), "set the clock"),
    ],
)
def test_a_certificate_that_no_client_takes_is_told_before_the_start(
    tmp_path, monkeypatch, run, life, leeway, says
):
    monkeypatch.setattr(authority, "SERVER_LIFE", life)
    folder = create(tmp_path / "broker", ["broker.example"])
    monkeypatch.setattr(authority, "_LEEWAY", leeway)
    folder.renew()
    status, _, (line,) = run("run", folder.path)
    assert status == 2 and re.search(says, line)


@pytest.mark.parametrize("command", ["run", "renew"])
@pytest.mark.parametrize("name", ["ca.crt", "server.pem"])
def test_a_damaged_certificate_costs_one_line(folder, run, name, command):
    (folder.path / name).write_text("-----BEGIN CERTIFICATE-----\n")
    status, _, (line,) = run(command, folder.path)
    assert status == 2 and name in line


def test_only_what_ends_within_a_month_is_said(folder, monkeypatch):
    assert expiring(folder) == []
    monkeypatch.setattr(authority, "SERVER_LIFE", timedelta(days=29))
    folder.renew()
    (line,) = expiring(folder)
    assert "server.pem: expires on" in line and f"renew {folder.path}" in line


def test_where_something_is_nothing_is_made(tmp_path):
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "mine").write_text("mine")
    with pytest.raises(UsageError, match="there is something in it"):
        create(tmp_path / "broker", ["broker.example"])
    assert [each.name for each in tmp_path.rglob("*")] == ["broker", "mine"]


@pytest.mark.parametrize("host", ["", "a b", "-a", "a..b", "a\n", "ä.example", "*.example"])
def test_a_host_that_can_be_none(tmp_path, host):
    with pytest.raises(UsageError, match="a name such as"):
        create(tmp_path / "broker", [host])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bind", ["a b", "1.2.3.4\nuser root", "x" * 254])
def test_an_address_that_is_none_writes_no_line_of_its_own(tmp_path, bind):
    with pytest.raises(UsageError, match="no address of this machine"):
        create(tmp_path / "broker", ["a"], bind=bind)


def test_the_certificate_is_for_the_hosts_and_of_the_authority(folder):
    authority = x509.load_pem_x509_certificate(folder.ca.read_bytes())
    server = x509.load_pem_x509_certificate((folder.path / "server.pem").read_bytes())
    server.verify_directly_issued_by(authority)
    authority.verify_directly_issued_by(authority)
    hosts = hosts_of((folder.path / "server.pem").read_bytes())
    assert hosts == ["broker.example", "10.0.0.1", "localhost", "127.0.0.1", "::1"]
    now = datetime.now(timezone.utc)
    assert server.not_valid_before_utc < now - timedelta(days=29)  # for clocks without a battery
    assert server.not_valid_after_utc > now + timedelta(days=800)
    other = issue(make_authority("other"), ["broker.example"])
    with pytest.raises(ValueError, match="Issuer"):
        x509.load_pem_x509_certificate(other.certificate).verify_directly_issued_by(authority)


def test_renewing_keeps_the_authority_and_the_hosts(folder):
    before, ca = (folder.path / "server.pem").read_bytes(), folder.ca.read_bytes()
    folder.renew()
    after = (folder.path / "server.pem").read_bytes()
    assert (after != before, hosts_of(after)) == (True, hosts_of(before))
    assert folder.ca.read_bytes() == ca
    folder.renew(["other.example"])
    assert hosts_of((folder.path / "server.pem").read_bytes())[0] == "other.example"
    assert modes(folder.path)["server.pem"] == 0o600


def test_users_come_and_go(folder, run):
    status, out, _ = run("device", "add", folder.path, "kitchen", "hall", "--cooperates")
    files = [folder.path / "credentials" / f"{name}.password" for name in ("kitchen", "hall")]
    assert (status, out) == (0, [str(file) for file in files])
    assert run("reader", "add", folder.path, "anna")[0] == 0
    assert run("users", folder.path)[1] == [
        "anna\treader",
        "hall\tdevice\tcooperates",
        "kitchen\tdevice\tcooperates",
        "registry\tregistry",
    ]
    before = files[0].read_text()
    assert run("password", folder.path, "kitchen") == (0, [str(files[0])], [])
    assert files[0].read_text() != before
    assert matches(files[0].read_text().strip(), folder.users["kitchen"].password)
    assert run("device", "remove", folder.path, "hall") == (0, [], [])
    assert not files[1].exists()
    for name in ("passwords", "acl", "users.json"):
        text = (folder.path / name).read_text()
        assert "kitchen" in text and "anna" in text and "hall" not in text


def test_wrong_use_changes_nothing_and_costs_one_line(folder, run, tmp_path):
    run("device", "add", folder.path, "kitchen")
    run("reader", "add", folder.path, "anna")
    before = {each: each.read_bytes() for each in folder.path.rglob("*") if each.is_file()}
    place = folder.path
    for arguments, said in (
        (("device", "add", place, "hall", "kitchen"), "device kitchen is there already"),
        (("device", "add", place, "registry"), "registry registry is there already"),
        (("device", "add", place, "a/b"), "device 'a/b': 1 to 64 letters"),
        (("device", "add", place, "../x"), "device '../x'"),
        (("device", "add", place, "+"), "device '+'"),
        (("device", "add", place, "a:b"), "device 'a:b'"),
        (("device", "add", place, "a\nuser b"), "1 to 64 letters"),
        (("device", "add", place, "a.b", "a_b"), "to Home Assistant the same as a.b"),
        (("device", "add", place), "required: ID"),
        (("device", "remove", place, "anna"), "anna is no device but a reader"),
        (("reader", "remove", place, "nobody"), "nobody of that name"),
        (("password", place, "nobody"), "nobody of that name"),
        (("device", "add", tmp_path / "other", "hall"), "make one with ml4iot-broker init"),
        (("run", tmp_path), "no broker's folder"),
        (("init", place, "--host", "a"), "there is something in it"),
        (("init", tmp_path / "new", "--host", "a", "--port", "0"), "between 1 and 65535"),
        (("init", tmp_path / "new"), "required: --host"),
        ((), "required: COMMAND"),
    ):
        status, out, err = run(*arguments)
        assert (status, out, len(err)) == (2, [], 1), arguments
        assert said in err[0]
    assert {each: each.read_bytes() for each in folder.path.rglob("*") if each.is_file()} == before


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"users": 1}',
        '{"users": [{"name": "a"}]}',
        '{"users": [{"name": "../a", "role": "device", "password": ""}]}',
        '{"users": [{"name": "a", "role": "root", "password": ""}]}',
        '{"users": [{"name": "a", "role": "device", "password": "x\\nb:y"}]}',
        '{"users": [{"name": 1, "role": "device", "password": ""}]}',
        "[" * 100_000,
    ],
)
def test_users_that_are_not_ours_are_told(folder, run, content):
    (folder.path / "users.json").write_text(content)
    status, out, err = run("users", folder.path)
    assert (status, out, len(err)) == (2, [], 1)
    assert "users.json" in err[0]


def test_many_operators_at_once_lose_nobody(folder):
    names = [f"device-{number}" for number in range(12)]
    threads = [threading.Thread(target=folder.add, args=([name], "device")) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(folder.users) == {*names, "registry"}
    kept = dict(line.split(":") for line in (folder.path / "passwords").read_text().splitlines())
    for name in names:
        password = (folder.path / "credentials" / f"{name}.password").read_text().strip()
        assert matches(password, kept[name])


def test_what_was_made_of_the_users_is_made_again(folder):
    folder.add(["kitchen"], "device")
    before = [(folder.path / name).read_text() for name in ("passwords", "acl")]
    (folder.path / "passwords").unlink()
    (folder.path / "acl").write_text("topic readwrite #\n")
    folder.write_for_mosquitto()
    assert [(folder.path / name).read_text() for name in ("passwords", "acl")] == before


def test_a_folder_that_cannot_be_locked_costs_one_line(folder, run):
    (folder.path / ".lock").unlink(missing_ok=True)
    (folder.path / ".lock").mkdir()
    status, _, (line,) = run("device", "add", folder.path, "attic")
    assert status == 2 and f"{folder.path}: cannot be written" in line


def forbidden(path):
    """As Python before 3.14 answers of a folder that only another user may enter."""
    raise PermissionError(13, "Permission denied", str(path))


def test_a_folder_of_another_user_costs_one_line(folder, run, monkeypatch):
    monkeypatch.setattr(Path, "is_file", forbidden)
    status, _, (line,) = run("users", folder.path)
    assert status == 2 and line.endswith("mosquitto.conf: Permission denied")


def test_a_configuration_without_a_listener_is_told(folder):
    (folder.path / "mosquitto.conf").write_text("persistence true\n")
    with pytest.raises(UsageError, match="no line `listener PORT`"):
        folder.listens()
    with pytest.raises(UsageError, match="is missing"):
        BrokerFolder(folder.path / "data").checked()


def test_help_needs_no_cryptography():
    program = (
        "import sys\nfrom serving.broker.command import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'cryptography', 'amqtt', 'paho'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
