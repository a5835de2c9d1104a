"""Records stand in for a sensor, gaps and all."""

from __future__ import annotations

import math

import pytest

from edge_client.monitor.replay import Replay
from edge_client.monitor.schedule import Tick
from edge_client.records import RecordsError
from tests.edge_client.monitor.house import records_csv
from tests.edge_client.tiny import jena_csv


def replayed(text):
    replay = Replay(text.encode(), "r.csv")
    samples = []
    while (sample := replay.sample(Tick(0, 0.0))) is not None:
        samples.append(sample)
    assert len(samples) == len(replay)
    return samples


def test_both_layouts_are_read():
    ours = replayed(records_csv([(1.5, 50), (2.5, 51)]))
    jena = replayed(jena_csv([("01.01.2020 00:10:00", 1.5, 50), ("01.01.2020 00:20:00", 2.5, 51)]))
    for samples in (ours, jena):
        assert [(s.index, s.values) for s in samples] == [(0, (1.5, 50)), (1, (2.5, 51))]


def test_gaps_and_what_is_between_two_records_is_told_by_the_index():
    times = [0, 600, 1200, 1800, 2400, 2750, 3000, 3600, 9600, 10250, 10800]
    text = "time,T,RH\n" + "".join(f"{time},1,50\n" for time in times)
    # 350 s, 250 s and 6000 s where 600 s are usual; 650 s and 550 s are near enough.
    assert [s.index for s in replayed(text)] == [0, 1, 2, 3, 4, 5, 7, 8, 18, 19, 20]


def test_a_missing_value_stays_missing():
    (sample,) = replayed("time,T,RH\n0,,-9999\n")
    assert not sample.whole
    assert all(map(math.isnan, sample.values))


@pytest.mark.parametrize("wrong", ["", "time,T\n0,1\n", "time,T,RH\n", "time,T,RH\n0,a,1\n"])
def test_what_holds_no_such_records_is_told(wrong):
    with pytest.raises(RecordsError, match=r"^r\.csv"):
        replayed(wrong)
