from __future__ import annotations

import pytest

from edge_client.__main__ import main
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


@pytest.fixture
def run(capfd):
    """Runs the command line in this process: exit status, lines of stdout, lines of stderr."""

    def call(*arguments):
        capfd.readouterr()  # what LiteRT says when bundles are made
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as left:  # argparse
            status = left.code
        out, err = capfd.readouterr()
        return status, out.splitlines(), err.splitlines()

    return call
