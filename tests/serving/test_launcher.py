"""Starting and stopping servers, and what is said when that cannot work."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from serving import real_server
from serving.launcher import run_server, start_server
from serving.options import BINARY_VARIABLE, ServeOptions, UsageError, base_url, bind
from serving.readiness import is_ready
from tests.serving.exchange import post_json, send

LIMIT_S = 120
EMBEDDED = ("--backend", "embedded")


def serve(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-m", "serving", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=environment,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of complaint."""
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_folders_that_hold_no_model_are_told(tmp_path):
    assert "no such folder" in refused(serve(tmp_path / "none"))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no version of a model" in refused(serve(empty))
    (empty / "1").mkdir()
    assert "none of its versions holds a saved_model.pb" in refused(serve(empty))
    (empty / "1" / "saved_model.pb").write_bytes(b"")
    assert "is one version of a model" in refused(serve(empty / "1"))


def test_wrong_use_is_told(tmp_path, own_models):
    scale = own_models / "scale"
    assert "either a model folder or a --config" in refused(serve())
    assert "either a model folder or a --config" in refused(serve(scale, "--config", "x"))
    assert "cannot be a model's name" in refused(serve(scale, "--name", "a/b"))
    assert "invalid int value: 'x'" in refused(serve(scale, "--port", "x"))
    assert "between 0 and 65535" in refused(serve(scale, "--port", "70000"))
    assert "no such file" in refused(serve("--config", tmp_path / "models.config"))
    assert "no such program" in refused(serve(scale, "--binary", tmp_path / "server"))
    assert "is not on PATH" in refused(
        serve(scale, "--backend", "tensorflow", PATH="", **{BINARY_VARIABLE: ""})
    )
    assert "neither docker nor podman" in refused(serve(scale, "--backend", "container", PATH=""))


def test_a_log_that_cannot_be_written_is_told(tmp_path, own_models):
    (tmp_path / "file").write_text("")
    log = tmp_path / "file" / "serve.log"
    said = refused(serve(own_models / "scale", *EMBEDDED, "--port", 0, "--log-file", log))
    assert "--log-file" in said


def test_a_port_in_use_is_told_at_once(own_models):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(serve(own_models / "scale", *EMBEDDED, "--port", port))
    assert f"port {port} on 127.0.0.1 is in use" in said


def test_a_config_that_cannot_be_used_is_told(tmp_path):
    config = tmp_path / "models.config"
    config.write_text("nonsense {")
    assert "no model_config_list" in refused(serve("--config", config, *EMBEDDED, "--port", 0))


def test_a_model_that_cannot_be_loaded_is_told(tmp_path):
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1" / "saved_model.pb").write_bytes(b"not a model")
    done = serve(tmp_path / "broken", *EMBEDDED, "--port", 0)
    assert done.returncode == 2
    assert "version 1" in done.stderr.splitlines()[-1]
    assert done.stdout == ""


def test_a_server_that_cannot_run_at_all_says_where_to_look(own_models, tmp_path):
    """Standard error lies in the log by then: without this line there would be silence."""
    package = tmp_path / "shadow" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('no such library')")
    log = tmp_path / "serve.log"
    arguments = (own_models / "scale", *EMBEDDED, "--port", 0, "--log-file", log)
    done = serve(*arguments, PYTHONPATH=str(package.parent))
    assert done.returncode == 1
    assert done.stderr == f"ml4iot-serve: ended by ImportError; {log} has the details\n"
    assert "no such library" in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_right_after_the_announcement_is_heeded(own_models, number):
    """Before the event loop runs there is nobody but us to take note of it."""
    from serving.embedded.model_config import ModelConfig
    from serving.embedded.server import serve as serve_here

    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    announced = []

    def announce() -> None:
        announced.append(True)
        signal.raise_signal(number)

    try:
        with bind("127.0.0.1", 0) as bound:
            serve_here([ModelConfig("scale", own_models / "scale")], bound, announce)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert announced == [True]


