from __future__ import annotations

import json
import os
import stat
from datetime import datetime, timedelta, timezone

import pytest
from tuf.api.exceptions import ExpiredMetadataError

from edge_client.fleet.channel import ChannelState, Rollout
from serving.options import UsageError
from serving.registry.errors import ConflictError, NotFoundError
from serving.registry.tuf.create import KeyCounts, create
from serving.registry.tuf.repository import Repository
from serving.registry.tuf.rotation import rotate
from serving.registry.tuf.store import Store
from tests.serving.registry.operator_side import (
    Operator,
    bundle,
    device,
    published,
    push,
    stored,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


def test_a_device_gets_what_a_channel_offers(operator, tmp_path):
    store = operator.store()
    push(operator, store, "tones", "1.0", "stable")
    pi = device(tmp_path / "pi", operator)
    assert pi.channel("tones", "stable") == ChannelState("tones", "stable", "1.0", None)
    assert pi.bundle("tones", "1.0") == bundle("tones", "1.0")


def test_a_device_follows_a_channel(operator, tmp_path):
    store = operator.store()
    pi = device(tmp_path / "pi", operator)
    for version in ("1.0", "1.1"):
        push(operator, store, "tones", version)
    before = store.serial
    serials = []
    for version in ("1.0", "1.1", "1.0"):
        serials.append(store.activate("tones", "stable", version))
        assert pi.channel("tones", "stable").version == version
    assert serials == [before + 1, before + 2, before + 3]


def test_nothing_is_signed_for_what_changes_nothing(operator):
    store = operator.store()
    push(operator, store, "tones", "1.0", "stable")
    before = stored(operator.folder)
    store.activate("tones", "stable", "1.0")
    assert stored(operator.folder) == before


def test_a_rollout_reaches_the_devices_it_names(operator, tmp_path):
    store = operator.store()
    push(operator, store, "tones", "1.0", "stable")
    push(operator, store, "tones", "2.0")
    rollout = Rollout("r1", "2.0", ("pi-1",), 0.0)
    store.set_channel(ChannelState("tones", "stable", "1.0", rollout))
    state = device(tmp_path / "pi", operator).channel("tones", "stable")
    assert (state.version_for("pi-1"), state.version_for("pi-2")) == ("2.0", "1.0")
    with pytest.raises(ConflictError, match="rollout r1 runs"):
        store.activate("tones", "stable", "2.0")
    with pytest.raises(ConflictError, match="rollout r1 runs"):
        push(operator, store, "tones", "3.0", "stable")


def test_a_retired_version_is_offered_no_more(operator):
    store = operator.store()
    push(operator, store, "tones", "1.0", "stable")
    push(operator, store, "tones", "2.0")
    with pytest.raises(ConflictError, match="offered by channel stable"):
        store.retire("tones", "1.0")
    store.activate("tones", "stable", "2.0")
    store.retire("tones", "1.0")
    for each in (store, operator.store()):  # also after it is opened anew
        assert each.version("tones", "1.0").retired
        with pytest.raises(ConflictError, match="retired"):
            each.activate("tones", "stable", "1.0")
        with pytest.raises(ConflictError, match="retired"):
            each.set_channel(ChannelState("tones", "stable", "1.0", None))
        with pytest.raises(ConflictError, match="retired"):
            push(operator, each, "tones", "1.0", "canary")


def test_what_is_not_there_is_not_offered(operator):
    store = operator.store()
    push(operator, store, "tones", "1.0")
    with pytest.raises(NotFoundError, match="no version 9 of tones"):
        store.activate("tones", "stable", "9")
    with pytest.raises(NotFoundError):
        store.retire("words", "1.0")
    with pytest.raises(NotFoundError):
        store.model("ton")


def test_listeners_hear_what_moved(operator):
    store = operator.store()
    heard = []
    store.listeners.append(lambda state, serial: heard.append((state.version, serial)))
    store.listeners.insert(0, lambda state, serial: 1 / 0)  # one that fails stops no other
    push(operator, store, "tones", "1.0")
    serial = store.activate("tones", "stable", "1.0")
    store.activate("tones", "stable", "1.0")
    assert heard == [("1.0", serial)]


def test_a_version_tells_where_it_comes_from(operator):
    store = operator.store()
    push(operator, store, "tones", "1.0", "stable")
    (model,) = store.models()
    told = model.versions[0].provenance
    assert (model.name, told.pushed_by, told.pipeline, told.run_id) == (
        "tones",
        "ada",
        "test",
        "run-1",
    )
    assert [budget.metric for budget in told.budgets]
    assert model.channels == (ChannelState("tones", "stable", "1.0", None),)


def test_online_metadata_is_renewed_in_time(tmp_path):
    clock = Clock(NOW)
    operator = Operator.made(tmp_path, now=clock)
    store = operator.store(now=clock)
    repository = store.repository
    push(operator, store, "tones", "1.0", "stable")
    assert not repository.renew()
    clock.now += timedelta(hours=13)
    assert repository.renew()
    assert repository.contents.expires("timestamp") == clock.now + timedelta(days=1)
    assert repository.contents.expires("channels") == NOW + timedelta(days=7)
    clock.now += timedelta(days=30)
    assert repository.renew()
    for role, days in (("timestamp", 1), ("snapshot", 7), ("channels", 7)):
        assert repository.contents.expires(role) == clock.now + timedelta(days=days)
    assert not Repository(operator.folder, clock).renew()


def test_a_device_refuses_what_nobody_renews(tmp_path):
    long_ago = Clock(datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=2))
    operator = Operator.made(tmp_path, now=long_ago)
    with pytest.raises(ExpiredMetadataError):
        device(tmp_path / "pi", operator).refreshed()
    assert Repository(operator.folder).renew()
    device(tmp_path / "pi", operator).refreshed()


