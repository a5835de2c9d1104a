"""The token that clients must show where one is configured."""

from __future__ import annotations

import hmac
import os
import re
from pathlib import Path

from serving.gateway.errors import TokenError
from serving.options import UsageError

TOKEN_VARIABLE = "ML4IOT_GATEWAY_TOKEN"
MAX_TOKEN_BYTES = 4096
# RFC 6750, section 2.1: what may stand behind "Bearer".
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")


def read_token(file: Path | None) -> bytes | None:
    """The token of the file, else of ``ML4IOT_GATEWAY_TOKEN``; None where neither is set.

    Raises `UsageError` for a file that cannot be read or holds no token: to go on would mean to
    let everybody in.
    """
    if file is None:
        value = os.environ.get(TOKEN_VARIABLE)
        return None if value is None else _checked(os.fsencode(value), f"${TOKEN_VARIABLE}")
    try:
        with file.open("rb") as opened:
            return _checked(opened.read(MAX_TOKEN_BYTES + 1).strip(), str(file))
    except OSError as error:
        raise UsageError(f"{file}: the token cannot be read: {error.strerror}") from error


def check_token(wanted: bytes | None, authorization: bytes) -> None:
    """Raises `TokenError` unless the header shows the token, or none is wanted."""
    if wanted is None:
        return
    scheme, _, shown = authorization.partition(b" ")
    if scheme.lower() != b"bearer" or not hmac.compare_digest(shown.strip(), wanted):
        what = "that token is not accepted" if authorization else "a token is needed"
        raise TokenError(f"{what}; send it as Authorization: Bearer ...")


def _checked(token: bytes, where: str) -> bytes:
    if len(token) > MAX_TOKEN_BYTES or not _TOKEN.fullmatch(token):
        raise UsageError(
            f"{where}: no token; one line of letters, digits and . _ ~ + / - is wanted, such as "
            "`openssl rand -hex 32` prints"
        )
    return token
