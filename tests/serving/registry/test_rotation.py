from __future__ import annotations

import shutil

import pytest
from tuf.api.exceptions import BadVersionNumberError, UnsignedMetadataError
from tuf.api.metadata import Metadata

from serving.options import UsageError
from serving.registry.errors import SignatureError
from serving.registry.tuf.contents import ROLES
from serving.registry.tuf.create import KeyCounts
from serving.registry.tuf.keys import read_key
from serving.registry.tuf.repository import Repository
from serving.registry.tuf.rotation import rotate
from tests.serving.registry.operator_side import (
    Operator,
    bundle,
    device,
    next_targets,
    push,
    signed,
    stored,
)


@pytest.mark.parametrize("role", ROLES)
def test_devices_follow_whether_they_saw_the_old_keys_or_not(operator, tmp_path, role):
    store = operator.store()
    push(operator, store, "tones", "1.0", "stable")
    old_hand = device(tmp_path / "old", operator)
    assert old_hand.channel("tones", "stable").version == "1.0"
    done = rotate(Repository(operator.folder), operator.keys, role)
    for pi in (old_hand, device(tmp_path / "new", operator)):
        assert pi.channel("tones", "stable").version == "1.0"
        assert pi.bundle("tones", "1.0") == bundle("tones", "1.0")
    assert done.root_version == (1 if role == "channels" else 2)


def test_a_device_that_missed_many_rotations_follows(tmp_path):
    operator = Operator.made(tmp_path, KeyCounts(root=3, root_threshold=2))
    store = operator.store()
    push(operator, store, "tones", "1.0", "stable")
    pi = device(tmp_path / "pi", operator)
    pi.refreshed()
    for role in (*ROLES, *ROLES):
        rotate(Repository(operator.folder), operator.keys, role)
    assert pi.channel("tones", "stable").version == "1.0"


def test_after_an_older_copy_is_put_back_new_keys_let_devices_go_on(operator, tmp_path):
    """As `rotate --help` says: what they saw was signed by keys that count no more."""
    push(operator, operator.store(), "tones", "1.0", "stable")
    copy = operator.copy(tmp_path / "copy")
    for version in ("1.1", "1.2"):
        push(operator, operator.store(), "tones", version, "stable")
    pi = device(tmp_path / "pi", operator)
    assert pi.channel("tones", "stable").version == "1.2"
    shutil.rmtree(operator.folder)
    copy.folder.rename(operator.folder)
    with pytest.raises(BadVersionNumberError):
        pi.refreshed()
    for role in ("timestamp", "snapshot"):
        rotate(Repository(operator.folder), operator.keys, role)
    assert pi.channel("tones", "stable").version == "1.0"
    push(operator, operator.store(), "tones", "1.1", "stable")
    assert pi.channel("tones", "stable").version == "1.1"


def test_the_new_keys_count_and_the_old_do_not(operator):
    store = operator.store()
    old = operator.targets_key()
    done = rotate(store.repository, operator.keys, "targets")
    assert [path.name for path in done.made] == ["targets-2.pem"]
    assert [path.name for path in done.void] == ["targets.pem"]
    data = bundle("tones", "1.0")
    content = next_targets(store.repository.contents.targets.signed, data, "tones", "1.0")
    with pytest.raises(SignatureError):
        store.push("tones", "1.0", data, signed(content, old), None)
    assert store.push("tones", "1.0", data, signed(content, read_key(done.made[0])), None).new


def test_a_running_registry_goes_on_with_the_new_keys(operator, tmp_path):
    store = operator.store()
    push(operator, store, "tones", "1.0", "stable")
    for role in ("snapshot", "timestamp", "channels"):
        rotate(Repository(operator.folder), operator.keys, role)  # as another process
        push_back_and_forth = store.activate("tones", "canary", "1.0")
        assert push_back_and_forth == store.serial
        assert device(tmp_path / role, operator).channel("tones", "canary").version == "1.0"


def test_the_new_root_is_signed_by_old_and_new_keys(tmp_path):
    operator = Operator.made(tmp_path, KeyCounts(root=3, root_threshold=2))
    old, _, _ = (read_key(operator.keys / f"root-{number}.pem") for number in (1, 2, 3))
    rotate(Repository(operator.folder), operator.keys, "root")
    first, second = (
        Metadata.from_file(str(operator.folder / f"metadata/{number}.root.json"))
        for number in (1, 2)
    )
    first.verify_delegate("root", second)
    second.verify_delegate("root", second)
    assert old.public_key.keyid not in second.signed.roles["root"].keyids
    assert second.signed.roles["root"].threshold == 2
    with pytest.raises(UnsignedMetadataError):
        second.verify_delegate("root", first)


def test_as_many_keys_as_the_threshold_wants_suffice(tmp_path):
    operator = Operator.made(tmp_path, KeyCounts(root=3, root_threshold=2))
    (operator.keys / "root-2.pem").unlink()
    (operator.keys / "root-1.pem").rename(operator.keys / "renamed.pem")
    rotate(Repository(operator.folder), operator.keys, "snapshot")
    (operator.keys / "renamed.pem").unlink()
    before = stored(operator.folder)
    with pytest.raises(UsageError, match="1 of the keys of root, whose threshold is 2"):
        rotate(Repository(operator.folder), operator.keys, "timestamp")
    assert stored(operator.folder) == before


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("more.pem", b"no key", "no private key"),
        ("more.pem", None, "no such folder"),
    ],
)
def test_keys_that_are_none(operator, tmp_path, name, content, match):
    keys = tmp_path / "other"
    if content is not None:
        keys.mkdir()
        (keys / name).write_bytes(content)
    with pytest.raises(UsageError, match=match):
        rotate(Repository(operator.folder), keys, "root")
