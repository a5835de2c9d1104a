from __future__ import annotations

import pytest

from edge_client.bundle import write_bundle
from tests.edge_client import tiny


@pytest.fixture(scope="session")
def keyword_parts():
    return tiny.keyword_parts()


@pytest.fixture(scope="session")
def forecast_parts():
    return tiny.forecast_parts()


@pytest.fixture(scope="session")
def keyword_bundle(keyword_parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundles") / "tones.bundle"
    write_bundle(path, *keyword_parts)
    return path


@pytest.fixture(scope="session")
def forecast_bundle(forecast_parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundles") / "repeats.bundle"
    write_bundle(path, *forecast_parts)
    return path
