"""Two slots and a journal: what is active, what can be gone back to, and what a kill leaves."""

from __future__ import annotations

import errno
import hashlib
import json
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.fleet.installed.home import Home
from edge_client.fleet.installed.journal import Crashes, Journal, JournalState
from edge_client.fleet.installed.slots import Slots


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.make()
    return home


@pytest.fixture
def slots(home):
    return Slots(home, "kws-a")


@pytest.fixture
def put(home, slots):
    """Installs a version with some bytes, as verified, and makes it active."""

    def put(version, switch=True):
        data = f"bundle {version}".encode()
        path = home.incoming / "x.bundle"
        path.write_bytes(data)
        slot = slots.install(path, version, hashlib.sha256(data).hexdigest())
        if switch:
            slots.switch(slot)
        return slot

    return put


def state(slots):
    active, previous = slots.active(), slots.previous()
    return active and active.version, previous and previous.version


def test_nothing_is_installed_at_first(slots):
    assert state(slots) == (None, None)
    assert slots.settle() is None and slots.back("crash", "it fell", "1") is None


def test_each_version_keeps_the_one_before(slots, put):
    first = put("1")
    assert state(slots) == ("1", None) and first.slot == "a"
    second = put("2", switch=False)
    assert state(slots) == ("1", "2") and second.slot == "b"
    slots.switch(second)
    assert state(slots) == ("2", "1")
    put("3")
    assert state(slots) == ("3", "2")
    assert slots.active().bundle.read_bytes() == b"bundle 3" and slots.active().intact()


def test_going_back_forgets_the_failed_one_and_remembers_why(slots, put):
    put("1"), put("2")
    assert slots.back("latency", "took\nlong", "2").version == "1"
    assert state(slots) == ("1", None)
    failure = slots.journal.read().failure("2")
    assert (failure.reason, failure.text, failure.rolled_back) == ("latency", "took long", True)
    assert slots.back("crash", "fell", "2") is None  # somebody else was first
    assert not slots.journal.read().failure("1")
    assert slots.back("crash", "fell too", "1") is None  # a bad model is better than none
    assert state(slots) == ("1", None)


def test_nobody_goes_back_to_a_version_that_failed(slots, put):
    put("1")
    slots.back("crash", "fell", "1")
    put("2")
    assert slots.back("crash", "fell too", "2") is None
    assert state(slots) == ("2", "1")


def test_what_has_not_proved_itself_makes_room_first(slots, put):
    put("1")
    slots.journal.change(lambda journal: journal.with_proven("1"))
    put("2"), put("3")
    assert state(slots) == ("3", "1")
    slots.journal.change(lambda journal: journal.with_proven("3"))
    put("4")
    assert state(slots) == ("4", "3")


def test_an_interrupted_going_back_is_finished(slots, put):
    put("1"), put("2")
    slots.back("crash", "fell", "2")
    journal = slots.journal.read()
    slots.journal.change(lambda _: JournalState())
    put("2")
    assert state(slots) == ("2", "1")
    slots.journal.change(lambda _: journal)  # as if killed right after it was written
    assert slots.settle().version == "1"
    assert state(slots) == ("1", None)


def test_going_back_on_a_full_disk(slots, put, home, monkeypatch):
    """It comes first, and makes the room to remember why."""
    put("1")
    failing, usual = put("2").bundle, tempfile.mkstemp

    def mkstemp(*arguments, **more):
        if failing.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return usual(*arguments, **more)

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    assert slots.back("crash", "it fell", "2").version == "1"
    assert state(slots) == ("1", None)
    assert slots.journal.read().failure("2").reason == "crash"


def test_a_bundle_that_rots_is_left_for_the_other(slots, put):
    put("1"), put("2")
    slots.active().bundle.write_bytes(b"bundle X")
    assert slots.settle().version == "1"
    assert state(slots) == ("1", None)
    slots.active().bundle.write_bytes(b"bundle X")
    assert slots.settle() is None
    assert state(slots) == (None, None)


