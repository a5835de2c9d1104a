"""``ml4iot-edge monitor`` and ``ml4iot-edge alarms`` through a real broker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from edge_client.__main__ import main
from edge_client.fleet.topics import Topics
from edge_client.monitor.alarm import Alarm
from edge_client.monitor.quantities import HUMIDITY
from edge_client.monitor.topics import MonitorTopics
from tests.edge_client.monitor.house import (
    COMMAND,
    LIMIT_S,
    Listener,
    Mosquitto,
    Program,
    free_port,
    persistence_model,
    records_csv,
)
from tests.edge_client.waiting import eventually

LINE = re.compile(
    r"\(\d\d/\d\d/\d{4} \d\d:\d\d:\d\d\) (Temperature|Humidity) Alert: "
    r"Predicted=(-?\d+\.\d)(°C|%) Actual=(-?\d+\.\d)\3"
)


@pytest.fixture
def broker(mosquitto, tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(mosquitto, folder) as running:
        yield running


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "repeats.tflite"
    path.write_bytes(persistence_model())
    return path


@pytest.fixture
def climbing(tmp_path):
    """A hundred records, each of them 1 °C warmer and 0.1 % drier than the one before."""
    path = tmp_path / "climbing.csv"
    path.write_text(records_csv([(n / 1.0, 90 - n / 10) for n in range(100)]))
    return path


def monitor(folder, broker, model, replay, *options, **more):
    arguments = ("monitor", model, "--replay", replay, "--broker", broker.address, *options)
    return Program(folder, *arguments, **more)


def test_what_is_measured_is_said_and_what_was_not_foreseen_is_printed(
    broker, model, climbing, tmp_path
):
    summary = tmp_path / "summary.json"
    with (
        Listener(broker, "#") as listener,
        Program(tmp_path / "a", "alarms", "--broker", broker.address, "--session", "t") as alarms,
    ):
        alarms.says("listens for ml4iot/devices/+/alarms/+")
        listener.publish("ml4iot/devices/pi-2/alarms/humidity", b"no alarm")
        options = ("--interval", "0.01", "--temperature-threshold", "0.5", "--device", "pi-1")
        with monitor(tmp_path / "m", broker, model, climbing, *options, "--summary", summary) as m:
            assert m.ends() == 0
            assert m.lines == []
            m.says("pi-1 watches")
            m.says("100 samples, 0 missing, 94 compared")
            assert "lost" not in m.said
        counts = json.loads(summary.read_text())
        assert counts["alarms"] == {"temperature": 94, "humidity": 0}
        assert counts["alarms_unsaid"] == 0
        assert counts["mean_absolute_error"] == {"temperature": 1.0, "humidity": 0.1}
        eventually(lambda: len(alarms.lines) >= 94)
        alarms.says("alarm: SenML: neither JSON nor")
        assert alarms.interrupt() == 0
        found = [LINE.fullmatch(line) for line in alarms.lines]
        assert [(m[1], m[2], m[4]) for m in found] == [
            ("Temperature", f"{n - 1}.0", f"{n}.0") for n in range(6, 100)
        ]
        presence = "ml4iot/devices/pi-1/monitor"
        eventually(
            lambda: [s.payload for s in listener.heard if s.topic == presence][-1:] == [b"offline"]
        )
        readings = listener.of("ml4iot/devices/pi-1/readings")
        assert [each["v"] for each in readings[-1]] == [99, 80.1]
        config = listener.of("homeassistant/sensor/pi-1/temperature/config")[0]
        assert config["state_topic"] == "ml4iot/devices/pi-1/readings"
        assert config["availability_topic"] == presence
        assert (config["unit_of_measurement"], config["device_class"]) == ("°C", "temperature")
        assert "homeassistant/sensor/pi-1/humidity/config" in {s.topic for s in listener.heard}


def test_no_alarm_is_lost_or_doubled_when_the_broker_restarts(broker, model, climbing, tmp_path):
    options = ("--interval", "0.05", "--temperature-threshold", "0.5", "--humidity-threshold", "0")
    with (
        Program(tmp_path / "a", "alarms", "--broker", broker.address, "--session", "r") as alarms,
    ):
        alarms.says("listens")
        with monitor(tmp_path / "m", broker, model, climbing, *options) as m:
            eventually(lambda: len(alarms.lines) >= 20)
            broker.stop()
            before = len(alarms.lines)
            alarms.says("lost; waiting")
            m.says("lost; alarms wait until it is back")
            broker.start()
            # Some of the alarms of the time between, long before all are through.
            eventually(lambda: len(alarms.lines) > before)
            assert m.ends() == 0
        eventually(lambda: len(alarms.lines) >= 188)
        assert alarms.interrupt() == 0
        found = [LINE.fullmatch(line) for line in alarms.lines]
    told = [(m[1], m[4]) for m in found]
    assert sorted(told) == sorted(
        pair
        for n in range(6, 100)
        for pair in (("Temperature", f"{n}.0"), ("Humidity", f"{90 - n / 10:.1f}"))
    )


def test_what_is_raised_while_nobody_listens_is_printed_later(broker, model, climbing, tmp_path):
    listening = ("alarms", "--broker", broker.address, "--session", "later")
    with Program(tmp_path / "1", *listening) as first:
        first.says("listens")
        with Program(tmp_path / "2", *listening) as second:
            assert second.ends() == 2
            assert "another process here has it" in second.said
        assert first.interrupt() == 0
    options = ("--interval", "0.01", "--temperature-threshold", "0.5")
    with monitor(tmp_path / "m", broker, model, climbing, *options) as m:
        assert m.ends() == 0
    broker.stop()
    broker.start()
    with Program(tmp_path / "3", *listening) as third:
        eventually(lambda: len(third.lines) >= 94)
        assert third.interrupt() == 0
        assert len(third.lines) == 94


def test_what_could_not_be_printed_is_printed_later(broker, tmp_path):
    listening = ("alarms", "--broker", broker.address, "--session", "pipe")
    reading, writing = os.pipe()
    command = [*COMMAND, *listening]
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE) as first:
        os.close(writing)
        assert b"listens" in first.stderr.readline()
        os.close(reading)  # whoever read has seen enough
        with Listener(broker) as listener:
            for number in range(3):
                alarm = Alarm(HUMIDITY, 1, 2, 0.5, 1e9 + number, "pi-1", "")
                listener.publish("ml4iot/devices/pi-1/alarms/humidity", alarm.serialise())
        assert first.wait(LIMIT_S) == 0
    with Program(tmp_path / "2", *listening) as second:
        eventually(lambda: len(second.lines) >= 3)
        assert second.interrupt() == 0
        assert len(second.lines) == 3


def test_a_broker_that_is_away_at_the_start_is_waited_for(broker, model, climbing, tmp_path):
    with Program(tmp_path / "a", "alarms", "--broker", broker.address, "--session", "w") as alarms:
        alarms.says("listens")
        broker.stop()
        options = ("--interval", "0.1", "--temperature-threshold", "0.5")
        with monitor(tmp_path / "m", broker, model, climbing, *options) as m:
            m.says("watches")
            broker.start()
            eventually(lambda: len(alarms.lines) >= 10)
            assert m.interrupt() == 0  # Ctrl-C ends it in good order
            m.says("compared with a forecast")
            raised = int(re.search(r"(\d+) compared", m.said)[1])
        eventually(lambda: len(alarms.lines) >= raised)
        assert alarms.interrupt() == 0
    told = [float(LINE.fullmatch(line)[4]) for line in alarms.lines]
    assert sorted(told) == [6.0 + n for n in range(raised)]


def test_alarms_that_reached_no_broker_are_counted(model, climbing, tmp_path, capsys):
    summary = tmp_path / "summary.json"
    command = ["monitor", model, "--replay", climbing, "--broker", f"127.0.0.1:{free_port()}"]
    options = ["--interval", "0.01", "--temperature-threshold", "0.5", "--summary", summary]
    assert main([str(each) for each in (*command, *options)]) == 0
    assert "94 of them not said for want of a broker" in capsys.readouterr().err
    assert json.loads(summary.read_text())["alarms_unsaid"] == 94


def test_topics_can_be_told(broker, model, climbing, tmp_path):
    topics = ("--alarm-topic", "hall/{device}/{quantity}", "--readings-topic", "hall/{device}")
    options = ("--interval", "0.01", "--temperature-threshold", "0.5", "--device", "pi-1")
    with (
        Listener(broker, "#") as listener,
        Program(
            *(tmp_path / "a", "alarms", "--broker", broker.address),
            *("--topic", "hall/#", "--session", "h"),
        ) as alarms,
    ):
        alarms.says("listens for hall/#")
        with monitor(
            tmp_path / "m", broker, model, climbing, *options, *topics, "--home-assistant", ""
        ) as m:
            assert m.ends() == 0
        eventually(lambda: len(alarms.lines) >= 94)
        eventually(lambda: listener.of("hall/pi-1/temperature")[93:])
        assert {said.topic for said in listener.heard} == {
            *("hall/pi-1/temperature", "hall/pi-1", "ml4iot/devices/pi-1/monitor")
        }


def test_the_topics_are_the_fleets():
    topics = MonitorTopics(Topics("home"), "pi-1")
    assert topics.alarm("humidity") == Topics("home").alarm("pi-1", "humidity")
    assert topics.reading.rsplit("/", 1)[0] == Topics("home").status("pi-1").rsplit("/", 1)[0]
    assert Alarm(HUMIDITY, 1, 2, 0.5, 1e9, "pi-1", "").serialise().startswith(b'[{"bn":"pi-1/"')


MONITOR = ("monitor", "MODEL", "--replay", "CSV", "--broker", "127.0.0.1:9")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("monitor",), "required"),
        (("monitor", "MODEL", "--broker", "b"), "one of the arguments --sensor --replay"),
        (("monitor", "MODEL", "--replay", "CSV"), "--broker"),
        ((*MONITOR, "--sensor", "dht11:GPIO4"), "not allowed with"),
        ((*MONITOR, "--interval", "0"), "0.01 to 86400"),
        ((*MONITOR, "--temperature-threshold", "-1"), "threshold of temperature"),
        ((*MONITOR, "--humidity-threshold", "nan"), "threshold of humidity"),
        ((*MONITOR, "--humidity-threshold", "much"), "invalid float"),
        ((*MONITOR, "--step", "2"), "step 2: repeats forecasts 1 to 1"),
        ((*MONITOR, "--mean", "1"), "--mean '1'"),
        ((*MONITOR, "--deviation", "0,1"), "deviations"),
        ((*MONITOR, "--device", "a/b"), "device 'a/b'"),
        ((*MONITOR, "--prefix", "a/"), "prefix"),
        ((*MONITOR, "--alarm-topic", "a/#"), "topic of alarms"),
        ((*MONITOR, "--home-assistant", "+"), "--home-assistant"),
        ((*MONITOR, "--broker-user", "pi"), "password"),
        (("monitor", "no.tflite", *MONITOR[2:]), "no such file"),
        (("monitor", "CSV", *MONITOR[2:]), "not a bundle"),
        ((*MONITOR[:3], "no.csv", *MONITOR[4:]), "no.csv: no such file"),
        (("monitor", "MODEL", "--sensor", "dht22:x", "--broker", "b"), "dht11:GPIO"),
        (("monitor", "MODEL", "--sensor", "dht11:GPIO4", "--broker", "b"), "dht"),
        (("alarms",), "--broker"),
        (("alarms", "--broker", "127.0.0.1:1", "--session", "m"), "no broker at 127.0.0.1:1"),
        (("alarms", "--broker", "b", "--session", "a/b"), "session 'a/b'"),
        (("alarms", "--broker", "b", "--topic", "a/#/b"), "--topic"),
        (("alarms", "--broker", "a b"), "HOST"),
    ],
)
def test_wrong_use_costs_one_line(arguments, said, model, climbing, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "adafruit_dht", None)
    named = {"MODEL": str(model), "CSV": str(climbing)}
    try:
        status = main([named.get(each, each) for each in arguments])
    except SystemExit as end:
        status = end.code
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err


@pytest.mark.parametrize("command", ["monitor", "alarms"])
def test_help_says_enough_and_brings_nothing_heavy(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    told = capsys.readouterr().out
    wanted = {
        "monitor": ("9.107597,75.904076", "8.654227,16.557089", "dht11:GPIO4", "1x6x2", "Jena"),
        "alarms": ("(05/12/2022 19:15:01) Humidity Alert: Predicted=48.8% Actual=50.1%",),
    }
    for text in wanted[command]:
        assert text in told
