"""What models, versions, channels and devices may be called.

Nothing else ever becomes part of a path, an address or a topic.
"""

from __future__ import annotations

import re

from edge_client.fleet.errors import FleetError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_name(text: str, what: str) -> str:
    """The same text; raises :class:`FleetError` for one that is no name.

    Args:
        text: from anywhere.
        what: what error messages call it, such as ``model``.
    """
    if not NAME.fullmatch(text):
        raise FleetError(
            f"{what} {text[:40]!r}: 1 to 64 letters, digits and ._- are wanted, a letter or digit "
            "first"
        )
    return text
