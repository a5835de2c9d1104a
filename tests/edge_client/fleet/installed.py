"""Models installed by hand: verified bundles in slots, as an update leaves them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from edge_client.bundle import Budget, bundle_bytes
from edge_client.fleet.installed.home import Home
from edge_client.fleet.installed.slots import Slots
from tests.edge_client import tiny


def keyword_bundle(version, name="tones", parts=None, total_ms=None, **changes):
    """The bytes of a bundle of the tones' model."""
    manifest, packed = parts or tiny.keyword_parts()
    budgets = manifest.budgets
    if total_ms is not None:
        budgets += (Budget("total_ms", "<", total_ms, total_ms / 2, "ms"),)
    manifest = replace(manifest, name=name, version=version, budgets=budgets, **changes)
    return bundle_bytes(manifest, packed, "tones")


def install(home: Home, model, version, data):
    """Makes these bytes the active version."""
    home.make()
    path = home.incoming / f"{version}.bundle"
    path.write_bytes(data)
    slots = Slots(home, model)
    slots.switch(slots.install(path, version, hashlib.sha256(data).hexdigest()))


def state(home: Home, model):
    """The versions that are active and previous, and what became of others."""
    slots = Slots(home, model)
    active, previous = slots.active(), slots.previous()
    failed = {each.version: each.reason for each in slots.journal.read().failed}
    return active and active.version, previous and previous.version, failed
