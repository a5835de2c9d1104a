"""How a client knows its broker, and the broker its client."""

from __future__ import annotations

import hashlib
import ssl

from edge_client.mqtt.broker import Broker, BrokerError


def trust_only(broker: Broker) -> ssl.SSLContext | None:
    """A context that trusts the broker's CA and no other; None where there is no TLS.

    Raises:
        BrokerError: the CA's file cannot be used.
    """
    if broker.ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(broker.ca))
    except ssl.SSLError:
        raise BrokerError(f"{broker.ca}: no certificate of a CA in PEM") from None
    except OSError as error:
        raise BrokerError(f"{broker.ca}: cannot be read: {error.strerror}") from None


def mistrust(broker: Broker, error: ssl.SSLError) -> str:
    """Why the handshake with a broker failed, for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{broker.ca} does not vouch for it ({error.verify_message})"
    return f"no TLS there ({error.reason or error})"


def lasting_id(client_id: str, broker: Broker) -> str:
    """The id, with what only who has the password can tell at its end.

    A broker throws out the first of two clients of the same id, and says its last will, whoever the
    second is logged in as.
    """
    if broker.credentials is None:
        return client_id
    mark = hashlib.sha256(f"{client_id}:{broker.credentials.password}".encode()).hexdigest()
    return f"{client_id}-{mark[:16]}"
