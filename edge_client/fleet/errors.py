"""Why an update is refused: one class, and one word for machines, each."""

from __future__ import annotations

from typing import ClassVar

from edge_client.errors import EdgeError


class FleetError(EdgeError):
    """Something about a fleet's devices, channels or updates that is not as it should be."""


class UpdateRefused(FleetError):
    """An update that is not taken; the model that was there stays.

    ``reason`` is one word for machines, another for each subclass.
    """

    reason: ClassVar[str] = "refused"


class SignatureRefused(UpdateRefused):
    """Metadata that does not carry enough valid signatures: tampered with, or never signed."""

    reason = "signature"


class UnknownKeyRefused(UpdateRefused):
    """Metadata signed only by keys this device was never told to trust."""

    reason = "unknown_key"


class ExpiredRefused(UpdateRefused):
    """Metadata whose time is over."""

    reason = "expired"


class RollbackRefused(UpdateRefused):
    """Metadata older than what this device has seen already."""

    reason = "rollback"


class FreezeRefused(UpdateRefused):
    """The registry keeps showing an old state: nothing newer came before its time was over."""

    reason = "freeze"


class MixRefused(UpdateRefused):
    """Metadata files that were never offered together."""

    reason = "mix"


class LengthRefused(UpdateRefused):
    """A file longer or shorter than its metadata says."""

    reason = "length"


class HashRefused(UpdateRefused):
    """A file of other content than its metadata says."""

    reason = "hash"


class EndlessRefused(UpdateRefused):
    """A download that never comes to its end."""

    reason = "endless"


class NotFoundRefused(UpdateRefused):
    """The registry's metadata names no such model, version or channel."""

    reason = "not_found"


class MetadataRefused(UpdateRefused):
    """Metadata that cannot be read, or says what no metadata of ours says."""

    reason = "metadata"


class BundleRefused(UpdateRefused):
    """A bundle this client does not read, or of another model or version than it was signed as."""

    reason = "bundle"


class SelfTestRefused(UpdateRefused):
    """The model answers otherwise here than where it was made."""

    reason = "self_test"


class LatencyRefused(UpdateRefused):
    """The model takes longer here than its budgets allow."""

    reason = "latency"


class CrashRefused(UpdateRefused):
    """The model brings down the process that runs it, or never answers."""

    reason = "crash"


class RegistryAway(FleetError):
    """The registry cannot be reached, or does not answer: nothing is wrong with the model."""


class DeviceFailure(FleetError):
    """This device cannot carry out an update now: its disk is full, or a file cannot be written."""
