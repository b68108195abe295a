"""
What an authority has signed: one line a certificate, in ``cluster.issued`` beside its key.

A renewed certificate has the key of the one before, so whoever revokes a stolen key must know all certificates of it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from flocker_py import wire
from flocker_py.certificates import subject_name
from flocker_py.errors import FlockerError
from flocker_py.records import Record, value

ISSUED_FILE = "cluster.issued"


class IssuedUnusable(FlockerError):
    """
    The list of what the authority has signed can't be used. Restore it from a copy; or move it away, and then name
    each certificate that is to be revoked by its file.
    """

    lasting = True


class Issued(Record):
    """
    One certificate that was signed.

    :param serial_number: in hexadecimal digits.
    :param name: its common name: ``node-UUID``, ``user-NAME`` or ``control-service``.
    :param key_sha256: of its public key (SubjectPublicKeyInfo), in hexadecimal digits.
    :param until_seconds: end of its validity, since the epoch of Unix.
    """

    serial_number: str = value(str)
    name: str = value(str)
    key_sha256: str = value(str)
    until_seconds: int = value(int)

    @property
    def until(self) -> datetime:
        """
        When it ends.
        """
        return datetime.fromtimestamp(self.until_seconds, UTC)


def issued_of(certificate: x509.Certificate) -> Issued:
    """
    The line about a certificate.

    :raises CertificateRefused: its subject has not exactly one common name.
    """
    encoded = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(encoded)
    return Issued(
        serial_number=f"{certificate.serial_number:x}",
        name=subject_name(certificate),
        key_sha256=digest.finalize().hex(),
        until_seconds=int(certificate.not_valid_after_utc.timestamp()),
    )


def read_issued(directory: Path) -> list[Issued]:
    """
    All that was signed, as far as it was written down, oldest first.

    :raises IssuedUnusable: the file can't be read, or has a line that is none of ours.
    """
    path = directory / ISSUED_FILE
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise IssuedUnusable(f"{path}: {error}") from error
    result = []
    for number, line in enumerate(lines, 1):
        try:
            result.append(wire.from_text(Issued, line))
        except FlockerError as error:
            raise IssuedUnusable(f"{path}, line {number}: {error}") from error
    return result


def write_down(directory: Path, certificate: x509.Certificate) -> None:
    """
    Add a line, durably, before the certificate is given to anybody.

    :raises IssuedUnusable: it can't be written.
    """
    path = directory / ISSUED_FILE
    line = wire.to_text(issued_of(certificate)).encode() + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            written = os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise IssuedUnusable(f"{path}: {error.strerror or error}") from error
    if written != len(line):
        raise IssuedUnusable(f"{path}: the disk is full")