def test_readiness_asks_this_machine_and_no_proxy(server, monkeypatch):
    for variable in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert is_ready(server.url, "scale")


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n", b"HTTP/1.0 200 OK\r\n\r\n[1]"])
def test_somebody_else_on_the_port_is_not_ready(answer):
    def talk(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=talk, args=(listening,))
        thread.start()
        assert not is_ready(base_url(*listening.getsockname()), "scale")
        thread.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_says_which_it_is_and_ends_cleanly(own_models, tmp_path, number):
    log = tmp_path / "serve.log"
    options = ServeOptions(own_models / "scale", "big", port=0, backend="embedded", log_file=log)
    with start_server(options) as server:
        assert server.announcement == (
            f"embedded server serves {server.url}/v1/models/big (log: {log})"
        )
        answer = post_json(server.url, "/v1/models/big:predict", {"instances": [1.0]})
        assert answer.json == {"predictions": [20.0]}
        server.process.send_signal(number)
        assert server.process.wait(LIMIT_S) == 0
        assert not is_ready(server.url, "big")


def test_starting_what_cannot_start_raises_with_its_words(tmp_path):
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1" / "saved_model.pb").write_bytes(b"not a model")
    options = ServeOptions(tmp_path / "broken", port=0, backend="embedded")
    with pytest.raises(UsageError, match="version 1"), start_server(options):
        pass


@pytest.fixture
def server_on_path(tmp_path) -> Path:
    """A program called tensorflow_model_server that takes the real one's flags.

    It serves with the embedded server, so that what is tested is the launcher alone.
    """
    program = tmp_path / "bin" / real_server.BINARY
    program.parent.mkdir()
    program.write_text(
        f"""#!{sys.executable}
import argparse, sys
from serving.__main__ import main
parser = argparse.ArgumentParser()
for flag in ("rest_api_port", "port", "model_name", "model_base_path", "monitoring_config_file",
             "max_num_load_retries", "file_system_poll_wait_seconds"):
    parser.add_argument("--" + flag, required=True)
given = parser.parse_args()
assert "prometheus" in open(given.monitoring_config_file).read()
if given.model_name == "dies":
    sys.exit("cannot allocate")
sys.exit(main([given.model_base_path, "--name", given.model_name, "--port", given.rest_api_port,
               "--backend", "embedded", "--log-file", sys.argv[0] + ".log"]))
"""
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def test_a_program_on_path_is_preferred(own_models, tmp_path, server_on_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{server_on_path.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv(BINARY_VARIABLE, raising=False)
    options = ServeOptions(own_models / "scale", port=0, log_file=tmp_path / "log")
    with start_server(options) as server:
        assert server.announcement.startswith(f"{server_on_path}, on every interface")
        assert send(server.url, "GET", "/v1/models/scale").status == 200
        server.process.terminate()
        assert server.process.wait(LIMIT_S) == 0
        assert not is_ready(server.url, "scale")


def test_a_program_that_dies_is_told_with_the_end_of_its_log(own_models, tmp_path, server_on_path):
    log = tmp_path / "log"
    done = serve(
        *(own_models / "scale", "--name", "dies", "--port", 0),
        *("--binary", server_on_path, "--log-file", log),
    )
    assert done.returncode == 1
    assert "ended with status 1" in done.stderr
    assert "cannot allocate" in done.stderr


def test_the_container_gets_the_folder_read_only_and_the_host_asked_for(tmp_path):
    options = ServeOptions(tmp_path / "models", "big", host="127.0.0.1")
    command = real_server.container_command("docker", options, 9000)
    assert command[:2] == ["docker", "run"]
    assert "--publish=127.0.0.1:9000:8501" in command
    assert f"--volume={tmp_path / 'models'}:/models/big:ro" in command
    assert command.index(real_server.IMAGE) < command.index("--max_num_load_retries=0")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("pi.local", "http://pi.local:80"),
    ],
)
def test_urls(host, url):
    assert base_url(host, 80) == url


def test_a_ctrl_c_does_not_reach_the_server_before_whoever_started_it():
    """It goes to a whole session; requests in flight still need their server then."""
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    with run_server(command, "http://127.0.0.1:9", lambda: True, LIMIT_S) as server:
        assert os.getsid(server.process.pid) == server.process.pid
