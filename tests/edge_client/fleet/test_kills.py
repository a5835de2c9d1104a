"""SIGKILL in the middle of an update: a verified model is left, and the next pull completes.

A few points; ``python -m tests.benchmarks.update_kills`` has as many as one likes.
"""

from __future__ import annotations

from tests.edge_client.fleet.kills import devices
from tests.edge_client.fleet.repository import Repository, Served

POINTS = {"update": 25, "back": 8}


def test_a_killed_update_leaves_a_working_model(tmp_path):
    repository = Repository()
    with Served(repository).running() as served:
        for act, kills in devices(tmp_path, served, repository):
            seen = [kills.kill(point) for point in kills.spread(POINTS[act])]
            assert not [each for each in seen if each.violation]
            assert sum(each.killed for each in seen) >= len(seen) - 2
            assert {each.active for each in seen} == {"1", "2"}
