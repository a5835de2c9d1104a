from __future__ import annotations

import contextlib
import io
import zipfile
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_client.features.spec import RecordWindow
from edge_client.records import RecordsError, read_records, window_starts
from tests.edge_client.tiny import QUANTITIES, WINDOW, jena_csv

START = datetime(2020, 1, 1, 0, 10, tzinfo=timezone.utc)


def stamps(count):
    return [(START + timedelta(minutes=10 * i)).strftime("%d.%m.%Y %H:%M:%S") for i in range(count)]


def read(text, **options):
    return read_records(text.encode(), QUANTITIES, "r.csv", **options)


def zipped(**members):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_csv", ".csv"), content)
    return made.getvalue()


FOUR = jena_csv([(time, i, 50 + i) for i, time in enumerate(stamps(4))])


def test_jena_layout():
    records = read(FOUR)
    assert records.time.tolist() == [int(START.timestamp()) + 600 * i for i in range(4)]
    assert records.values.dtype == np.float32
    assert records.values.tolist() == [[0, 50], [1, 51], [2, 52], [3, 53]]
    assert (records.duplicates, records.disordered, records.missing) == (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("01.01.2020 00:10", 1577837400),
        ("2020-01-01 00:10:00", 1577837400),
        ("2020-01-01T00:10:00Z", 1577837400),
        ("2020-01-01T02:10:00+02:00", 1577837400),
        ("1577837400", 1577837400),
        ("1577837400.0", 1577837400),
    ],
)
def test_time_stamps(text, seconds):
    assert read(f"time,T,RH\n{text},1,2\n").time.tolist() == [seconds]


@pytest.mark.parametrize(
    "text", ["", "yesterday", "32.01.2020 00:00:00", "2020-13-01", "01.01.2020", "1e9", "-1", "NaT"]
)
def test_what_is_no_time_stamp_is_named_with_its_line(text):
    with pytest.raises(RecordsError, match=r"r\.csv: line 3: .* is no time stamp"):
        read(f"time,T,RH\n1577837400,1,2\n{text},1,2\n")


def test_sentinels_empty_cells_and_nan_are_missing():
    cells = ["-9999", "-9999.00", "-99", "", " nan ", "NA", "inf", "1e99"]
    rows = "".join(f"{60 * i},{cell},1\n" for i, cell in enumerate(cells))
    records = read("time,T,RH\n" + rows)
    assert np.isnan(records.values[:, 0]).all()
    assert records.missing == len(cells)
    assert read("time,T,RH\n0,-7,-9999\n", sentinels=(-7,)).values.tolist()[0][1] == -9999


def test_order_and_duplicates():
    times = stamps(3)
    shuffled = [(times[2], 2, 2), (times[0], 0, 0), (times[2], 9, 9), (times[1], 1, 1)]
    records = read(jena_csv(shuffled))
    assert records.values[:, 0].tolist() == [0, 1, 2]
    assert (records.duplicates, records.disordered) == (1, 2)


