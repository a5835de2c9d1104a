"""On an enrolled device a model is named as it is installed, and the broker is the fleet's."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edge_client.bundle import bundle_bytes
from edge_client.fleet.enrolment import EnrolledBroker, EnrolledModel, Enrolment
from edge_client.fleet.installed.home import Home
from edge_client.fleet.use.usage import read_usage
from tests.edge_client.fleet.installed import install, keyword_bundle
from tests.edge_client.monitor.house import Listener, Mosquitto, Program, records_csv
from tests.edge_client.waiting import eventually


@pytest.fixture
def broker(mosquitto, tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(mosquitto, folder) as running:
        yield running


def test_the_installed_model_is_used_and_followed(broker, forecast_parts, tmp_path):
    manifest, packed = forecast_parts

    def forecaster(version):
        return bundle_bytes(replace(manifest, name="th", version=version), packed, "th")

    home = Home(tmp_path / "home")
    install(home, "th", "1", forecaster("1"))
    known = EnrolledBroker(broker.address, prefix="house")
    enrolment = Enrolment("pi-7", "http://127.0.0.1:9", (EnrolledModel("th"),), known)
    home.enrolment.write_text(json.dumps(enrolment.to_json()))
    records = tmp_path / "r.csv"
    records.write_text(records_csv([(20 + n % 2, 50) for n in range(2000)]))

    options = ("--replay", records, "--interval", "0.05", "--temperature-threshold", "0.5")
    topic = "house/devices/pi-7/alarms/temperature"

    def models():
        return [records[-1]["vs"] for records in listener.of(topic)]

    with (
        Listener(broker, topic) as listener,
        Program(tmp_path / "m", "monitor", "th", "--home", home.path, *options) as monitor,
    ):
        monitor.says("pi-7 watches")
        eventually(lambda: len(models()) >= 3)
        assert set(models()) == {"th:1"}
        install(home, "th", "2", forecaster("2"))
        eventually(lambda: "th:2" in models())
        monitor.says("th 2 is used from now on, instead of 1")
        # What cannot be monitored with is not gone over to.
        install(home, "th", "3", keyword_bundle("3", name="th"))
        monitor.says("th 2 is used on")
        told = len(models())
        eventually(lambda: len(models()) > told + 3)
        assert models()[-1] == "th:2"
        assert monitor.interrupt() == 0
    usage = read_usage(home.model("th") / "in_use", "2")
    assert usage is not None and usage.inferences > 0
