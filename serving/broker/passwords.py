"""Passwords, and the form in which Mosquitto keeps them: ``$7$iterations$salt$hash``.

The form is that of ``mosquitto_passwd`` from Mosquitto 2.0 on: PBKDF2 (RFC 8018) with
HMAC-SHA512, a salt of 12 bytes and a hash of 64, both in base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

# Mosquitto's own number. More would guard nothing, for our passwords are 256 random bits, and cost
# a single-threaded broker its time when a whole fleet comes back at once.
ITERATIONS = 101
_SALT_BYTES = 12
_HASH_BYTES = 64


def new_password() -> str:
    """A password nobody can guess: 256 bits as 43 letters, digits, ``-`` and ``_``."""
    return secrets.token_urlsafe(32)


def hashed(password: str) -> str:
    """What Mosquitto keeps of a password."""
    salt = secrets.token_bytes(_SALT_BYTES)
    parts = (base64.b64encode(part).decode() for part in (salt, _hash(password, salt, ITERATIONS)))
    return f"$7${ITERATIONS}${'$'.join(parts)}"


def matches(password: str, kept: str) -> bool:
    """Whether this is the password of which :func:`hashed` made ``kept``."""
    try:
        _, form, iterations, salt, wanted = kept.split("$")
        found = _hash(password, base64.b64decode(salt), int(iterations))
        return form == "7" and hmac.compare_digest(found, base64.b64decode(wanted))
    except (ValueError, binascii.Error):
        return False


def _hash(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations, _HASH_BYTES)
