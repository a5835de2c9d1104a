"""The registry a run pushes to, checked before hours of training go by."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from components.edge_pusher.registry import RegistryTarget
from components.edge_pusher.signing import RegistryAwayError, fetch_trusted, signer_for
from components.errors import InputError
from pipeline.environment import given

_URL = "ML4IOT_REGISTRY"
_FILES = {  # by field of RegistryTarget
    "token_file": "ML4IOT_REGISTRY_TOKEN_FILE",
    "targets_key": "ML4IOT_TARGETS_KEY",
    "root": "ML4IOT_REGISTRY_ROOT",
}
_CHANNEL = "ML4IOT_CHANNEL"


def read_registry() -> RegistryTarget | None:
    """The registry that the environment names; None where it names none.

    One that does not answer now costs a warning, for it may answer when the run is done.

    Raises:
        InputError: half of what is needed, a file that is not what it should be, or a registry
            that does not trust the key, or that the root does not speak of.
    """
    url = given(_URL)
    others = (*_FILES.values(), _CHANNEL)
    if url is None:
        for variable in filter(given, others):
            raise InputError(f"{variable} is set but {_URL} is not; set both or neither")
        return None
    files = {}
    for field, variable in _FILES.items():
        path = given(variable)
        if path is None:
            raise InputError(f"{_URL} is set but {variable} is not; a signed push needs both")
        files[field] = str(Path(path).resolve())
    with _named(_URL):
        target = RegistryTarget(url, **files)
    with _named(_CHANNEL):
        target = replace(target, channel=given(_CHANNEL) or target.channel)
    with _named(_FILES["token_file"]):
        target.read_token()
    with _named(_FILES["targets_key"]):
        key = target.read_key()
    with _named(_FILES["root"]):
        root = target.read_root()
    with _named(_URL):
        try:
            signer_for(key, fetch_trusted(url, root, target.seen).root, url)
        except RegistryAwayError as error:
            print(
                f"warning: {_URL}: {error}; the run goes on, but its push needs the registry",
                file=sys.stderr,
            )
    return target


@contextmanager
def _named(variable: str) -> Iterator[None]:
    """What is wrong with its value begins with the variable's name."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{variable}: {error}") from None
