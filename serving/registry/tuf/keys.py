"""Ed25519 keys as PEM files: made, read, and found by their id."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner

from edge_client.files import sync_folder
from serving.options import UsageError
from serving.registry.tuf.transaction import write_synced

MAX_KEY_BYTES = 64 * 1024
_MAX_KEYS = 1000


def new_key() -> CryptoSigner:
    """A new key pair, in memory only."""
    return CryptoSigner.generate_ed25519()


def write_key(path: Path, key: CryptoSigner) -> None:
    """Writes a private key for its owner alone, whole or not at all.

    Raises `UsageError`; never replaces a file.
    """
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise UsageError(f"{path}: is there already, and keys are not replaced")
        aside.unlink(missing_ok=True)
        write_synced(aside, key.private_bytes, 0o600)
        aside.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise UsageError(f"{path}: the key cannot be written: {error.strerror}") from error


def read_key(path: Path) -> CryptoSigner:
    """The private key of a file. Raises `UsageError` where there is none that can sign here."""
    try:
        with path.open("rb") as file:
            key = load_pem_private_key(file.read(MAX_KEY_BYTES), None)
    except OSError as error:
        raise UsageError(f"{path}: the key cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: a passphrase
        raise UsageError(f"{path}: no private key in PEM without a passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path}: another kind of key; Ed25519 is wanted")
    return CryptoSigner(key)


def keys_by_id(folder: Path) -> dict[str, Path]:
    """The key files of a folder, by the id that metadata knows their keys under."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; --keys names the one with the offline keys")
    paths = sorted(folder.glob("*.pem"))[:_MAX_KEYS]
    return {read_key(path).public_key.keyid: path for path in paths}


def signers(folder: Path, wanted: Iterable[str], threshold: int, role: str) -> list[CryptoSigner]:
    """The keys of a role that lie in a folder, whatever their files are called.

    Raises `UsageError` where there are fewer than the role's threshold.
    """
    found = keys_by_id(folder)
    chosen = [read_key(found[keyid]) for keyid in wanted if keyid in found]
    if len(chosen) < threshold:
        raise UsageError(
            f"{folder}: holds {len(chosen)} of the keys of {role}, whose threshold is {threshold}"
        )
    return chosen


def unused_path(folder: Path, role: str) -> Path:
    """Where the next key of a role goes: ``targets-2.pem`` beside ``targets.pem``, and so on."""
    pattern = re.compile(rf"{role}(?:-([1-9][0-9]{{0,5}}))?\.pem")
    found = [pattern.fullmatch(path.name) for path in folder.iterdir()]
    numbers = [int(match[1] or 1) for match in found if match]
    return folder / f"{role}-{1 + max(numbers, default=0)}.pem"
