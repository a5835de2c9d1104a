"""A device follows its channel: what it takes, what it keeps, and what it does in trouble."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from edge_client.bundle import Budget
from edge_client.fleet.channel import Rollout
from edge_client.fleet.enrolment import EnrolmentError, write_enrolment
from edge_client.fleet.errors import DeviceFailure, RegistryAway
from edge_client.fleet.installed.journal import JournalState
from edge_client.fleet.installed.slots import Slots
from edge_client.fleet.update.trial import Trial
from edge_client.fleet.update.updater import Updater
from edge_client.fleet.use.probation import FIRST_USES, Probation
from edge_client.fleet.use.usage import open_page
from tests.edge_client.fleet.installed import keyword_bundle
from tests.edge_client.fleet.repository import Repository, bundle, enrol, give_half

SLOW = (Budget("inference_ms", "<", 1e-9, 1e-9, "ms"),)


@pytest.fixture
def repository(grown):
    """One that offers version 1."""
    return grown[0].copy()


@pytest.fixture
def device(grown_device):
    """One on version 1."""
    return grown_device


@pytest.fixture
def slots(device):
    return Slots(device[1], "tones")


def versions(slots):
    active, previous = slots.active(), slots.previous()
    return active and active.version, previous and previous.version


def test_it_follows_its_channel_and_keeps_what_it_had(tmp_path, repository, served):
    steps = []
    new_device = enrol(tmp_path, repository, served.url)
    slots = Slots(new_device[1], "tones")
    with Updater(*new_device, steps.append) as updater:
        first = updater.update("tones")
        assert (first.state, first.before, first.wanted, first.current) == (
            "active",
            None,
            "1",
            True,
        )
        assert [step.state for step in steps][:1] == ["downloading"]
        assert [step.state for step in steps][-2:] == ["verified", "testing"]
        assert sorted(step.progress for step in steps) == [step.progress for step in steps]
        repository.offer("2")
        second = updater.update("tones")
        assert (second.before, second.active.version, second.previous.version) == ("1", "2", "1")
        steps.clear()
        again = updater.update("tones")
        assert (again.state, again.before, again.wanted) == ("active", "2", "2")
        assert not steps
    assert slots.active().bundle.read_bytes() == bundle("2")
    assert not list((new_device[1].incoming / "tones").iterdir())


def test_an_idle_look_costs_two_requests(repository, served, updater):
    updater.update("tones")
    served.asked.clear()
    updater.update("tones")
    assert [path for path, _ in served.asked] == [
        "metadata/2.root.json",
        "metadata/timestamp.json",
    ]


def test_a_version_that_lies_in_the_other_slot_is_not_fetched_again(
    repository, served, updater, slots
):
    repository.offer("2")
    updater.update("tones")
    repository.point("1")
    served.asked.clear()
    assert updater.update("tones").active.version == "1"
    assert versions(slots) == ("1", "2")
    assert not [path for path, _ in served.asked if path.startswith("targets/bundles")]


def test_nothing_is_offered(repository, updater, slots):
    repository.point(None)
    outcome = updater.update("tones")
    assert (outcome.state, outcome.wanted, outcome.current) == ("idle", None, True)
    assert versions(slots) == ("1", None)


def test_no_such_channel(tmp_path, repository, served):
    with Updater(*enrol(tmp_path, repository, served.url, "bells")) as updater:
        outcome = updater.update("bells")
    assert (outcome.state, outcome.reason, outcome.active) == ("refused", "not_found", None)


def test_a_model_it_is_not_enrolled_for(updater):
    with pytest.raises(EnrolmentError, match="not enrolled for it"):
        updater.update("other")


def test_only_the_devices_of_a_rollout_have_its_version(tmp_path, repository, served):
    repository.push("2")
    repository.point("1", rollout=Rollout("r1", "2", ("pi-2",), 0.0))
    seen = {}
    for name in ("pi-1", "pi-2"):
        with Updater(*enrol(tmp_path, repository, served.url, device=name)) as updater:
            outcome = updater.update("tones")
            seen[name] = (outcome.active.version, outcome.rollout)
    assert seen == {"pi-1": ("1", None), "pi-2": ("2", "r1")}


def test_a_version_that_failed_is_not_tried_again_until_another_is_offered(
    repository, served, device, updater, slots
):
    place = repository.offer("2", bundle("2", budgets=SLOW))
    outcome = updater.update("tones")
    assert (outcome.state, outcome.reason, outcome.failed) == ("refused", "latency", ("2",))
    served.asked.clear()
    again = updater.update("tones")
    assert (again.reason, again.text) == ("latency", outcome.text)
    assert place not in [path for path, _ in served.asked]
    repository.point("1")
    assert updater.update("tones").failed == ()
    repository.point("2")
    updater.update("tones")
    assert updater.update("tones").failed == ("2",)
    assert versions(slots) == ("1", None)


def test_what_was_rolled_back_is_told_so(repository, updater, slots):
    repository.offer("2")
    updater.update("tones")
    slots.back("crash", "it fell", "2")
    outcome = updater.update("tones")
    assert (outcome.state, outcome.reason, outcome.text) == ("rolled_back", "crash", "it fell")
    assert versions(slots) == ("1", None)


def test_what_is_tried_again_is_judged_by_its_new_uses(repository, updater, slots, device):
    """Not by those for which it was given up."""
    repository.offer("2", keyword_bundle("2", total_ms=50.0))
    updater.update("tones")
    probation = Probation(device[1], "tones")

    def use(times, ms):
        page = open_page(probation.pages, "2")
        for _ in range(times):
            page.count(ms, ms)
        page.close()

    use(FIRST_USES, 100.0)
    assert "has a median of" in probation.judge()
    assert versions(slots) == ("1", None)
    slots.journal.change(lambda journal: journal.retrying())
    assert updater.update("tones").active.version == "2"
    assert probation.judge() is None
    assert probation.of("2") and versions(slots) == ("2", "1")
    use(FIRST_USES, 100.0)
    assert "has a median of" in probation.judge()
    assert versions(slots) == ("1", None)


@pytest.mark.parametrize("times", [2, 3])
def test_what_takes_the_device_down_in_its_trial(repository, updater, slots, times):
    """Once may be a power cut; again and again it is the model, and would be for ever."""
    repository.offer("2")
    for _ in range(times):
        slots.journal.change(lambda journal: journal.trying_out("2"))
    outcome = updater.update("tones")
    if times == 3:
        assert (outcome.state, outcome.reason, outcome.failed) == ("refused", "crash", ("2",))
        assert versions(slots) == ("1", None)
        slots.journal.change(lambda journal: journal.retrying())
        assert updater.update("tones").state == "active"
    assert versions(slots) == ("2", "1")
    assert slots.journal.read() == JournalState()


def test_a_trial_is_written_down_while_it_lasts(repository, device, slots):
    class Seen(Trial):
        def __call__(self, *arguments):
            self.journal = slots.journal.read()
            return super().__call__(*arguments)

    repository.offer("2")
    trial = Seen()
    with Updater(*device, trial=trial) as updater:
        assert updater.update("tones").state == "active"
    assert (trial.journal.trying, trial.journal.trials) == ("2", 1)
    assert slots.journal.read() == JournalState()


def test_trials_of_another_version_do_not_count(repository, updater, slots):
    for _ in range(3):
        slots.journal.change(lambda journal: journal.trying_out("3"))
    updater.update("tones")
    repository.offer("3")
    assert updater.update("tones").active.version == "3"


def test_a_first_version_that_fails_in_use_stays_for_want_of_another(repository, updater, slots):
    assert slots.back("crash", "it fell", "1") is None
    assert updater.update("tones").state == "active"
    repository.offer("2")
    assert updater.update("tones").active.version == "2"


def test_a_download_is_resumed(repository, served, updater, slots, device):
    place = repository.offer("2")
    whole = len(repository.files[place])
    served.answer[place] = give_half
    with pytest.raises(RegistryAway, match="broke off"):
        updater.update("tones")
    (partial,) = (device[1].incoming / "tones").iterdir()
    have = partial.stat().st_size
    assert have == whole // 2
    del served.answer[place]
    assert updater.update("tones").state == "active"
    assert served.asked[-1] == (place, f"bytes={have}-")
    assert slots.active().intact()


def test_a_server_that_knows_no_ranges_sends_it_all(repository, served, updater, device):
    place = repository.offer("2")
    served.answer[place] = give_half
    with pytest.raises(RegistryAway):
        updater.update("tones")

    def whole(handler, data):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    served.answer[place] = whole
    assert updater.update("tones").state == "active"


@pytest.mark.parametrize("content", [b"", b"junk", bytes(50_000)])
def test_what_lies_half_fetched_is_not_trusted(repository, updater, device, slots, content):
    repository.offer("2")
    sha256 = repository.targets.targets["bundles/tones/2.bundle"].hashes["sha256"]
    folder = device[1].incoming / "tones"
    folder.mkdir(exist_ok=True)
    (folder / f"{sha256}.part").write_bytes(content)
    (folder / "older.part").write_bytes(b"x")
    # A power cut may have left it so: no attack that would end a rollout.
    outcome = updater.update("tones")
    assert outcome.state == "active" and slots.active().intact()
    assert not list(folder.iterdir())


def test_a_registry_that_is_away(grown):
    _, enrolment, home = grown  # whose registry has gone
    with Updater(enrolment, home) as updater, pytest.raises(RegistryAway, match="no answer"):
        updater.update("tones")
    assert Slots(home, "tones").active().version == "1"


def test_a_registry_in_trouble(repository, served, updater):
    def trouble(handler, data):
        handler.send_response(503)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    served.answer["metadata/timestamp.json"] = trouble
    with pytest.raises(RegistryAway, match="503"):
        updater.update("tones")


def test_keys_are_rotated_under_way(repository, updater, slots):
    for role in ("timestamp", "snapshot", "targets", "root"):
        repository.rotate(role)
    repository.offer("2")
    assert updater.update("tones").state == "active"
    assert versions(slots) == ("2", "1")


def test_keys_were_rotated_ever_so_often(repository, updater, slots):
    for _ in range(100):
        repository.root.version += 1
        repository.sign("root")
    repository.rotate("timestamp")
    repository.offer("2")
    assert updater.update("tones").state == "active"
    assert versions(slots) == ("2", "1")


def test_a_root_the_disk_has_lost_is_no_fault_of_the_registry(updater, device):
    device[1].root.write_bytes(device[1].root.read_bytes()[:100])
    with pytest.raises(EnrolmentError, match="enrol again"):
        updater.update("tones")


def test_a_full_disk_keeps_what_is_there(repository, device, slots, monkeypatch):
    real = os.fsync
    said = []
    left = 0

    def fsync(handle):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle)

    with Updater(*device) as updater:
        repository.offer("2")
        monkeypatch.setattr(os, "fsync", fsync)
        while slots.active().version == "1":
            left = len(said)  # the disk is full a little later each time
            try:
                updater.update("tones")
            except DeviceFailure as failure:
                said.append(str(failure))
            assert slots.active().intact()
    assert 5 < len(said) < 40
    assert all("No space left" in each and "\n" not in each for each in said)


def test_a_rotten_model_is_replaced(repository, updater, slots):
    slots.active().bundle.write_bytes(bytes(slots.active().bytes))
    assert updater.update("tones").state == "active"
    assert slots.active().intact()


def test_two_at_once_do_not_meet(repository, device, slots):
    repository.offer("2")
    states = []
    with Updater(*device) as one, Updater(*device) as other:
        threads = [
            threading.Thread(target=lambda u=each: states.append(u.update("tones").state))
            for each in (one, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert states == ["active", "active"]
    assert versions(slots) == ("2", "1")


def test_two_models_of_one_device(tmp_path, repository, served):
    enrolment, home = enrol(tmp_path, repository, served.url, "tones", "bells")
    repository.offer("9", model="bells")
    with Updater(enrolment, home) as updater:
        assert updater.update("tones").active.version == "1"
        assert updater.update("bells").active.version == "9"
    assert versions(Slots(home, "bells")) == ("9", None)
    assert versions(Slots(home, "tones")) == ("1", None)


def test_an_enrolment_with_another_root_forgets_the_old_registry(tmp_path, device, served, slots):
    enrolment, home = device
    served.repository = Repository()
    served.repository.offer("2")
    root = tmp_path / "new-root.json"
    root.write_bytes(served.repository.files["metadata/1.root.json"])
    write_enrolment(home, enrolment, root)
    with Updater(enrolment, home) as updater:
        assert updater.update("tones").before == "1"
    assert versions(slots) == ("2", "1")
