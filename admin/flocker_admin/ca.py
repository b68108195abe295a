"""
The cluster's authority as files: made once, read to sign, and the certificates it signs put in place.

No file is ever overwritten but by a renewal, which puts the new certificate in the place of the old in one step.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from uuid import UUID

from cryptography import x509

from flocker_admin.issued import ISSUED_FILE, Issued, issued_of, read_issued, write_down
from flocker_py.certificates import VERSION_1_REMEDY, is_authority, is_version_1
from flocker_py.credentials import AUTHORITY_FILE, CredentialUnusable, read_certificate, read_key
from flocker_py.errors import FlockerError
from flocker_py.identity import ControlIdentity, Identity, NodeIdentity, UserIdentity
from flocker_py.issuing import (
    KeyedCertificate,
    certificate_pem,
    issued,
    key_pem,
    made_authority,
    renewed,
    renewed_authority,
)
from flocker_py.records import Record, value
from flocker_py.revocations import read_revocations, revocations_path, revocations_pem, with_revoked

AUTHORITY_KEY_FILE = "cluster.key"
_CERTIFICATE_MODE = 0o644
_KEY_MODE = 0o600


class AlreadyThere(FlockerError):
    """
    Nothing was written. Move the file away if it is not needed, write to another folder with --outputpath, or make
    its certificate last longer with flocker-ca renew.
    """

    lasting = True


class NotWritten(FlockerError):
    """
    A file could not be written, and what was there before is unchanged. Check that the folder exists, who may write
    to it, and whether the disk is full.
    """


class CertificateRevoked(FlockerError):
    """
    It can't be renewed: somebody else may have its key. Make a new certificate, which has a new key.
    """

    lasting = True


class CertificateFiles(Record):
    """
    A certificate and its key, as they were put on disk.
    """

    certificate_path: Path = value(Path)
    key_path: Path = value(Path)
    certificate: x509.Certificate = value(x509.Certificate)


def initialize(directory: Path, cluster_name: str, cluster_id: UUID, now: datetime, days: int) -> CertificateFiles:
    """
    A new authority in ``cluster.crt`` and ``cluster.key`` of a folder, and an empty list of what it has signed.

    :raises AlreadyThere: one of the files exists.
    :raises NotWritten: the folder can't be written to.
    :raises NotIssued: the name or the lifetime is not allowed.
    """
    authority = made_authority(cluster_name, cluster_id, now, days)
    with contextlib.ExitStack() as undo:
        _write_new(directory / ISSUED_FILE, b"", _KEY_MODE)
        undo.callback((directory / ISSUED_FILE).unlink, missing_ok=True)
        files = _stored(directory, "cluster", authority)
        undo.pop_all()
    return files


def opened_authority(directory: Path) -> KeyedCertificate:
    """
    The authority in a folder, ready to sign.

    :raises CredentialUnusable: its files are missing, unreadable, readable by other users, no authority, not of one
        another, or X.509 version 1.
    """
    certificate_path, key_path = directory / AUTHORITY_FILE, directory / AUTHORITY_KEY_FILE
    for path in (certificate_path, key_path):
        if not path.exists():
            raise CredentialUnusable(
                f"{path}: there is no such file. Name the folder of the cluster's authority with --inputpath, "
                "or make an authority with flocker-ca initialize"
            )
    certificate = read_certificate(certificate_path)
    if is_version_1(certificate):
        raise CredentialUnusable(f"{certificate_path}: {VERSION_1_REMEDY}")
    if not is_authority(certificate):
        raise CredentialUnusable(f"{certificate_path}: this is not a certificate authority, so it can't sign")
    key = read_key(key_path)
    if key.public_key() != certificate.public_key():
        raise CredentialUnusable(
            f"{key_path}: this key does not belong to {certificate_path}. Both must come from one flocker-ca initialize"
        )
    return KeyedCertificate(certificate=certificate, key=key)


def create(
    authority: KeyedCertificate,
    directory: Path,
    identity: Identity,
    now: datetime,
    days: int,
    *,
    ledger: Path,
    hosts: Iterable[str] = (),
) -> CertificateFiles:
    """
    A new certificate and key in a folder, under Flocker's names: ``control-HOST``, ``UUID`` or ``NAME``.

    :param ledger: the authority's folder, where it is written down what was signed.
    :param hosts: names and addresses of the control service, the one its files are called by first; nobody else's.
    :raises AlreadyThere: one of the files exists.
    :raises NotWritten: the folder can't be written to.
    :raises NotIssued: a host or the lifetime is not allowed, or the authority has expired.
    :raises IssuedUnusable: it could not be written down.
    """
    hosts = list(hosts)
    keyed = issued(authority, identity, now, hosts=hosts, lifetime_days=days)
    write_down(ledger, keyed.certificate)
    return _stored(directory, _file_name(identity, hosts), keyed)


def renew(
    authority: KeyedCertificate, path: Path, now: datetime, days: int | None, *, ledger: Path
) -> x509.Certificate:
    """
    Put a certificate that lasts longer in the place of one the authority has signed, or of the authority's own.

    Subject, alternative names and key stay, so the key file is not needed and the program need not be told.

    :param days: the lifetime; None: as long as a new one of its kind.
    :param ledger: the authority's folder, where it is written down what was signed.
    :raises CertificateRevoked: it has been revoked, or another of the same key.
    :raises CredentialUnusable: the file can't be read, holds no certificate, or an X.509 version 1 certificate.
    :raises CertificateRefused: its subject names no identity or no cluster, or its extensions can't be read.
    :raises NotIssued: it is another authority's, or this authority has expired.
    :raises NotWritten: the file can't be replaced.
    """
    old = read_certificate(path)
    if is_version_1(old):
        raise CredentialUnusable(f"{path}: {VERSION_1_REMEDY}")
    lifetime = {} if days is None else {"lifetime_days": days}
    if old.public_key() == authority.certificate.public_key():
        new = renewed_authority(authority, now, **lifetime).certificate
    else:
        if revoked_of(authority, ledger, old):
            raise CertificateRevoked(f"{path}: it was revoked, or another certificate of the same key")
        new = renewed(authority, old, now, **lifetime)
        write_down(ledger, new)
    _replace(path.resolve(), certificate_pem(new))
    return new


def revoke(
    authority: KeyedCertificate, directory: Path, doomed: Collection[Issued], now: datetime
) -> x509.CertificateRevocationList:
    """
    Put certificates on the authority's list of revoked ones, ``cluster.crl`` in its folder, with every other that has
    the same key.

    :raises RevocationsUnusable: the present list is no good.
    :raises IssuedUnusable: what was signed can't be looked up.
    :raises NotWritten: the folder can't be written to.
    """
    keys = {one.key_sha256 for one in doomed}
    serial_numbers = {int(one.serial_number, 16) for one in doomed}
    serial_numbers |= {int(one.serial_number, 16) for one in read_issued(directory) if one.key_sha256 in keys}
    before = read_revocations(directory / AUTHORITY_FILE, authority.certificate)
    after = with_revoked(authority, before, serial_numbers, now)
    path = revocations_path(directory / AUTHORITY_FILE)
    with _written_beside(path, revocations_pem(after), _CERTIFICATE_MODE) as temporary:
        temporary.replace(path)
        _sync_directory(directory)
    return after


def revoked_of(authority: KeyedCertificate, directory: Path, certificate: x509.Certificate) -> bool:
    """
    Whether a certificate has been revoked, or another that has the same key.

    :raises RevocationsUnusable: the list of revoked ones is no good.
    :raises IssuedUnusable: what was signed can't be looked up.
    """
    revocations = read_revocations(directory / AUTHORITY_FILE, authority.certificate)
    if revocations is None:
        return False
    revoked = {entry.serial_number for entry in revocations}
    this = issued_of(certificate)
    known = [this, *(one for one in read_issued(directory) if one.key_sha256 == this.key_sha256)]
    return any(int(one.serial_number, 16) in revoked for one in known)


def _file_name(identity: Identity, hosts: list[str]) -> str:
    match identity:
        case ControlIdentity():
            return f"control-{hosts[0]}"
        case NodeIdentity():
            return str(identity.node_id)
        case UserIdentity():
            return identity.name


def _stored(directory: Path, name: str, keyed: KeyedCertificate) -> CertificateFiles:
    certificate_path, key_path = directory / f"{name}.crt", directory / f"{name}.key"
    for path in (certificate_path, key_path):
        if os.path.lexists(path):
            raise AlreadyThere(f"{path} exists")
    with contextlib.ExitStack() as undo:
        # The key first: a certificate whose key was lost on the way looks usable, a lone key does not.
        _write_new(key_path, key_pem(keyed.key), _KEY_MODE)
        undo.callback(key_path.unlink, missing_ok=True)
        _write_new(certificate_path, certificate_pem(keyed.certificate), _CERTIFICATE_MODE)
        undo.pop_all()
    return CertificateFiles(certificate_path=certificate_path, key_path=key_path, certificate=keyed.certificate)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """
    A whole, durable file where there was none, or none at all.
    """
    with _written_beside(path, content, mode) as temporary:
        try:
            # A link never replaces, and appears with its whole content.
            os.link(temporary, path)
        except FileExistsError:
            raise AlreadyThere(f"{path} exists") from None
        _sync_directory(path.parent)


def _replace(path: Path, content: bytes) -> None:
    old = path.stat()
    with _written_beside(path, content, stat.S_IMODE(old.st_mode)) as temporary:
        if os.geteuid() == 0:
            os.chown(temporary, old.st_uid, old.st_gid)
        temporary.replace(path)
        _sync_directory(path.parent)


@contextlib.contextmanager
def _written_beside(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """
    A synced file in the same folder, removed at the end if it is still there.

    :raises NotWritten: what the operating system says against that, or against what is done with it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _KEY_MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise NotWritten(f"{path}: {error.strerror or error}") from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some filesystems can't sync a folder and say EINVAL; the file itself is safe there.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)
