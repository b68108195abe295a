"""
Who the holder of a certificate is: a node, a user, or the control service of one cluster.

A certificate's subject says both: the common name is ``node-UUID``, ``user-NAME`` or ``control-service``, and the
organizational unit is the UUID of the cluster. Flocker 1.x wrote the same names.
"""

from __future__ import annotations

import re
from typing import assert_never
from uuid import UUID

from flocker_py.errors import FlockerError
from flocker_py.model import NodeId
from flocker_py.records import Record, value

CONTROL_NAME = "control-service"
NODE_PREFIX = "node-"
USER_PREFIX = "user-"
# RFC 5280, appendix A.1: ub-common-name.
COMMON_NAME_LIMIT = 64
# A user's name is also the name of files, so nothing in it may be understood as a folder or an option.
_USER_NAME = re.compile(r"\w[\w.@+-]*")


class CertificateRefused(FlockerError):
    """
    A certificate does not prove what it must prove here. Use the one made for this role in this cluster:
    flocker-ca show FILE says what a certificate is for.
    """

    lasting = True


class NodeIdentity(Record):
    """
    A node of the cluster, known by its id for life.
    """

    node_id: NodeId = value(UUID)


class UserIdentity(Record):
    """
    A person or program that may use the REST API.
    """

    name: str = value(str)


class ControlIdentity(Record):
    """
    The control service of the cluster: there is one identity, whatever host it runs on.
    """


Identity = NodeIdentity | UserIdentity | ControlIdentity
IDENTITY_TYPES = (NodeIdentity, UserIdentity, ControlIdentity)


def common_name(identity: Identity) -> str:
    """
    The common name a certificate has for an identity.
    """
    match identity:
        case NodeIdentity():
            return f"{NODE_PREFIX}{identity.node_id}"
        case UserIdentity():
            return f"{USER_PREFIX}{identity.name}"
        case ControlIdentity():
            return CONTROL_NAME
        case _:
            assert_never(identity)


def role_text(role: type[Identity]) -> str:
    """
    What to call a role in a sentence, with its article.
    """
    if role is NodeIdentity:
        return "a node"
    if role is UserIdentity:
        return "a user"
    return "the control service"


def identity_text(identity: Identity) -> str:
    """
    What to call an identity in a sentence.
    """
    match identity:
        case NodeIdentity():
            return f"node {identity.node_id}"
        case UserIdentity():
            return f"user {identity.name}"
        case ControlIdentity():
            return "the control service"
        case _:
            assert_never(identity)


def cluster_from_unit(organizational_unit: str) -> UUID:
    """
    The cluster that a subject's organizational unit names.

    :raises CertificateRefused: it is not a UUID in its usual spelling.
    """
    cluster = _usual_uuid(organizational_unit)
    if cluster is None:
        raise CertificateRefused(
            f"The certificate's organizational unit is {organizational_unit!r}, which is not the id of a cluster"
        )
    return cluster


def identity_from_name(name: str) -> Identity:
    """
    The identity that a subject's common name spells.

    :raises CertificateRefused: it is not ``node-UUID``, ``user-NAME`` or ``control-service``.
    """
    if name == CONTROL_NAME:
        return ControlIdentity()
    if name.startswith(NODE_PREFIX):
        node_id = _usual_uuid(name.removeprefix(NODE_PREFIX))
        if node_id is not None:
            return NodeIdentity(node_id=NodeId(node_id))
    if name.startswith(USER_PREFIX) and name != USER_PREFIX and name.isprintable():
        return UserIdentity(name=name.removeprefix(USER_PREFIX))
    raise CertificateRefused(
        f"The certificate's common name is {name!r}; it must be node-UUID, user-NAME or control-service"
    )


def identity_from_subject(common_name: str, organizational_unit: str, expected_cluster: UUID) -> Identity:
    """
    Who a certificate's subject names, if it is somebody of the expected cluster.

    :raises CertificateRefused: the common name spells no identity, or the organizational unit is not that cluster's id.
    """
    cluster = cluster_from_unit(organizational_unit)
    if cluster != expected_cluster:
        raise CertificateRefused(
            f"The certificate of {common_name!r} belongs to cluster {cluster}, but this is cluster {expected_cluster}"
        )
    return identity_from_name(common_name)


def cluster_name_complaint(name: str) -> str | None:
    """
    Why a name can't be a cluster's, or None if it can: 1 to 64 printable characters, not only blanks.
    """
    if not name.strip():
        return "it is empty"
    if not name.isprintable():
        return "it has characters that can't be printed"
    if len(name) > COMMON_NAME_LIMIT:
        return f"it is longer than {COMMON_NAME_LIMIT} characters"
    return None


def user_name_complaint(name: str) -> str | None:
    """
    Why a name can't be a user's, or None if it can: letters, digits, ``.``, ``@``, ``+``, ``-`` and ``_``,
    beginning with a letter, a digit or ``_``.
    """
    if not _USER_NAME.fullmatch(name):
        return "it must begin with a letter or digit and go on with letters, digits and . @ + - _ only"
    if len(USER_PREFIX + name) > COMMON_NAME_LIMIT:
        return f"it is longer than {COMMON_NAME_LIMIT - len(USER_PREFIX)} characters"
    if name in {"cluster", "node", CONTROL_NAME}:
        return "a certificate file of that name is something else in every folder of certificates"
    return None


def _usual_uuid(text: str) -> UUID | None:
    # UUID() also takes braces, urn: and capitals; one node must have one spelling.
    try:
        candidate = UUID(text)
    except ValueError:
        return None
    return candidate if str(candidate) == text else None
