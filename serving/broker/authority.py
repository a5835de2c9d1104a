"""A private CA, and the broker's certificate, which it signs.

A CA of its own: devices trust it and no other, so nobody who can get a certificate elsewhere can
stand in for the broker, and a broker in a home network needs no name that is known to the world.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from serving.options import UsageError

AUTHORITY_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=825)
# Devices without a battery for their clock wake up in the past.
_LEEWAY = timedelta(days=30)
# What the operator's own machine calls itself.
LOCAL = ("localhost", "127.0.0.1", "::1")

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True)
class Signed:
    """A private key (PKCS 8) and its certificate, both in PEM."""

    key: bytes
    certificate: bytes


def make_authority(name: str) -> Signed:
    """A CA that vouches for itself; ``name`` is what its certificate is called."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _called(f"ml4iot CA of {name}")
    builder = (
        _builder(subject, subject, key, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return _signed(key, builder.sign(key, hashes.SHA256()))


def issue(authority: Signed, hosts: Sequence[str]) -> Signed:
    """A server's certificate.

    Args:
        authority: who signs it.
        hosts: names and addresses by which clients reach the server; those of :data:`LOCAL` are
            added.

    Raises:
        UsageError: no host, or one that cannot be one.
    """
    names = [_general_name(host) for host in dict.fromkeys((*hosts, *LOCAL))]
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    signer = serialization.load_pem_private_key(authority.key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)  # we made it
    builder = (
        _builder(_called(hosts[0]), issuer.subject, key, SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    return _signed(key, builder.sign(signer, hashes.SHA256()))


def hosts_of(certificate: bytes) -> list[str]:
    """The hosts for which a certificate of ours was issued, the first named first."""
    names = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return [str(name.value) for name in names.value]


def validity(certificate: bytes) -> tuple[datetime, datetime]:
    """From when until when a certificate is good. Raises ValueError for what is none."""
    found = x509.load_pem_x509_certificate(certificate)
    return found.not_valid_before_utc, found.not_valid_after_utc


def _general_name(host: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    if not _HOST.fullmatch(host):
        raise UsageError(f"host {host[:60]!r}: a name such as broker.example, or an address")
    return x509.DNSName(host)


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])  # RFC 5280's bound


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LEEWAY)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Signed:
    return Signed(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate.public_bytes(serialization.Encoding.PEM),
    )
