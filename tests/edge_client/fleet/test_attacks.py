"""What an attacker between the registry and a device, or in the registry, can do: refused each.

Every attack finds a device on version 1 and tries to give it something else; it must be refused
for its own reason, and version 1 must stay, whole.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from datetime import timedelta

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import TargetFile
from tuf.ngclient._internal import trusted_metadata_set as seen

from edge_client.fleet.channel import ChannelState
from edge_client.fleet.errors import EndlessRefused, RegistryAway
from edge_client.fleet.installed.slots import Slots
from edge_client.fleet.paths import channel_target
from edge_client.fleet.update import fetcher
from edge_client.fleet.update.clock import TrustedClock
from edge_client.fleet.update.trust import Trust
from edge_client.fleet.update.updater import Updater
from tests.edge_client.fleet.repository import (
    Repository,
    bundle,
    give_in_drips,
    give_without_end,
)


@pytest.fixture
def repository(grown):
    """One that offers version 1."""
    return grown[0].copy()


@pytest.fixture
def device(grown_device):
    """One on version 1."""
    return grown_device


@pytest.fixture
def on_version_1(device):
    return Slots(device[1], "tones")


def refused(updater, slots, reason):
    """The outcome of an update that must be refused so, with version 1 kept."""
    outcome = updater.update("tones")
    assert (outcome.state, outcome.reason) == ("refused", reason), outcome.text
    assert outcome.text and "\n" not in outcome.text
    assert not outcome.current
    active = slots.active()
    assert active.version == "1" and active.intact()
    return outcome


def an_updater_in(monkeypatch, device, **passed):
    """An updater of the device, whose system's clock has gone (or jumped) so far.

    Both see it: TUF, which asks `datetime` for the time, and our own clock.
    """
    seconds = timedelta(**passed)

    class Shifted(seen.datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) + seconds

    class Module:
        datetime = Shifted
        timezone = seen.datetime.timezone

    enrolment, home = device
    real = TrustedClock(home.clock)
    clock = TrustedClock(home.clock, system=lambda: real.system() + seconds.total_seconds())
    monkeypatch.setattr(seen, "datetime", Module)
    return Updater(enrolment, home, trust=Trust(home, enrolment.registry, clock))


def changed(data):
    """The same bytes but for one bit in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def test_a_tampered_bundle(repository, updater, on_version_1):
    place = repository.offer("2")
    repository.files[place] = changed(repository.files[place])
    refused(updater, on_version_1, "hash")
    repository.files[place] = bundle("2")
    assert updater.update("tones").state == "active"  # a transport's fault is not the version's


@pytest.mark.parametrize("cut", [slice(0, -1), slice(1, None)])
def test_a_bundle_of_the_wrong_length(repository, updater, on_version_1, cut):
    place = repository.offer("2")
    repository.files[place] = repository.files[place][cut]
    refused(updater, on_version_1, "length")


def test_a_longer_bundle(repository, updater, on_version_1):
    place = repository.offer("2")
    repository.files[place] += b"more"
    refused(updater, on_version_1, "length")


@pytest.mark.parametrize("role", ["targets", "channels", "snapshot"])
def test_tampered_metadata(repository, updater, on_version_1, role):
    repository.offer("2")
    version = getattr(repository, role).version
    place = f"metadata/{version}.{role}.json"
    expires = getattr(repository, role).expires.strftime('"%Y').encode()
    assert expires in repository.files[place]
    repository.files[place] = repository.files[place].replace(expires, b'"2999')
    refused(updater, on_version_1, "hash")


def test_a_tampered_timestamp(repository, updater, on_version_1):
    repository.offer("2")
    tampered = json.loads(repository.files["metadata/timestamp.json"])
    tampered["signed"]["version"] += 7
    repository.files["metadata/timestamp.json"] = json.dumps(tampered).encode()
    refused(updater, on_version_1, "signature")


@pytest.mark.parametrize("garbage", [b"", b"{", b"\xff" * 40, b"[]", b"[" * 9000, b'{"signed":1}'])
def test_garbage_instead_of_metadata(repository, updater, on_version_1, garbage):
    repository.offer("2")
    repository.files["metadata/timestamp.json"] = garbage
    refused(updater, on_version_1, "metadata")


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "channels"])
def test_metadata_signed_by_a_wrong_key(repository, updater, on_version_1, role):
    repository.push("2")
    wrong = (CryptoSigner.generate_ed25519(),)
    repository.publish(**{role: wrong})
    refused(updater, on_version_1, "unknown_key")


def test_a_root_signed_by_a_wrong_key(repository, updater, on_version_1):
    repository.root.version += 1
    repository.sign("root", CryptoSigner.generate_ed25519())
    refused(updater, on_version_1, "unknown_key")


def test_the_key_of_a_lesser_role_does_not_sign_bundles(repository, updater, on_version_1):
    repository.push("2")
    repository.publish(targets=(repository.keys["channels"],))
    refused(updater, on_version_1, "signature")


