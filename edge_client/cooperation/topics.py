"""What is said where: ``<prefix>audio/<id>``, ``prediction/<id>`` and ``node/<node>``."""

from __future__ import annotations

import re
import secrets

from edge_client.errors import EdgeError

DEFAULT_PREFIX = "ml4iot/"
MAX_PREFIX = 200
MAX_CLIP_ID = 200

_NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_CLIP_ID = re.compile(r"([0-9a-f]{16})-([0-9]{1,15})")


class TopicError(EdgeError):
    """A prefix or a node's id that makes no topic."""


class Topics:
    """The topics below one prefix; ``/`` gives the coursework's ``/audio/…``."""

    def __init__(self, prefix: str = DEFAULT_PREFIX) -> None:
        """Raises :class:`TopicError` for a prefix that is none."""
        if (
            len(prefix.encode("utf-8", "replace")) > MAX_PREFIX
            or not (prefix.isprintable() and prefix.isascii())
            or set(prefix) & set("+#")
            or prefix.startswith("$")
            or not (prefix.endswith("/") or not prefix)
        ):
            raise TopicError(
                f"prefix {prefix[:40]!r}: plain characters without + and # that end in / are "
                f"wanted, such as {DEFAULT_PREFIX}"
            )
        self.prefix = prefix
        self.all_audio = f"{prefix}audio/#"
        self.all_predictions = f"{prefix}prediction/+"
        self.all_nodes = f"{prefix}node/+"

    def audio(self, clip: str) -> str:
        """Where a clip is published."""
        return f"{self.prefix}audio/{clip}"

    def prediction(self, clip: str) -> str:
        """Where it is answered."""
        return f"{self.prefix}prediction/{clip}"

    def node(self, node: str) -> str:
        """Where a node is known to be there, by a retained message."""
        return f"{self.prefix}node/{node}"

    def kind(self, topic: str) -> tuple[str, str]:
        """``audio``, ``prediction`` or ``node`` and the id; two empty strings for other topics."""
        if topic.startswith(self.prefix):
            kind, _, name = topic[len(self.prefix) :].partition("/")
            if kind in ("audio", "prediction", "node") and name:
                return kind, name
        return "", ""


def check_node_id(node: str) -> str:
    """The same id; raises :class:`TopicError` for one that no topic or SenML name can carry."""
    if not _NODE_ID.fullmatch(node):
        raise TopicError(
            f"node id {node[:40]!r}: 1 to 64 letters, digits and _.:- are wanted, a letter or "
            "digit first"
        )
    return node


class ClipIds:
    """Ids of one publisher: 64 random bits, so that no two publishers share one, and a counter."""

    def __init__(self) -> None:
        self._publisher = secrets.token_hex(8)

    def of(self, number: int) -> str:
        """The id of this publisher's clip of this number."""
        return f"{self._publisher}-{number}"

    def number(self, clip: str) -> int | None:
        """The number of a clip of this publisher; None for anybody else's."""
        found = _CLIP_ID.fullmatch(clip)
        return int(found[2]) if found and found[1] == self._publisher else None


def is_clip_id(clip: str) -> bool:
    """Whether some publisher of ours could have given this id."""
    return _CLIP_ID.fullmatch(clip) is not None