def test_what_was_signed_while_the_clock_was_ahead_is_signed_again(tmp_path):
    clock = Clock(NOW + timedelta(days=400))
    operator = Operator.made(tmp_path, now=Clock(NOW))
    repository = operator.store(now=clock).repository
    assert repository.renew()
    clock.now = NOW
    assert repository.renew()
    assert repository.contents.expires("timestamp") == NOW + timedelta(days=1)
    assert not repository.renew()


def test_what_the_operator_must_sign_is_said_a_month_before(tmp_path):
    clock = Clock(NOW)
    operator = Operator.made(tmp_path, now=clock)
    repository = operator.store(now=clock).repository
    assert repository.expiring() == []
    clock.now = NOW + timedelta(days=336)
    root, targets = repository.expiring()
    assert "root expires on 2027-11-20" in root
    assert f"rotate {operator.folder} --keys DIR targets" in targets
    rotate(Repository(operator.folder, clock), operator.keys, "root")
    repository.renew()
    assert len(repository.expiring()) == 1
    clock.now = NOW + timedelta(days=366)
    assert "targets expired on" in repository.expiring()[0]


def test_what_only_expired_metadata_refers_to_is_removed(operator, tmp_path):
    store = operator.store()
    for version in ("1.0", "1.1", "1.2"):
        push(operator, store, "tones", version, "stable")
    metadata = operator.folder / "metadata"
    old = {path.name for path in metadata.glob("[0-9]*.*.json")}
    offered = set((operator.folder / "targets/channels").rglob("*.json"))
    long_ago = datetime.now().timestamp() - 3 * 86400
    for path in metadata.iterdir():
        os.utime(path, (long_ago, long_ago))
    late = Clock(datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=13))
    assert Repository(operator.folder, late).renew()
    kept = {path.name for path in metadata.iterdir()}
    assert "1.root.json" in kept
    assert len({name for name in old if "snapshot" in name}) == 4
    assert len({name for name in kept if "snapshot" in name}) == 1
    assert len(set((operator.folder / "targets/channels").rglob("*.json"))) == 1 < len(offered)
    pi = device(tmp_path / "pi", operator)
    assert pi.channel("tones", "stable").version == "1.2"
    assert pi.bundle("tones", "1.0") == bundle("tones", "1.0")


@pytest.mark.parametrize("channel", ["channels", "targets", "snapshot"])
def test_a_channel_called_as_a_role_hinders_no_renewal(operator, channel):
    store = operator.store()
    push(operator, store, "tones", "1.0", channel)
    (operator.folder / "metadata/old.targets.json").write_bytes(b"a copy")
    late = Clock(datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=13))
    repository = Repository(operator.folder, late)
    assert repository.renew()
    assert Store(repository).channel("tones", channel).version == "1.0"


