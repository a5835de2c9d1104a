"""Rollouts at work on a real registry: channels follow, and a kill changes no end."""

from __future__ import annotations

import shutil

import pytest

from serving.registry.errors import ConflictError, NotFoundError, StorageError
from serving.registry.options import RegistryOptions
from serving.registry.registry import Registry, open_registry
from serving.registry.rollouts import rollouts as module
from serving.registry.rollouts.rollout import Status
from serving.registry.rollouts.rollout_plan import Group, Plan, whole_fleet
from serving.registry.rollouts.rollouts import Rollouts
from tests.serving.registry.fleet import (
    CHANNEL,
    MODEL,
    NEW,
    NEWER,
    OLD,
    Clock,
    fleet_appears,
    follow,
    make_folder,
)

NAMES = tuple(f"pi-{number}" for number in range(6))
CANARY = Group("canary", NAMES[:2])
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A registry's folder, made once: its keys take their time."""
    return make_folder(tmp_path_factory.mktemp("registry") / "folder")


@pytest.fixture
def folder(template, tmp_path):
    shutil.copytree(template.folder, tmp_path / "folder")
    return RegistryOptions(tmp_path / "folder")


def opened(options) -> Registry:
    registry = open_registry(options)
    fleet_appears(registry.devices, *NAMES)
    return registry


@pytest.fixture
def registry(folder):
    return opened(folder)


def plan(*groups: Group, version: str = NEW, **changes) -> Plan:
    asked = {"success": 1.0, "errors": 0.2, "minimum": 1, "patience_s": PATIENCE_S, **changes}
    return Plan(MODEL, CHANNEL, version, whole_fleet(groups or (CANARY,)), **asked)


def offers(registry: Registry) -> dict[str, str | None]:
    state = registry.store.channel(MODEL, CHANNEL)
    return {name: state.version_for(name) for name in NAMES}


def test_the_channel_follows_group_by_group(registry):
    moved = []
    registry.store.listeners.append(lambda state, serial: moved.append((state, serial)))
    rollout = registry.rollouts.begin(plan(), "olga")
    assert offers(registry) == {name: NEW if name in NAMES[:2] else OLD for name in NAMES}
    registry.rollouts.look()
    assert registry.rollouts.get(rollout.id).reached == 0

    follow(registry, "pi-0")
    registry.rollouts.look()
    assert registry.rollouts.get(rollout.id).reached == 0
    follow(registry, "pi-1")
    registry.rollouts.look()
    assert set(offers(registry).values()) == {NEW}
    assert registry.store.channel(MODEL, CHANNEL).version == OLD

    for name in NAMES[2:]:
        follow(registry, name)
    registry.rollouts.look()
    finished = registry.rollouts.get(rollout.id)
    assert finished.status is Status.FINISHED
    state = registry.store.channel(MODEL, CHANNEL)
    assert state.version == NEW and state.rollout is None
    assert [state.rollout is None for state, _ in moved] == [False, False, True]
    assert sorted({serial for _, serial in moved}) == [serial for _, serial in moved]
    # How it stood in the end, whatever becomes of the devices later.
    fleet_appears(registry.devices, *NAMES)
    assert [each.active for each in registry.rollouts.counts(finished)] == [2, 4]
    assert finished.history[0].by == "olga" and finished.history[-1].by == "registry"


def test_failures_take_all_back(registry):
    rollout = registry.rollouts.begin(plan(), "olga")
    follow(registry, "pi-0", works=False)
    registry.rollouts.look()
    assert registry.rollouts.get(rollout.id).status is Status.REVERTED
    assert set(offers(registry).values()) == {OLD}
    assert registry.store.channel(MODEL, CHANNEL).rollout is None


def test_the_next_may_begin_once_one_is_over(registry):
    first = registry.rollouts.begin(plan(), "olga")
    registry.rollouts.abort(first.id, "olga")
    second = registry.rollouts.begin(plan(version=NEWER), "olga")
    assert {each.id for each in registry.rollouts.all()} == {first.id, second.id}


