"""Which registry a bundle is pushed to, and what is needed for it: all of it checked beforehand."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root

from components.errors import InputError
from components.settings import from_mapping
from edge_client.big.connection import Connection, read_token
from edge_client.errors import EdgeError
from edge_client.files import read_input
from edge_client.fleet.names import check_name

_MAX_KEY_BYTES = 16 * 1024
_MAX_ROOT_BYTES = 512_000  # as tuf.ngclient takes


@dataclass(frozen=True)
class RegistryTarget:
    """Where signed bundles go, and the files that allow it; paths, never their contents."""

    url: str
    token_file: str  # one line, of role push or operate
    targets_keys: tuple[str, ...]  # Ed25519 in PEM (PKCS #8), which its root names for targets
    root: str  # root.json as devices are enrolled with
    channel: str = "canary"

    def to_json(self) -> str:
        """The text an execution parameter carries; :meth:`of` reads it back."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of(cls, text: str) -> RegistryTarget:
        """Reads what :meth:`to_json` wrote; raises ``InputError``."""
        try:
            values = json.loads(text)
        except ValueError:
            raise InputError("registry: is no JSON; give that of a RegistryTarget") from None
        return from_mapping(cls, values, "registry")

    def __post_init__(self) -> None:
        """Raises ``InputError`` for an URL or a channel's name that cannot be, or no key."""
        if not self.targets_keys:
            raise InputError(
                "no targets key; name the targets.pem that `ml4iot-registry init` made by "
                "--targets-key or ML4IOT_TARGETS_KEY"
            )
        with _as_input_error():
            Connection(self.url).close()
            check_name(self.channel, "channel")

    @property
    def seen(self) -> Path:
        """The folder beside the root that remembers which metadata the registry had last."""
        return Path(f"{self.root}.seen")

    def read_token(self) -> str:
        """The token; raises ``InputError`` for a file that holds none."""
        with _as_input_error():
            return read_token(Path(self.token_file))

    def read_keys(self) -> dict[str, Ed25519PrivateKey]:
        """The keys that sign, by path; raises ``InputError`` for a file with none of this kind."""
        return {path: _read_key(path) for path in self.targets_keys}

    def read_root(self) -> bytes:
        """The root to start from; raises ``InputError`` for a file that holds none."""
        data = _read(self.root, _MAX_ROOT_BYTES)
        try:
            root = Metadata[Root].from_bytes(data)
            if isinstance(root.signed, Root):
                root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
                return data
        except (RepositoryError, ValueError):
            pass
        raise InputError(
            f"{self.root}: no signed root metadata; give the root.json that "
            "`ml4iot-registry init` made"
        )


def key_paths(text: str) -> tuple[str, ...]:
    """The paths that a variable names, separated as those of PATH are."""
    return tuple(path for path in text.split(os.pathsep) if path)


def _read_key(path: str) -> Ed25519PrivateKey:
    data = _read(path, _MAX_KEY_BYTES)
    try:
        key = load_pem_private_key(data, None)
    except TypeError:
        raise InputError(
            f"{path}: the key is encrypted; `openssl pkey -in FILE -out OTHER` takes that off"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(
            f"{path}: no private Ed25519 key in PEM; give the targets.pem that "
            "`ml4iot-registry init` made"
        )
    return key


def _read(path: str, limit: int) -> bytes:
    """A file's content; of one that is larger than what is looked for, nothing."""
    with _as_input_error():
        data = read_input(Path(path), limit, path, EdgeError)
    return data if len(data) <= limit else b""


@contextmanager
def _as_input_error() -> Iterator[None]:
    """The device's errors, of whose functions some serve here, as this side's own."""
    try:
        yield
    except EdgeError as error:
        raise InputError(str(error)) from None
