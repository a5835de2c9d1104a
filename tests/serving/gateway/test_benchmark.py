"""The benchmark and its open-loop client."""

from __future__ import annotations

import math

import pytest

from serving.gateway import benchmark
from serving.gateway.open_loop import ask_at_rate
from tests.serving.gateway.clips import body
from tests.serving.gateway.conftest import QUEUE


def test_every_request_is_accounted_for(gateway, backend):
    load = ask_at_rate(gateway, "/v1/classify", body(), rate=40, seconds=0.5)
    assert load.sent == 20
    assert load.lost == 0
    assert load.statuses.total() == 20
    assert len(load.latencies_s) == load.statuses[200]
    assert load.percentile_ms(50) <= load.percentile_ms(99)


def test_more_than_can_be_served_is_answered_with_429(gateway, backend):
    backend.behaviour.mode = "slow"
    load = ask_at_rate(gateway, "/v1/classify", body(), rate=400, seconds=0.5)
    assert load.lost == 0
    assert set(load.statuses) == {200, 429}
    assert load.statuses[200] >= QUEUE


def test_no_server_loses_every_request():
    load = ask_at_rate("http://127.0.0.1:9", "/v1/classify", b"", rate=50, seconds=0.1)
    assert load.lost == load.sent == 5
    assert math.isnan(load.percentile_ms(50))


def test_a_model_folder_that_is_none_is_told(tmp_path, capsys):
    assert benchmark.main(["--model", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [("--rounds", "0"), ("--seconds", "nan"), ("--rate", "0"), ("--backend", "x")]
)
def test_wrong_use_costs_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        benchmark.main(arguments)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert arguments[0] in said


@pytest.mark.slow
def test_the_table_has_every_figure(repository, capsys):
    arguments = ["--model", str(repository / "models" / "big"), "--seconds", "1", "--rounds", "1"]
    assert benchmark.main(arguments) == 0
    table = capsys.readouterr().out
    for words in ("closed loop", "75 requests/s", "450 requests/s", "added to a direct call"):
        assert words in table
