"""The executor on tiny tasks: what it measures, chooses, writes, and how it fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tfx.components.util import model_utils

from components.blessing import blessed_sha256
from components.constraint_evaluator.device import RUNS
from components.constraint_evaluator.evaluation import BudgetsMissedError
from components.constraint_evaluator.report import read_report
from components.errors import InputError
from edge_client.bundle import read_bundle
from edge_client.predictor import AudioPredictor, RecordPredictor

EASY_WORDS = {"accuracy": 80, "bytes": 100_000, "total_ms": 1e6}


def test_blesses_words(words, run) -> None:
    left = run(words, EASY_WORDS, plain="good", packed="good zlib", wrong="contrary")
    report = read_report(left.report)
    assert report == read_report(left.copy)
    assert report.blessed
    assert report.reason == "keeps every budget"
    assert (report.name, report.version, report.task) == ("tiny", "7", "keyword_spotting")
    assert report.run == "by hand/by hand"
    by_recipe = {candidate.recipe: candidate for candidate in report.candidates}
    assert by_recipe["plain"].validation["accuracy"].value == 100
    assert by_recipe["wrong"].validation["accuracy"].value == 0
    assert report.chosen == "packed"  # the same figure in fewer bytes
    assert by_recipe["packed"].bytes < by_recipe["packed"].raw_bytes == by_recipe["plain"].bytes
    test = report.test["accuracy"]
    assert test.value == 85  # 17 of 20: three test labels are wrong on purpose
    assert (test.low, test.high) == pytest.approx((63.96, 94.76), abs=0.01)
    assert [line.metric for line in report.budgets] == list(EASY_WORDS)
    assert all(latency.runs == RUNS for latency in by_recipe["packed"].latency.values())
    assert model_utils.is_model_blessed(left.blessing)
    assert [p.name for p in Path(left.blessing.uri).iterdir()] == ["BLESSED"]


def test_bundle_holds_what_was_measured(words, run) -> None:
    left = run(words, EASY_WORDS, packed="good zlib")
    (path,) = left.bundles
    assert path.name == "tiny.bundle"
    bundle = read_bundle(path)
    manifest, report = bundle.manifest, read_report(left.report)
    assert bundle.model == words.models["good"]
    assert (manifest.name, manifest.version) == ("tiny", "7")
    assert manifest.created_by.pipeline == "by hand"
    assert (manifest.created_by.run_id, manifest.created_by.recipe) == ("by hand", "packed")
    assert [(b.metric, b.required, b.measured) for b in manifest.budgets] == [
        (line.metric, line.required, line.measured) for line in report.budgets
    ]
    assert {b.metric: b.comparison for b in manifest.budgets}["accuracy"] == ">"
    assert len(manifest.golden) == 3
    predictor = AudioPredictor(bundle)
    for golden in manifest.golden:
        answer = predictor(np.frombuffer(golden.input, "<i2"), manifest.input.sample_rate)
        assert answer.scores.tolist() == list(golden.output)


def test_blesses_records(records, run) -> None:
    budgets = {"mae.T": 0.3, "mae.RH": 0.3, "mae_over_persistence.T": 0.5, "bytes": 100_000}
    left = run(records, budgets, repeat="persistence", off="off", exact="exact zlib")
    report = read_report(left.report)
    assert report.blessed
    assert report.chosen == "exact"
    assert report.test["mae.T"].value == pytest.approx(0, abs=1e-4)
    assert report.test["persistence.T"].value == pytest.approx(1.5, abs=1e-6)
    assert report.test["persistence.RH"].value == 0
    by_recipe = {candidate.recipe: candidate for candidate in report.candidates}
    assert by_recipe["repeat"].validation["mae.T"].value == pytest.approx(1.5, abs=1e-4)
    assert by_recipe["repeat"].validation["mae_over_persistence.T"].value == pytest.approx(1)
    assert by_recipe["off"].validation["mae.RH"].value == pytest.approx(0.25, abs=1e-4)
    bundle = read_bundle(left.bundles[0])
    predictor = RecordPredictor(bundle)
    for golden in bundle.manifest.golden:
        answer = predictor(np.frombuffer(golden.input, "<f4").reshape(4, 2))
        assert answer.values.ravel().tolist() == list(golden.output)


def test_failing_names_the_nearest_and_keeps_the_report(words, run) -> None:
    budgets = {"accuracy": 90, "bytes": 100_000}
    left, error = run(
        words, budgets, raises=BudgetsMissedError, wrong="contrary", nearly="good zlib"
    )
    message = str(error)
    assert message.startswith(
        "tiny: no candidate of 2 keeps its budgets; the nearest is 'nearly' (5.5556 % off at worst)"
    )
    assert "accuracy: required > 90 %, measured 85 %, margin -5 %, missed" in message
    assert "bytes: required < 100000 B" in message
    assert "\n" not in message
    report = read_report(left.copy)
    assert not report.blessed
    assert report.reason == "accuracy: required > 90 %, measured 85 %, margin -5 %, missed"
    assert not left.bundles
    assert not model_utils.is_model_blessed(left.blessing)
    assert blessed_sha256(left.blessing) == ""
    assert [p.name for p in Path(left.blessing.uri).iterdir()] == ["NOT_BLESSED"]


def test_measured_equal_to_the_budget_misses(words, run) -> None:
    left, _ = run(words, {"accuracy": 85}, raises=BudgetsMissedError, plain="good")
    (line,) = read_report(left.copy).budgets
    assert line.measured == line.required == 85
    size = len(words.models["good"])
    assert line.margin == 0
    assert not line.met
    assert size == read_report(left.copy).chosen_candidate.bytes


@pytest.mark.parametrize(("slack", "blessed"), [(0, False), (1, True)])
def test_bytes_are_those_of_the_packed_file(words, run, slack: int, blessed: bool) -> None:
    import zlib

    size = len(zlib.compress(words.models["good"], 9))
    budgets = {"bytes": size + slack}
    if blessed:
        assert read_report(run(words, budgets, packed="good zlib").report).blessed
    else:
        run(words, budgets, raises=BudgetsMissedError, packed="good zlib")


def test_nan_misses(words, records, run, tmp_path: Path) -> None:
    left, error = run(records, {"mae.T": 1e9}, raises=BudgetsMissedError, lost="lost")
    assert "measured no number, missed" in str(error)
    assert json.loads(left.copy.read_text())["budgets"][0]["measured"] is None


def test_scores_of_nan_are_wrong_answers(words, run) -> None:
    left, _ = run(words, {"accuracy": 10}, raises=BudgetsMissedError, lost="undecided")
    assert read_report(left.copy).test["accuracy"].value == 0


def test_a_constant_quantity_has_no_ratio_to_persistence(records, run) -> None:
    run(records, {"mae_over_persistence.RH": 5}, raises=BudgetsMissedError, exact="exact")


@pytest.mark.parametrize(
    ("budgets", "message"),
    [
        ({"mae.T": 1}, "tiny: budgets.mae.T is not measured; known metrics are accuracy, bytes"),
        ({"bytes": "small"}, "tiny: budgets.bytes is 'small'; it must be a number"),
        ([1], "tiny: budgets must map metrics to bounds"),
    ],
)
def test_budgets_that_cannot_be(words, run, budgets, message: str) -> None:
    _, error = run(words, budgets, raises=InputError, plain="good")
    assert message in str(error)


def test_a_candidate_of_another_task_is_named(words, records, run) -> None:
    words.models["forecaster"] = records.models["exact"]
    _, error = run(words, EASY_WORDS, raises=InputError, strange="forecaster")
    assert "candidate strange: its model takes 8 values and gives 4" in str(error)


def test_a_candidate_that_is_no_model_is_named(words, run) -> None:
    words.models["noise"] = bytes(range(256)) * 8
    _, error = run(words, EASY_WORDS, raises=InputError, broken="noise")
    assert "candidate broken: LiteRT cannot load it" in str(error)
