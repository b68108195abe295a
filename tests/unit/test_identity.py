"""
Who a certificate's subject names.
"""

from __future__ import annotations

from uuid import UUID

import pytest

from flocker_py.identity import (
    CertificateRefused,
    ControlIdentity,
    Identity,
    NodeIdentity,
    UserIdentity,
    cluster_name_complaint,
    common_name,
    identity_from_subject,
    role_text,
    user_name_complaint,
)
from flocker_py.model import NodeId

CLUSTER = UUID("8a1e7d2c-5a4f-4d0e-9d57-0a6d2a1b3c4d")
OTHER = UUID("11111111-5a4f-4d0e-9d57-0a6d2a1b3c4d")
NODE = NodeId(UUID("3f2b6c1e-0f5c-4a58-8f7e-6f1f5b6f0a01"))

EVERYBODY: list[Identity] = [
    ControlIdentity(),
    NodeIdentity(node_id=NODE),
    UserIdentity(name="alice"),
    UserIdentity(name="node-alice"),
    UserIdentity(name="user-alice"),
    UserIdentity(name="Zoë Müller"),
]


@pytest.mark.parametrize("identity", EVERYBODY, ids=common_name)
def test_a_name_is_read_as_it_was_written(identity: Identity) -> None:
    """
    Whom a certificate was made for is whom it is taken for.
    """
    actual = identity_from_subject(common_name(identity), str(CLUSTER), CLUSTER)

    assert actual == identity


NOBODY = [
    "",
    "control-service ",
    "control-service.example",
    "Control-Service",
    "node-",
    "node-alice",
    f"Node-{NODE}",
    f"node-{str(NODE).upper()}",
    f"node-{{{NODE}}}",
    f"node-urn:uuid:{NODE}",
    f"node-{NODE.hex}",
    f"node-{NODE} ",
    f"node-{NODE}\0",
    "user-",
    "user-a\nb",
    "user-a\0b",
    "USER-alice",
    "alice",
    f"{NODE}",
    "plugin",
]


@pytest.mark.parametrize("name", NOBODY, ids=repr)
def test_any_other_name_is_nobody(name: str) -> None:
    """
    A name that is not exactly a role's spelling is refused: one node must not have two spellings.
    """
    with pytest.raises(CertificateRefused, match="common name"):
        identity_from_subject(name, str(CLUSTER), CLUSTER)


@pytest.mark.parametrize("unit", ["", "flocker", str(CLUSTER).upper(), CLUSTER.hex, f"{CLUSTER} "], ids=repr)
def test_a_unit_that_is_no_cluster_is_refused(unit: str) -> None:
    """
    The organizational unit must be a cluster's id in its usual spelling.
    """
    with pytest.raises(CertificateRefused, match="organizational unit"):
        identity_from_subject("control-service", unit, CLUSTER)


@pytest.mark.parametrize("identity", EVERYBODY, ids=common_name)
def test_nobody_of_another_cluster_is_let_in(identity: Identity) -> None:
    """
    Whoever it is, another cluster's certificate is refused, and the refusal names both clusters.
    """
    with pytest.raises(CertificateRefused, match=f"{OTHER}.*{CLUSTER}"):
        identity_from_subject(common_name(identity), str(OTHER), CLUSTER)


@pytest.mark.parametrize("name", ["alice", "a", "4lice", "_", "bob@example.org", "ci+deploy", "Zoë", "x" * 59, "user"])
def test_a_user_may_be_called(name: str) -> None:
    """
    Letters, digits and a few signs make a user's name.
    """
    assert user_name_complaint(name) is None


BAD_USERS = ["", " ", ".", "..", "../x", "a/b", "/etc/x", "-o", "a b", "a\0", "a\n", "x" * 60, "cluster", "node"]


@pytest.mark.parametrize("name", [*BAD_USERS, "control-service"], ids=repr)
def test_a_user_may_not_be_called(name: str) -> None:
    """
    A user's name can't be a path, an option, empty, too long, or the name of another certificate's file.
    """
    assert user_name_complaint(name) is not None


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 65], ids=repr)
def test_a_cluster_may_not_be_called(name: str) -> None:
    """
    A cluster's name must fit a certificate and a line.
    """
    assert cluster_name_complaint(name) is not None


@pytest.mark.parametrize(
    ("role", "text"), [(NodeIdentity, "a node"), (UserIdentity, "a user"), (ControlIdentity, "the control service")]
)
def test_what_a_role_is_called(role: type[Identity], text: str) -> None:
    """
    A role is told with its article.
    """
    assert role_text(role) == text