@pytest.mark.parametrize(
    ("spoil", "wanted", "error", "says"),
    [
        (lambda r: r.rollouts.begin(plan(), "olga"), plan(version=NEWER), ConflictError, "abort"),
        (lambda r: None, plan(version="9.9"), NotFoundError, "no version 9.9"),
        (lambda r: None, plan(version=OLD), ConflictError, "already"),
        (lambda r: r.store.retire(MODEL, NEW), plan(), ConflictError, "retired"),
    ],
)
def test_what_cannot_begin_leaves_nothing(registry, spoil, wanted, error, says):
    spoil(registry)
    before = registry.store.channel(MODEL, CHANNEL)
    files = sorted((registry.options.folder / "state/rollouts").iterdir())
    with pytest.raises(error, match=says):
        registry.rollouts.begin(wanted, "olga")
    assert registry.store.channel(MODEL, CHANNEL) == before
    assert sorted((registry.options.folder / "state/rollouts").iterdir()) == files


def test_a_channel_that_offers_nothing_has_nothing_to_go_back_to(registry):
    with pytest.raises(ConflictError, match="offers nothing yet"):
        registry.rollouts.begin(Plan(MODEL, "beta", NEW, whole_fleet([CANARY]), 1, 0), "olga")


def test_nobody_moves_the_channel_under_a_rollout(registry):
    rollout = registry.rollouts.begin(plan(), "olga")
    with pytest.raises(ConflictError, match=rollout.id):
        registry.store.activate(MODEL, CHANNEL, NEWER)
    for version in (OLD, NEW):
        with pytest.raises(ConflictError, match=CHANNEL):
            registry.store.retire(MODEL, version)


def test_a_channel_that_moves_while_a_rollout_begins_is_not_moved_back(registry, monkeypatch):
    stale = registry.store.channel(MODEL, CHANNEL)
    registry.store.activate(MODEL, CHANNEL, NEWER)
    with monkeypatch.context() as patch:
        patch.setattr(registry.store, "channel", lambda model, channel: stale)
        with pytest.raises(ConflictError, match="has just moved"):
            registry.rollouts.begin(plan(), "olga")
    assert set(offers(registry).values()) == {NEWER}
    assert registry.rollouts.all() == []


def test_paused_it_stays_where_it_is(registry):
    rollout = registry.rollouts.begin(plan(), "olga")
    registry.rollouts.pause(rollout.id, "olga")
    for name in NAMES[:2]:
        follow(registry, name)
    registry.rollouts.look()
    assert registry.rollouts.get(rollout.id).reached == 0
    assert offers(registry)["pi-5"] == OLD
    with pytest.raises(ConflictError, match="paused"):
        registry.rollouts.pause(rollout.id, "olga")
    registry.rollouts.resume(rollout.id, "olga")
    registry.rollouts.look()
    assert offers(registry)["pi-5"] == NEW
    whats = [event.what for event in registry.rollouts.get(rollout.id).history]
    assert whats == ["started", "paused", "resumed", "advanced"]


def test_silence_pauses_it_once_patience_is_over(folder):
    registry, clock = opened(folder), Clock()
    rollouts = Rollouts(folder.folder / "state", registry.store, registry.devices, clock)
    rollout = rollouts.begin(plan(), "olga")
    clock.now = PATIENCE_S - 1
    rollouts.look()
    assert rollouts.get(rollout.id).status is Status.RUNNING
    # The registry is away for a day: that is no time in which devices could have done anything.
    later = Rollouts(folder.folder / "state", registry.store, registry.devices, Clock(86400.0))
    later.look()
    assert later.get(rollout.id).status is Status.RUNNING
    clock.now = PATIENCE_S
    rollouts.look()
    assert rollouts.get(rollout.id).status is Status.PAUSED
    assert "only 0 of 2 devices" in rollouts.get(rollout.id).history[-1].why


class Killed(BaseException):
    """The process ends here."""


