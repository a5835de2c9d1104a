"""A DHT-11 fails now and then; an injected driver does so on purpose."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from edge_client.monitor.dht11 import Dht11, open_dht11
from edge_client.monitor.schedule import Tick, clock
from edge_client.monitor.sensor import SensorError, SensorFault


class Driver:
    """Behaves as Adafruit's: without a reset of its clock it hands out the last measurement."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.temperature = self.humidity = None
        self._last_called = 0
        self.given_back = False

    def measure(self):
        if self._last_called:
            return
        self._last_called = clock()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        self.temperature, self.humidity = answer

    def exit(self):
        self.given_back = True


def soon(number=0, seconds=30):
    return Tick(number, clock() + seconds)


def test_every_tick_is_a_measurement_of_its_own():
    sensor = Dht11(Driver((21.5, 40), (22.0, 41)))
    samples = [sensor.sample(soon(number)) for number in (7, 8)]
    assert [(each.index, each.values) for each in samples] == [(7, (21.5, 40)), (8, (22.0, 41))]


def test_a_passing_fault_is_tried_again_within_the_tick():
    driver = Driver(
        (21.0, 40),
        RuntimeError("A full buffer was not returned. Try again."),
        RuntimeError("Checksum did not validate. Try again."),
        OSError(16, "Device or resource busy"),
        (None, None),
        (22.0, 41),
    )
    sensor = Dht11(driver)
    assert sensor.sample(soon()).values == (21.0, 40.0)
    assert sensor.sample(soon()).values == (22.0, 41.0)
    assert driver.answers == []


def test_a_fault_that_does_not_pass_costs_the_sample_never_the_last_one_again():
    driver = Driver((21.0, 40), *[RuntimeError("DHT sensor not found,\n check wiring")] * 9)
    sensor = Dht11(driver)
    sensor.sample(soon())
    with pytest.raises(SensorFault, match="dht11: DHT sensor not found, check wiring"):
        sensor.sample(Tick(1, clock()))
    assert len(driver.answers) == 8  # when it is late, one attempt is still made


def test_it_gives_the_pin_back():
    driver = Driver()
    Dht11(driver).close()
    assert driver.given_back


def test_it_is_opened_through_its_usual_library(monkeypatch):
    opened = []

    def made(pin, use_pulseio):
        opened.append((pin, use_pulseio))
        return Driver((20.0, 50))

    monkeypatch.setitem(sys.modules, "adafruit_dht", SimpleNamespace(DHT11=made))
    monkeypatch.setitem(sys.modules, "board", SimpleNamespace(D4="the pin"))
    sensor = open_dht11("dht11:GPIO4")
    assert opened == [("the pin", False)]
    assert (sensor.name, sensor.sample(soon()).values) == ("dht11:GPIO4", (20.0, 50.0))
    with pytest.raises(SensorError, match="no pin GPIO99"):
        open_dht11("dht11:GPIO99")

    def busy(pin, use_pulseio):
        raise RuntimeError("in use")

    monkeypatch.setitem(sys.modules, "adafruit_dht", SimpleNamespace(DHT11=busy))
    with pytest.raises(SensorError, match="cannot be had"):
        open_dht11("dht11:GPIO4")


def test_without_the_library_it_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "adafruit_dht", None)
    with pytest.raises(SensorError, match=r"ml4iot-edge\[dht\]"):
        open_dht11("dht11:GPIO4")


@pytest.mark.parametrize(
    "wrong", ["dht11", "dht11:4", "dht22:GPIO4", "dht11:GPIO444", "", "x" * 99]
)
def test_other_specifications_are_told(wrong):
    with pytest.raises(SensorError, match="dht11:GPIO"):
        open_dht11(wrong)
