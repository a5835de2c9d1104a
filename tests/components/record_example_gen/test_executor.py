"""From a CSV to Examples in order of time, and each kind of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tfx.types.standard_artifacts import Examples

from components.errors import InputError
from components.examples import SPLITS, read_split
from components.record_example_gen.component import RecordExampleGen
from components.record_example_gen.executor import Executor, split_bounds

QUANTITIES = json.dumps(
    [
        {"name": "T", "column": "T (degC)", "unit": "Cel"},
        {"name": "RH", "column": "rh (%)", "unit": "%RH"},
    ]
)
SHARES = {"train": 0.7, "validation": 0.2, "test": 0.1}
HEADER = '"Date Time","p (mbar)","T (degC)","rh (%)"'


def jena_rows(count: int) -> list[str]:
    """Ten minutes apart from midnight on, T counting up."""
    return [
        f"{1 + i // 144:02d}.01.2020 {i // 6 % 24:02d}:{i % 6 * 10:02d}:00,990.1,{i / 10:.1f},50.5"
        for i in range(count)
    ]


@pytest.fixture
def ingest(tmp_path):
    def run(path: Path, quantities: str = QUANTITIES, shares: str = "{}"):
        examples = Examples()
        examples.uri = str(tmp_path / "examples")
        Executor().Do(
            {},
            {"examples": [examples]},
            {"input_path": str(path), "quantities": quantities, "shares": shares},
        )
        return examples

    return run


@pytest.fixture
def csv(tmp_path):
    def write(rows: list[str], header: str = HEADER) -> Path:
        path = tmp_path / "records.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return write


def records(examples: Examples) -> dict[str, list[tuple[int, dict[str, float]]]]:
    read = {}
    for split in SPLITS:
        read[split] = []
        for example in read_split(examples, split):
            features = dict(example.features.feature)
            (time,) = features.pop("time").int64_list.value
            values = {name: feature.float_list.value[0] for name, feature in features.items()}
            read[split].append((time, values))
    return read


def test_splits_follow_each_other_in_time(csv, ingest) -> None:
    examples = ingest(csv(jena_rows(100)))
    read = records(examples)
    assert [len(read[split]) for split in SPLITS] == [70, 20, 10]
    flat = [record for split in SPLITS for record in read[split]]
    assert [time for time, _ in flat] == [1577836800 + 600 * i for i in range(100)]
    assert flat[42][1] == pytest.approx({"T": 4.2, "RH": 50.5})


def test_dirt_is_put_right_and_counted(csv, ingest) -> None:
    rows = jena_rows(100)
    rows[10] = rows[10].replace(",1.0,", ",-9999,")
    rows[20] = rows[20].replace(",2.0,", ",,")
    rows[30], rows[31] = rows[31], rows[30]
    rows.insert(50, rows[50])
    examples = ingest(csv(rows))
    read = records(examples)["train"]
    assert [time for time, _ in read] == sorted({time for time, _ in read})
    assert [sorted(values) for _, values in read[9:12]] == [["RH", "T"], ["RH"], ["RH", "T"]]
    counted = {
        name: examples.get_int_custom_property(name)
        for name in ("records", "duplicates", "disordered", "missing")
    }
    assert counted == {"records": 100, "duplicates": 1, "disordered": 1, "missing": 2}


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (HEADER.replace("rh (%)", "humidity"), 100, "no column 'rh \\(%\\)'"),
        (HEADER.replace("Date Time", "when"), 100, "no column for the time"),
        (HEADER, 0, "a header but no rows"),
        (HEADER, 3, "3 records are too few for a split 'validation'"),
    ],
)
def test_a_csv_that_cannot_be_used(header, rows, message, csv, ingest) -> None:
    with pytest.raises(InputError, match=message) as caught:
        ingest(csv(jena_rows(rows), header))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("quantities", "shares", "message"),
    [
        ("[]", "{}", "name at least one"),
        ('[{"name": "T", "unit": "Cel"}]', "{}", r"quantities\[0\]: the key 'column' is missing"),
        ('[{"name": "time", "column": "t", "unit": "s"}]', "{}", "none 'time'"),
        ("T", "{}", "quantities: 'T' is no JSON"),
        (QUANTITIES, '{"train": 1.0}', "name exactly train, validation, test"),
        (QUANTITIES, '{"train": 0.7, "validation": 0.2, "test": 0.2}', "adding up to 1"),
    ],
)
def test_wrong_parameters(quantities, shares, message, csv) -> None:
    with pytest.raises(InputError, match=message):
        RecordExampleGen(str(csv(jena_rows(100))), quantities, shares)


def test_the_fingerprint_follows_the_content(csv) -> None:
    def fingerprint(path: Path) -> str:
        return RecordExampleGen(str(path), QUANTITIES).spec.exec_properties["fingerprint"]

    first = fingerprint(csv(jena_rows(100)))
    assert fingerprint(csv(jena_rows(100))) == first
    assert fingerprint(csv(jena_rows(101))) != first


@given(st.integers(10, 1_000_000))
def test_every_record_is_in_one_split(count: int) -> None:
    bounds = list(split_bounds(count, SHARES, Path("x")).values())
    assert bounds[0][0] == 0
    assert bounds[-1][1] == count
    assert [start for start, _ in bounds[1:]] == [end for _, end in bounds[:-1]]
    for (start, end), share in zip(bounds, SHARES.values(), strict=True):
        assert abs((end - start) - share * count) < 2


def test_real_records(data_folder, ingest) -> None:
    examples = ingest(data_folder / "jena_climate_2020.csv.zip")
    assert examples.get_int_custom_property("records") == 52695
    assert examples.get_int_custom_property("duplicates") == 1
    read = records(examples)
    assert [len(read[split]) for split in SPLITS] == [36886, 10539, 5270]
