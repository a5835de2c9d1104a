"""Signed pushes into a registry that runs: what it then has, and every way of being refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tuf.ngclient import Updater

from components.edge_pusher import upload
from components.edge_pusher.registry import RegistryTarget
from components.edge_pusher.signing import RegistryAwayError, fetch_trusted
from components.edge_pusher.upload import Receipt, push_signed
from components.errors import InputError
from components.pushing import PushError
from edge_client.bundle import read_bundle
from edge_client.fleet.channel import ChannelState, Rollout
from edge_client.fleet.paths import METADATA, TARGETS, bundle_target, channel_target
from serving.registry.tuf.create import KeyCounts, create
from serving.registry.tuf.rotation import rotate
from tests.components.edge_pusher.conftest import Make, Running, running


def push(registry: Running, data: bytes, **changed: Any) -> Receipt:
    return push_signed(replace(registry.target, **changed), data, read_bundle(data).manifest)


def fetched(registry: Running, folder: Path, path: str) -> bytes:
    """A target as a device gets it, everything verified from the root it was given."""
    (folder / "trusted").mkdir()
    (folder / "fetched").mkdir()
    updater = Updater(
        str(folder / "trusted"),
        registry.target.url + METADATA,
        str(folder / "fetched"),
        registry.target.url + TARGETS,
        bootstrap=Path(registry.target.root).read_bytes(),
    )
    info = updater.get_targetinfo(path)
    assert info is not None
    return Path(updater.download_target(info)).read_bytes()


def test_a_device_gets_what_was_pushed(registry: Running, bundle: Make, tmp_path: Path) -> None:
    data = bundle("1")
    receipt = push(registry, data)
    assert receipt == Receipt("canary", registry.registry.store.serial, new=True)
    assert fetched(registry, tmp_path, bundle_target("th-a", "1")) == data
    version = registry.registry.store.version("th-a", "1")
    manifest = read_bundle(data).manifest
    assert version.provenance.budgets == manifest.budgets
    assert (version.provenance.pipeline, version.provenance.run_id) == ("forecasting", "run")
    assert "@" in version.provenance.pushed_by


def test_the_channel_offers_it(registry: Running, bundle: Make, tmp_path: Path) -> None:
    push(registry, bundle("1"))
    push(registry, bundle("2"))
    state = ChannelState.parse(fetched(registry, tmp_path, channel_target("th-a", "canary")))
    assert state == ChannelState("th-a", "canary", "2", None)
    assert registry.registry.store.version("th-a", "1").sha256


def test_the_same_again_counts_as_pushed(registry: Running, bundle: Make) -> None:
    first = push(registry, bundle("1"))
    again = push(registry, bundle("1"))
    assert (first.new, again.new) == (True, False)
    assert again.serial == first.serial


def test_other_content_under_a_version_is_one_line(registry: Running, bundle: Make) -> None:
    push(registry, bundle("1"))
    with pytest.raises(PushError, match="as th-a 1; raise `version:` in the version's YAML"):
        push(registry, bundle("1", "another run"))
    digest = hashlib.sha256(bundle("1")).hexdigest()
    assert registry.registry.store.version("th-a", "1").sha256 == digest


def test_pushes_at_the_same_time_all_come_in(registry: Running, bundle: Make) -> None:
    """Each signs the next version of the same metadata; whoever comes second signs again."""
    versions = [str(number) for number in range(4)]
    with ThreadPoolExecutor(len(versions)) as pool:
        receipts = list(pool.map(lambda version: push(registry, bundle(version)), versions))
    assert all(receipt.new for receipt in receipts)
    known = registry.registry.store.model("th-a").versions
    assert sorted(version.provenance.version for version in known) == versions


def test_a_registry_that_was_rolled_back_gets_no_signature(
    registry: Running, bundle: Make, tmp_path: Path
) -> None:
    """Devices would have two contents of one version, each of them signed."""
    folder = registry.created.folder
    push(registry, bundle("1"))
    shutil.copytree(folder, tmp_path / "backup")
    push(registry, bundle("2"))
    for part in ("metadata", "targets"):
        shutil.rmtree(folder / part)
        shutil.copytree(tmp_path / "backup" / part, folder / part)
    registry.registry.store.repository.renew()
    with pytest.raises(PushError, match="older than those seen before"):
        push(registry, bundle("2", "another run"))
    with pytest.raises(PushError, match="older than those seen before"):
        push(registry, bundle("3"))
    assert len(registry.registry.store.model("th-a").versions) == 1
    for role in ("timestamp", "snapshot"):  # the operator knows of it, and says so to everybody
        rotate(registry.registry.store.repository, registry.created.trusted_root.parent, role)
    assert push(registry, bundle("3")).new


def test_what_was_seen_must_be_kept(registry: Running, bundle: Make) -> None:
    registry.target.seen.write_text("in the way")
    with pytest.raises(PushError, match=r"root\.json\.seen: cannot be written"):
        push(registry, bundle("1"))


def test_a_lasting_conflict_is_not_tried_for_long(registry: Running, bundle: Make) -> None:
    push(registry, bundle("1"))
    push(registry, bundle("2"))
    rollout = Rollout("r1", "2", ("pi-1",), 0.0)
    registry.registry.store.set_channel(ChannelState("th-a", "canary", "1", rollout))
    before = registry.registry.store.repository.contents.targets.signed.version
    with pytest.raises(PushError, match="th-a 3 not pushed: rollout r1 runs on channel canary"):
        push(registry, bundle("3"))
    assert registry.registry.store.repository.contents.targets.signed.version == before


def test_a_token_that_is_not_known(registry: Running, bundle: Make, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("not-a-token-of-this-registry")
    with pytest.raises(PushError, match=r"a token that is known .*that of .*wrong"):
        push(registry, bundle("1"), token_file=str(tmp_path / "wrong"))


def test_a_channel_that_only_operators_move(registry: Running, bundle: Make) -> None:
    with pytest.raises(PushError, match=r"th-a 1 not pushed: .*canary"):
        push(registry, bundle("1"), channel="stable")


def test_a_key_of_another_registry(registry: Running, bundle: Make, tmp_path: Path) -> None:
    other = create(tmp_path / "other", tmp_path / "other keys", KeyCounts())
    strange = str(other.targets_keys[0])
    with pytest.raises(PushError, match=f"its root does not name the key of {strange} for targets"):
        push(registry, bundle("1"), targets_keys=(strange,))
    with pytest.raises(PushError, match="does not name the key"):
        push(registry, bundle("1"), targets_keys=(str(registry.created.root_keys[0]),))
    with pytest.raises(PushError, match=f"does not name the key of {strange}"):
        push(registry, bundle("1"), targets_keys=(*registry.target.targets_keys, strange))


def test_the_root_of_another_registry(registry: Running, bundle: Make, tmp_path: Path) -> None:
    other = create(tmp_path / "other", tmp_path / "other keys", KeyCounts())
    with pytest.raises(PushError, match="its metadata are not signed as the given root says"):
        push(registry, bundle("1"), root=str(other.trusted_root))


def test_a_registry_that_wants_two_of_three_signatures(bundle: Make, tmp_path: Path) -> None:
    with running(tmp_path, KeyCounts(targets=3, targets_threshold=2)) as registry:
        first, second, third = registry.target.targets_keys
        copy = tmp_path / "copy.pem"
        shutil.copy(first, copy)
        for keys in ((first,), (first, first), (first, str(copy))):
            with pytest.raises(PushError, match="by 2 different keys, and 1 of them given: ") as e:
                push(registry, bundle("1"), targets_keys=keys)
            assert "\n" not in str(e.value)
            assert all(key in str(e.value) for key in keys)
        assert push(registry, bundle("1"), targets_keys=(third, first)).new
        assert push(registry, bundle("2"), targets_keys=(second, str(copy), first)).new
        assert push(registry, bundle("3")).new
        metadata = registry.registry.store.repository.contents.targets
        assert len(metadata.signatures) == 3
        assert fetched(registry, tmp_path, bundle_target("th-a", "3")) == bundle("3")


def test_a_registry_that_is_away(
    registry: Running, bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "_ATTEMPTS", 2)
    with pytest.raises(RegistryAwayError, match="no answer"):
        push(registry, bundle("1"), url="http://127.0.0.1:9")


def test_something_that_is_no_registry(registry: Running, bundle: Make) -> None:
    with pytest.raises(PushError, match=r"no registry there \(it answers 404"):
        push(registry, bundle("1"), url=registry.target.url + "/models")


class _Proxy(BaseHTTPRequestHandler):
    """Passes metadata on from a registry, and answers every PUT as its server was told."""

    def do_GET(self):
        import httpx

        got = httpx.get(self.server.behind + self.path)
        self._answer(got.status_code, got.content)

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        self._answer(*self.server.answers[min(self.server.asked, len(self.server.answers)) - 1])

    def _answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy(registry: Running):
    server = HTTPServer(("127.0.0.1", 0), _Proxy)
    server.behind, server.asked, server.answers = registry.target.url, 0, []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def told(**values: object) -> bytes:
    return json.dumps(values).encode()


@pytest.mark.parametrize(
    ("answers", "asked", "message"),
    [
        ([(400, told(error="bundle: not a bundle"))], 1, "th-a 1 not pushed: bundle: not a bundle"),
        ([(413, b"<html>")], 1, "th-a 1 not pushed: status 413"),
        ([(201, b"thanks")], 1, r"answers as no registry does \(no JSON"),
        (
            [(201, told(sha256="0" * 64))],
            1,
            "answers as no registry .*no field 'serial'",
        ),
        ([(201, told(sha256="0" * 64, serial=1))], 1, "keeps another bundle than was pushed"),
        ([(503, told(error="busy"))], 3, "th-a 1 not pushed: busy; 3 attempts were made"),
        ([(409, told(error="no"))], 1, "th-a 1 not pushed: no"),
    ],
)
def test_strange_answers(
    proxy, registry: Running, bundle: Make, monkeypatch, answers, asked: int, message: str
) -> None:
    monkeypatch.setattr(upload, "_ATTEMPTS", 3)
    proxy.answers = answers
    with pytest.raises(PushError, match=message) as error:
        push(registry, bundle("1"), url=f"http://127.0.0.1:{proxy.server_port}")
    assert "\n" not in str(error.value)
    assert proxy.asked == asked


def test_a_busy_registry_is_asked_again(proxy, registry: Running, bundle: Make) -> None:
    data = bundle("1")
    digest = hashlib.sha256(data).hexdigest()
    proxy.answers = [(503, b"later"), (201, told(sha256=digest, serial=7))]
    receipt = push(registry, data, url=f"http://127.0.0.1:{proxy.server_port}")
    assert (receipt.serial, proxy.asked) == (7, 2)


@pytest.mark.parametrize(
    ("field", "content", "message"),
    [
        ("token_file", b"two words", "no token"),
        ("targets_keys", b"-----BEGIN NOTHING-----", "no private Ed25519 key in PEM"),
        ("root", b"{}", "no signed root metadata"),
        ("root", b"x" * 600_000, "no signed root metadata"),
    ],
)
def test_files_that_are_something_else(
    registry: Running, bundle: Make, tmp_path: Path, field: str, content: bytes, message: str
) -> None:
    path = tmp_path / "given"
    path.write_bytes(content)
    given = (str(path),) if field == "targets_keys" else str(path)
    with pytest.raises(InputError, match=message) as error:
        push(registry, bundle("1"), **{field: given})
    assert str(error.value).startswith(str(path))


def test_a_root_whose_signature_is_not_its_own(registry: Running, tmp_path: Path) -> None:
    root = json.loads(Path(registry.target.root).read_bytes())
    root["signed"]["expires"] = "2999-01-01T00:00:00Z"
    (tmp_path / "root").write_text(json.dumps(root))
    with pytest.raises(InputError, match="no signed root metadata"):
        replace(registry.target, root=str(tmp_path / "root")).read_root()
    target = registry.target
    targets = fetch_trusted(target.url, target.read_root(), target.seen).targets
    (tmp_path / "root").write_bytes(targets.to_bytes())
    with pytest.raises(InputError, match="no signed root metadata"):
        replace(registry.target, root=str(tmp_path / "root")).read_root()


def test_a_key_that_is_encrypted(registry: Running, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
    )

    (key,) = registry.target.read_keys().values()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "key").write_bytes(pem)
    with pytest.raises(InputError, match="the key is encrypted"):
        replace(registry.target, targets_keys=(str(tmp_path / "key"),)).read_keys()


@pytest.mark.parametrize(
    "values", [{"url": "ftp://x"}, {"channel": "../stable"}, {"targets_keys": ()}]
)
def test_a_target_that_cannot_be(registry: Running, values: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        replace(registry.target, **values)


def test_an_execution_parameter_carries_it(registry: Running) -> None:
    several = replace(registry.target, targets_keys=("a.pem", "b.pem"))
    assert RegistryTarget.of(several.to_json()) == several
