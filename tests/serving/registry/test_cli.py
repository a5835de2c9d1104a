"""``ml4iot-registry`` as its operator types it."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.registry.__main__ import main
from serving.registry.tokens import Tokens
from serving.registry.tuf import repository as repository_module
from serving.registry.tuf.repository import Repository


@pytest.fixture
def typed(capsys):
    """Runs a command; its status, standard output and standard error."""

    def run(*words):
        try:
            status = main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def asked(typed, service, tmp_path):
    """Runs a command against the running registry, with the operator's token."""
    file = tmp_path / "token"
    file.write_text(service.tokens["operate"] + "\n")
    return lambda *words: typed(*words, "--registry", service.url, "--token-file", file)


def test_init_says_what_to_keep_and_what_next(typed, tmp_path):
    folder, keys = tmp_path / "registry", tmp_path / "keys"
    status, said, complained = typed(
        "init", folder, "--keys", keys, "--root-keys", "3", "--threshold", "2"
    )
    assert (status, complained) == (0, "")
    assert {path.name for path in keys.iterdir()} == {
        "root-1.pem",
        "root-2.pem",
        "root-3.pem",
        "targets.pem",
        "root.json",
    }
    assert "root-1.pem, root-2.pem, root-3.pem: keep offline; 2 of 3 must sign" in said
    assert f"ml4iot-registry token add {folder}" in said
    assert stat.S_IMODE((folder / "online").stat().st_mode) == 0o700
    root = Repository(folder).contents.root.signed
    assert (len(root.roles["root"].keyids), root.roles["root"].threshold) == (3, 2)


@pytest.mark.parametrize("option", ["prefix", "broker-ca", "broker-user", "broker-password-file"])
def test_what_is_of_a_broker_needs_one(typed, operator, option):
    status, said, complained = typed("serve", operator.folder, "--port", "0", f"--{option}", "x")
    assert (status, said) == (2, "")
    assert complained == f"ml4iot-registry: --{option} needs --broker\n"


def test_tokens(typed, operator):
    status, token, complained = typed("token", "add", operator.folder, "ada", "--role", "push")
    assert (status, complained) == (0, "")
    running = Tokens(operator.folder)
    assert running.holder(token.strip()).role == "push"
    assert token.strip() not in (operator.folder / "tokens.json").read_text()
    status, _, complained = typed("token", "add", operator.folder, "ada", "--role", "push")
    assert status == 2 and "ada has a token" in complained
    assert typed("token", "remove", operator.folder, "ada")[0] == 0
    assert running.holder(token.strip()) is None  # without being opened again
    status, _, complained = typed("token", "remove", operator.folder, "ada")
    assert status == 2 and "has no token" in complained


def test_tokens_made_at_once_are_all_kept(operator):
    names = [f"pi-{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:  # each as a process of its own does
        made = list(pool.map(lambda name: Tokens(operator.folder).add(name, "device"), names))
    known = Tokens(operator.folder)
    assert [holder and holder.name for holder in map(known.holder, made)] == names


def test_rotate(typed, operator):
    status, said, _ = typed("rotate", operator.folder, "--keys", operator.keys, "targets")
    assert status == 0
    assert "targets-2.pem" in said and "destroyed" in said and "version 2" in said


def test_list_describe_activate_retire(asked, service):
    service.push("typed", "1.0", "canary")
    service.push("typed", "1.1")
    status, said, _ = asked("list")
    assert status == 0 and "typed" in said and "canary: 1.0" in said
    status, said, _ = asked("activate", "typed", "1.1", "--channel", "stable")
    assert status == 0 and "channel stable of typed offers 1.1" in said
    status, said, _ = asked("describe", "typed")
    assert status == 0
    for part in ("pushed by ada", "run-1 of test", "channel stable: 1.1", "offered on canary"):
        assert part in said
    status, said, _ = asked("describe", "typed", "1.0")
    assert status == 0 and "typed 1.0" in said and "1.1" not in said
    asked("activate", "typed", "1.1", "--channel", "canary")
    assert asked("retire", "typed", "1.0")[:2] == (0, "typed 1.0 is retired\n")
    status, _, complained = asked("retire", "typed", "1.1")
    assert status == 2 and "offered by channel" in complained


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["describe", "nothing"], "no model nothing"),
        (["describe", "../x"], "model '../x'"),
        (["activate", "nothing", "1.0", "--channel", "stable"], "no version 1.0"),
        (["retire", "a", "b/c"], "version 'b/c'"),
    ],
)
def test_what_is_not_there(asked, words, match):
    status, _, complained = asked(*words)
    assert status == 2
    assert match in complained and complained.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["frobnicate"], "invalid choice"),
        (["init", "FOLDER", "--keys", "OTHER", "--threshold", "2"], "threshold"),
        (["init", "KEYS", "--keys", "OTHER"], "is there already"),
        (["token", "add", "MISSING", "ada", "--role", "push"], "no such folder"),
        (["token", "add", "KEYS", "ada", "--role", "push"], "not a registry"),
        (["token", "add", "REGISTRY", "a b", "--role", "push"], "name 'a b'"),
        (["rotate", "REGISTRY", "--keys", "MISSING", "root"], "no such folder"),
        (["rotate", "REGISTRY", "--keys", "KEYS", "bundles"], "invalid choice"),
        (["serve", "KEYS"], "not a registry"),
        (["serve", "REGISTRY", "--port", "70000"], "between 0 and 65535"),
        (["serve", "REGISTRY", "--broker", "a b"], "broker"),
        (["list", "--registry", "ftp://a"], "a URL such as"),
        (["list", "--registry", "http://127.0.0.1:1"], "no answer"),
        (["retire", "a", "b"], "--token-file"),
        (["retire", "a", "b", "--token-file", "MISSING"], "cannot be read"),
    ],
)
def test_wrong_use_costs_one_line(typed, operator, tmp_path, words, match):
    names = {"REGISTRY": operator.folder, "KEYS": operator.keys}
    status, said, complained = typed(
        *(names.get(w, tmp_path / w if w.isupper() else w) for w in words)
    )
    assert (status, said) == (2, "")
    assert match in complained and complained.count("\n") == 1


def test_a_folder_of_another_user_costs_one_line(typed, operator, monkeypatch):
    def forbidden(path):
        """As Python before 3.14 answers of a folder that only another user may enter."""
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", forbidden)
    for words in (["serve", operator.folder], ["token", "remove", operator.folder, "ada"]):
        status, _, complained = typed(*words)
        assert status == 2
        assert complained == f"ml4iot-registry: {operator.folder}: Permission denied\n"


def test_a_rotation_on_a_full_disk_says_where(typed, operator, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")  # writing tells no file

    monkeypatch.setattr(repository_module, "change", full)
    status, _, complained = typed("rotate", operator.folder, "--keys", operator.keys, "timestamp")
    assert (status, complained) == (
        2,
        f"ml4iot-registry: {operator.folder}: No space left on device\n",
    )


def test_a_server_that_is_no_registry(typed, backend):
    status, _, complained = typed("list", "--registry", backend)
    assert status == 2 and "not the answer of a registry" in complained


@pytest.fixture
def backend(tmp_path):
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        line = process.stdout.readline()
        yield f"http://127.0.0.1:{line.split('port ')[1].split()[0]}"
        process.terminate()


def test_help_does_not_load_the_world():
    code = (
        "import sys; from serving.registry.__main__ import main\n"
        "try: main(['serve', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'tuf', 'fastapi', 'uvicorn', 'numpy', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
