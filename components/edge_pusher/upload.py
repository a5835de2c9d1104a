"""One blessed bundle into the registry: signed, sent, and signed again where another came first."""

from __future__ import annotations

import base64
import getpass
import hashlib
import json
import os
import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tuf.api.metadata import Metadata, Targets

from components.edge_pusher.registry import RegistryTarget
from components.edge_pusher.signing import (
    RegistryAwayError,
    fetch_trusted,
    signers_for,
    with_bundle,
)
from components.pushing import PushError
from edge_client.big.connection import Connection, ExchangeError, Reply
from edge_client.bundle import Manifest
from edge_client.fields import FieldError, Fields, strict_json
from edge_client.fleet.provenance import Provenance
from edge_client.fleet.report import utc_text

_ATTEMPTS = 8  # in all; a busy registry, or one that starts anew, is not given up at once
_UPLOAD_SECONDS = 120.0  # of one attempt, its answer included
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds between two attempts
_MAX_SERIAL = 2**53
_BUSY = (408, 429, 502, 503, 504)


@dataclass(frozen=True)
class Receipt:
    """What the registry made of a push."""

    channel: str
    serial: int  # of the channels, which devices are told
    new: bool  # False: this very bundle was there already


class _AgainError(Exception):
    """It may go better the next time; ``pause`` is what the registry asks for, in seconds."""

    def __init__(self, message: str, pause: float = 0.0) -> None:
        super().__init__(message)
        self.pause = pause


class _ConflictError(_AgainError):
    """What is there stands against it: another push that came first, or something lasting."""


def push_signed(target: RegistryTarget, data: bytes, manifest: Manifest) -> Receipt:
    """Signs a bundle and puts it into the registry, which announces it.

    Args:
        target: the registry.
        data: the bundle; whoever calls has made sure that it is blessed.
        manifest: of this bundle.

    Raises:
        PushError: the registry cannot be reached or refuses it, its metadata cannot be trusted, or
            another bundle was pushed as this version before.
        InputError: a file that the target names is not what it should be.
    """
    root, keys = target.read_root(), target.read_keys()
    connection = Connection(target.url, target.read_token(), connections=1)
    provenance = Provenance(
        model=manifest.name,
        version=manifest.version,
        pushed_by=_who(),
        pushed_at=utc_text(time.time()),
        pipeline=manifest.created_by.pipeline,
        run_id=manifest.created_by.run_id,
        budgets=manifest.budgets,
    )

    refused: dict[int, str] = {}  # why, by the version of the metadata that were there

    def attempt() -> Receipt:
        trusted = fetch_trusted(target.url, root, target.seen)
        before = trusted.targets.signed.version
        if before in refused:  # nobody came first: to sign again would change nothing
            raise PushError(refused[before])
        there = trusted.sha256(manifest.name, manifest.version)
        if there is None:
            signers = signers_for(keys, trusted.root, target.url)
            targets = with_bundle(trusted, provenance, data, signers)
        elif there == hashlib.sha256(data).hexdigest():
            targets = trusted.targets
        else:
            raise PushError(
                f"{target.url}: not pushed, for another bundle is there as {manifest.name} "
                f"{manifest.version}; raise `version:` in the version's YAML and run again"
            )
        try:
            return _put(connection, target, data, manifest, targets)
        except _ConflictError as error:
            refused[before] = str(error)
            raise

    try:
        receipt = _patiently(attempt)
        with suppress(RegistryAwayError):  # to remember what was signed just now
            fetch_trusted(target.url, root, target.seen)
        return receipt
    finally:
        connection.close()


def _patiently(attempt: Callable[[], Receipt]) -> Receipt:
    """What ``attempt`` gives in the end; raises ``PushError`` with the last reason."""
    pause = _FIRST_PAUSE
    for left in reversed(range(_ATTEMPTS)):
        asked = 0.0
        try:
            return attempt()
        except RegistryAwayError:
            if not left:
                raise
        except _AgainError as error:
            if not left:
                raise PushError(f"{error}; {_ATTEMPTS} attempts were made") from None
            asked = error.pause
        # At random, so that two pushes that met do not meet again.
        time.sleep(min(_LONGEST_PAUSE, max(asked, pause * random.uniform(0.5, 1))))
        pause *= 2
    raise AssertionError("the last attempt returns or raises")


def _put(
    connection: Connection,
    target: RegistryTarget,
    data: bytes,
    manifest: Manifest,
    targets: Metadata[Targets],
) -> Receipt:
    body = {
        "bundle": base64.b64encode(data).decode(),
        "targets": targets.to_dict(),
        "channel": target.channel,
    }
    try:
        reply = connection.exchange(
            "PUT",
            f"/models/{manifest.name}/versions/{manifest.version}",
            _UPLOAD_SECONDS,
            json.dumps(body).encode(),
            "application/json",
        )
    except ExchangeError as error:
        if error.again:
            raise _AgainError(str(error)) from None
        raise PushError(f"{error}; is a registry at this URL?") from None
    if reply.status in (200, 201):
        return _receipt(reply, target, data)
    reason = f"{target.url}: {manifest.name} {manifest.version} not pushed: {reply.refusal()}"
    if reply.status == 409:
        raise _ConflictError(reason)
    if reply.status in _BUSY:
        raise _AgainError(reason, reply.retry_after or 0.0)
    if reply.status in (401, 403):
        reason += f"; the token is that of {target.token_file}"
    raise PushError(reason)


def _receipt(reply: Reply, target: RegistryTarget, data: bytes) -> Receipt:
    """Raises ``PushError`` for an answer that is none of a registry that has this very bundle."""
    try:
        fields = Fields(strict_json(reply.body), "answer")
        same = fields.text("sha256") == hashlib.sha256(data).hexdigest()
        serial = fields.whole("serial", 0, _MAX_SERIAL)
    except (ValueError, RecursionError) as error:
        detail = str(error) if isinstance(error, FieldError) else "no JSON"
        raise PushError(
            f"{target.url}: answers as no registry does ({detail}); is it one?"
        ) from None
    if not same:
        raise PushError(f"{target.url}: says that it keeps another bundle than was pushed")
    return Receipt(target.channel, serial, reply.status == 201)


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:200]
