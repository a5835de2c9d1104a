from __future__ import annotations

import pytest

from edge_client.fleet.trial import Trial
from edge_client.fleet.updater import Updater
from tests.edge_client.fleet.repository import Repository, Served, enrol


@pytest.fixture
def repository():
    return Repository()


@pytest.fixture
def served(repository):
    with Served(repository).running() as running:
        yield running


@pytest.fixture
def device(tmp_path, repository, served):
    """The enrolment and the home of a device that was just enrolled."""
    return enrol(tmp_path, repository, served.url)


@pytest.fixture
def updater(device):
    with Updater(*device) as made:
        yield made
