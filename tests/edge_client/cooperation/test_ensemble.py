from __future__ import annotations

import copy
import json

import pytest

from edge_client.cooperation.ensemble import (
    Ensemble,
    EnsembleError,
    Member,
    read_ensemble,
    write_ensemble,
)

SHA = "0" * 64
ENSEMBLE = Ensemble(
    (Member("kws-a", SHA, 1.5), Member("kws-b", SHA, 0.5)), "weighted", ("no", "yes")
)


def test_written_and_read_back(tmp_path):
    path = tmp_path / "cooperation.json"
    write_ensemble(path, ENSEMBLE)
    assert read_ensemble(path) == ENSEMBLE
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    before = path.read_bytes()
    write_ensemble(path, ENSEMBLE)
    assert path.read_bytes() == before


def test_a_stranger_weighs_what_members_weigh_on_average():
    assert ENSEMBLE.weight("kws-a") == 1.5
    assert ENSEMBLE.weight("another") == 1.0


def changed(*where, to):
    values = copy.deepcopy(ENSEMBLE.to_json())
    inner = values
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = to
    return values


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "an object is wanted"),
        (changed("format", to=2), "update ml4iot-edge"),
        (changed("extra", to=1), "unknown field 'extra'"),
        (changed("combination", to="best"), "'sum' or 'mean'"),
        (changed("labels", to=["yes"]), "labels: 1 entries"),
        (changed("labels", to=["yes", "yes"]), "the same entry twice"),
        (changed("members", to=[]), "at least one"),
        (changed("members", 1, "name", to="kws-a"), "different models"),
        (changed("members", 0, "name", to="a/b"), "members[0].name"),
        (changed("members", 0, "sha256", to="00"), "members[0].sha256"),
        (changed("members", 0, "weight", to=-1), "not from 0 to 1000"),
        (changed("members", 0, "weight", to=1e9), "not from 0 to 1000"),
        (changed("members", 0, "weight", to="1"), "a number is wanted"),
        (changed("members", 0, "other", to=1), "unknown field 'other'"),
    ],
)
def test_what_is_refused(values, said):
    with pytest.raises(EnsembleError) as caught:
        Ensemble.from_json(values, "c.json")
    assert said in str(caught.value)
    assert str(caught.value).startswith("c.json")


def test_weights_of_nothing_but_zero_are_refused():
    values = changed("members", 0, "weight", to=0)
    values["members"][1]["weight"] = 0
    with pytest.raises(EnsembleError, match="a weight above 0"):
        Ensemble.from_json(values)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b"0" * (2**20 + 1)])
def test_what_is_no_ensemble_at_all(data, tmp_path):
    path = tmp_path / "c.json"
    path.write_bytes(data)
    with pytest.raises(EnsembleError, match=r"c\.json"):
        read_ensemble(path)


def test_nothing_is_written_that_no_reader_takes(tmp_path):
    with pytest.raises(EnsembleError):
        write_ensemble(tmp_path / "c.json", Ensemble((), "sum", ("no", "yes")))
    assert not list(tmp_path.iterdir())
    assert json.dumps(ENSEMBLE.to_json())
