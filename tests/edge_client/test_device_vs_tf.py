"""The benchmark of the README runs, and finds that both ways hear the same."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from edge_client.bundle import read_bundle
from tests.benchmarks.device_vs_tf import KEPT, OURS, STEPS, USUAL, compare, table
from tests.edge_client.tiny import EXAMPLES, wav


@pytest.fixture(scope="module")
def times(keyword_bundle):
    clips = [wav(clip) for clip in EXAMPLES.values()]
    return compare(read_bundle(keyword_bundle), clips, 30)


def test_each_way_is_timed_in_each_step(times):
    assert list(times) == [USUAL, KEPT, OURS]
    for values in times.values():
        assert values.shape == (30, len(STEPS))
        assert (values > 0).all()
        # The total holds the steps, and whatever lies between them.
        assert (values[:, 2] >= values[:, :2].sum(1) - 1e-6).all()


def test_the_table_states_medians_and_ratios(times):
    console = Console(width=120)
    with console.capture() as shown:
        console.print(table(times, "tones"))
    assert f"{np.median(times[OURS][:, 2]):.3f}" in shown.get()
    assert shown.get().count(" x ") == 2 * len(STEPS)
