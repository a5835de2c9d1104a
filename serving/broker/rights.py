"""Who may read and write which topics, and Mosquitto's file that says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Literal, NamedTuple

from serving.broker.users import Role, User


class Right(NamedTuple):
    """To read or to write what a topic filter stands for.

    ``%u`` is the user's name, ``%h`` the same as Home Assistant has it.
    """

    access: Literal["read", "write", "readwrite"]
    topics: str


# What is under a name belongs to the device that logs in under it; the registry's host can measure
# as well. A reader has none: what it said there would count as a device's word.
OWN = Right("readwrite", "ml4iot/devices/%u/#")
OF_ROLE: dict[Role, tuple[Right, ...]] = {
    "device": (
        OWN,
        Right("read", "ml4iot/models/#"),
        Right("write", "homeassistant/+/%h/#"),
        Right("read", "homeassistant/status"),
    ),
    "registry": (
        OWN,
        Right("readwrite", "ml4iot/models/#"),
        Right("read", "ml4iot/devices/#"),
    ),
    # People with a monitoring client, and Home Assistant, which says there when it starts.
    "reader": (
        Right("read", "ml4iot/#"),
        Right("read", "homeassistant/#"),
        Right("write", "homeassistant/status"),
    ),
}
# Whoever decides together hears all clips and may answer any: a room that is shared on purpose.
# Only its presence there is a device's own.
COOPERATING = (
    Right("readwrite", "ml4iot/audio/#"),
    Right("readwrite", "ml4iot/prediction/#"),
    Right("read", "ml4iot/node/+"),
    Right("write", "ml4iot/node/%u"),
)

_HEAD = """\
# Made by ml4iot-broker out of users.json; what is changed here is lost with the next user.
# What a user may do is what stands below the name.
"""


def acl(users: Iterable[User]) -> str:
    """Mosquitto's ``acl_file``."""
    lines = [_HEAD]
    for user in users:
        lines += ["", f"user {user.name}"]
        for access, topics in _rights(user):
            lines.append(f"topic {access} {_named(topics, user)}")
    return "\n".join(lines) + "\n"


def allows(user: User, access: Literal["read", "write"], topics: str) -> bool:
    """Whether a user may, for the broker that does not read Mosquitto's file.

    Args:
        user: who.
        access: to read or to write.
        topics: a topic; for reading also a filter, all of which must be allowed.
    """
    return any(
        access in right.access and _covers(_named(right.topics, user), topics)
        for right in _rights(user)
    )


def home_assistant_name(name: str) -> str:
    """A name as it stands in Home Assistant's topics, which allow no dot in it."""
    return name.replace(".", "_")


def _named(topics: str, user: User) -> str:
    return topics.replace("%u", user.name).replace("%h", home_assistant_name(user.name))


def _rights(user: User) -> Iterator[Right]:
    yield from OF_ROLE[user.role]
    if user.cooperates:
        yield from COOPERATING


def _covers(allowed: str, topics: str) -> bool:
    """Whether all topics of a filter are among those of the allowed one."""
    for ours, theirs in zip_longest(allowed.split("/"), topics.split("/")):
        if ours == "#":
            return True
        if theirs in (None, "#") or ours is None or (ours != "+" and ours != theirs):
            return False
    return True
