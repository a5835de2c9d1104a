from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_client.wilson import wilson
from tests.edge_client.test_records import stamps
from tests.edge_client.tiny import EXAMPLES, LABELS, jena_csv, tone, wav


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "edge_client", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A folder of recordings by word, one of them in the wrong folder."""
    root = tmp_path_factory.mktemp("words")
    for word, clip in EXAMPLES.items():
        (root / word).mkdir()
        (root / word / "b.wav").write_bytes(wav(clip))
    (root / "high" / "a.WAV").write_bytes(wav(tone(3000, 48000, 1.3), 48000))
    (root / "low" / "wrong.wav").write_bytes(wav(EXAMPLES["silence"]))
    (root / "low" / "._b.wav").write_bytes(b"what a Mac leaves beside b.wav")
    (root / "low" / "notes.txt").write_text("no recording")
    return root


@pytest.fixture(scope="module")
def station(tmp_path_factory):
    """20 records, a gap after the tenth."""
    times = stamps(30)
    rows = [(times[i if i < 10 else i + 5], i / 10, 50 - i) for i in range(20)]
    path = tmp_path_factory.mktemp("station") / "station.csv"
    path.write_text(jena_csv(rows))
    return path


def test_recordings_as_the_design_says(keyword_bundle, words):
    done = command("predict", keyword_bundle, words, cwd=words)
    assert done.returncode == 0
    assert done.stderr == ""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    paths = [
        str(words / name)
        for name in ("high/a.WAV", "high/b.wav", "low/b.wav", "low/wrong.wav", "silence/b.wav")
    ]
    assert [line["path"] for line in lines] == paths
    assert [line["label"] for line in lines] == ["high", "high", "low", "silence", "silence"]
    for line in lines:
        assert list(line) == ["path", "label", "scores", "margin", "latency_ms"]
        assert tuple(line["scores"]) == LABELS
        scores = sorted(line["scores"].values(), reverse=True)
        assert line["scores"][line["label"]] == scores[0]
        assert line["margin"] == pytest.approx(scores[0] - scores[1], abs=2e-6)
        latency = line["latency_ms"]
        assert list(latency) == ["features", "inference", "total"]
        assert latency["total"] == pytest.approx(
            latency["features"] + latency["inference"], abs=2e-4
        )


def test_records_as_the_design_says(forecast_bundle, station):
    done = command("predict", forecast_bundle, station)
    assert done.returncode == 0
    assert done.stderr == ""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 2 * (10 - 2)  # windows of three in two runs of ten records
    assert all(list(line) == ["time", "forecast"] for line in lines)
    assert lines[0]["time"] == 1577837400 + 2 * 600
    assert np.allclose(lines[0]["forecast"], [[0.2, 48]] * 2)
    assert np.allclose(lines[8]["forecast"], [[1.2, 38]] * 2)  # right after the gap


def test_inputs_may_follow_options(run, keyword_bundle, words):
    """argparse alone takes a list of inputs from one place only."""
    _, straight, _ = run("predict", keyword_bundle, words / "low", words / "high")
    status, mixed, err = run(
        "predict", keyword_bundle, "--self-test", words / "low", "--summary", words / "high"
    )
    assert (status, len(err)) == (0, 2)
    paths = [[json.loads(line)["path"] for line in lines] for lines in (straight, mixed)]
    assert paths[0] == paths[1]


def test_summary_of_recordings(run, keyword_bundle, words):
    status, out, err = run("predict", keyword_bundle, words, "--summary")
    assert (status, len(out), len(err)) == (0, 5, 1)
    low, high = wilson(4, 5)
    assert "5 recordings: accuracy 80.00 % (4 of 5" in err[0]
    assert f"{100 * low:.2f} to {100 * high:.2f} %" in err[0]


def test_summary_without_labels_in_folder_names(run, keyword_bundle, tmp_path):
    (tmp_path / "x.wav").write_bytes(wav(EXAMPLES["low"]))
    _, _, err = run("predict", keyword_bundle, tmp_path / "x.wav", "--summary")
    assert "no folder is named as a label" in err[0]


def test_summary_of_records(run, forecast_bundle, station):
    _, out, err = run("predict", forecast_bundle, station, "--summary")
    # Rising 0.1 a step: repeating is wrong by 0.1 after one and 0.2 after two; RH by 1 and 2.
    assert len(out) == 16
    assert "12 windows" in err[0]
    assert "T 0.1500 Cel (persistence 0.1500), RH 1.5000 %RH (persistence 1.5000)" in err[0]


def test_the_last_of_the_records(run, forecast_bundle, station):
    status, out, err = run("predict", forecast_bundle, station, "--last", 0.25, "--summary")
    assert (status, len(out)) == (0, 3)  # five rows hold three windows of three
    assert "1 windows" in err[0]


def test_a_list_of_paths(run, keyword_bundle, words, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("./data/all_words/low/b.wav\n\nhigh/b.wav\nhigh/none.wav\n")
    status, out, err = run("predict", keyword_bundle, "--list", listed, "--root", words)
    assert [json.loads(line)["label"] for line in out] == ["low", "high"]
    assert status == 2
    assert err == [f"ml4iot-edge: high/none.wav: no such file below {words}"]


def test_one_bad_file_costs_one_line(run, keyword_bundle, words, tmp_path):
    (tmp_path / "cut.wav").write_bytes(wav(EXAMPLES["low"])[:-5])
    (tmp_path / "empty").mkdir()
    good = words / "low" / "b.wav"
    inputs = (tmp_path / "cut.wav", tmp_path / "no\nne.wav", tmp_path / "empty", good)
    status, out, err = run("predict", keyword_bundle, *inputs)
    assert status == 2
    assert [json.loads(line)["path"] for line in out] == [str(good)]
    assert [line.split(": ")[2] for line in err] == [
        "truncated",
        "no such file",
        "no WAV files in this folder",
    ]


def test_self_test(run, keyword_bundle, forecast_bundle):
    for bundle, count in ((keyword_bundle, 3), (forecast_bundle, 1)):
        status, out, err = run("predict", bundle, "--self-test")
        assert (status, out) == (0, [])
        assert f"{count} golden inputs give what they should" in err[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "arguments are required: COMMAND"),
        (("poetry",), "invalid choice: 'poetry'"),
        (("predict",), "arguments are required: BUNDLE"),
        (("predict", "{keyword}"), "no INPUT"),
        (("predict", "{keyword}", "x", "--last", "1.5"), "'1.5' is no share"),
        (("predict", "{keyword}", "x", "--last", "0.5"), "--last is for records"),
        (("predict", "{keyword}", "--list", "/none.txt"), "/none.txt: no such file"),
        (("predict", "{keyword}", "--list", "{keyword}"), "not a text file of paths"),
        (("predict", "/none.bundle", "x.wav"), "/none.bundle: no such file"),
        (("predict", "{csv}", "x.wav"), "not a bundle"),
        (("predict", "{forecast}", "{csv}", "{csv}"), "one CSV"),
        (("predict", "{forecast}", "--list", "x"), "one CSV"),
        (("predict", "{forecast}", "{keyword}"), "0 CSV files in the zip"),
        (("predict", "{forecast}", "{csv}", "--last", "0.05"), "no 3 consecutive records"),
        (("predict", "{keyword}", "x", "--loud"), "unrecognized arguments: --loud"),
        (("bench", "{keyword}", "x"), "unrecognized arguments: x"),
        (("bench", "{keyword}", "--runs", "5"), "'5' is no whole number from 100"),
    ],
)
def test_wrong_use_costs_one_line_and_exit_status_2(
    run, keyword_bundle, forecast_bundle, station, arguments, message
):
    names = {"keyword": keyword_bundle, "forecast": forecast_bundle, "csv": station}
    status, out, err = run(*(argument.format(**names) for argument in arguments))
    assert (status, out, len(err)) == (2, [], 1)
    assert message in err[0]


def test_help_says_what_there_is(run):
    status, out, err = run("--help")
    assert (status, err) == (0, [])
    assert {"predict", "bench"} <= set(" ".join(out).split())
    status, out, _ = run("predict", "--help")
    assert status == 0
    text = " ".join(" ".join(out).split())
    for wanted in ("--list", "--root", "--last", "--summary", "--self-test", '"latency_ms"'):
        assert wanted in text


def test_bench(run, keyword_bundle, forecast_bundle):
    for bundle in (keyword_bundle, forecast_bundle):
        status, out, err = run("bench", bundle, "--runs", "100", "--json")
        assert (status, len(out), err) == (0, 1, [])
        result = json.loads(out[0])
        assert result["runs"] == 100
        for step in ("features", "inference", "total"):
            assert 0 <= result["latency_ms"][step]["median"] <= result["latency_ms"][step]["p95"]
        status, out, _ = run("bench", bundle, "--runs", "100")
        assert status == 0
        assert [line.split()[0] for line in out[1:]] == [
            *("ms", "features", "inference", "total", "resident")
        ]


def test_a_reader_that_has_seen_enough_is_no_error(keyword_bundle, words):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "edge_client", "predict", keyword_bundle, words],
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=120,
        )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_in_one_line(keyword_bundle, words):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edge_client", "predict", str(keyword_bundle), str(words)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (10, 10), (760, 800), (1, 2)])
def test_wilson_holds_the_share_and_stays_in_range(hits, trials):
    low, high = wilson(hits, trials)
    assert 0 <= low <= hits / trials <= high <= 1


def test_wilson_as_published():
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    with pytest.raises(ValueError, match="no trials"):
        wilson(0, 0)
