"""Registries for the tests: made in a folder, pushed to, and asked as a device does."""

from __future__ import annotations

import base64
import functools
import json
import shutil
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata, TargetFile
from tuf.ngclient import FetcherInterface, Updater

from edge_client.bundle import bundle_bytes
from edge_client.fleet.channel import ChannelState
from edge_client.fleet.paths import bundle_target, channel_target
from edge_client.fleet.provenance import Provenance
from serving.registry.tuf.create import KeyCounts, create
from serving.registry.tuf.keys import read_key
from serving.registry.tuf.push import parse_targets
from serving.registry.tuf.repository import Repository
from serving.registry.tuf.store import Store
from tests.edge_client import tiny

BASE = "http://registry"
YEAR = timedelta(days=365)


@functools.cache
def _parts():
    return tiny.keyword_parts()


def bundle(model, version, **changes):
    manifest, packed = _parts()
    return bundle_bytes(replace(manifest, name=model, version=version, **changes), packed, "tiny")


def provenance(model, version):
    manifest = _parts()[0]
    origin = manifest.created_by
    moment = "2026-11-20T12:00:00Z"
    return Provenance(
        model, version, "ada", moment, origin.pipeline, origin.run_id, manifest.budgets
    )


class Operator:
    """Who has the keys and the folder of one registry."""

    def __init__(self, place):
        self.folder, self.keys = place / "registry", place / "keys"

    @classmethod
    def made(cls, place, counts=None, **options):
        operator = cls(place)
        create(operator.folder, operator.keys, counts or KeyCounts(), **options)
        return operator

    def copy(self, place):
        other = Operator(place)
        shutil.copytree(self.folder, other.folder)
        shutil.copytree(self.keys, other.keys)
        return other

    def store(self, **options):
        return Store(Repository(self.folder, **options))

    def targets_key(self, name="targets"):
        return read_key(self.keys / f"{name}.pem")

    def trusted_root(self):
        return (self.keys / "root.json").read_bytes()


def next_targets(current, data, model, version, custom=None, **changes):
    """The next targets metadata, not signed yet; `changes` are of the bundle's entry."""
    signed = deepcopy(current)
    signed.version += 1
    path = bundle_target(model, version)
    target = TargetFile.from_data(path, data, ["sha256"])
    for name, value in changes.items():
        setattr(target, name, value)
    target.unrecognized_fields["custom"] = custom or provenance(model, version).to_custom()
    signed.targets[path] = target
    return signed


def signed(content, *keys):
    metadata = Metadata(content)
    for key in keys:
        metadata.sign(key, append=True)
    return metadata


def push(operator, store, model, version, channel=None, data=None):
    data = bundle(model, version) if data is None else data
    content = next_targets(store.repository.contents.targets.signed, data, model, version)
    return store.push(model, version, data, signed(content, operator.targets_key()), channel)


def push_body(current, key, model, version, channel=None):
    """What is sent over HTTP; `current` is the targets metadata of the moment."""
    data = bundle(model, version)
    content = next_targets(parse_targets(current).signed, data, model, version)
    return {
        "bundle": base64.b64encode(data).decode(),
        "targets": signed(content, key).to_dict(),
        "channel": channel,
    }


class FolderFetcher(FetcherInterface):
    """Fetches from a registry's folder, as its HTTP service would."""

    def __init__(self, folder):
        self.folder = folder

    def _fetch(self, url):
        path = self.folder / unquote(urlsplit(url).path).removeprefix("/tuf/")
        if not path.is_file():
            raise DownloadHTTPError("no such file", 404)
        yield path.read_bytes()


class Device:
    """A device that trusts a root, with its own folder of what it has seen."""

    def __init__(self, home, root, fetcher, base=BASE):
        self.home, self.root, self.fetcher, self.base = home, root, fetcher, base
        (home / "targets").mkdir(parents=True, exist_ok=True)

    def refreshed(self):
        updater = Updater(
            str(self.home),
            f"{self.base}/tuf/metadata/",
            str(self.home / "targets"),
            f"{self.base}/tuf/targets/",
            self.fetcher,
            bootstrap=self.root,
        )
        updater.refresh()
        return updater

    def channel(self, model, channel):
        return ChannelState.parse(self._read(channel_target(model, channel)))

    def bundle(self, model, version):
        return self._read(bundle_target(model, version))

    def _read(self, path):
        updater = self.refreshed()
        target = updater.get_targetinfo(path)
        assert target is not None, path
        return Path(updater.download_target(target)).read_bytes()


def device(home, operator):
    return Device(home, operator.trusted_root(), FolderFetcher(operator.folder))


def stored(folder):
    """Every file of a registry's folder but its locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (".lock", ".serving")
    }


def published(folder):
    return json.loads((folder / "metadata/timestamp.json").read_bytes())["signed"]["version"]
