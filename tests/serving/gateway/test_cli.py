"""Starting and stopping the gateway, and what is said when that cannot work."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.gateway.launcher import start_gateway
from serving.gateway.options import GatewayOptions
from serving.options import UsageError
from serving.readiness import is_ready
from tests.edge_client.waiting import eventually
from tests.serving.exchange import send
from tests.serving.gateway.clips import body
from tests.serving.gateway.fake_backend import FakeBackend

LIMIT_S = 120
NOWHERE = ("--backend", "http://127.0.0.1:9", "--patience", "0", "--port", "0")


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    """One that no other test's gateway asks."""
    with FakeBackend() as backend:
        backend.reset()
        yield backend


def gateway(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serving.gateway", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of complaint."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("ml4iot-gateway: ")
    return done.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backend": ""}, "not both or neither"),
        ({"backend": "127.0.0.1:8501"}, "a URL such as"),
        ({"backend": "ftp://host"}, "a URL such as"),
        ({"backend": "http://user:secret@host"}, "a URL such as"),
        ({"backend": "http://host:port"}, "a URL such as"),
        ({"backend": "http://ab\x01c"}, "a URL such as"),
        ({"backend": "http://a..b"}, "a URL such as"),
        ({"backend": f"http://{'a' * 70}"}, "a URL such as"),
        ({"name": "a/b"}, "cannot be a model's name"),
        ({"port": 70_000}, "between 0 and 65535"),
        ({"max_batch": 0}, "--max-batch 0: 1 to 1024"),
        ({"in_flight": 0}, "--in-flight"),
        ({"queue": 0}, "--queue"),
        ({"timeout_s": float("nan")}, "--timeout nan"),
        ({"timeout_s": 0.0}, "--timeout"),
        ({"max_bytes": 2**40}, "--max-bytes"),
        ({"patience_s": -1.0}, "--patience"),
    ],
)
def test_impossible_options_are_told(changes, words):
    options = GatewayOptions(**{"backend": "http://127.0.0.1:8501", **changes})
    with pytest.raises(UsageError, match=re.escape(words)):
        options.checked()


def test_the_url_and_the_name_are_plain():
    options = GatewayOptions(backend="http://pi.local:8501/").checked()
    assert (options.backend, options.name) == ("http://pi.local:8501", "big")


def test_wrong_use_costs_one_line(tmp_path):
    assert "not both or neither" in refused(gateway())
    assert "no such folder" in refused(gateway(tmp_path / "none"))
    assert "invalid float value" in refused(gateway("--timeout", "x"))


def test_a_backend_that_is_not_there_is_told_after_the_patience(tmp_path):
    said = refused(gateway(*NOWHERE, "--log-file", tmp_path / "log"))
    assert "nobody answers at http://127.0.0.1:9 (waited 0 s)" in said


def test_a_model_that_takes_no_audio_is_told(tmp_path, backend):
    backend.behaviour.mode = "400"
    arguments = ("--backend", backend.url, "--patience", "0", "--port", "0")
    said = refused(gateway(*arguments, "--log-file", tmp_path / "log"))
    assert "takes no audio" in said


@pytest.mark.parametrize(
    ("mode", "words"), [("drip", "takes too long"), ("endless version", "no status of a model")]
)
def test_a_backend_that_is_mad_is_told_after_the_patience(tmp_path, backend, mode, words):
    backend.behaviour.mode = mode
    arguments = ("--backend", backend.url, "--patience", "0.5", "--port", "0")
    said = refused(gateway(*arguments, "--log-file", tmp_path / "log"))
    assert words in said
    assert "(waited 0.5 s)" in said


def test_patience_and_sigterm_end_the_first_look(tmp_path, backend):
    """The model hears silence at the first look, and here it takes its time to answer."""
    backend.behaviour.go.clear()
    command = (sys.executable, "-m", "serving.gateway", "--backend", backend.url, "--port", "0")
    options = ("--timeout", "60", "--log-file", str(tmp_path / "log"))
    process = subprocess.Popen([*command, *options, "--patience", "60"])
    eventually(lambda: bool(backend.behaviour.calls))
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    said = refused(gateway(*command[3:], *options, "--patience", "0.5"))
    assert "takes too long to answer (waited 0.5 s)" in said


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
def test_a_host_that_can_be_none_is_told(host):
    assert "no name that a host can have" in refused(gateway(*NOWHERE, "--host", host))


def test_a_port_in_use_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(gateway("--backend", "http://127.0.0.1:9", "--port", port))
    assert f"port {port} on 127.0.0.1 is in use" in said


@pytest.mark.parametrize("content", [None, b"", b"two words", b"x" * 5000, b"\xff"])
def test_a_token_file_that_holds_no_token_is_told(tmp_path, content):
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    assert str(file) in refused(gateway(*NOWHERE, "--token-file", file))


def test_a_slow_model_that_is_none_is_told(tmp_path, repository):
    file = tmp_path / "slow.bundle"
    file.write_bytes(b"no bundle")
    assert "not a bundle" in refused(gateway(*NOWHERE, "--slow", file))
    forecaster = repository / "models" / "th-a.bundle"
    assert "takes no recordings" in refused(gateway(*NOWHERE, "--slow", forecaster))


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    assert "--log-file" in refused(gateway(*NOWHERE, "--log-file", tmp_path / "file" / "log"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_serves_and_ends_cleanly(backend, tmp_path, number):
    log = tmp_path / "gateway.log"
    options = GatewayOptions(backend=backend.url, port=0, log_file=log)
    with start_gateway(options) as running:
        assert running.announcement == (
            f"ml4iot-gateway serves {running.url} (backend {backend.url}/v1/models/big, log {log})"
        )
        running.process.send_signal(number)
        assert running.process.wait(LIMIT_S) == 0


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_it_has_loaded_what_the_first_clip_of_another_kind_needs(backend, tmp_path):
    options = GatewayOptions(backend=backend.url, port=0, log_file=tmp_path / "gateway.log")
    with start_gateway(options) as running:
        maps = Path(f"/proc/{running.process.pid}/maps").read_text()
    assert "_upfirdn" in maps  # of scipy.signal
    assert "libsndfile" in maps


def test_what_does_not_start_raises_with_its_words(tmp_path):
    options = GatewayOptions(
        backend="http://127.0.0.1:9", port=0, patience_s=0, log_file=tmp_path / "log"
    )
    with pytest.raises(UsageError, match="nobody answers"), start_gateway(options):
        pass


def test_a_server_of_its_own_ends_with_it(repository, tmp_path):
    options = GatewayOptions(repository / "models" / "big", port=0, log_file=tmp_path / "log")
    with start_gateway(options) as running:
        backend = re.search(r"backend (\S+)/v1/models/big", running.announcement)
        assert backend is not None
        assert send(running.url, "POST", "/v1/classify", body()).status == 200
        assert is_ready(backend[1], "big")
    assert not is_ready(backend[1], "big")