def live(options, kill_at: int | None) -> tuple[list[str], int]:
    """A rollout from its start to its end; what happened, and how many writes that took.

    At the write of that number the registry is killed, and started again.
    """
    writes = 0

    def counting(write):
        def counted(*arguments):
            nonlocal writes
            writes += 1
            if writes == kill_at:
                raise Killed
            done = write(*arguments)
            writes += 1
            if writes == kill_at:
                raise Killed
            return done

        return counted

    def start() -> Registry:
        registry = opened(options)
        registry.store.set_channel = counting(registry.store.set_channel)
        return registry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "write_whole", counting(module.write_whole))
        registry = start()
        for _ in range(20):
            try:
                if not registry.rollouts.all():
                    registry.rollouts.begin(plan(errors=0.0), "olga")
                for name in NAMES:
                    follow(registry, name, works=name != "pi-5")
                registry.rollouts.look()
            except Killed:
                registry = start()
            rollouts = registry.rollouts.all()
            if rollouts and all(each.status.over for each in rollouts):
                break
        (rollout,) = registry.rollouts.all()
        state = registry.store.channel(MODEL, CHANNEL)
        assert state == rollout.channel_state()
        return [event.what for event in rollout.history], writes


def test_a_kill_at_any_write_changes_no_end(template, tmp_path):
    shutil.copytree(template.folder, tmp_path / "whole")
    expected, writes = live(RegistryOptions(tmp_path / "whole"), None)
    assert expected == ["started", "advanced", "reverted"]
    assert writes == 12  # three files and three channels, before and after each
    for kill_at in range(1, writes + 1):
        shutil.copytree(template.folder, tmp_path / str(kill_at))
        happened, _ = live(RegistryOptions(tmp_path / str(kill_at)), kill_at)
        assert happened == expected


def test_a_rollout_whose_file_is_gone_is_taken_back(folder):
    rollout = opened(folder).rollouts.begin(plan(), "olga")
    file = folder.folder / f"state/rollouts/{rollout.id}.json"
    file.write_bytes(file.read_bytes()[:-20])
    again = opened(folder)
    assert set(offers(again).values()) == {OLD}
    assert again.rollouts.all() == []


def test_a_full_disk_is_said_and_the_step_not_taken(registry, monkeypatch):
    rollout = registry.rollouts.begin(plan(), "olga")

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_whole", full)
    with pytest.raises(StorageError, match="No space left"):
        registry.rollouts.abort(rollout.id, "olga")
    registry.store.activate(MODEL, "beta", OLD)
    with pytest.raises(StorageError, match="No space left"):
        registry.rollouts.begin(Plan(MODEL, "beta", NEW, whole_fleet([CANARY]), 1, 0), "olga")
    follow(registry, "pi-0", works=False)
    registry.rollouts.look()  # tells the log, and tries again
    assert registry.rollouts.get(rollout.id).status is Status.RUNNING
    assert offers(registry)["pi-0"] == NEW
    monkeypatch.undo()
    registry.rollouts.look()
    assert registry.rollouts.get(rollout.id).status is Status.REVERTED
    assert offers(registry)["pi-0"] == OLD


def test_a_rollout_that_cannot_be_taken_up_does_not_keep_the_registry_down(folder, caplog):
    """As after a copy of metadata and targets that is older than that of the state."""
    rollout = opened(folder).rollouts.begin(plan(), "olga")
    file = folder.folder / f"state/rollouts/{rollout.id}.json"
    file.write_text(file.read_text().replace(f'"version": "{NEW}"', '"version": "9.9"'))
    again = opened(folder)
    again.rollouts.look()
    assert f"rollout {rollout.id}: no version 9.9" in caplog.text
    again.rollouts.abort(rollout.id, "olga")
    assert set(offers(again).values()) == {OLD}


def test_old_ones_are_forgotten_before_there_are_too_many(registry, monkeypatch):
    monkeypatch.setattr(module, "MAX_ROLLOUTS", 2)
    ids = []
    for _ in range(3):
        ids.append(registry.rollouts.begin(plan(), "olga").id)
        registry.rollouts.abort(ids[-1], "olga")
    kept = {each.id for each in registry.rollouts.all()}
    assert len(kept) == 2 and ids[-1] in kept
    assert len(list((registry.options.folder / "state/rollouts").glob("*.json"))) == 2
