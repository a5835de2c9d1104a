"""The registry a run pushes to, checked before hours of training go by."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from components.edge_pusher.registry import RegistryTarget, key_paths
from components.edge_pusher.signing import RegistryAwayError, fetch_trusted, signers_for
from components.errors import InputError
from pipeline.environment import given

_URL = "ML4IOT_REGISTRY"
_TOKEN_FILE = "ML4IOT_REGISTRY_TOKEN_FILE"
_TARGETS_KEY = "ML4IOT_TARGETS_KEY"  # several paths, where the root wants several signatures
_ROOT = "ML4IOT_REGISTRY_ROOT"
_CHANNEL = "ML4IOT_CHANNEL"


def read_registry() -> RegistryTarget | None:
    """The registry that the environment names; None where it names none.

    One that does not answer now costs a warning, for it may answer when the run is done.

    Raises:
        InputError: half of what is needed, a file that is not what it should be, or a registry
            that does not trust the keys, or that the root does not speak of.
    """
    url = given(_URL)
    if url is None:
        for variable in filter(given, (_TOKEN_FILE, _TARGETS_KEY, _ROOT, _CHANNEL)):
            raise InputError(f"{variable} is set but {_URL} is not; set both or neither")
        return None
    token_file, targets_keys, root_file = map(_needed, (_TOKEN_FILE, _TARGETS_KEY, _ROOT))
    with _named(_URL):
        target = RegistryTarget(
            url, _whole(token_file), tuple(map(_whole, key_paths(targets_keys))), _whole(root_file)
        )
    with _named(_CHANNEL):
        target = replace(target, channel=given(_CHANNEL) or target.channel)
    with _named(_TOKEN_FILE):
        target.read_token()
    with _named(_TARGETS_KEY):
        keys = target.read_keys()
    with _named(_ROOT):
        root = target.read_root()
    with _named(_URL):
        try:
            signers_for(keys, fetch_trusted(url, root, target.seen).root, url)
        except RegistryAwayError as error:
            print(
                f"warning: {_URL}: {error}; the run goes on, but its push needs the registry",
                file=sys.stderr,
            )
    return target


def _needed(variable: str) -> str:
    value = given(variable)
    if value is None:
        raise InputError(f"{_URL} is set but {variable} is not; a signed push needs both")
    return value


def _whole(path: str) -> str:
    return str(Path(path).resolve())


@contextmanager
def _named(variable: str) -> Iterator[None]:
    """What is wrong with its value begins with the variable's name."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{variable}: {error}") from None
