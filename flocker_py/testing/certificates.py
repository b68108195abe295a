"""
The certificates of a whole cluster, made in a moment, for tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from cryptography import x509
from pyrsistent import PVector, pvector

from flocker_py.credentials import AUTHORITY_FILE, Credential, load_credential
from flocker_py.identity import CONTROL_NAME, ControlIdentity, Identity, NodeIdentity, UserIdentity
from flocker_py.issuing import (
    LEAF_LIFETIME_DAYS,
    KeyedCertificate,
    certificate_pem,
    issued,
    key_pem,
    made_authority,
)
from flocker_py.model import NodeId
from flocker_py.records import Record, sequence, value
from flocker_py.revocations import read_revocations, revocations_path, revocations_pem, with_revoked


class ClusterCertificates(Record):
    """
    An authority and the credentials of everybody in its cluster, each in a folder of its own below ``directory``:
    ``control-service``, ``node-UUID`` and ``user``, with the file names an installed program looks for.
    """

    directory: Path = value(Path)
    cluster_id: UUID = value(UUID)
    authority: KeyedCertificate = value(KeyedCertificate)
    control: Credential = value(Credential)
    nodes: PVector[Credential] = sequence(Credential, default=())
    user: Credential = value(Credential)


def make_cluster(
    directory: Path,
    *,
    node_ids: Sequence[UUID] | None = None,
    hosts: Sequence[str] = ("localhost", "127.0.0.1", "::1"),
    name: str = "testing",
    cluster_id: UUID | None = None,
) -> ClusterCertificates:
    """
    The certificates of a new cluster, valid now, with one control service, nodes and one user, ``user-testing``.

    :param directory: where the folders are made; the caller removes it.
    :param node_ids: the nodes, in the order of ``nodes``; two with random ids unless given.
    :param hosts: names and addresses in the control service's certificate.
    """
    authority = made_authority(name, uuid4() if cluster_id is None else cluster_id, datetime.now(UTC))
    nodes = [NodeId(node_id) for node_id in ((uuid4(), uuid4()) if node_ids is None else node_ids)]
    control = install(directory / CONTROL_NAME, authority, ControlIdentity(), hosts=hosts)
    return ClusterCertificates(
        directory=directory,
        cluster_id=control.cluster_id,
        authority=authority,
        control=control,
        nodes=pvector(
            install(directory / f"node-{node_id}", authority, NodeIdentity(node_id=node_id)) for node_id in nodes
        ),
        user=install(directory / "user", authority, UserIdentity(name="testing")),
    )


def install(
    directory: Path,
    authority: KeyedCertificate,
    identity: Identity,
    *,
    hosts: Sequence[str] = (),
    now: datetime | None = None,
    lifetime_days: int = LEAF_LIFETIME_DAYS,
) -> Credential:
    """
    A new certificate and key in a folder, with the authority's certificate, named as installed.

    :param now: when the certificate is made, by which its dates are counted; the current time unless given.
    :raises CredentialUnusable: the dates given make it unusable now; the files are there all the same.
    """
    keyed = issued(authority, identity, now or datetime.now(UTC), hosts=hosts, lifetime_days=lifetime_days)
    name = installed_name(identity)
    write_files(directory, name, authority, keyed)
    return load_credential(directory, name)


def revoke(authority: KeyedCertificate, credential: Credential, *doomed: x509.Certificate) -> None:
    """
    Tell the owner of a credential that certificates were revoked, besides those it knows of.
    """
    before = read_revocations(credential.ca_path, authority.certificate)
    serial_numbers = [certificate.serial_number for certificate in doomed]
    after = with_revoked(authority, before, serial_numbers, datetime.now(UTC))
    path = revocations_path(credential.ca_path)
    temporary = path.with_name(".new")
    temporary.write_bytes(revocations_pem(after))
    temporary.replace(path)


def installed_name(identity: Identity) -> str:
    """
    What the files of an identity are called where its program looks for them.
    """
    match identity:
        case NodeIdentity():
            return "node"
        case UserIdentity():
            return "user"
        case ControlIdentity():
            return CONTROL_NAME


def write_files(directory: Path, name: str, authority: KeyedCertificate, keyed: KeyedCertificate) -> None:
    """
    ``cluster.crt``, ``NAME.crt`` and ``NAME.key`` in a folder, whatever was there before.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / AUTHORITY_FILE).write_bytes(certificate_pem(authority.certificate))
    key_path = directory / f"{name}.key"
    key_path.unlink(missing_ok=True)
    key_path.touch(mode=0o600, exist_ok=False)
    key_path.write_bytes(key_pem(keyed.key))
    (directory / f"{name}.crt").write_bytes(certificate_pem(keyed.certificate))
