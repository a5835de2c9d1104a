"""The compose file without a container engine: commands run, paths are there, pins hold."""

from __future__ import annotations

import ast
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from serving.broker.folder import CONFIGURATION, create
from serving.real_server import IMAGE
from tests.edge_client.waiting import eventually

LIMIT_S = 60
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
# Distributions by the module that is imported, where the names differ.
MODULES = {"paho": "paho-mqtt", "prometheus_client": "prometheus-client"}
# Taken by uvicorn where it finds it.
UNSEEN = {"httptools"}


@pytest.fixture(scope="module")
def folder(repository):
    return repository / "serving" / "compose"


@pytest.fixture(scope="module")
def services(folder):
    """The services, with variables that nobody has set."""
    text = (folder / "compose.yaml").read_text(encoding="utf-8")
    without = VARIABLE.sub(lambda found: found[2] or "", text)
    return yaml.safe_load(without)["services"]


@pytest.fixture
def operator(tmp_path):
    """What the head of the file tells the operator to make."""
    create(tmp_path / "broker", ["broker.example", "mosquitto"])
    keys = tmp_path / "keys"
    made = subprocess.run(
        [sys.executable, "-m", "serving.registry", "init", tmp_path / "registry", "--keys", keys],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert made.returncode == 0, made.stderr
    return tmp_path


def volumes(service):
    """Where each path in the container comes from."""
    return dict(reversed(volume.split(":")[:2]) for volume in service.get("volumes", ()))


def here(service, argument, operator, folder):
    """A path in the container as one on this machine; whatever is none as it is."""
    for inside, outside in sorted(volumes(service).items(), reverse=True):
        if argument == inside or argument.startswith(f"{inside}/"):
            path = outside.replace("../../operator", str(operator))
            return str(folder / path) + argument[len(inside) :]
    return argument


def command(service, operator, folder, **replaced):
    """The service's command as it can be started here."""
    words = [here(service, word, operator, folder) for word in shlex.split(service["command"])]
    assert words[0].endswith("libraries/bin/python")
    words[0] = sys.executable
    for name, value in replaced.items():
        words[words.index(f"--{name}") + 1] = value
    return words


def test_only_stock_images(services):
    assert {name: service["image"] for name, service in services.items()} == {
        "libraries": "python:3.11-slim",
        "tensorflow-serving": IMAGE,
        "gateway": "python:3.11-slim",
        "registry": "python:3.11-slim",
        "mosquitto": "eclipse-mosquitto:2",
    }


def test_what_is_mounted_of_the_repository_is_there(services, folder):
    for service in services.values():
        for outside in volumes(service).values():
            if outside != "libraries" and "operator" not in outside:
                assert (folder / outside).exists(), outside


def test_the_registrys_command_starts_it(services, folder, operator, tmp_path):
    line = command(
        services["registry"],
        operator,
        folder,
        **{"host": "127.0.0.1", "port": "0", "log-file": str(tmp_path / "log")},
    )
    for option in ("--broker-ca", "--broker-password-file"):
        assert Path(line[line.index(option) + 1]).is_file()
    with subprocess.Popen(
        line, cwd=folder.parents[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        said = process.stdout.readline()
        process.terminate()
        _, errors = process.communicate(timeout=LIMIT_S)
    assert "serves http://" in said, errors


def test_the_gateways_command_is_one(services, folder, operator, tmp_path):
    """It goes as far as asking for TensorFlow Serving."""
    line = command(
        services["gateway"],
        operator,
        folder,
        **{
            "backend": "http://127.0.0.1:9",
            "host": "127.0.0.1",
            "port": "0",
            "patience": "0.1",
            "log-file": str(tmp_path / "log"),
        },
    )
    done = subprocess.run(
        line, cwd=folder.parents[1], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 2
    assert "nobody answers at http://127.0.0.1:9" in done.stderr


def test_the_brokers_command_starts_it(services, folder, operator, mosquitto):
    service = services["mosquitto"]
    assert shlex.split(service["command"]) == ["mosquitto", "-c", CONFIGURATION]
    place = Path(here(service, service["working_dir"], operator, folder))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = place / CONFIGURATION
    text = configuration.read_text(encoding="utf-8")
    (published,) = service["ports"]
    assert f"listener {published.split(':')[1]}\n" in text
    configuration.write_text(text.replace("listener 8883", f"listener {port} 127.0.0.1"))
    with subprocess.Popen(
        [mosquitto, "-c", CONFIGURATION], cwd=place, stderr=subprocess.DEVNULL
    ) as process:
        try:
            eventually(lambda: process.poll() is not None or answers(port))
            assert process.poll() is None
        finally:
            process.terminate()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_the_broker_that_the_registry_asks_for_is_the_one_that_runs(services):
    words = shlex.split(services["registry"]["command"])
    host, port = words[words.index("--broker") + 1].split(":")
    assert services[host]["ports"] == [f"{port}:{port}"]
    words = shlex.split(services["gateway"]["command"])
    assert words[words.index("--backend") + 1] == "http://tensorflow-serving:8501"
    model = services["tensorflow-serving"]["environment"]["MODEL_NAME"]
    assert words[words.index("--name") + 1] == model
    assert list(volumes(services["tensorflow-serving"])) == [f"/models/{model}"]


def test_secrets_stay_where_they_belong(services):
    """No container sees the CA's key but the broker's, nor the offline keys of the registry."""
    for name, service in services.items():
        for outside in volumes(service).values():
            assert not outside.endswith("/operator"), name
            assert not outside.endswith("/broker") or name == "mosquitto"


def imported(repository, *modules):
    """The top-level packages that these modules need, by whatever of ours they import."""
    found, seen, waiting = set(), set(), list(modules)
    while waiting:
        module = waiting.pop()
        path = repository.joinpath(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if module in seen or not path.is_file():
            continue
        seen.add(module)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                root = name.split(".")[0]
                (waiting.append if root in ("serving", "edge_client") else found.add)(name)
    return {name.split(".")[0] for name in found} - set(sys.stdlib_module_names)


def test_the_libraries_are_all_and_as_locked(folder, repository):
    lines = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    needed = imported(repository, "serving.gateway.__main__", "serving.registry.__main__")
    assert {MODULES.get(name, name) for name in needed} == set(pins) - UNSEEN
    lock = (repository / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    assert pins == {name: locked[name] for name in pins}


def test_variables_have_defaults_or_are_told(folder):
    text = (folder / "compose.yaml").read_text(encoding="utf-8")
    head = text[: text.index("name: ml4iot")]
    for name, default in VARIABLE.findall(text):
        assert default and name in head and name not in os.environ, name