def test_a_lost_link_is_found_again(slots, put, home):
    put("1")
    (home.model("kws-a") / "active").unlink()
    assert slots.active() is None
    assert slots.settle().version == "1"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": "../x"}', '{"version":"1","sha256":"","bytes":1}']
)
def test_a_slot_that_is_not_whole_is_none(slots, put, text):
    (put("1").bundle.parent / "slot.json").write_text(text)
    assert slots.active() is None


def test_a_slot_of_another_length_is_none(slots, put):
    put("1").bundle.write_bytes(b"short")
    assert slots.active() is None


def test_leftovers_of_a_killed_process_are_swept(slots, put, home):
    put("1")
    folder = home.model("kws-a")
    (folder / "slots" / ".b.new").mkdir()
    (folder / "slots" / ".b.new" / "kws-a.bundle").write_bytes(b"half")
    (folder / "slots" / ".a.old").mkdir()
    (folder / ".active.0123").symlink_to("slots/b")
    (folder / ".journal.json.abc").write_text("{")
    put("2")
    slots.journal.change(lambda journal: journal.with_proven("2"))
    assert not [path.name for path in folder.rglob(".*")]
    assert state(slots) == ("2", "1")


def test_a_journal_that_cannot_be_read_is_empty(home, slots, put):
    put("1"), put("2")
    slots.back("crash", "fell", "2")
    path = home.model("kws-a") / "journal.json"
    good = json.loads(path.read_text())
    for wrong in (
        b"",
        b"\xff",
        b"[]",
        json.dumps({**good, "failed": [1]}).encode(),
        json.dumps({**good, "crashes": {**good["crashes"], "at": ["x"]}}).encode(),
    ):
        path.write_bytes(wrong)
        assert Journal(home, "kws-a").read() == JournalState()


def test_crashes_are_remembered(home, slots, put):
    put("1"), put("2")
    for at in (10.0, 20.0, 30.5):
        slots.journal.change(lambda journal, at=at: journal.with_crash("2", "boot", at, 60.0))
    assert Journal(home, "kws-a").read().crashes == Crashes("2", "boot", (10.0, 20.0, 30.5))
    journal = slots.journal.read()
    assert journal.with_crash("2", "boot", 75.0, 60.0).crashes.at == (20.0, 30.5, 75.0)
    assert journal.with_crash("2", "another", 31.0, 60.0).crashes.at == (31.0,)
    assert journal.with_crash("1", "boot", 31.0, 60.0).crashes.at == (31.0,)
    slots.back("crash", "fell", "1")  # somebody was wrong about what is active
    assert slots.journal.read().crashes == journal.crashes
    slots.back("crash", "fell", "2")
    assert slots.journal.read().crashes == Crashes()


def test_a_journal_of_a_client_that_remembered_no_crashes(home, slots, put):
    put("1"), put("2")
    slots.back("crash", "fell", "2")
    path = home.model("kws-a") / "journal.json"
    before = json.loads(path.read_text())
    del before["crashes"]
    path.write_text(json.dumps(before))
    assert slots.journal.read().failure("2")
    assert slots.journal.read().crashes == Crashes()


@given(st.lists(st.floats(0, 1e9), max_size=40), st.floats(1, 1e6))
def test_crashes_are_bounded_and_never_of_another_time(moments, within_s):
    """Even of a clock that ran backwards, which this one never does."""
    state = JournalState()
    for at in moments:
        state = state.with_crash("1", "boot", at, within_s)
        assert 1 <= len(state.crashes.at) <= 8
        assert all(at - within_s < each <= at for each in state.crashes.at)


def test_a_version_is_forgotten_once_another_is_offered(slots, put):
    put("1"), put("2")
    slots.back("crash", "fell", "2")
    journal = slots.journal.read()
    assert journal.offered("2").failure("2") and not journal.offered("3").failed
    assert not journal.retrying().failed
