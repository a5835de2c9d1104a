"""A registry's signed repository in memory, a server for it, and small bundles to put into it.

What an attacker would do is done to :attr:`Repository.files`, or by :attr:`Served.answer`.
"""

from __future__ import annotations

import copy
import functools
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from edge_client.bundle import bundle_bytes
from edge_client.cli.messages import native_silence
from edge_client.fleet.channel import ChannelState
from edge_client.fleet.enrolment import EnrolledModel, Enrolment, write_enrolment
from edge_client.fleet.installed.home import Home
from edge_client.fleet.paths import bundle_target, channel_target
from tests.edge_client import tiny

DAY = timedelta(days=1)
TOP = ("root", "targets", "snapshot", "timestamp")


@functools.cache
def _parts():
    with native_silence():  # benchmarks use this too
        return tiny.keyword_parts()


def bundle(version, model="tones", **changes):
    """The bytes of a bundle of the three tones that runs."""
    manifest, packed = _parts()
    return bundle_bytes(replace(manifest, name=model, version=version, **changes), packed, "tiny")


class Repository:
    """Signs as the registry and the pipeline do; every change is published at once."""

    def __init__(self, now=None):
        self.now = now or datetime.now(timezone.utc).replace(microsecond=0)
        self.files = {}  # path below /tuf: bytes
        self.keys = {role: CryptoSigner.generate_ed25519() for role in (*TOP, "channels")}
        self.root = Root(expires=self.now + 365 * DAY, consistent_snapshot=True)
        for role in TOP:
            self.root.add_key(self.keys[role].public_key, role)
        delegated = DelegatedRole("channels", [], 1, True, paths=["channels/*/*"])
        self.targets = Targets(
            expires=self.now + 365 * DAY, delegations=Delegations({}, {"channels": delegated})
        )
        self.targets.add_key(self.keys["channels"].public_key, "channels")
        self.channels = Targets(expires=self.now + 7 * DAY)
        self.snapshot = Snapshot(expires=self.now + 7 * DAY)
        self.snapshot.meta["channels.json"] = MetaFile(1)
        self.timestamp = Timestamp(expires=self.now + DAY)
        self.sign("root")
        self.publish(first=True)

    def copy(self):
        """Another repository in the same state, with the same keys."""
        other = copy.copy(self)
        other.files, other.keys = dict(self.files), dict(self.keys)
        for role in (*TOP, "channels"):
            setattr(other, role, copy.deepcopy(getattr(self, role)))
        return other

    def sign(self, role, *keys):
        """The bytes of a role's metadata, put where it is asked for."""
        signed = getattr(self, role)
        metadata = Metadata(signed)
        for key in keys or (self.keys[role],):
            metadata.sign(key, append=True)
        data = metadata.to_bytes()
        name = f"{role}.json" if role == "timestamp" else f"{signed.version}.{role}.json"
        self.files[f"metadata/{name}"] = data
        return data

    def publish(self, first=False, **keys):
        """Signs everything but the root anew, one version on."""
        for role in ("targets", "channels"):
            getattr(self, role).version += not first
            data = self.sign(role, *keys.get(role, ()))
            self.snapshot.meta[f"{role}.json"] = MetaFile.from_data(
                getattr(self, role).version, data, ["sha256"]
            )
        self.publish_snapshot(first, **keys)

    def publish_snapshot(self, first=False, **keys):
        self.snapshot.version += not first
        data = self.sign("snapshot", *keys.get("snapshot", ()))
        self.timestamp.snapshot_meta = MetaFile.from_data(self.snapshot.version, data, ["sha256"])
        self.publish_timestamp(first, **keys)

    def publish_timestamp(self, first=False, **keys):
        self.timestamp.version += not first
        self.sign("timestamp", *keys.get("timestamp", ()))

    def live_on(self, **passed):
        """As the registry that runs on: online metadata with its full life, so much later."""
        self.now += timedelta(**passed)
        for role, life in (("channels", 7), ("snapshot", 7), ("timestamp", 1)):
            getattr(self, role).expires = self.now + life * DAY

    def push(self, version, data=None, model="tones"):
        """Signs a bundle; returns where its bytes lie."""
        data = bundle(version, model) if data is None else data
        path = bundle_target(model, version)
        target = TargetFile.from_data(path, data, ["sha256"])
        target.unrecognized_fields["custom"] = {"model": model, "version": version}
        self.targets.targets[path] = target
        return self._store(target, data)

    def point(self, version, model="tones", channel="stable", rollout=None):
        """Lets a channel offer a version, and publishes."""
        data = ChannelState(model, channel, version, rollout).serialise()
        target = TargetFile.from_data(channel_target(model, channel), data, ["sha256"])
        self.channels.targets[target.path] = target
        place = self._store(target, data)
        self.publish()
        return place

    def offer(self, version, data=None, model="tones"):
        """Pushes and points; returns where the bundle's bytes lie."""
        place = self.push(version, data, model)
        self.point(version, model)
        return place

    def rotate(self, role):
        """A new key for a role, in a new root."""
        old, new = self.keys[role], CryptoSigner.generate_ed25519()
        self.root.revoke_key(old.public_key.keyid, role)
        self.root.add_key(new.public_key, role)
        self.root.version += 1
        self.keys[role] = new
        self.sign("root", *((old, new) if role == "root" else (self.keys["root"],)))
        self.publish()

    def _store(self, target, data):
        place = f"targets/{target.get_prefixed_paths()[0]}"
        self.files[place] = data
        return place


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that hangs up is none."""


class Served:
    """A repository on a port of this machine."""

    def __init__(self, repository):
        self.repository = repository
        self.answer = {}  # path below /tuf: what answers a request for it instead
        self.asked = []  # paths below /tuf and the Range that was asked for

    @contextmanager
    def running(self):
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = self.path.removeprefix("/tuf/")
                served.asked.append((path, self.headers.get("Range")))
                answer = served.answer.get(path, give)
                try:
                    answer(self, served.repository.files.get(path))
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_):
                pass

        with _Server(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}"
            self.server = server
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


def give(handler, data):
    """The usual answer, ranges included."""
    wanted = handler.headers.get("Range")
    if data is None:
        handler.send_response(404)
        data = b""
    elif wanted:
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        handler.send_response(206 if start < len(data) else 416)
        handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        data = data[start:]
    else:
        handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def give_half(handler, data):
    """An answer that breaks off in the middle."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])
    handler.close_connection = True


def give_without_end(handler, data):
    """An answer that does not say how long it is, and goes on and on."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(10_000):
        handler.wfile.write(bytes(65536))
    handler.close_connection = True


def give_in_drips(handler, data):
    """An answer of the right length, byte after byte."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    for byte in data:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.02)


def enrol(folder, repository, url, *models, device="pi-1"):
    """A device that trusts this repository's first root; its enrolment and its home."""
    home = Home(folder / device)
    enrolment = Enrolment(device, url, tuple(map(EnrolledModel, models or ("tones",))))
    root = folder / "root.json"
    root.write_bytes(repository.files["metadata/1.root.json"])
    write_enrolment(home, enrolment, root)
    return enrolment, home
