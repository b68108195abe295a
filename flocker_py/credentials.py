"""
What a program proves itself with: the cluster's authority, its own certificate and its key, read from three files.
"""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import crypto

from flocker_py.certificates import VERSION_1_REMEDY, cluster_of, identity_of, is_authority, is_version_1
from flocker_py.errors import FlockerError, explanation
from flocker_py.identity import (
    CONTROL_NAME,
    IDENTITY_TYPES,
    CertificateRefused,
    ControlIdentity,
    Identity,
    NodeIdentity,
    UserIdentity,
    identity_text,
    role_text,
)
from flocker_py.issuing import PrivateKey
from flocker_py.records import Record, value
from flocker_py.revocations import RevocationsUnusable, read_revocations, revoked_at

AUTHORITY_FILE = "cluster.crt"
# Any other name is a user's, as flocker-ca create-api-certificate NAME leaves it.
_ROLES: dict[str, type[Identity]] = {CONTROL_NAME: ControlIdentity, "node": NodeIdentity}


class CredentialUnusable(FlockerError):
    """
    Certificates, keys and the authority must be as flocker-ca makes them.
    """

    lasting = True


class Credential(Record):
    """
    Three files that prove who this program is, found good when they were read.
    """

    ca_path: Path = value(Path)
    certificate_path: Path = value(Path)
    key_path: Path = value(Path)
    cluster_id: UUID = value(UUID)
    identity: Identity = value(IDENTITY_TYPES)


class CredentialContents(Record):
    """
    What the three files of a credential hold, parsed, at one reading; and the list of revoked certificates, if there
    is one beside the authority's.
    """

    credential: Credential = value(Credential)
    authority: x509.Certificate = value(x509.Certificate)
    certificate: x509.Certificate = value(x509.Certificate)
    key: PrivateKey = value((ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey))
    revocations: x509.CertificateRevocationList | None = value(
        (x509.CertificateRevocationList, type(None)), default=None
    )


def load_credential(directory: Path, name: str) -> Credential:
    """
    The credential in a folder: ``cluster.crt``, ``NAME.crt`` and ``NAME.key``.

    :param name: ``control-service``, ``node``, or what a user's files are called: ``user``, or any other name.
    :raises CredentialUnusable: a file is missing, unreadable or not what it should be; other users can read the key;
        the key is not the certificate's; a certificate has expired, is not valid yet, is not signed by the authority,
        has been revoked, is X.509 version 1, or is for another role; the list of revoked certificates is no good.
    """
    return credential_from_files(
        directory / AUTHORITY_FILE,
        directory / f"{name}.crt",
        directory / f"{name}.key",
        _ROLES.get(name, UserIdentity),
    )


def credential_from_files(ca_path: Path, certificate_path: Path, key_path: Path, role: type[Identity]) -> Credential:
    """
    The credential in three files named one by one.

    :param role: who the certificate must be for.
    :raises CredentialUnusable: as :func:`load_credential`.
    """
    return read_credential(ca_path, certificate_path, key_path, role).credential


def read_credential(ca_path: Path, certificate_path: Path, key_path: Path, role: type[Identity]) -> CredentialContents:
    """
    The credential in three files with what they hold, so that what was checked is also what is used.

    :raises CredentialUnusable: as :func:`load_credential`.
    """
    now = datetime.now(UTC)
    authority = read_certificate(ca_path)
    certificate = read_certificate(certificate_path)
    key = read_key(key_path)
    for path, one in ((ca_path, authority), (certificate_path, certificate)):
        if is_version_1(one):
            raise CredentialUnusable(f"{path}: {VERSION_1_REMEDY}")
        _check_dates(path, one, now)
    try:
        if not is_authority(authority):
            raise CredentialUnusable(
                f"{ca_path}: this is not a certificate authority. "
                "Copy cluster.crt from where flocker-ca initialize made it"
            )
        _check_signature(ca_path, authority, certificate_path, certificate)
        identity = identity_of(certificate, cluster_of(authority))
    except CertificateRefused as refusal:
        raise CredentialUnusable(f"{certificate_path}: {refusal}") from refusal
    if not isinstance(identity, role):
        raise CredentialUnusable(
            f"{certificate_path}: this is the certificate of {identity_text(identity)}, "
            f"but {role_text(role)}'s is needed here"
        )
    revocations = _revocations(ca_path, authority, certificate_path, certificate)
    if key.public_key() != certificate.public_key():
        raise CredentialUnusable(
            f"{key_path}: this key does not belong to {certificate_path}. "
            "Copy the .crt and .key that flocker-ca made together"
        )
    credential = Credential(
        ca_path=ca_path,
        certificate_path=certificate_path,
        key_path=key_path,
        cluster_id=cluster_of(authority),
        identity=identity,
    )
    return CredentialContents(
        credential=credential, authority=authority, certificate=certificate, key=key, revocations=revocations
    )


