"""
What a program says about certificate files that it can't use.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import serialization

from flocker_py.credentials import CredentialUnusable, load_credential
from flocker_py.identity import ControlIdentity, NodeIdentity, UserIdentity
from flocker_py.issuing import certificate_pem, issued, key_pem
from flocker_py.model import NodeId
from flocker_py.testing.certificates import ClusterCertificates, install, make_cluster, write_files
from flocker_py.testing.forgeries import Maker, strangers

NOW = datetime.now(UTC)
SOMEBODY = NodeIdentity(node_id=NodeId(uuid4()))
ALICE = UserIdentity(name="alice")


STRANGERS = strangers(SOMEBODY)
# What is wrong with a node's certificate, how it is made, and the words that say so.
WRONG: dict[str, tuple[Maker, str]] = {
    **{
        what: (STRANGERS[what], words)
        for what, words in {
            "expired": "expired at",
            "not yet valid": "not valid before",
            "another cluster's": "not signed by the authority in",
            "another cluster's of the same name": "not signed by the authority in",
            "an impostor's of the same name and id": "not signed by the authority in",
            "signed by itself": "not signed by the authority in",
            "signed by ours for another cluster": "but this is cluster",
            "X.509 version 1": "as Flocker 1.x made them",
            "without extended key usage": "lacks the extended key usage serverAuth",
            "without authority key identifier": "strict verification refuses it",
            "the authority's own": "it must be node-UUID, user-NAME or control-service",
        }.items()
    },
    "a user's": (lambda a: issued(a, ALICE, NOW), "the certificate of user alice, but a node's is needed"),
    "control's": (lambda a: issued(a, ControlIdentity(), NOW), "of the control service, but a node's is needed"),
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    The certificates of one cluster.
    """
    return make_cluster(tmp_path_factory.mktemp("cluster"))


class TestLoading:
    """
    A program whose certificate files are not good says which file, what is wrong and what to do, before it starts.
    """

    @pytest.fixture
    def folder(self, cluster: ClusterCertificates, tmp_path: Path) -> Path:
        """
        A node's folder, all good.
        """
        install(tmp_path, cluster.authority, SOMEBODY)
        return tmp_path

    def complaint(self, folder: Path, name: str = "node") -> str:
        with pytest.raises(CredentialUnusable) as unusable:
            load_credential(folder, name)
        return str(unusable.value)

    def test_good_files(self, cluster: ClusterCertificates, folder: Path) -> None:
        """
        The credential knows who it is and of which cluster.
        """
        credential = load_credential(folder, "node")

        assert (credential.identity, credential.cluster_id) == (SOMEBODY, cluster.cluster_id)

    def test_a_user_of_any_file_name(self, cluster: ClusterCertificates, tmp_path: Path) -> None:
        """
        A user's files may be called as flocker-ca left them.
        """
        write_files(tmp_path, "alice", cluster.authority, issued(cluster.authority, ALICE, NOW))

        assert load_credential(tmp_path, "alice").identity == ALICE

    @pytest.mark.parametrize("name", ["cluster.crt", "node.crt", "node.key"])
    def test_a_missing_file(self, folder: Path, name: str) -> None:
        """
        The missing file is named, and what to do.
        """
        (folder / name).unlink()

        assert self.complaint(folder).startswith(f"{folder / name}: No such file or directory. Copy it there")

    @pytest.mark.parametrize("name", ["cluster.crt", "node.crt", "node.key"])
    @pytest.mark.parametrize("content", [b"", b"garbage\n", b"\x00\xff" * 1000], ids=["empty", "text", "bytes"])
    def test_garbage(self, folder: Path, name: str, content: bytes) -> None:
        """
        The file that holds something else is named.
        """
        (folder / name).write_bytes(content)

        assert self.complaint(folder).startswith(f"{folder / name}: no ")

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777, 0o610])
    def test_a_key_that_others_can_read(self, folder: Path, mode: int) -> None:
        """
        A key open to other users is refused, with the command that closes it.
        """
        (folder / "node.key").chmod(mode)

        assert f"its mode is {mode:04o}" in self.complaint(folder)
        assert f"chmod 0600 {folder / 'node.key'}" in self.complaint(folder)

    def test_an_encrypted_key(self, folder: Path) -> None:
        """
        A service can't type a passphrase.
        """
        key = serialization.load_pem_private_key((folder / "node.key").read_bytes(), None)
        (folder / "node.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"x"),
            )
        )

        assert "the key is encrypted" in self.complaint(folder)

    def test_another_certificates_key(self, cluster: ClusterCertificates, folder: Path) -> None:
        """
        Key and certificate must belong together.
        """
        (folder / "node.key").write_bytes(key_pem(issued(cluster.authority, SOMEBODY, NOW).key))

        assert f"does not belong to {folder / 'node.crt'}" in self.complaint(folder)

    @pytest.mark.parametrize("what", WRONG)
    def test_the_wrong_certificate(self, cluster: ClusterCertificates, folder: Path, what: str) -> None:
        """
        Each certificate that can't be a node's here is refused for what is wrong with it.
        """
        make, words = WRONG[what]
        write_files(folder, "node", cluster.authority, make(cluster.authority))

        assert words in self.complaint(folder)

    def test_a_leaf_in_place_of_the_authority(self, cluster: ClusterCertificates, folder: Path) -> None:
        """
        A certificate that signs nothing is no authority.
        """
        (folder / "cluster.crt").write_bytes(certificate_pem(issued(cluster.authority, SOMEBODY, NOW).certificate))

        assert "this is not a certificate authority" in self.complaint(folder)

    def test_a_secret_is_not_quoted(self, folder: Path) -> None:
        """
        What is in a key file does not get into the error.
        """
        (folder / "node.key").write_bytes(b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")

        assert "c2VjcmV0" not in self.complaint(folder)
