"""Whether a push may be taken: the bundle, and the metadata that its pusher signed for it."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from datetime import datetime
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, TargetFile, Targets

from edge_client.bundle import Manifest, read_bundle
from edge_client.fleet.paths import bundle_target
from edge_client.fleet.provenance import Provenance, parse_custom
from serving.registry.errors import BadRequestError, ConflictError, SignatureError
from serving.registry.tuf.contents import MAX_METADATA_BYTES, Contents

# What from_dict and signed_bytes raise on JSON that only looks like metadata.
_PARSING_ERRORS = (RepositoryError, ValueError, KeyError, TypeError, AttributeError, IndexError)


def parse_targets(document: dict[str, Any]) -> Metadata[Targets]:
    """Metadata from its JSON. Raises `BadRequestError` for what is no targets metadata."""
    try:
        metadata = Metadata[Targets].from_dict(deepcopy(document))
        metadata.signed_bytes  # noqa: B018  raises for what cannot be signed, such as fractions
        if len(metadata.to_bytes()) > MAX_METADATA_BYTES:
            raise BadRequestError(f"targets: larger than the {MAX_METADATA_BYTES} bytes of devices")
    except (*_PARSING_ERRORS, RecursionError) as error:
        text = " ".join(str(error).split())[:200]
        raise BadRequestError(f"targets: no metadata of The Update Framework ({text})") from error
    if not isinstance(metadata.signed, Targets):
        raise BadRequestError(f"targets: metadata of the role {metadata.signed.type}")
    return metadata


def check_push(
    now: Contents,
    moment: datetime,
    model: str,
    version: str,
    bundle: bytes,
    targets: Metadata[Targets],
) -> TargetFile:
    """The bundle's entry in the new metadata, after everything about a push was checked.

    Raises:
        SignatureError: fewer targets keys signed it than the root wants.
        ConflictError: it is not the next version of what is published.
        BundleError: nothing a device would take.
        FleetError: it does not say where the bundle comes from.
        BadRequestError: it changes more than it may, or does not describe the bundle.
    """
    _check_signatures(now, targets)
    signed, current = targets.signed, now.targets.signed
    if signed.version != current.version + 1:
        raise ConflictError(
            f"targets: version {signed.version} where {current.version + 1} is the next; fetch the "
            "metadata and sign again"
        )
    if signed.expires <= moment:
        raise BadRequestError(f"targets: expired on {signed.expires:%Y-%m-%d}; sign for longer")
    if signed.delegations != current.delegations:
        raise BadRequestError("targets: other delegations than are published; a push changes none")
    if signed.unrecognized_fields != current.unrecognized_fields:
        raise BadRequestError("targets: fields that are not known")
    path = bundle_target(model, version)
    others = {name: target for name, target in signed.targets.items() if name != path}
    if others != current.targets:
        raise BadRequestError(f"targets: more is new or different in it than {path}")
    target = signed.targets.get(path)
    if target is None:
        raise BadRequestError(f"targets: {path} is not in it")
    _check_target(target, bundle)
    manifest = read_bundle(bundle).manifest
    _check_provenance(parse_custom(target.custom), manifest, model, version)
    return target


def _check_signatures(now: Contents, targets: Metadata[Targets]) -> None:
    role = now.root.signed.get_delegated_role(Targets.type)
    # Signatures of others, which mean nothing, are not kept.
    for keyid in set(targets.signatures) - set(role.keyids):
        del targets.signatures[keyid]
    found = now.root.signed.get_verification_result(
        Targets.type, targets.signed_bytes, targets.signatures
    )
    if not found:
        raise SignatureError(
            f"targets: signed by {len(found.signed)} of the {found.threshold} keys that must; only "
            "holders of a targets key of this registry's root can push"
        )


def _check_target(target: TargetFile, bundle: bytes) -> None:
    if set(target.unrecognized_fields) != {"custom"}:
        raise BadRequestError("targets: the bundle's entry wants one field custom, and no other")
    if target.length != len(bundle):
        raise BadRequestError(
            f"targets: a bundle of {target.length} bytes is signed, {len(bundle)} were sent"
        )
    if target.hashes != {"sha256": hashlib.sha256(bundle).hexdigest()}:
        raise BadRequestError("targets: not the SHA-256 of the bundle that was sent, and it alone")


def _check_provenance(provenance: Provenance, manifest: Manifest, model: str, version: str) -> None:
    if (manifest.name, manifest.version) != (model, version):
        raise BadRequestError(
            f"the bundle is {manifest.name} {manifest.version}, pushed as {model} {version}"
        )
    origin = manifest.created_by
    told = (provenance.model, provenance.version, provenance.pipeline, provenance.run_id)
    if told != (model, version, origin.pipeline, origin.run_id):
        raise BadRequestError(
            "custom: model, version, pipeline or run_id is not that of the bundle's manifest"
        )
    if provenance.budgets != manifest.budgets:
        raise BadRequestError("custom: other budgets than the bundle's manifest has")
