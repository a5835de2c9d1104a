"""Where things are: a registry's addresses, and the target paths its metadata speaks of."""

from __future__ import annotations

from edge_client.fleet.names import check_name

METADATA = "/tuf/metadata"
TARGETS = "/tuf/targets"


def bundle_target(model: str, version: str) -> str:
    """The target path of a bundle; raises :class:`FleetError` for what is no name."""
    return f"bundles/{check_name(model, 'model')}/{check_name(version, 'version')}.bundle"


def channel_target(model: str, channel: str) -> str:
    """The target path of a channel; raises :class:`FleetError` for what is no name."""
    return f"channels/{check_name(model, 'model')}/{check_name(channel, 'channel')}.json"
