"""The operator's users and their rights as plugins of the embedded broker.

Who may come in and what may be asked for and published is as with Mosquitto. What cannot be held
back from here: amqtt shows all retained messages to every client, and says last wills unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from amqtt.contexts import Action
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin

from serving.broker.passwords import matches
from serving.broker.rights import allows
from serving.broker.users import read_users

if TYPE_CHECKING:
    from amqtt.session import Session


@dataclass
class Settings:
    """Where ``users.json`` is; it is read each time, so changes count at once."""

    users: str = ""


class Passwords(BaseAuthPlugin):
    """Lets in who shows a user's password."""

    Config = Settings

    async def authenticate(self, *, session: Session) -> bool:
        user = read_users(Path(self.config.users)).get(session.username or "")
        return user is not None and matches(session.password or "", user.password)


class Rights(BaseTopicPlugin):
    """Lets a user ask for and publish what Mosquitto's acl would."""

    Config = Settings

    async def topic_filtering(
        self,
        *,
        session: Session | None = None,
        topic: str | None = None,
        action: Action | None = None,
    ) -> bool:
        name = session.username if session is not None else None
        user = read_users(Path(self.config.users)).get(name or "")
        if user is None or topic is None:
            return False
        return allows(user, "write" if action == Action.PUBLISH else "read", topic)