@given(st.permutations(range(8)), st.lists(st.integers(0, 7), max_size=8))
def test_any_order_and_any_repetition_give_the_same_records(order, again):
    times = stamps(8)
    records = read(jena_csv([(times[i], i, i) for i in [*order, *again]]))
    assert records.values[:, 0].tolist() == list(range(8))
    assert records.duplicates == len(again)
    assert (np.diff(records.time) == 600).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("time,T,RH\n", "a header but no rows"),
        ("time,T\n0,1\n", "no column 'rh (%)'; it has 'time', 'T'"),
        ("a;b;c\n", "for the time (such as 'Date Time') nor 'T (degC)' nor 'rh (%)'"),
        ("time,T,RH\n0,1,2\n600,1\n", "line 3 has 2 cells where the header has 3"),
        ("time,T,RH\n0,warm,2\n", "line 2: 'warm' in column 'T' is no number"),
        ('time,T,RH\n0,"1' + "x" * 200_000, "not a CSV"),
    ],
)
def test_bad_files_are_named(text, message):
    with pytest.raises(RecordsError) as caught:
        read(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("r.csv: ")
    assert "\n" not in str(caught.value)


def test_a_zip_holds_one_csv(tmp_path):
    (tmp_path / "r.zip").write_bytes(zipped(a_csv=FOUR, readme="x"))
    assert len(read_records(tmp_path / "r.zip", QUANTITIES)) == 4
    for data, message in (
        (zipped(readme="x"), "0 CSV files"),
        (zipped(a_csv=FOUR, b_csv=FOUR), "2 CSV files"),
        (zipped(a_csv=FOUR)[:-30], "damaged zip"),
    ):
        with pytest.raises(RecordsError, match=message):
            read_records(data, QUANTITIES)
    with pytest.raises(RecordsError, match="no such file"):
        read_records(tmp_path / "none.csv", QUANTITIES)


@settings(max_examples=200)
@given(st.data(), st.booleans())
def test_damage_gives_records_or_the_named_error(data, packed):
    whole = bytearray(zipped(a_csv=FOUR) if packed else FOUR.encode())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        whole[place] ^= 1 << data.draw(st.integers(0, 7))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        records = read_records(cut, QUANTITIES)
    except RecordsError:
        return
    assert (np.diff(records.time) > 0).all()
    assert records.values.shape == (len(records), 2)


def test_any_one_damaged_bit_of_a_zip_gives_records_or_the_named_error():
    whole = zipped(a_csv=FOUR)
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(RecordsError):
            read_records(bytes(damaged), QUANTITIES)


@given(st.text(max_size=100))
def test_arbitrary_rows_give_records_or_the_named_error(text):
    with contextlib.suppress(RecordsError):
        read("time,T,RH\n" + text)


def plainly(time, values, window, steps):
    """The same windows, one after another and one condition after another."""
    found = []
    for start in range(len(time) - steps + 1):
        stop = start + steps
        apart = all(abs(b - a - 600) <= 300 for a, b in pairwise(time[start:stop]))
        if apart and np.isfinite(values[start:stop]).all():
            found.append(start)
    return found


@given(
    st.lists(st.sampled_from([600, 600, 600, 550, 900, 901, 1200, 200]), max_size=25),
    st.lists(st.integers(0, 25), max_size=3),
    st.integers(1, 6),
)
def test_windows_span_neither_gap_nor_missing_value(distances, holes, steps):
    time = np.cumsum([0, *distances])
    values = np.ones((len(time), 2), np.float32)
    for hole in holes:
        values[hole % len(time), hole % 2] = np.nan
    found = window_starts(time, values, WINDOW, steps)
    assert found.dtype == np.int64
    assert found.tolist() == plainly(time.tolist(), values, WINDOW, steps)


def test_windows_hold_input_and_output_steps_by_default():
    time = 600 * np.arange(6)
    assert window_starts(time, np.ones((6, 2), np.float32), WINDOW).tolist() == [0, 1]


def test_last_share():
    records = read(jena_csv([(time, i, i) for i, time in enumerate(stamps(20))]))
    assert records.last(0.1).values[:, 0].tolist() == [18, 19]
    assert len(records.last(1)) == 20


def test_jena_2020(data_folder):
    records = read_records(data_folder / "jena_climate_2020.csv.zip", QUANTITIES)
    assert (len(records), records.duplicates) == (52_695, 1)
    window = RecordWindow(QUANTITIES, 6, 6, 600.0)
    starts = window_starts(records.time, records.values, window)
    assert 52_600 < len(starts) < 52_695 - 11  # one gap of 1 h 40
    last = records.last(0.1)
    starts = window_starts(last.time, last.values, window)
    after = last.values[starts[:, np.newaxis] + 6 + np.arange(6)]
    persistence = np.abs(last.values[starts + 5][:, np.newaxis] - after).mean((0, 1))
    assert persistence == pytest.approx([0.259, 1.311], abs=0.0005)  # the published floor
