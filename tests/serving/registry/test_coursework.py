"""A client of the coursework, unchanged: add a model, list it, monitor with it, read the alarms."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
import threading

import httpx
import numpy as np
import pytest

from edge_client.fleet.errors import FleetError
from edge_client.monitor.alarm import Thresholds
from edge_client.mqtt.broker import Broker, BrokerAddress
from serving.launcher import run_server
from serving.options import base_url
from serving.registry.__main__ import main
from serving.registry.coursework.added import MAX_MODEL_BYTES, Added
from serving.registry.coursework.added_child import Request, command
from serving.registry.coursework.monitoring import Monitoring
from serving.registry.errors import BadRequestError
from serving.registry.http.app import create_app
from serving.registry.http.coursework_routes import AT_ONCE
from serving.registry.options import RegistryOptions, SensorOptions
from serving.registry.registry import open_registry
from serving.registry.tokens import Tokens
from serving.registry.tuf.create import KeyCounts, create
from tests.edge_client.monitor.house import (
    Listener,
    Mosquitto,
    Program,
    free_port,
    persistence_model,
    records_csv,
)
from tests.edge_client.monitor.test_commands import LINE
from tests.edge_client.tiny import failing_model, linear_model
from tests.edge_client.waiting import eventually

MODEL = base64.b64encode(persistence_model()).decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("registry")
    create(where / "registry", where / "keys", KeyCounts(1, 1, 1, 1))
    return where / "registry"


@pytest.fixture(scope="module")
def broker(mosquitto, tmp_path_factory):
    with Mosquitto(mosquitto, tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Long enough for all tests, each record 1 °C and 0.5 % from the one before, up and down."""
    path = tmp_path_factory.mktemp("records") / "r.csv"
    path.write_text(records_csv([(20 + n % 2, 50 + n % 2 / 2) for n in range(20_000)]))
    return path


@pytest.fixture(scope="module")
def url(folder, broker, records):
    port = free_port()
    command = [sys.executable, "-m", "serving.registry", "serve", str(folder)]
    command += ["--port", str(port), "--log-file", str(folder.parent / "log")]
    command += ["--broker", broker.address, "--replay", str(records), "--interval", "0.05"]
    url = base_url("127.0.0.1", port)

    def answers():
        try:
            return httpx.get(f"{url}/health").status_code == 200
        except httpx.TransportError:
            return False

    with run_server(command, url, answers, 60):
        yield url


