"""
Making the certificates of a cluster, in memory: X.509 version 3, ECDSA over P-256, good for strict verification.

The caller gives every time; only keys and serial numbers are drawn at random.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import assert_never
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from flocker_py.certificates import USAGES, alternative_names, claimed_identity, cluster_of
from flocker_py.errors import FlockerError
from flocker_py.identity import (
    CONTROL_NAME,
    ControlIdentity,
    Identity,
    NodeIdentity,
    UserIdentity,
    cluster_name_complaint,
    common_name,
)
from flocker_py.records import Record, value

AUTHORITY_LIFETIME_DAYS = 3650
LEAF_LIFETIME_DAYS = 365
# A certificate must be valid at once on hosts whose clocks are behind the one that made it.
BACKDATED = timedelta(hours=1)

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.IGNORECASE)


class NotIssued(FlockerError):
    """
    No certificate was made. Ask for one with values that are allowed.
    """

    lasting = True


class KeyedCertificate(Record):
    """
    A certificate with the private key it belongs to.
    """

    certificate: x509.Certificate = value(x509.Certificate)
    key: PrivateKey = value((ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey))


def made_authority(
    cluster_name: str, cluster_id: UUID, now: datetime, lifetime_days: int = AUTHORITY_LIFETIME_DAYS
) -> KeyedCertificate:
    """
    A new authority that signs for one cluster and cannot let others sign (path length 0).

    :param now: the current time, with its time zone.
    :raises NotIssued: the name is empty, not printable or longer than 64 characters, or the lifetime is not positive.
    """
    complaint = cluster_name_complaint(cluster_name)
    if complaint is not None:
        raise NotIssued(f"{cluster_name!r} can't be a cluster's name: {complaint}")
    return _self_signed(_subject(cluster_name, cluster_id), ec.generate_private_key(ec.SECP256R1()), now, lifetime_days)


def renewed_authority(
    authority: KeyedCertificate, now: datetime, lifetime_days: int = AUTHORITY_LIFETIME_DAYS
) -> KeyedCertificate:
    """
    The same authority with a later certificate: all it has signed stays good with either.

    :raises NotIssued: the lifetime is not positive.
    """
    return _self_signed(authority.certificate.subject, authority.key, now, lifetime_days)


def issued(
    authority: KeyedCertificate,
    identity: Identity,
    now: datetime,
    *,
    hosts: Iterable[str] = (),
    lifetime_days: int = LEAF_LIFETIME_DAYS,
) -> KeyedCertificate:
    """
    A new key and a certificate for it that lets its holder act as ``identity`` in the authority's cluster.

    :param hosts: DNS names and IPv4 or IPv6 addresses to add to the alternative names the role always has.
    :param now: the current time, with its time zone.
    :param lifetime_days: at least 1; cut where the authority itself expires.
    :raises NotIssued: a host is neither name nor address, the lifetime is not positive, or the authority has expired.
    :raises CertificateRefused: the authority's subject names no cluster.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    names = [*_own_names(identity), *(general_name(host) for host in hosts)]
    certificate = _signed(
        authority,
        identity,
        key.public_key(),
        tuple(dict.fromkeys(names)),
        now,
        lifetime_days,
    )
    return KeyedCertificate(certificate=certificate, key=key)


def renewed(
    authority: KeyedCertificate,
    certificate: x509.Certificate,
    now: datetime,
    lifetime_days: int = LEAF_LIFETIME_DAYS,
) -> x509.Certificate:
    """
    A later certificate in place of another of the same authority: same key, subject and alternative names.

    :raises NotIssued: the certificate is not the authority's, or what :func:`issued` raises it for.
    :raises CertificateRefused: its subject names no identity or no cluster, or its extensions cannot be read.
    """
    if cluster_of(certificate) != cluster_of(authority.certificate):
        raise NotIssued(
            f"It belongs to cluster {cluster_of(certificate)}, "
            f"but the authority signs for {cluster_of(authority.certificate)}"
        )
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except Exception as error:  # cryptography raises many kinds; each means "not signed by it"
        raise NotIssued("It was not signed by this authority") from error
    public_key = certificate.public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise NotIssued("Its key is neither ECDSA nor RSA")
    identity = claimed_identity(certificate)
    names = tuple(dict.fromkeys([*_own_names(identity), *alternative_names(certificate)]))
    return _signed(authority, identity, public_key, names, now, lifetime_days)


def general_name(host: str) -> x509.GeneralName:
    """
    The alternative name for a host given as people write it: a DNS name, an IPv4 or an IPv6 address.

    :raises NotIssued: it is none of these.
    """
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    # Digits and dots alone would pass as a name, but nobody means that.
    if len(host) > 253 or not _HOST_NAME.fullmatch(host) or not re.search("[a-z]", host, re.IGNORECASE):
        raise NotIssued(f"{host!r} is neither a host name nor an IPv4 or IPv6 address")
    return x509.DNSName(host.lower())


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """
    A certificate as a file holds it.
    """
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: PrivateKey) -> bytes:
    """
    A private key as a file holds it: PKCS#8, not encrypted, so it must be kept from other users.
    """
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _self_signed(subject: x509.Name, key: PrivateKey, now: datetime, lifetime_days: int) -> KeyedCertificate:
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _dated(now, lifetime_days)
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(key_id, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
    )
    return KeyedCertificate(certificate=builder.sign(key, hashes.SHA256()), key=key)


def _own_names(identity: Identity) -> list[x509.GeneralName]:
    match identity:
        case ControlIdentity():
            return [x509.DNSName(CONTROL_NAME)]
        case NodeIdentity():
            return [
                x509.DNSName(common_name(identity)),
                x509.UniformResourceIdentifier(identity.node_id.urn),
            ]
        case UserIdentity():
            return []
        case _:
            assert_never(identity)


def _signed(  # noqa: PLR0917
    authority: KeyedCertificate,
    identity: Identity,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    names: tuple[x509.GeneralName, ...],
    now: datetime,
    lifetime_days: int,
) -> x509.Certificate:
    signer = authority.certificate
    if signer.not_valid_after_utc <= now:
        raise NotIssued(
            f"The cluster's authority expired at {signer.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; "
            "nothing it signs is valid any more. Make a new authority, and new certificates for all"
        )
    builder = (
        _dated(now, lifetime_days, signer.not_valid_after_utc)
        .subject_name(_subject(common_name(identity), cluster_of(signer)))
        .issuer_name(signer.subject)
        .public_key(public_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(USAGES[type(identity)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def _dated(now: datetime, lifetime_days: int, latest: datetime | None = None) -> x509.CertificateBuilder:
    if lifetime_days < 1:
        raise NotIssued(f"A lifetime of {lifetime_days} days is not positive")
    # RFC 5280 section 4.1.2.5: dates are whole seconds, and after 2049 another type, up to the year 9999.
    start = now.astimezone(UTC).replace(microsecond=0)
    try:
        end = start + timedelta(days=lifetime_days)
    except OverflowError as error:
        raise NotIssued(f"A lifetime of {lifetime_days} days ends after the last date there is") from error
    if latest is not None:
        end = min(end, latest)
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - BACKDATED)
        .not_valid_after(end)
    )


def _subject(name: str, cluster_id: UUID) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, str(cluster_id)),
        ]
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
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
