"""A window is whole only where so many samples in a row are there."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_client.monitor.sensor import Sample
from edge_client.monitor.window import Window

values = st.one_of(st.just(math.nan), st.floats(-40, 80, width=32))


@given(
    steps=st.integers(1, 8),
    given_=st.lists(st.tuples(st.sampled_from([1, 1, 1, 1, 2, 3]), values, values), max_size=40),
)
def test_it_is_whole_exactly_after_so_many_whole_samples_in_a_row(steps, given_):
    window, index, past = Window(steps), 0, {}
    for step, temperature, humidity in given_:
        index += step
        sample = Sample(index, 0.0, (temperature, humidity))
        past[index] = sample
        last = [past.get(i) for i in range(index - steps + 1, index + 1)]
        whole = all(each is not None and each.whole for each in last)
        assert window.add(sample) == whole
        if whole:
            assert window.values().dtype == np.float32
            np.testing.assert_array_equal(window.values(), [each.values for each in last])


def test_two_samples_of_one_index_do_not_follow_one_another():
    window = Window(2)
    assert not window.add(Sample(1, 0, (1, 2)))
    assert not window.add(Sample(1, 0, (1, 2)))
    assert window.add(Sample(2, 0, (1, 2)))