def test_from_a_model_to_the_line_that_tells_of_an_alarm(url, broker, tmp_path):
    with Program(
        tmp_path / "a", "alarms", "--broker", broker.address, "--session", "course"
    ) as alarms:
        alarms.says("listens")
        for method in (httpx.put, httpx.post):
            assert method(f"{url}/add", json={"model": MODEL, "name": "th"}).status_code == 200
        assert httpx.get(f"{url}/list").json() == {"models": ["th"]}
        asked = httpx.get(f"{url}/predict", params={"model": "th", "tthres": 0.5, "hthres": 9})
        assert asked.status_code == 200, asked.text
        eventually(lambda: len(alarms.lines) >= 5)
        first = [LINE.fullmatch(line) for line in alarms.lines]
        assert {line[1] for line in first} == {"Temperature"}
        assert {(line[2], line[4]) for line in first} == {("20.0", "21.0"), ("21.0", "20.0")}
        # Other thresholds from now on; the spelling of the other year, and the other method.
        asked = httpx.post(f"{url}/predict", params={"model": "th", "tthresh": 9, "hthresh": 0.1})
        assert asked.json() == {"model": "th", "tthres": 9.0, "hthres": 0.1}
        eventually(lambda: any("Humidity" in line for line in alarms.lines))
        told = [LINE.fullmatch(line)[1] for line in alarms.lines]
        turned = told.index("Humidity")
        assert set(told[turned + 1 :]) <= {"Humidity"}
        with Listener(broker, "ml4iot/devices/registry/alarms/humidity") as listener:
            eventually(lambda: listener.heard)
            names = {each["n"]: each for each in listener.of(listener.heard[0].topic)[0]}
            assert names["model"]["vs"] == "th"
        assert alarms.interrupt() == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "x"}, "model"),
        ({"model": MODEL}, "name"),
        ({"model": MODEL, "name": "../x"}, "name"),
        ({"model": MODEL, "name": ""}, "name"),
        ({"model": 7, "name": "x"}, "model"),
        ({"model": "?" * 8, "name": "x"}, "no base64"),
        ({"model": base64.b64encode(b"no model").decode(), "name": "x"}, "not a TFLite model"),
        ({"model": base64.b64encode(b"1234TFL3" * 40).decode(), "name": "x"}, "LiteRT"),
        (
            {"model": base64.b64encode(persistence_model(outputs=3)).decode(), "name": "x"},
            "1x6x2 to 1x3",
        ),
        ([], "body"),
    ],
)
def test_what_cannot_be_added_is_400_in_one_line(url, body, said):
    answer = httpx.put(f"{url}/add", json=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert "x" not in httpx.get(f"{url}/list").json()["models"]


def test_a_body_without_bounds_is_refused(url):
    large = base64.b64encode(b"TFL3" * (MAX_MODEL_BYTES // 3)).decode()
    assert httpx.put(f"{url}/add", json={"model": large, "name": "x"}).status_code in (400, 413)
    assert httpx.put(f"{url}/add", content=b"{").status_code == 400


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "model"),
        ({"model": "th"}, "both thresholds"),
        ({"model": "th", "tthres": 1}, "both thresholds"),
        ({"model": "th", "tthres": "warm", "hthres": 1}, "tthres"),
        ({"model": "th", "tthres": -1, "hthres": 1}, "tthres"),
        ({"model": "th", "tthres": "nan", "hthres": 1}, "tthres"),
        ({"model": "none-such", "tthres": 1, "hthres": 1}, "none-such"),
        ({"model": "../th", "tthres": 1, "hthres": 1}, "model"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_cannot_be_monitored_with_is_400_in_one_line(url, method, asked, said):
    answer = httpx.request(method, f"{url}/predict", params=asked)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_added_models_are_not_the_fleets(url, folder):
    httpx.put(f"{url}/add", json={"model": MODEL, "name": "mine"})
    assert (folder / "added" / "mine.tflite").read_bytes() == persistence_model()
    assert httpx.get(f"{url}/models").json() == {"models": []}
    assert httpx.get(f"{url}/models/mine").status_code == 404
    for path in ("added/mine.tflite", "../added/mine.tflite", "bundles/mine/1.bundle"):
        assert httpx.get(f"{url}/tuf/targets/{path}").status_code == 404
    for metadata in (folder / "metadata").glob("*.json"):
        assert b"mine" not in metadata.read_bytes()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "registry.example.com"},
        {"Origin": "https://example.com"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Forwarded-For": "192.0.2.1"},
        {"Forwarded": "for=192.0.2.1"},
    ],
)
def test_without_tokens_nobody_gets_in_by_way_of_this_machine(url, headers):
    body = {"model": MODEL, "name": "th"}
    assert httpx.put(f"{url}/add", json=body, headers=headers).status_code == 403
    asked = {"model": "th", "tthres": 1, "hthres": 1}
    refused = httpx.get(f"{url}/predict", params=asked, headers=headers)
    assert refused.status_code == 403
    assert "token" in refused.json()["error"]
    assert httpx.get(f"{url}/list", headers=headers).status_code == 200


def test_where_there_are_tokens_one_to_operate_with_is_needed(url, folder):
    tokens = Tokens(folder)
    shown = {role: tokens.add(f"a-{role}", role) for role in ("push", "device", "operate")}
    try:
        body = {"model": MODEL, "name": "th"}
        asked = {"model": "th", "tthres": 1, "hthres": 1}
        for role, status in (("push", 403), ("device", 403), ("operate", 200), (None, 401)):
            headers = {"Authorization": f"Bearer {shown[role]}"} if role else {}
            put = httpx.put(f"{url}/add", json=body, headers=headers)
            got = httpx.get(f"{url}/predict", params=asked, headers=headers)
            assert (put.status_code, got.status_code) == (status, status)
    finally:
        for role in shown:
            tokens.remove(f"a-{role}")


def test_whoever_waits_for_models_leaves_threads_to_the_fleet(folder, monkeypatch):
    registry = open_registry(RegistryOptions(folder))
    began, tried = threading.Semaphore(0), threading.Event()

    def slowly(name, model):
        began.release()
        assert tried.wait(60)

    monkeypatch.setattr(registry.added, "add", slowly)
    transport = httpx.ASGITransport(create_app(registry), client=("127.0.0.1", 50_000))

    async def crowd():
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as here:

            def ask():
                return here.put("/add", json={"model": MODEL, "name": "th"})

            waiting = [asyncio.create_task(ask()) for _ in range(AT_ONCE)]
            for _ in waiting:
                assert await asyncio.to_thread(began.acquire, timeout=60)
            refused = await ask()
            assert (await here.get("/models")).status_code == 200
            tried.set()
            assert {each.status_code for each in await asyncio.gather(*waiting)} == {200}
            assert (await ask()).status_code == 200
            return refused

    refused = asyncio.run(crowd())
    assert refused.status_code == 429
    assert refused.headers["Retry-After"]
    assert "try again" in refused.json()["error"]


def test_so_many_models_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr("serving.registry.coursework.added.MAX_ADDED", 1)
    added = Added(tmp_path)
    assert added.names() == []
    added.add("one", persistence_model())
    added.add("one", persistence_model(2))
    assert added.model("one") == persistence_model(2)
    with pytest.raises(BadRequestError, match="all it takes"):
        added.add("two", persistence_model())
    assert [path.name for path in (tmp_path / "added").iterdir()] == ["one.tflite"]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (failing_model(12), "1x12 to 1x1"),
        (linear_model(np.full((2, 12), np.nan), [0, 0], (1, 12)), "no number"),
        (persistence_model()[:200], "LiteRT"),
    ],
)
def test_a_model_is_run_once_before_it_is_kept(tmp_path, model, said):
    with pytest.raises(BadRequestError, match=said):
        Added(tmp_path).add("x", model)
    assert not (tmp_path / "added").exists()


