"""The station year: hourly, complete, of the Jena layout."""

from __future__ import annotations

import numpy as np
import pytest

from components.default_data.__main__ import main
from components.default_data.records import STATIONS, make_records
from components.errors import InputError
from edge_client.features.spec import Quantity
from edge_client.records import read_records

QUANTITIES = (Quantity("T", "T (degC)", "Cel"), Quantity("RH", "rh (%)", "%RH"))


@pytest.mark.parametrize("station", STATIONS)
def test_a_year_of_hours_without_a_gap(station: str, tmp_path) -> None:
    out = tmp_path / "records.csv"
    assert make_records(out, station)
    records = read_records(out, QUANTITIES)
    assert len(records) == 8760
    assert set(np.diff(records.time)) == {3600}
    assert (records.duplicates, records.disordered, records.missing) == (0, 0, 0)
    temperature, humidity = records.values.T
    assert -40 < temperature.min() < 0 < 15 < temperature.max() < 45
    assert 0 <= humidity.min() < 50 < humidity.max() <= 100
    summer = temperature[24 * 181 : 24 * 212].mean()
    assert summer > temperature[: 24 * 31].mean() + 5


def test_made_once(tmp_path) -> None:
    out = tmp_path / "records.csv"
    assert main(["records", str(out)]) == 0
    before = out.stat().st_mtime_ns
    assert not make_records(out)
    assert out.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="does not hold the records of sand-point"):
        make_records(out, "sand-point")
