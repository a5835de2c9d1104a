"""Who may log in at the operator's broker: ``users.json``, of which all else is made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from edge_client.errors import EdgeError
from edge_client.files import read_input, write_whole
from edge_client.fleet.names import check_name
from serving.options import UsageError

Role = Literal["device", "reader", "registry"]
ROLES: tuple[Role, ...] = get_args(Role)
MAX_USERS_BYTES = 64 * 2**20  # some 200,000 users


@dataclass(frozen=True)
class User:
    """Somebody with a password."""

    name: str
    role: Role
    password: str  # as Mosquitto keeps it; see `serving.broker.passwords`
    cooperates: bool = False  # a device that decides together with others


def read_users(path: Path) -> dict[str, User]:
    """By name. Raises `UsageError` for a file that is none of ours."""
    try:
        content = read_input(path, MAX_USERS_BYTES, str(path), EdgeError)
    except EdgeError as error:
        raise UsageError(str(error)) from error
    try:
        users = [User(**each) for each in json.loads(content)["users"]]
        for user in users:
            check_name(user.name, "user")
            if user.role not in ROLES or not isinstance(user.cooperates, bool):
                raise ValueError(f"user {user.name}: role {user.role!r}")
            if not user.password.isascii() or not user.password.isprintable():
                raise ValueError(f"user {user.name}: no password")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path}: not written by ml4iot-broker ({error})") from error
    return {user.name: user for user in users}


def write_users(path: Path, users: Mapping[str, User]) -> None:
    """Whole or not at all; for the owner's eyes only."""
    listed = [asdict(users[name]) for name in sorted(users)]
    write_whole(path, json.dumps({"users": listed}, indent=1).encode() + b"\n", mode=0o600)