def test_a_second_process_follows(operator):
    first, second = operator.store(), operator.store()
    push(operator, first, "tones", "1.0", "stable")
    with pytest.raises(ConflictError, match="3 is the next"):  # signed for what was before
        push(operator, second, "tones", "1.1", "canary")
    push(operator, second, "tones", "1.1", "canary")
    assert {v.provenance.version for v in second.model("tones").versions} == {"1.0", "1.1"}
    first.repository.renew()
    assert first.channel("tones", "canary").version == "1.1"
    assert first.serial == second.serial
    second.activate("tones", "canary", "1.0")
    first.repository.renew()
    second.retire("tones", "1.1")
    first.repository.renew()
    assert first.version("tones", "1.1").retired


def test_private_keys_are_their_owners_alone(operator):
    keys = [*operator.keys.glob("*.pem"), *(operator.folder / "online").iterdir()]
    assert len(keys) == 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


def test_no_offline_key_is_in_the_folder(operator):
    offline = {path.read_bytes() for path in operator.keys.glob("*.pem")}
    assert not offline & set(stored(operator.folder).values())


@pytest.mark.parametrize(
    "counts", [KeyCounts(0, 0), KeyCounts(2, 3), KeyCounts(17, 1), KeyCounts(1, 1, 1, 2)]
)
def test_thresholds_that_nobody_could_meet(tmp_path, counts):
    with pytest.raises(UsageError, match="threshold"):
        create(tmp_path / "registry", tmp_path / "keys", counts)
    assert not list(tmp_path.iterdir())


def test_nothing_is_made_where_something_is(operator, tmp_path):
    before = stored(operator.folder)
    with pytest.raises(UsageError, match="is there already"):
        create(operator.folder, tmp_path / "other", KeyCounts())
    with pytest.raises(UsageError, match="is there already"):
        create(tmp_path / "another", operator.keys, KeyCounts())
    with pytest.raises(UsageError, match="inside the registry"):
        create(tmp_path / "another", tmp_path / "another" / "keys", KeyCounts())
    assert stored(operator.folder) == before
    assert not (tmp_path / "another").exists() and not (tmp_path / "other").exists()


def _tamper(path):
    document = json.loads(path.read_bytes())
    document["signed"]["version"] += 1
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("which", "damage"),
    [
        ("metadata/timestamp.json", _tamper),
        ("metadata/1.root.json", _tamper),
        ("metadata/3.targets.json", _tamper),
        ("metadata/4.snapshot.json", lambda path: path.unlink()),
        ("metadata/3.channels.json", lambda path: path.write_bytes(b"{")),
        ("online/channels.pem", lambda path: path.unlink()),
        ("online/snapshot.pem", lambda path: path.write_bytes(b"no key")),
        ("targets/bundles/tones/*.1.0.bundle", lambda path: path.write_bytes(b"cut")),
        ("targets/channels/tones/*.stable.json", lambda path: path.write_bytes(b"{}")),
        ("state/retired.json", lambda path: path.write_bytes(b"[]")),
    ],
)
def test_a_damaged_folder_is_told_in_one_line(operator, which, damage):
    store = operator.store()
    push(operator, store, "tones", "1.0", "stable")
    push(operator, store, "tones", "0.9")
    store.retire("tones", "0.9")
    (path,) = operator.folder.glob(which)
    damage(path)
    with pytest.raises(UsageError) as told:
        operator.store()
    assert "\n" not in str(told.value)


def test_a_full_disk_changes_nothing(operator, tmp_path, monkeypatch):
    store = operator.store()
    push(operator, store, "tones", "1.0", "stable")
    before, contents = stored(operator.folder), store.repository.contents
    real, left = os.fsync, iter([None, None])

    def full(handle):
        if next(left, "full"):
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        push(operator, store, "tones", "2.0", "stable")
    monkeypatch.undo()
    assert stored(operator.folder) == before
    assert store.repository.contents is contents
    version = published(operator.folder)
    push(operator, store, "tones", "2.0", "stable")
    assert published(operator.folder) == version + 1
