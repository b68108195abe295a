"""
What has to be done with a ZFS dataset that somebody else made, for it to be one of ours; or why it can't be.

Flocker 1.x called a dataset ``POOL/OWNER.default.DATASET-ID``: OWNER is the node that may write it, and on any other
node it is a copy. Any other name has to be given with the id that the dataset shall have.

What it is marked as is written before it is renamed, so that it is never found in its place without: the renaming is
the one step that makes it ours. Snapshots, holds and bookmarks stay with it, whoever made them, and snapshots keep
their GUIDs, by which a copy elsewhere is recognised.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from pyrsistent import PVector, pvector

from flocker_agent.storage import zfs_names
from flocker_py.model import DatasetId, NodeId
from flocker_py.records import Record, sequence, value
from flocker_py.storage import Role

_NONE = type(None)
_NAMESPACE = "default"

FIRST_EPOCH = 1
"""The epoch of what is owned; that of what was imported into the control service."""


class Wish(Record):
    """
    A dataset that is to be adopted.

    :param name: in full, with the pool.
    :param role: OWNER: what the applications' data is in; REPLICA: a copy of what is elsewhere.
    """

    name: str = value(str)
    dataset_id: DatasetId = value(UUID)
    role: Role = value(Role)


class Candidate(Record):
    """
    A dataset as it is.

    :param kind: ``filesystem`` or ``volume``.
    :param mounted_at: where it is mounted.
    :param snapshots: how many it has.
    :param encryption_root: the dataset whose key it has; empty: it isn't encrypted.
    :param marked_role: and ``marked_epoch``: as ours are marked; None: it isn't.
    """

    kind: str = value(str)
    mounted_at: PVector[str] = sequence(str, default=())
    children: PVector[str] = sequence(str, default=())
    snapshots: int = value(int, default=0)
    partial: bool = value(bool, default=False)
    encryption_root: str = value(str, default="")
    marked_role: str | None = value((str, _NONE), default=None)
    marked_epoch: str | None = value((str, _NONE), default=None)


class Unmount(Record):
    """
    Unmount what is mounted at a path.
    """

    path: str = value(str)

    @property
    def text(self) -> str:
        """
        What is done, for people.
        """
        return f"unmount {self.path}"


class Mark(Record):
    """
    Set properties of a dataset.

    :param properties: names and values, in their order.
    """

    name: str = value(str)
    properties: PVector[tuple[str, str]] = sequence(tuple, default=())

    @property
    def text(self) -> str:
        """
        What is done, for people.
        """
        return f"set {' '.join(f'{key}={content}' for key, content in self.properties)} on {self.name}"


class Rename(Record):
    """
    Give a dataset its name, which makes it ours.
    """

    source: str = value(str)
    target: str = value(str)

    @property
    def text(self) -> str:
        """
        What is done, for people.
        """
        return f"rename {self.source} to {self.target}"


Step = Unmount | Mark | Rename


class Refused(Record):
    """
    Why a dataset can't be adopted.
    """

    text: str = value(str)


def flockers_wish(pool: str, name: str, node_id: NodeId) -> Wish | None:
    """
    What a dataset is by the name that Flocker gave it; None: it is no such name.
    """
    owner, _, rest = name.removeprefix(f"{pool}/").partition(".")
    namespace, _, dataset = rest.partition(".")
    owner_id, dataset_id = _uuid(owner), _uuid(dataset)
    if not name.startswith(f"{pool}/") or namespace != _NAMESPACE or owner_id is None or dataset_id is None:
        return None
    role = Role.OWNER if owner_id == node_id else Role.REPLICA
    return Wish(name=name, dataset_id=DatasetId(dataset_id), role=role)


def flockers_wishes(pool: str, names: Iterable[str], node_id: NodeId) -> list[Wish]:
    """
    All datasets of a pool that have such names, in their order.
    """
    return [wish for name in names if (wish := flockers_wish(pool, name, node_id)) is not None]


def wish_of(pool: str, written: str, node_id: NodeId, *, replica: bool) -> Wish | Refused:
    """
    What an operator asks for. A copy, by the name that Flocker gave it, has to be called one.

    :param written: the full name of a dataset; with ``ID=`` before it, unless Flocker made it.
    :param replica: it is a copy, whatever its name says.
    """
    given, equals, name = written.rpartition("=")
    known, dataset_id = flockers_wish(pool, name, node_id), _uuid(given)
    if equals and dataset_id is None:
        return Refused(text=f"{given!r} is no id: give a UUID")
    if not name.startswith(f"{pool}/"):
        return Refused(text=f"{name!r} is not in the agent's pool, {pool}: send it there first, with its snapshots")
    if known is not None and known.role is Role.REPLICA and not replica:
        other = name.removeprefix(f"{pool}/").partition(".")[0]
        return Refused(
            text=f"{name} is a copy of what node {other} served: adopt it there,"
            " or, for a move to this node that is wanted already, as a copy (--replica)"
        )
    if dataset_id is not None:
        known = Wish(name=name, dataset_id=DatasetId(dataset_id), role=Role.OWNER)
    if known is None:
        return Refused(
            text=f"{name!r} is not a name that Flocker gave: give its id with it, ID={name} (uuidgen makes ids)"
        )
    return known.set(role=Role.REPLICA) if replica else known


def steps(pool: str, wish: Wish, found: Candidate | None, *, target_taken: bool) -> list[Step] | Refused:
    """
    What is left to do for a dataset to be one of ours; nothing: it is.

    :param found: None: there is none of that name.
    :param target_taken: there is one at its place already.
    """
    target = zfs_names.dataset_name(pool, wish.dataset_id)
    if found is None:
        if target_taken:
            return Refused(text=f"there is no {wish.name}, but {target}: it was adopted before, or is another one")
        return Refused(text=f"there is no {wish.name}")
    refusal = _refusal(pool, wish, found, target, target_taken=target_taken)
    if refusal is not None:
        return Refused(text=refusal)
    epoch = FIRST_EPOCH if wish.role is Role.OWNER else 0
    result: list[Step] = []
    if (found.marked_role, found.marked_epoch) != (wish.role.value, str(epoch)):
        marks = (
            ("canmount", "noauto"),
            ("mountpoint", "legacy"),
            ("readonly", "off" if wish.role is Role.OWNER else "on"),
            (zfs_names.EPOCH, str(epoch)),
            (zfs_names.ROLE, wish.role.value),
        )
        result.append(Mark(name=wish.name, properties=pvector(marks)))
    if wish.name != target:
        result.append(Rename(source=wish.name, target=target))
    # What is ours already may be mounted by an agent.
    return [*(Unmount(path=path) for path in found.mounted_at), *result] if result else []


def _refusal(pool: str, wish: Wish, found: Candidate, target: str, *, target_taken: bool) -> str | None:
    parent = zfs_names.parent_name(pool)
    inside = wish.name == parent or wish.name.startswith(f"{parent}/")
    if inside and wish.name != target:
        return f"{wish.name} is among our own: it has to be {target}, or to be elsewhere in the pool"
    if wish.name != target and target_taken:
        return f"there is {target} already: adopt one of them only, or under another id"
    if found.kind != "filesystem":
        return f"{wish.name} is a {found.kind}, and datasets are file systems"
    if found.partial:
        return f"{wish.name} has come in only in part: end that receive, or abort it, first"
    if found.children:
        return f"{wish.name} has children, {', '.join(found.children)}: move them elsewhere first (zfs rename)"
    if found.encryption_root not in ("", wish.name):
        return (
            f"{wish.name} has its key from {found.encryption_root}, and can't leave it: give it one of its own first"
            f" (zfs change-key -o keyformat=... {wish.name})"
        )
    if found.marked_role is not None and found.marked_epoch not in (str(FIRST_EPOCH), "0"):
        return f"{wish.name} is ours already: {found.marked_role} of epoch {found.marked_epoch}"
    if wish.role is Role.REPLICA and not found.snapshots:
        return f"{wish.name} has no snapshots: as a copy it is good for nothing"
    return None


def _uuid(text: str) -> UUID | None:
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None
