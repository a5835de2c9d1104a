"""The benchmark and its load client."""

from __future__ import annotations

import pytest

from serving import benchmark
from serving.load_client import LoadError, measure


def test_load_is_measured_on_every_connection(server):
    body = b'{"instances": [1.0]}'
    load = measure(server.url, "/v1/models/scale:predict", body, 3, seconds=0.2, rounds=2)
    assert load.connections == 3
    assert load.requests_per_second > 0
    assert 0 < load.p50_ms <= load.p95_ms


def test_an_answer_other_than_200_ends_the_measurement(server):
    with pytest.raises(LoadError, match="404"):
        measure(server.url, "/v1/models/none:predict", b'{"instances": [1]}', 1, 0.2, 1)


def test_no_server_is_told():
    with pytest.raises(LoadError, match=r"no answer from 127\.0\.0\.1:9"):
        measure("http://127.0.0.1:9", "/v1/models/none:predict", b"{}", 1, 0.2, 1)


def test_a_request_is_made_from_the_metadata(server):
    body = benchmark.request_for(server.url, "kinds")
    load = measure(server.url, "/v1/models/kinds:predict", body, 1, seconds=0.1, rounds=1)
    assert load.requests_per_second > 0


def test_a_model_folder_that_is_none_is_told(tmp_path, capsys):
    assert benchmark.main(["--model", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [("--rounds", "0"), ("--seconds", "0"), ("--seconds", "nan"), ("--backend", "x")]
)
def test_wrong_use_costs_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        benchmark.main(arguments)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert arguments[0] in said


@pytest.mark.slow
def test_the_table_has_a_row_for_each_load(own_models, capsys):
    arguments = ["--model", str(own_models / "scale"), "--seconds", "0.2", "--rounds", "1"]
    assert benchmark.main(arguments) == 0
    table = capsys.readouterr().out
    assert table.count("trivial") == 2
    assert table.count("base64 of 16,000 samples") == 2
    assert table.count("scale, one row") == 2
