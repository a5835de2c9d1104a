"""One registry as a process of its own, for all tests that speak HTTP to it."""

from __future__ import annotations

import httpx
import pytest

from serving.registry.launcher import start_registry
from serving.registry.options import RegistryOptions
from serving.registry.tokens import Tokens
from tests.serving.registry.operator_side import Operator, push, push_body


class Service:
    """A running registry, and who may do what there."""

    def __init__(self, operator, url, log_file):
        self.operator, self.url, self.log_file = operator, url, log_file
        tokens = Tokens(operator.folder)
        self.tokens = {role: tokens.add(role, role) for role in ("push", "operate", "device")}
        self.http = httpx.Client(base_url=url, timeout=20, trust_env=False)
        self.key = operator.targets_key()

    def as_(self, role):
        return {"Authorization": f"Bearer {self.tokens[role]}"}

    def targets(self):
        timestamp = self.http.get("/tuf/metadata/timestamp.json").json()
        number = timestamp["signed"]["meta"]["snapshot.json"]["version"]
        snapshot = self.http.get(f"/tuf/metadata/{number}.snapshot.json").json()
        number = snapshot["signed"]["meta"]["targets.json"]["version"]
        return self.http.get(f"/tuf/metadata/{number}.targets.json").json()

    def body(self, model, version, channel=None, key=None):
        return push_body(self.targets(), key or self.key, model, version, channel)

    def push(self, model, version, channel=None, role="push", **changes):
        body = self.body(model, version, channel) | changes
        path = f"/models/{model}/versions/{version}"
        return self.http.put(path, json=body, headers=self.as_(role))


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    operator = Operator.made(tmp_path_factory.mktemp("service"))
    log_file = operator.keys / "registry.log"
    options = RegistryOptions(operator.folder, port=0, log_file=log_file)
    with start_registry(options) as running:
        made = Service(operator, running.url, log_file)
        yield made
        made.http.close()


@pytest.fixture(scope="session")
def empty(tmp_path_factory):
    """A registry without models, for copies."""
    return Operator.made(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="session")
def filled(empty, tmp_path_factory):
    """A registry whose channel stable offers tones 1.0, for copies."""
    operator = empty.copy(tmp_path_factory.mktemp("filled"))
    push(operator, operator.store(), "tones", "1.0", "stable")
    return operator


@pytest.fixture
def operator(empty, tmp_path):
    return empty.copy(tmp_path)
