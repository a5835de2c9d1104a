from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from edge_client.fleet.installed.home import Home
from edge_client.fleet.update.updater import Updater
from tests.edge_client.fleet.repository import Repository, Served, enrol


@pytest.fixture(scope="session")
def grown(tmp_path_factory):
    """A repository that offers version 1, and a device on which it is installed."""
    repository = Repository()
    repository.offer("1")
    with Served(repository).running() as running:
        enrolment, home = enrol(tmp_path_factory.mktemp("grown"), repository, running.url)
        with Updater(enrolment, home) as updater:
            assert updater.update("tones").state == "active"
    return repository, enrolment, home


@pytest.fixture
def grown_device(grown, served, tmp_path):
    """Another device in the same state; its registry is the one of the test."""
    _, enrolment, home = grown
    shutil.copytree(home.path, tmp_path / "home", symlinks=True)
    return replace(enrolment, registry=served.url), Home(tmp_path / "home")


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
