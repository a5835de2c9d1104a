"""How an alarm travels, and how it reads."""

from __future__ import annotations

import contextlib
import json
import math
import time
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_client.monitor.alarm import Alarm, AlarmError, Thresholds, read_alarm
from edge_client.monitor.quantities import HUMIDITY, MONITORED, TEMPERATURE

# 19:15:01 on 5 December 2022 in Rome.
MOMENT = 1670264101.25
ALARM = Alarm(HUMIDITY, 48.8, 50.1, 1.0, MOMENT, "pi-1", "th-a:3")


@pytest.fixture
def rome(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Rome")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("rome")
def test_lines_are_those_of_the_coursework():
    assert ALARM.line() == "(05/12/2022 19:15:01) Humidity Alert: Predicted=48.8% Actual=50.1%"
    warm = Alarm(TEMPERATURE, 21.3, 22.0, 0.5, MOMENT, "pi-1", "")
    assert warm.line() == (
        "(05/12/2022 19:15:01) Temperature Alert: Predicted=21.3°C Actual=22.0°C"
    )
    cold = replace(warm, predicted=-0.04, actual=-12.25)
    assert cold.line().endswith("Alert: Predicted=0.0°C Actual=-12.2°C")


def test_it_travels_as_senml():
    assert json.loads(ALARM.serialise()) == [
        {"bn": "pi-1/", "bt": MOMENT, "n": "humidity", "u": "%RH", "v": 50.1},
        {"n": "humidity/predicted", "u": "%RH", "v": 48.8},
        {"n": "humidity/threshold", "u": "%RH", "v": 1},
        {"n": "model", "vs": "th-a:3"},
    ]


numbers = st.floats(-100, 100).map(lambda number: round(number, 4))


@given(
    st.builds(
        Alarm,
        st.sampled_from(MONITORED),
        numbers,
        numbers,
        st.floats(0, 100),
        st.floats(2.0**28, 2.0**33),
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
        st.sampled_from(["", "th-a:1"]),
    )
)
def test_what_is_written_is_read_back(alarm):
    assert read_alarm(alarm.serialise()) == alarm


def test_a_clock_that_was_never_set_says_nothing_of_the_time():
    before = time.time()
    read = read_alarm(replace(ALARM, time=12.0).serialise())
    assert before <= read.time <= time.time()
    assert replace(read, time=MOMENT, dated=True) == ALARM
    assert not read.dated


@given(st.binary(max_size=5000))
def test_any_bytes_are_an_alarm_or_one_error(body):
    try:
        read = read_alarm(body)
    except AlarmError:
        return
    assert read_alarm(read.serialise()).quantity == read.quantity


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
@given(st.floats(allow_nan=False, allow_infinity=False))
@example(253402300799.0)
@example(253402214399.0)
def test_an_alarm_of_any_time_reads_as_a_line_or_is_none(zone, moment):
    body = json.dumps([{**GOOD[0], "bt": moment}, *GOOD[1:]]).encode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        with contextlib.suppress(AlarmError):
            assert read_alarm(body).line().endswith("Humidity Alert: Predicted=48.8% Actual=50.1%")
    time.tzset()


GOOD = json.loads(ALARM.serialise())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (GOOD[:1], "predicted"),
        ([{**GOOD[0], "u": "Cel"}, *GOOD[1:]], "no number"),
        ([{**GOOD[0], "n": "pressure"}, *GOOD[1:]], "temperature or humidity"),
        ([*GOOD, {"n": "temperature", "u": "Cel", "v": 1}], "temperature or humidity"),
        ([*GOOD, GOOD[2]], "temperature or humidity"),
        ([{**GOOD[0], "bn": "../x/"}, *GOOD[1:]], "name"),
        ([{**GOOD[0], "bt": 1e300}, *GOOD[1:]], "time"),
        ([{**GOOD[0], "bt": 253402300799}, *GOOD[1:]], "time"),  # in Rome in the year 10000
        ([{**GOOD[0], "bt": -1e18}, *GOOD[1:]], "time"),
        ([{**GOOD[0]}, {**GOOD[1], "v": "x"}], "number"),
        ([*GOOD, *({"n": f"m{n}", "v": 1} for n in range(20))], "records"),
    ],
)
def test_what_is_no_alarm_is_told(wrong, said):
    with pytest.raises(AlarmError, match=said):
        read_alarm(json.dumps(wrong).encode())


def test_a_large_message_is_not_even_looked_at():
    with pytest.raises(AlarmError, match="5000 bytes"):
        read_alarm(b"[" * 5000)


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf])
def test_thresholds_are_numbers_from_zero_on(wrong):
    with pytest.raises(AlarmError, match="temperature"):
        Thresholds(wrong, 1)
    with pytest.raises(AlarmError, match="humidity"):
        Thresholds(1, wrong)