def test_a_channel_cannot_offer_what_was_not_signed_as_a_bundle(repository, updater, on_version_1):
    # All of what the registry itself can sign: it points at a version, even names its bundle.
    data = bundle("2")
    target = TargetFile.from_data("bundles/tones/2.bundle", data, ["sha256"])
    repository.files[f"targets/{target.get_prefixed_paths()[0]}"] = data
    repository.channels.targets[target.path] = target
    repository.point("2")
    refused(updater, on_version_1, "not_found")


def test_replayed_old_metadata(repository, updater, on_version_1):
    old = dict(repository.files)
    repository.offer("2")
    repository.point("1")  # so that the device has seen the newer state, and is on 1 again
    assert updater.update("tones").state == "active"
    repository.files = old
    refused(updater, on_version_1, "rollback")


def test_a_snapshot_that_takes_back_a_role(repository, updater, on_version_1):
    repository.snapshot.meta["targets.json"].version -= 1
    repository.publish_snapshot()
    refused(updater, on_version_1, "rollback")


def test_withheld_metadata(repository, device, on_version_1, monkeypatch):
    with an_updater_in(monkeypatch, device, days=2) as updater:
        refused(updater, on_version_1, "freeze")


def test_expired_metadata(repository, device, on_version_1, monkeypatch):
    repository.offer("2")  # never seen, and over before it is
    with an_updater_in(monkeypatch, device, days=2) as updater:
        refused(updater, on_version_1, "expired")


@pytest.mark.parametrize(("role", "days"), [("snapshot", 8), ("channels", 8), ("root", 400)])
def test_one_role_that_is_expired(repository, device, on_version_1, monkeypatch, role, days):
    expired = getattr(repository, role).expires
    repository.live_on(days=days)
    repository.targets.expires += timedelta(days=days)
    getattr(repository, role).expires = expired
    repository.offer("2")
    with an_updater_in(monkeypatch, device, days=days) as updater:
        refused(updater, on_version_1, "expired")


def test_a_clock_reset_to_1970_makes_nothing_good_for_ever(
    repository, device, on_version_1, monkeypatch
):
    old = dict(repository.files)
    repository.live_on(days=30)
    repository.publish()
    with an_updater_in(monkeypatch, device, days=30) as updater:
        assert updater.update("tones").state == "active"
    repository.files = old
    # What was withheld since is offered to a device that believes it is 1970.
    with an_updater_in(monkeypatch, device, days=-20_000) as updater:
        refused(updater, on_version_1, "rollback")
    repository.live_on(days=-28)
    repository.timestamp.version += 50
    repository.publish()
    with an_updater_in(monkeypatch, device, days=-20_000) as updater:
        refused(updater, on_version_1, "expired")
    repository.live_on(days=28)
    repository.offer("2")
    with an_updater_in(monkeypatch, device, days=-20_000) as updater:
        assert updater.update("tones").wanted == "2"
    assert on_version_1.active().version == "2"


def test_a_clock_far_ahead_refuses_until_it_is_right_again(
    repository, device, updater, on_version_1, monkeypatch
):
    repository.offer("2")
    with an_updater_in(monkeypatch, device, days=5000) as ahead:
        refused(ahead, on_version_1, "expired")
    monkeypatch.undo()
    assert updater.update("tones").state == "active"
    assert on_version_1.active().version == "2"


def far_future(repository):
    """Publishes a timestamp of 2095, and takes it back with the next offer of version 2."""
    right = repository.timestamp.expires
    repository.timestamp.expires += timedelta(days=25_000)
    repository.publish_timestamp()
    repository.timestamp.expires = right


def test_a_timestamp_of_the_far_future_does_nothing_to_a_clock_that_is_right(
    repository, updater, on_version_1
):
    far_future(repository)
    assert updater.update("tones").state == "active"
    repository.offer("2")
    assert updater.update("tones").state == "active"
    assert on_version_1.active().version == "2"


def test_a_device_it_deceived_is_cured_by_a_new_root(repository, device, on_version_1, monkeypatch):
    far_future(repository)
    with an_updater_in(monkeypatch, device, days=-20_000) as deceived:
        refused(deceived, on_version_1, "expired")
        repository.offer("2")
        refused(deceived, on_version_1, "expired")
    repository.rotate("timestamp")
    with an_updater_in(monkeypatch, device, days=-20_000) as cured:
        assert cured.update("tones").state == "active"
    assert on_version_1.active().version == "2"


def test_files_of_two_states(repository, updater, on_version_1):
    repository.offer("2")
    old = repository.files[f"metadata/{repository.targets.version - 1}.targets.json"]
    repository.files[f"metadata/{repository.targets.version}.targets.json"] = old
    refused(updater, on_version_1, "mix")


def test_an_old_snapshot_under_a_new_timestamp(repository, updater, on_version_1):
    old = repository.files[f"metadata/{repository.snapshot.version}.snapshot.json"]
    repository.offer("2")
    repository.files[f"metadata/{repository.snapshot.version}.snapshot.json"] = old
    refused(updater, on_version_1, "mix")


