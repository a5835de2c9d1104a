"""What is said of a run while it goes on."""

from __future__ import annotations

import pytest

from edge_client.run.tally import Tally


@pytest.mark.parametrize(
    ("total", "said"), [(10, "4/10 clips, 2 asked, 3 s"), (None, "4 clips, 2 asked, 3 s")]
)
def test_how_far_it_is(total, said):
    tally = Tally()
    tally.clips, tally.asked = 4, 2
    assert tally.so_far(total, 3.2) == said
