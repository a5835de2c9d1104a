from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.fleet.announcement import (
    MAX_ANNOUNCEMENT_BYTES,
    MAX_SERIAL,
    Announcement,
    AnnouncementError,
)
from edge_client.fleet.names import NAME

names = st.from_regex(NAME, fullmatch=True)
announcements = st.builds(
    Announcement,
    version=st.none() | names,
    serial=st.integers(0, MAX_SERIAL),
    spread_s=st.floats(0, 1e6),
)


@given(announcements)
def test_read_back_as_said(announcement):
    assert Announcement.parse(announcement.serialise()) == announcement


def test_a_fleet_that_need_not_spread_is_told_no_more_than_ever():
    assert json.loads(Announcement("1.0", 7).serialise()) == {"version": "1.0", "serial": 7}


def test_what_a_later_registry_adds_is_passed_over():
    said = Announcement.parse(b'{"version": null, "serial": 3, "new": [1]}')
    assert said == Announcement(None, 3)


@given(st.binary())
def test_nonsense_is_told_from_announcements(data):
    with pytest.raises(AnnouncementError):
        Announcement.parse(data + b"x")


@pytest.mark.parametrize(
    "said",
    [
        {"version": "1"},
        {"serial": 1},
        {"version": "../1", "serial": 1},
        {"version": "1", "serial": -1},
        {"version": "1", "serial": 1, "spread_s": -1},
        {"version": "1", "serial": 1, "spread_s": "1"},
        {"version": "1", "serial": 1, "x": "x" * MAX_ANNOUNCEMENT_BYTES},
    ],
)
def test_what_announces_nothing(said):
    with pytest.raises(AnnouncementError):
        Announcement.parse(json.dumps(said).encode())
