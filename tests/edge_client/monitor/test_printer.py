"""Each alarm is printed once, however often the broker brings it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_client.errors import EdgeError
from edge_client.monitor.alarm import Alarm
from edge_client.monitor.printer import Printer
from edge_client.monitor.quantities import HUMIDITY
from edge_client.monitor.session import default_session, held
from edge_client.mqtt.broker import Broker, BrokerAddress
from edge_client.mqtt.messages import Arrived

ALARM = Alarm(HUMIDITY, 48.8, 50.1, 1.0, 1670264101.25, "pi-1", "th-a:3")


def arrived(alarm=ALARM, topic="t"):
    payload = alarm if isinstance(alarm, bytes) else alarm.serialise()
    return Arrived(topic, payload, retained=False, at=0.0)


class Shown:
    def __init__(self, broken=False):
        self.lines, self.others, self.failures = [], [], []
        self.broken = broken
        self.printer = Printer(self._show, self.others.append, self.failures.append)

    def _show(self, line):
        if self.broken:
            raise BrokenPipeError
        self.lines.append(line)


def test_what_comes_again_is_printed_once():
    shown = Shown()
    later = replace(ALARM, time=ALARM.time + 0.01)
    for said in (arrived(), arrived(later), arrived(), arrived(later), arrived(topic="other")):
        shown.printer(said)
    assert shown.lines == [ALARM.line()] * 3  # within one second the lines are the same
    assert shown.printer.printed == 3


def test_two_alarms_of_a_clock_that_was_never_set_are_two():
    shown = Shown()
    for second in (1.0, 2.0):
        shown.printer(arrived(replace(ALARM, time=second)))
    assert shown.printer.printed == 2


def test_what_is_no_alarm_is_told_and_not_printed():
    shown = Shown()
    shown.printer(arrived(b"[]"))
    shown.printer(arrived())
    assert len(shown.others) == 1
    assert len(shown.lines) == 1


def test_it_remembers_so_much_and_no_more(monkeypatch):
    monkeypatch.setattr("edge_client.monitor.printer._REMEMBERED", 2)
    shown = Shown()
    alarms = [replace(ALARM, actual=50.0 + n) for n in range(4)]
    for alarm in (*alarms, alarms[3], alarms[2]):
        shown.printer(arrived(alarm))
    assert len(shown.lines) == 4
    shown.printer(arrived(alarms[0]))
    assert len(shown.lines) == 5


def test_when_nobody_reads_any_more_it_ends():
    shown = Shown(broken=True)
    taken = [shown.printer(arrived()), shown.printer(arrived(replace(ALARM, actual=1.0)))]
    assert taken == [False, False]  # the broker keeps both
    assert len(shown.failures) == 1
    assert shown.printer.printed == 0


def test_a_session_is_held_by_one_at_a_time_for_each_broker():
    one, other = (Broker(BrokerAddress("127.0.0.1", port)) for port in (7, 8))
    name = f"{default_session()[:40]}-test"
    with held(name, one) as client_id:
        assert client_id == f"ml4iot-{name}"
        with pytest.raises(EdgeError, match="--session"), held(name, one):
            pass
        with held(name, other):
            pass
    with held(name, one):
        pass
