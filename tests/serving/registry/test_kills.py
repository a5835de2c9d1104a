"""A registry killed while it changes: whole afterwards, as devices and operators find it."""

from __future__ import annotations

import pytest

from serving.registry.tuf.contents import load_contents
from serving.registry.tuf.repository import Repository
from serving.registry.tuf.rotation import rotate
from tests.benchmarks.registry_kills import killed_at, lines_of, points, survive
from tests.serving.registry.operator_side import bundle, device, push

PUSH_POINTS, ROTATION_POINTS = 25, 8


def test_killed_in_a_push(filled, tmp_path):
    probe = filled.copy(tmp_path / "probe")
    store = probe.store()
    total = lines_of(lambda: push(probe, store, "tones", "2.0", "stable"))
    outcomes = [survive(filled, tmp_path / str(line), line) for line in points(total, PUSH_POINTS)]
    # Some died before the decision and some after it, or the points are not where they should be.
    assert {outcome.recovered for outcome in outcomes} == {"1.0", "2.0"}
    assert any(outcome.left != outcome.recovered for outcome in outcomes)


@pytest.mark.parametrize("role", ["root", "targets", "timestamp"])
def test_killed_in_a_rotation(filled, tmp_path, role):
    def rotation(operator):
        repository = Repository(operator.folder)
        return lambda: rotate(repository, operator.keys, role)

    total = lines_of(rotation(filled.copy(tmp_path / "probe")))
    versions = set()
    for line in points(total, ROTATION_POINTS):
        operator = filled.copy(tmp_path / str(line))
        pi = device(operator.folder.parent / "pi", operator)
        pi.refreshed()
        killed_at(rotation(operator), line)
        versions.add(Repository(operator.folder).contents.root.signed.version)
        rotate(Repository(operator.folder), operator.keys, role)
        assert pi.channel("tones", "stable").version == "1.0"
        assert pi.bundle("tones", "1.0") == bundle("tones", "1.0")
        load_contents(operator.folder)
    assert versions == {1, 2}