def test_metadata_that_never_ends(repository, served, updater, on_version_1):
    repository.offer("2")
    served.answer["metadata/timestamp.json"] = give_without_end
    refused(updater, on_version_1, "endless")


def test_metadata_larger_than_any_should_be(repository, updater, on_version_1):
    repository.offer("2")
    repository.files["metadata/timestamp.json"] += b" " * 20_000
    refused(updater, on_version_1, "length")


def test_a_bundle_that_never_ends(repository, served, updater, on_version_1):
    served.answer[repository.offer("2")] = give_without_end
    refused(updater, on_version_1, "endless")


@pytest.mark.parametrize("what", ["metadata", "bundle"])
def test_a_download_that_drips(repository, served, updater, on_version_1, monkeypatch, what):
    place = repository.offer("2")
    served.answer[place if what == "bundle" else "metadata/timestamp.json"] = give_in_drips
    monkeypatch.setattr(fetcher, "METADATA_S", 0.3)
    monkeypatch.setattr(fetcher, "TARGET_S", 0.3)
    monkeypatch.setattr(fetcher, "SLOWEST", 1_000_000)
    refused(updater, on_version_1, "endless")


def test_many_roots_that_never_end(repository, served, updater, on_version_1, monkeypatch):
    monkeypatch.setattr(fetcher, "REFRESH_S", 0.0)
    refused(updater, on_version_1, "endless")


def test_a_decompression_bomb(repository, updater, on_version_1):
    # A whole bundle, but its model unpacks to far more than its manifest says.
    whole = bundle("2")
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    bomb = zlib.compress(bytes(200 * 2**20), 9)
    manifest["model"].update(
        compression="zlib",
        file="model.tflite.zlib",
        bytes=len(bomb),
        sha256=hashlib.sha256(bomb).hexdigest(),
    )
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        archive.writestr(manifest["model"]["file"], bomb)
    repository.offer("2", made.getvalue())
    outcome = refused(updater, on_version_1, "bundle")
    assert "unpacks to more" in outcome.text


def test_a_zip_bomb(repository, updater, on_version_1):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", bytes(100 * 2**20))
        archive.writestr("model.tflite", b"")
    repository.offer("2", made.getvalue())
    refused(updater, on_version_1, "bundle")


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "models/escaped"])
def test_a_bundle_whose_files_lie_elsewhere(repository, updater, on_version_1, tmp_path, name):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("manifest.json", "{}")
        archive.writestr(name, b"evil")
    repository.offer("2", made.getvalue())
    refused(updater, on_version_1, "bundle")
    assert not list(tmp_path.rglob("*escaped*"))


@pytest.mark.parametrize("version", ["../2", "2/../../x", "..", "a" * 65, "2\n", ""])
def test_a_version_that_is_no_name(repository, updater, on_version_1, version):
    document = {"model": "tones", "channel": "stable", "version": version, "rollout": None}
    data = json.dumps(document).encode()
    path = channel_target("tones", "stable")
    target = TargetFile.from_data(path, data, ["sha256"])
    repository.channels.targets[path] = target
    repository.files[f"targets/{target.get_prefixed_paths()[0]}"] = data
    repository.publish()
    refused(updater, on_version_1, "metadata")


def test_the_document_of_another_channel(repository, updater, on_version_1):
    repository.push("2")
    data = ChannelState("tones", "canary", "2", None).serialise()
    target = TargetFile.from_data(channel_target("tones", "stable"), data, ["sha256"])
    repository.channels.targets[target.path] = target
    repository.files[f"targets/{target.get_prefixed_paths()[0]}"] = data
    repository.publish()
    refused(updater, on_version_1, "metadata")


@pytest.mark.parametrize(("version", "model"), [("3", "tones"), ("2", "other")])
def test_the_bundle_of_another_version_or_model(repository, updater, on_version_1, version, model):
    repository.offer("2", bundle(version, model))
    outcome = refused(updater, on_version_1, "bundle")
    assert f"{model} {version}" in outcome.text


def test_a_bundle_signed_as_another_one(repository, updater, on_version_1):
    repository.push("2")
    custom = repository.targets.targets["bundles/tones/2.bundle"].unrecognized_fields["custom"]
    custom["version"] = "3"
    repository.point("2")
    refused(updater, on_version_1, "metadata")


def test_another_registry_altogether(updater, served, on_version_1):
    served.repository = Repository()
    served.repository.offer("2")
    refused(updater, on_version_1, "unknown_key")


def test_a_registry_that_redirects(repository, served, updater, on_version_1):
    def elsewhere(handler, data):
        handler.send_response(302)
        handler.send_header("Location", f"{served.url}/tuf/metadata/1.root.json")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    served.answer["metadata/timestamp.json"] = elsewhere
    with pytest.raises(RegistryAway, match="302"):
        updater.update("tones")
    assert on_version_1.active().version == "1"


def test_endless_is_told_from_away(device, repository, served):
    repository.offer("1")
    served.answer["metadata/timestamp.json"] = give_without_end
    trust = Trust(device[1], served.url)
    with pytest.raises(EndlessRefused, match="without its length"):
        trust.refresh()
    trust.close()
