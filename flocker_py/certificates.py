"""
Reading X.509 certificates of a cluster: what they say, in our words.
"""

from __future__ import annotations

from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from flocker_py.identity import (
    CONTROL_NAME,
    CertificateRefused,
    ControlIdentity,
    Identity,
    NodeIdentity,
    UserIdentity,
    cluster_from_unit,
    identity_from_name,
    identity_from_subject,
    identity_text,
)

CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH

# Which side of a connection each role may be on. Nodes are both: they call control and one another, and take transfers.
USAGES: dict[type[Identity], tuple[ObjectIdentifier, ...]] = {
    ControlIdentity: (SERVER_AUTH,),
    NodeIdentity: (SERVER_AUTH, CLIENT_AUTH),
    UserIdentity: (CLIENT_AUTH,),
}

_USAGE_NAMES = {CLIENT_AUTH: "clientAuth", SERVER_AUTH: "serverAuth"}

VERSION_1_REMEDY = (
    "It is an X.509 version 1 certificate, as Flocker 1.x made them, which strict verification refuses. "
    "Make a new cluster authority and new certificates with flocker-ca; node ids can be kept: "
    "flocker-ca create-node-certificate UUID"
)


def is_version_1(certificate: x509.Certificate) -> bool:
    """
    Whether a certificate is X.509 version 1, the kind that Flocker 1.x made.
    """
    return certificate.version is x509.Version.v1


def cluster_of(certificate: x509.Certificate) -> UUID:
    """
    The cluster a certificate says it belongs to.

    :raises CertificateRefused: there is not exactly one organizational unit, or it is not a UUID.
    """
    return cluster_from_unit(_only(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME, "organizational unit"))


def claimed_identity(certificate: x509.Certificate) -> Identity:
    """
    Who a certificate's subject names, whatever its cluster; for connections whose handshake has proven the rest.

    :raises CertificateRefused: the common name spells no identity.
    """
    return identity_from_name(subject_name(certificate))


def subject_name(certificate: x509.Certificate) -> str:
    """
    The common name of a certificate's subject.

    :raises CertificateRefused: there is not exactly one.
    """
    return _only(certificate, NameOID.COMMON_NAME, "common name")


def identity_of(
    certificate: x509.Certificate, expected_cluster: UUID, usage: ObjectIdentifier | None = None
) -> Identity:
    """
    Who a leaf certificate is for, everything about it checked but its signature and dates, which the chain proves.

    :param usage: the extended key usage the certificate must have for its side of this connection; None: the
        usages of its role.
    :raises CertificateRefused: version 1, a certificate authority, another cluster's, no identity in its name, or not
        made for this usage.
    """
    if is_version_1(certificate):
        raise CertificateRefused(VERSION_1_REMEDY)
    identity = identity_from_subject(
        subject_name(certificate),
        _only(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME, "organizational unit"),
        expected_cluster,
    )
    who = identity_text(identity)
    if is_authority(certificate):
        raise CertificateRefused(f"The certificate of {who} is a certificate authority's, not its own")
    present = usages_of(certificate)
    for needed in USAGES[type(identity)] if usage is None else (usage,):
        if needed not in present:
            raise CertificateRefused(
                f"The certificate of {who} lacks the extended key usage {_USAGE_NAMES[needed]}; "
                "make it with the flocker-ca command for its role"
            )
    if isinstance(identity, ControlIdentity) and CONTROL_NAME not in dns_names(certificate):
        raise CertificateRefused(
            f"The control service's certificate lacks the alternative name DNS:{CONTROL_NAME}; "
            "make it with flocker-ca create-control-certificate"
        )
    return identity


def is_authority(certificate: x509.Certificate) -> bool:
    """
    Whether a certificate may sign others.
    """
    try:
        return _extensions(certificate).get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def usages_of(certificate: x509.Certificate) -> frozenset[ObjectIdentifier]:
    """
    The extended key usages a certificate lists; none at all if it lacks the extension.
    """
    try:
        return frozenset(_extensions(certificate).get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return frozenset()


def alternative_names(certificate: x509.Certificate) -> tuple[x509.GeneralName, ...]:
    """
    Every subject alternative name, in the certificate's order.
    """
    try:
        return tuple(_extensions(certificate).get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()


def dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """
    The DNS names among the alternative names.
    """
    return tuple(name.value for name in alternative_names(certificate) if isinstance(name, x509.DNSName))


def fingerprint(certificate: x509.Certificate) -> str:
    """
    SHA-256 over the whole certificate, as ``openssl x509 -fingerprint -sha256`` writes it.
    """
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _extensions(certificate: x509.Certificate) -> x509.Extensions:
    try:
        return certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise CertificateRefused(f"The certificate's extensions cannot be read: {error}") from error


def _only(certificate: x509.Certificate, oid: ObjectIdentifier, what: str) -> str:
    try:
        values = [attribute.value for attribute in certificate.subject.get_attributes_for_oid(oid)]
    except ValueError as error:
        raise CertificateRefused(f"The certificate's subject cannot be read: {error}") from error
    # Two common names would let one reader see a node and another a user.
    if len(values) != 1 or not isinstance(values[0], str):
        raise CertificateRefused(f"The certificate must have exactly one {what}; it has {len(values)}")
    return values[0]
