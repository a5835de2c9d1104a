"""Numbers on the command line."""

from __future__ import annotations

import argparse

import pytest

from edge_client.cli.numbers import number, whole


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "0.5", "3"])
def test_what_is_no_such_number(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"is no number of seconds from 1 to 2$"):
        number(1, 2, "number of seconds")(text)


@pytest.mark.parametrize("text", ["", "1.5", "-1", "²", "٣", "1" * 5000, "101"])
def test_what_is_no_such_whole_number(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"is no whole number from 0 to 100$"):
        whole(0, 100)(text)


def test_ranges_are_said_as_they_are():
    with pytest.raises(argparse.ArgumentTypeError, match=r"from 100 to 100000$"):
        whole(100, 100_000)("5")
    with pytest.raises(argparse.ArgumentTypeError, match=r"from 1 on$"):
        whole(1)("0")
    with pytest.raises(argparse.ArgumentTypeError, match=r"'x' is no finite number$"):
        number()("x")
    assert (number(0, 1)("1e-3"), whole(0)("7")) == (0.001, 7)
