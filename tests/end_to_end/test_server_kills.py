"""Registry and broker killed in the middle of updates: every device has a working model after all.

A few kills; ``python -m tests.benchmarks.server_kills`` makes as many as one likes.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager

import pytest

from edge_client.bundle import read_bundle
from edge_client.fleet.installed.home import Home
from edge_client.fleet.installed.slots import Slots
from tests.benchmarks.server_kills.__main__ import SERVERS, kill_all, table_of
from tests.benchmarks.server_kills.lookout import Lookout
from tests.benchmarks.server_kills.rounds import fleet, spread
from tests.edge_client.fleet.installed import install, keyword_bundle

POINTS, PAUSE_S = 3, 0.1
LIMIT_S = 20.0


def test_killed_servers_leave_no_device_behind(mosquitto, repository, tmp_path):
    bundle = read_bundle(repository / "models" / "th-a.bundle")
    with fleet(bundle, tmp_path) as running:
        length_s = running.length(PAUSE_S)
        delays = spread(length_s, POINTS)
        assert delays[0] == 0 and delays[-1] == pytest.approx(length_s)
        kills = {name: kill_all(running, name, delays, PAUSE_S) for name in SERVERS}
        assert running.looks > 1000
    # The first kill of each comes as its push begins.
    assert not any(each[0].answered or each[0].active for each in kills.values())
    table = table_of(kills, length_s)
    assert [column.header for column in table.columns] == ["", *SERVERS]
    assert next(iter(table.columns[1].cells)) == str(POINTS)


@pytest.fixture
def installed(tmp_path):
    """A device with version 1 and the SHA-256 of that."""
    data = keyword_bundle("1")
    install(Home(tmp_path / "pi"), "tones", "1", data)
    return Home(tmp_path / "pi"), hashlib.sha256(data).hexdigest()


@contextmanager
def watched(home, sha256):
    with Lookout([home], "tones") as lookout:
        lookout.expect("1", sha256)
        assert lookout.wait("1", LIMIT_S)
        yield lookout
        assert not lookout.wait("2", LIMIT_S)
        (fault,) = lookout.faults[:1]
    lookout.fault = fault


def test_the_lookout_sees_what_is_half_written(installed):
    home, sha256 = installed
    with watched(home, sha256) as lookout:
        bundle = Slots(home, "tones").active().bundle
        bundle.write_bytes(bundle.read_bytes()[:-1])
    assert lookout.fault == "device 1: 1 is active with another content than was pushed"


def test_the_lookout_sees_what_was_never_pushed(installed):
    home, sha256 = installed
    with watched(home, sha256) as lookout:
        install(home, "tones", "2", keyword_bundle("2"))
    assert lookout.fault == "device 1: 2 is active, which was never pushed"


def test_the_lookout_sees_that_nothing_is_active(installed):
    home, sha256 = installed
    with watched(home, sha256) as lookout:
        (home.model("tones") / "active").unlink()
    assert lookout.fault == "device 1: nothing is active"
