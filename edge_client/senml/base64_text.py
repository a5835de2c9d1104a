"""Base64 as SenML carries it, decoded without a loop over its characters."""

from __future__ import annotations

import binascii

from edge_client.senml.record import SenmlError, shown

_COMMON = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def encode_standard(data: bytes) -> str:
    """Base64 with ``+`` and ``/``, padded (RFC 4648, section 4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def encode_url_safe(data: bytes) -> str:
    """Base64 with ``-`` and ``_``, without padding (RFC 8428, section 5)."""
    coded = binascii.b2a_base64(data, newline=False)
    return coded.rstrip(b"=").translate(_TO_URL_SAFE).decode("ascii")


def decode(text: str, where: str) -> bytes:
    """The bytes of either alphabet, padded or not.

    Both are read in every form of SenML, since clients mistake one for the other and no text
    means different things in the two.

    Raises:
        SenmlError: a character of neither alphabet or of both at once, white space, padding or a
            length that cannot be.
    """
    try:
        padded = text.encode("ascii")
    except UnicodeEncodeError:
        raise SenmlError(f"{where}: {shown(text)} is no base64") from None
    coded = padded.rstrip(b"=")
    padding = len(padded) - len(coded)
    if len(coded) % 4 == 1 or (padding and (padding > 2 or len(padded) % 4)):
        raise SenmlError(f"{where}: base64 cut short: {len(padded)} characters")
    special = coded.translate(None, _COMMON)
    if special.strip(b"+/"):
        if special.strip(b"-_"):
            raise SenmlError(f"{where}: {shown(text)} is no base64")
        coded = coded.translate(_TO_STANDARD)
    return binascii.a2b_base64(coded + b"=" * (-len(coded) % 4))
