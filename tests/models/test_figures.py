"""The README's figures against the committed models, by the commands a user would type."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_client.bundle import read_bundle
from edge_client.predictor import load_predictor
from edge_client.self_test import self_test
from tests.benchmarks.figures import (
    FORECASTERS,
    KEYWORDS,
    MODELS,
    big_row,
    forecast_row,
    keyword_row,
    official_clips,
    written_table,
)


@pytest.fixture(scope="module")
def clips(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return official_clips(data_folder, tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def rows(repository: Path) -> list[str]:
    return written_table(repository / "README.md").splitlines()


@pytest.mark.parametrize("name", KEYWORDS)
def test_keyword_figure(name: str, clips: tuple[Path, Path], rows: list[str]) -> None:
    row = keyword_row(name, *clips)
    assert row.clips == 800
    assert str(row) in rows


@pytest.mark.parametrize("name", FORECASTERS)
def test_forecast_figure(name: str, data_folder: Path, rows: list[str]) -> None:
    row = forecast_row(name, data_folder / "jena_climate_2020.csv.zip")
    assert set(row.errors) == {"T", "RH"}
    assert str(row) in rows


def test_big_figure(clips: tuple[Path, Path], rows: list[str]) -> None:
    assert str(big_row(*clips)) in rows


@pytest.mark.parametrize("name", [*KEYWORDS, *FORECASTERS])
def test_bundle_proves_what_it_promises(name: str) -> None:
    bundle = read_bundle(MODELS / f"{name}.bundle")
    assert bundle.manifest.name == name
    assert bundle.manifest.budgets
    assert self_test(bundle, load_predictor(bundle)).inputs >= 3