def test_who_is_killed_meanwhile_leaves_no_model_running():
    """The process ends by itself, long before it could have imported what it needs here."""
    request = Request("x", persistence_model(), 0.001)
    done = subprocess.run(command(), input=request.line(), capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (-signal.SIGALRM, b"")


@pytest.fixture
def monitoring(broker, records):
    where = Broker(BrokerAddress.parse(broker.address))
    made = Monitoring(SensorOptions(replay=records, interval_s=0.05), where, "ml4iot")
    yield made
    made.close()


def running(monitoring):
    return {name: each.process for name, each in monitoring._running.items()}


def test_one_process_a_model_and_all_end_with_the_registry(monitoring, monkeypatch):
    thresholds, model = Thresholds(1, 1), persistence_model()
    monitoring.watch("a", model, thresholds)
    first = running(monitoring)["a"]
    monitoring.watch("a", model, Thresholds(2, 2))
    assert running(monitoring)["a"] is first
    monitoring.watch("a", persistence_model(2), thresholds)  # another model of this name
    second = running(monitoring)["a"]
    assert (first.poll(), second.poll()) == (0, None)
    monkeypatch.setattr("serving.registry.coursework.monitoring.MAX_RUNNING", 1)
    with pytest.raises(BadRequestError, match="1 models are monitored"):
        monitoring.watch("b", model, thresholds)
    os.kill(second.pid, signal.SIGKILL)
    second.wait(60)
    monitoring.watch("b", model, thresholds)
    last = running(monitoring)["b"]
    monitoring.close()
    assert last.poll() == 0
    assert running(monitoring) == {}


def test_without_broker_or_sensor_it_is_told(broker, tmp_path):
    where = Broker(BrokerAddress.parse(broker.address))
    for sensing, known, said in (
        (SensorOptions(replay=tmp_path), None, "--broker"),
        (SensorOptions(), where, "--sensor"),
        (SensorOptions(replay=tmp_path / "gone.csv"), where, "no such file"),
        (SensorOptions(sensor="dht11:GPIO4"), where, "DHT-11|no pins"),
    ):
        made = Monitoring(sensing, known, "ml4iot")
        with pytest.raises((BadRequestError, FleetError), match=said):
            made.watch("a", persistence_model(), Thresholds(1, 1))
        assert running(made) == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--interval", "0"), "--interval 0"),
        (("--interval", "nan"), "--interval nan"),
        (("--sensor", "dht22:4"), "dht11:GPIO"),
        (("--replay", "gone.csv"), "gone.csv: no such file"),
        (("--replay", "gone.csv", "--sensor", "dht11:GPIO4"), "not both"),
    ],
)
def test_a_sensor_that_can_be_none_costs_one_line(folder, options, said, capsys):
    assert main(["serve", str(folder), "--port", "0", *options]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