def read_certificate(path: Path) -> x509.Certificate:
    """
    The first certificate of a PEM file.

    :raises CredentialUnusable: the file can't be read or holds no certificate.
    """
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError as error:
        raise CredentialUnusable(f"{path}: no certificate in PEM form can be read from it ({error})") from error


def read_key(path: Path) -> PrivateKey:
    """
    The private key of a PEM file that only its owner can read.

    :raises CredentialUnusable: the file can't be read, others may read or write it, or it holds no ECDSA or RSA key
        without a passphrase.
    """
    mode = stat.S_IMODE(_mode(path))
    if mode & 0o077:
        raise CredentialUnusable(
            f"{path}: its mode is {mode:04o}, so other users can get at the key. Run: chmod 0600 {path}; "
            "if it was like that on a shared host, make a new certificate"
        )
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except TypeError as error:
        raise CredentialUnusable(
            f"{path}: the key is encrypted, and a service can't ask for a passphrase. Store it without one, mode 0600"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        # The parser's message may quote what it read: it is not passed on.
        raise CredentialUnusable(f"{path}: no private key in PEM form can be read from it") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CredentialUnusable(f"{path}: the key is neither ECDSA nor RSA. Make a new certificate with flocker-ca")
    return key


def _check_dates(path: Path, certificate: x509.Certificate, now: datetime) -> None:
    if now < certificate.not_valid_before_utc:
        raise CredentialUnusable(
            f"{path}: not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC, and the clock here says "
            f"{now:%Y-%m-%d %H:%M} UTC. Set the clock right, or wait"
        )
    if now > certificate.not_valid_after_utc:
        remedy = (
            "Make a new authority, and new certificates for all"
            if certificate.subject == certificate.issuer
            else "Run flocker-ca renew on it where the cluster's key is, and copy the new file here"
        )
        raise CredentialUnusable(f"{path}: expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC. {remedy}")


def _check_signature(
    ca_path: Path, authority: x509.Certificate, certificate_path: Path, certificate: x509.Certificate
) -> None:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception as error:  # cryptography raises many kinds; each means "not signed by it"
        raise CredentialUnusable(
            f"{certificate_path}: not signed by the authority in {ca_path}. "
            "Both files must come from the same flocker-ca initialize"
        ) from error
    store = crypto.X509Store()
    store.add_cert(crypto.X509.from_cryptography(authority))
    store.set_flags(crypto.X509StoreFlags.X509_STRICT)
    try:
        crypto.X509StoreContext(store, crypto.X509.from_cryptography(certificate)).verify_certificate()
    except crypto.X509StoreContextError as error:
        raise CredentialUnusable(
            f"{certificate_path}: strict verification refuses it ({error}). Make a new one with flocker-ca"
        ) from error


def _revocations(
    ca_path: Path, authority: x509.Certificate, certificate_path: Path, certificate: x509.Certificate
) -> x509.CertificateRevocationList | None:
    try:
        revocations = read_revocations(ca_path, authority)
    except RevocationsUnusable as error:
        raise CredentialUnusable(explanation(error)) from error
    at = revoked_at(revocations, certificate)
    if at is not None:
        raise CredentialUnusable(
            f"{certificate_path}: revoked at {at:%Y-%m-%d %H:%M} UTC. Make a new one with flocker-ca, with a new key"
        )
    return revocations


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> CredentialUnusable:
    remedy = (
        "Copy it there, or name the folder it is in"
        if isinstance(error, FileNotFoundError)
        else "Check the path and who may read it"
    )
    return CredentialUnusable(f"{path}: {error.strerror or error}. {remedy}")
