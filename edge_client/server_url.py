"""The URL of a server that a user named."""

from __future__ import annotations

from urllib3 import exceptions
from urllib3.util import Url, parse_url

from edge_client.errors import EdgeError


def server_url(url: str) -> Url:
    """``http://host:port`` or https, with a path in front of the routes if need be.

    Raises:
        EdgeError: no such URL; one with a user's name in it is not repeated, for a password is.
    """
    try:
        parsed = parse_url(url)
    except exceptions.LocationParseError:
        raise EdgeError(f"{url}: no URL; one like http://server:8080 is wanted") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise EdgeError(f"{url}: no URL; one like http://server:8080 is wanted")
    if parsed.auth or parsed.query or parsed.fragment:
        raise EdgeError(f"{parsed.host}: a URL without user, query or fragment is wanted")
    return parsed
