"""
The list of certificates that were good once and are not any more: ``cluster.crl`` beside ``cluster.crt``.

It is an X.509 certificate revocation list, signed by the cluster's authority. Where there is no such file, nothing has
been revoked, as far as that machine has heard.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from flocker_py.errors import FlockerError
from flocker_py.issuing import BACKDATED, KeyedCertificate

SUFFIX = ".crl"
# It holds until the next one is put in its place: a list that ends by itself would stop the cluster.
_LIFETIME = timedelta(days=36500)


class RevocationsUnusable(FlockerError):
    """
    The list of revoked certificates must be as flocker-ca revoke made it. Copy it again from where the cluster's key
    is; without it, revoked certificates would be let in.
    """

    lasting = True


def revocations_path(ca_path: Path) -> Path:
    """
    Where the list is that belongs to an authority's certificate.
    """
    return ca_path.with_suffix(SUFFIX)


def read_revocations(ca_path: Path, authority: x509.Certificate) -> x509.CertificateRevocationList | None:
    """
    The list beside an authority's certificate; None: there is none.

    :raises RevocationsUnusable: the file can't be read, is no such list, or is not signed by this authority.
    """
    path = revocations_path(ca_path)
    try:
        revocations = x509.load_pem_x509_crl(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RevocationsUnusable(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise RevocationsUnusable(f"{path}: no revocation list in PEM form can be read from it ({error})") from error
    if not _is_signed_by(revocations, authority):
        raise RevocationsUnusable(f"{path}: not signed by the authority in {ca_path}")
    return revocations


def _is_signed_by(revocations: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        return revocations.issuer == authority.subject and revocations.is_signature_valid(
            authority.public_key()  # type: ignore[arg-type]
        )
    except TypeError:
        # Some other kind of key than one that can sign.
        return False


def revoked_at(revocations: x509.CertificateRevocationList | None, certificate: x509.Certificate) -> datetime | None:
    """
    When a certificate was revoked; None: it was not.
    """
    if revocations is None:
        return None
    found = revocations.get_revoked_certificate_by_serial_number(certificate.serial_number)
    return None if found is None else found.revocation_date_utc


def with_revoked(
    authority: KeyedCertificate,
    before: x509.CertificateRevocationList | None,
    serial_numbers: Iterable[int],
    now: datetime,
) -> x509.CertificateRevocationList:
    """
    A list with these certificates too. Those that are in it already keep their date.

    :param before: the present list; None: there is none yet.
    :param now: the current time, with its time zone.
    """
    number = 0
    if before is not None:
        number = before.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    at = now.astimezone(UTC).replace(microsecond=0)
    key_id = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(at - BACKDATED)
        .next_update(at + _LIFETIME)
        .add_extension(x509.CRLNumber(number + 1), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
    )
    known: set[int] = set()
    for entry in before or ():
        known.add(entry.serial_number)
        builder = builder.add_revoked_certificate(entry)
    for serial_number in sorted(set(serial_numbers) - known):
        entry = x509.RevokedCertificateBuilder().serial_number(serial_number).revocation_date(at).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(authority.key, hashes.SHA256())


def revocations_pem(revocations: x509.CertificateRevocationList) -> bytes:
    """
    A list as a file holds it.
    """
    return revocations.public_bytes(serialization.Encoding.PEM)
