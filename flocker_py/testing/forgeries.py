"""
Certificates that nothing in a cluster may accept, for tests of refusals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from flocker_py.certificates import CLIENT_AUTH, SERVER_AUTH, cluster_of
from flocker_py.identity import CONTROL_NAME, Identity, common_name
from flocker_py.issuing import KeyedCertificate, issued, made_authority

# Given the cluster's authority, makes what somebody shows.
Maker = Callable[[KeyedCertificate], KeyedCertificate]

# DER of "[0] EXPLICIT version: 2", which is version 3, at the beginning of a certificate's signed part.
_VERSION_3 = bytes.fromhex("a003020102")
# DER of the algorithm identifier ecdsa-with-SHA256 (RFC 5758, section 3.2).
_ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_SEQUENCE, _BIT_STRING = 0x30, 0x03


def strangers(identity: Identity) -> dict[str, Maker]:
    """
    Certificates, each with what it is, that claim to be this identity's in the cluster and are not, or not now.
    """
    now = datetime.now(UTC)
    usages = [CLIENT_AUTH, SERVER_AUTH]

    def elsewhere(name: str, cluster_id: UUID) -> KeyedCertificate:
        return issued(made_authority(name, cluster_id, now), identity, now)

    def odd(
        authority: KeyedCertificate,
        cluster_id: UUID,
        usages: Sequence[ObjectIdentifier],
        *,
        key_identified: bool = True,
    ) -> KeyedCertificate:
        return odd_certificate(
            authority,
            common_names=[common_name(identity)],
            cluster_ids=[cluster_id],
            usages=usages,
            dns_names=[CONTROL_NAME],
            key_identified=key_identified,
        )

    return {
        "another cluster's": lambda _: elsewhere("another", uuid4()),
        "another cluster's of the same name": lambda a: elsewhere(_name(a), uuid4()),
        "an impostor's of the same name and id": lambda a: elsewhere(_name(a), cluster_of(a.certificate)),
        "signed by itself": lambda _: made_authority(common_name(identity), uuid4(), now),
        "signed by ours for another cluster": lambda a: odd(a, uuid4(), usages),
        "expired": lambda a: issued(a, identity, now - timedelta(days=30), lifetime_days=10),
        "not yet valid": lambda a: issued(a, identity, now + timedelta(days=2)),
        "X.509 version 1": lambda a: as_version_1(a, issued(a, identity, now)),
        "without extended key usage": lambda a: odd(a, cluster_of(a.certificate), ()),
        # RFC 5280, section 4.2.1.1 demands it, and OpenSSL asks for it only when it is strict.
        "without authority key identifier": lambda a: odd(a, cluster_of(a.certificate), usages, key_identified=False),
        "the authority's own": lambda a: a,
    }


def odd_certificate(
    authority: KeyedCertificate,
    *,
    common_names: Sequence[str],
    cluster_ids: Sequence[UUID | str],
    usages: Sequence[ObjectIdentifier] = (),
    dns_names: Sequence[str] = (),
    is_authority: bool = False,
    key_identified: bool = True,
) -> KeyedCertificate:
    """
    A certificate the authority has really signed, valid now, with whatever else is asked for.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names]
    attributes += [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, str(name)) for name in cluster_ids]
    signer_key_id = x509.SubjectKeyIdentifier.from_public_key(authority.key.public_key())
    builder = (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .subject_name(x509.Name(attributes))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if key_identified:
        signer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer_key_id)
        builder = builder.add_extension(signer, critical=False)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if dns_names:
        builder = builder.add_extension(x509.SubjectAlternativeName(map(x509.DNSName, dns_names)), critical=False)
    return KeyedCertificate(certificate=builder.sign(authority.key, hashes.SHA256()), key=key)


def as_version_1(authority: KeyedCertificate, keyed: KeyedCertificate) -> KeyedCertificate:
    """
    The same certificate as X.509 version 1 that carries extensions all the same, as Flocker 1.x made them.

    :param authority: with a P-256 key; signs again what changes.
    """
    signed_part = _content(keyed.certificate.tbs_certificate_bytes)
    assert signed_part.startswith(_VERSION_3)
    signed_part = _der(_SEQUENCE, signed_part.removeprefix(_VERSION_3))
    assert isinstance(authority.key, ec.EllipticCurvePrivateKey)
    signature = authority.key.sign(signed_part, ec.ECDSA(hashes.SHA256()))
    whole = _der(_SEQUENCE, signed_part + _ECDSA_WITH_SHA256 + _der(_BIT_STRING, b"\0" + signature))
    return KeyedCertificate(certificate=x509.load_der_x509_certificate(whole), key=keyed.key)


def _name(authority: KeyedCertificate) -> str:
    (attribute,) = authority.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(attribute.value)


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    encoded = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(encoded)]) + encoded + content


def _content(encoded: bytes) -> bytes:
    first = encoded[1]
    return encoded[2:] if first < 0x80 else encoded[2 + (first & 0x7F) :]
