"""What the evaluation may look at, and when."""

from __future__ import annotations

from pathlib import Path

from components.constraint_evaluator import evaluation
from components.constraint_evaluator.candidates import read_candidates
from components.constraint_evaluator.evaluation import Request, evaluate
from components.specification import read_specification
from components.trainer.task import read_rows


def test_the_test_split_is_read_once_after_the_choice(words, tmp_path: Path, monkeypatch) -> None:
    """Every test label is turned round, so on test the other candidate would be the best."""
    happened: list[str] = []
    choose = evaluation.choose

    def chosen(contenders):
        happened.append("choice")
        return choose(contenders)

    def read_split(split: str):
        happened.append(split)
        rows = read_rows(words.examples, split, "path")
        if split == "test":
            other = {b"high": b"low", b"low": b"high"}
            rows = [{**row, "label": other[row["label"]]} for row in rows]
        return rows

    monkeypatch.setattr(evaluation, "choose", chosen)
    result = evaluate(
        Request("tiny", "1", {"accuracy": 50}, "pipeline", "run"),
        read_specification(words.specification.uri),
        read_candidates(
            Path(words.candidates(tmp_path / "c", good="good", contrary="contrary").uri)
        ),
        read_split,
    )
    assert happened == ["validation", "choice", "test"]
    assert result.report.chosen == "good"
    assert result.report.test["accuracy"].value == 15
    assert not result.report.blessed
