"""The registry's targets metadata: verified from the root, then signed with one bundle more.

The Update Framework, https://theupdateframework.github.io/specification/latest/, section 4.5.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadHTTPError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, Root, TargetFile, Targets
from tuf.ngclient import Updater

from components.pushing import PushError, exclusive
from edge_client.fleet.errors import FleetError, RegistryAway
from edge_client.fleet.paths import METADATA, bundle_target
from edge_client.fleet.provenance import Provenance
from edge_client.fleet.update.fetcher import Fetcher

LIFE = timedelta(days=365)


class RegistryAwayError(PushError):
    """The registry does not answer, or is in trouble; it may answer later."""


@dataclass(frozen=True)
class Trusted:
    """The registry's metadata as they are, every signature of them verified."""

    root: Root
    targets: Metadata[Targets]

    def sha256(self, model: str, version: str) -> str | None:
        """Of the bundle that was pushed as this version; None where there is none yet."""
        target = self.targets.signed.targets.get(bundle_target(model, version))
        return None if target is None else target.hashes.get("sha256")


def fetch_trusted(url: str, root: bytes, seen: Path) -> Trusted:
    """Fetches and verifies the metadata of a registry, and remembers them.

    Without that a registry that somebody broke into could offer the metadata of last week, and have
    another content signed for a version that devices have already.

    Args:
        url: of the registry.
        root: metadata that are trusted; newer ones are followed from there.
        seen: folder of the metadata that were there the last time; made where it is missing.

    Raises:
        RegistryAwayError: it does not answer.
        PushError: its metadata are not those of the root, have expired or are older than those that
            were there before; or they cannot be remembered.
    """
    fetcher = Fetcher(url)
    fetcher.begin()
    with exclusive(seen.parent, seen.name, 0), closing(fetcher):
        try:
            Updater(
                metadata_dir=str(seen),
                metadata_base_url=url.rstrip("/") + METADATA,
                fetcher=fetcher,
                bootstrap=root,
            ).refresh()
            return Trusted(
                Metadata[Root].from_file(str(seen / "root.json")).signed,
                Metadata[Targets].from_file(str(seen / "targets.json")),
            )
        except RegistryAway as error:
            raise RegistryAwayError(str(error)) from None
        except FleetError as error:
            raise PushError(str(error)) from None
        except DownloadHTTPError as error:
            raise PushError(
                f"{url}: no registry there (it answers {error.status_code} where metadata should "
                "be); name the URL that `ml4iot-registry serve` announces"
            ) from None
        except ExpiredMetadataError as error:
            raise PushError(
                f"{url}: its metadata have expired ({error}); a registry that runs renews its "
                "own, and `ml4iot-registry rotate` signs root and targets anew"
            ) from None
        except BadVersionNumberError as error:
            raise PushError(
                f"{url}: its metadata are older than those seen before ({_why(error)}), which "
                "devices refuse as well; if its operator put an older copy back, "
                "`ml4iot-registry rotate` of timestamp, then snapshot, helps"
            ) from None
        except (RepositoryError, ValueError) as error:
            raise PushError(
                f"{url}: its metadata are not signed as the given root says ({_why(error)}); is "
                "it the root.json of another registry?"
            ) from None


def signers_for(
    keys: Mapping[str, Ed25519PrivateKey], root: Root, url: str
) -> tuple[CryptoSigner, ...]:
    """Sign targets metadata together, each key once.

    Args:
        keys: private, by the path that error messages call them.
        root: of the registry, verified.
        url: what error messages call the registry.

    Raises:
        PushError: the root does not name one of them for targets, or wants more than there are.
    """
    role = root.roles[Targets.type]
    signers = {}
    for path, key in keys.items():
        own = SSlibKey.from_crypto(key.public_key()).keyval
        for keyid in role.keyids:
            public = root.keys[keyid]
            if isinstance(public, SSlibKey) and public.keyval == own:
                signers[keyid] = CryptoSigner(key, public)
                break
        else:
            raise PushError(
                f"{url}: its root does not name the key of {path} for targets; it may have been "
                "rotated, or belong to another registry"
            )
    if len(signers) < role.threshold:
        raise PushError(
            f"{url}: its root wants targets signed by {role.threshold} different keys, and "
            f"{len(signers)} of them given: {', '.join(keys)}; give --targets-key several times, "
            f"or ML4IOT_TARGETS_KEY with {os.pathsep!r} between the paths"
        )
    return tuple(signers.values())


def with_bundle(
    trusted: Trusted,
    provenance: Provenance,
    data: bytes,
    signers: Sequence[CryptoSigner],
    now: datetime | None = None,
) -> Metadata[Targets]:
    """The next targets metadata, signed: those there are and one bundle.

    Args:
        trusted: the registry's own.
        provenance: of the bundle; it says model and version.
        data: the bundle.
        signers: as many as the root wants, each of which it names.
        now: this moment.
    """
    path = bundle_target(provenance.model, provenance.version)
    signed = deepcopy(trusted.targets.signed)
    signed.targets[path] = TargetFile(
        length=len(data),
        hashes={"sha256": hashlib.sha256(data).hexdigest()},
        path=path,
        unrecognized_fields={"custom": provenance.to_custom()},
    )
    signed.version += 1
    # Metadata know no fractions of seconds (section 4.2.1).
    signed.expires = (now or datetime.now(timezone.utc)).replace(microsecond=0) + LIFE
    metadata = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata


def _why(error: Exception) -> str:
    """One line, of the innermost reason there is."""
    inner = error.__cause__ or error
    return " ".join(str(inner).split())[:160] or type(inner).__name__
