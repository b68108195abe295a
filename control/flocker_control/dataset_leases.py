"""
Leases that users hold on datasets: while one is held, the dataset is neither moved nor resized nor deleted.

They have nothing to do with the leases of nodes (``flocker_control.leases``), by which nodes serve.

A lease is counted by a clock that only goes forward and begins anew when the host of the control service boots. What
is written down is how much was left when that clock showed what: as long as the host runs, a lease ends to the moment,
whatever becomes of the program and of the time of day. After a boot nobody knows for how long the host was down, and
the lease goes on with what was left when that was last written down: it may end later than it should, never earlier.
See ``docs/decisions/0020-leases-of-datasets.md``.

What is asked for in spite of a lease:

============  =========================================================================================================
rule          a move, a change of size, a deletion
============  =========================================================================================================
REFUSE        is refused, with the holder
WAIT          is wanted from now on, and done when the lease ends: until then the dataset is *kept* as it was
FORCE         is done at once. The lease stays, unless nothing is left that it could hold
============  =========================================================================================================

To let a dataset stay where it is, or as it is, is never refused.
"""

from __future__ import annotations

import enum
from uuid import UUID

from pyrsistent import PMap

from flocker_control.refusals import Refusal, RefusalCode
from flocker_control.state import Changes, State, changed, key_of, lease_key
from flocker_py.model import Dataset, DatasetId, DatasetLease, KeptDataset, NodeId
from flocker_py.records import Record, value

_NONE = type(None)
_NUMBER = (int, float)

REWRITTEN_FROM_SECONDS = 60.0
"""What is left of a lease that had more when that was written down is written down anew when half has passed."""


class LeaseRule(enum.Enum):
    """
    What becomes of a wish that a lease is in the way of.
    """

    REFUSE = "refuse"
    WAIT = "wait"
    FORCE = "force"


class Moment(Record):
    """
    What a clock that only goes forward shows.

    :param boot_id: of which run of the host; the clocks of two runs can't be compared.
    """

    at_seconds: float = value(_NUMBER)
    boot_id: UUID = value(UUID)


class AcquireLease(Record):
    """
    Hold a dataset for a node, or go on holding it. Neither has to exist.

    :param seconds: for how long; None: until it is released.
    """

    dataset_id: DatasetId = value(UUID)
    node_id: NodeId = value(UUID)
    seconds: float | None = value((*_NUMBER, _NONE), default=None)
    now: Moment = value(Moment)


class ReleaseLease(Record):
    """
    Hold a dataset no more, whoever does. What waits for that is done.
    """

    dataset_id: DatasetId = value(UUID)
    now: Moment = value(Moment)


def left_seconds(lease: DatasetLease, now: Moment) -> float | None:
    """
    How much of a lease is left; 0 or less: nothing. None: it lasts until it is released.
    """
    if lease.left_seconds is None:
        return None
    if lease.boot_id != now.boot_id:
        return lease.left_seconds
    # A clock that shows less than it did is another one after all.
    return lease.left_seconds - max(0.0, now.at_seconds - lease.counted_at_seconds)


def is_held(lease: DatasetLease | None, now: Moment) -> bool:
    """
    Whether there is a lease, and something is left of it.
    """
    if lease is None:
        return False
    left = left_seconds(lease, now)
    return left is None or left > 0


def look_again_seconds(lease: DatasetLease, now: Moment) -> float | None:
    """
    After how long a lease has ended, or what is left of it is to be written down anew. None: never.
    """
    left = left_seconds(lease, now)
    if left is None or lease.left_seconds is None:
        return None
    if lease.boot_id != now.boot_id:
        return 0.0
    if lease.left_seconds > REWRITTEN_FROM_SECONDS:
        return max(0.0, left - lease.left_seconds / 2)
    return max(0.0, left)


def kept_up(leases: PMap[DatasetId, DatasetLease], now: Moment) -> Changes:
    """
    The leases that have ended deleted, and those written down anew for which it is time.
    """
    changes = Changes()
    for lease in leases.values():
        if look_again_seconds(lease, now) != 0.0:
            continue
        if is_held(lease, now):
            changes = changes.put(_from(lease, now, left_seconds(lease, now)))
        else:
            changes = changes.delete(lease_key(lease.dataset_id))
    return changes


def _from(lease: DatasetLease, now: Moment, seconds: float | None) -> DatasetLease:
    return lease.set(left_seconds=seconds, counted_at_seconds=now.at_seconds, boot_id=now.boot_id)


def acquired(state: State, command: AcquireLease) -> Changes | Refusal:
    """
    What acquiring a lease changes, or why it can't be had.
    """
    held = state.dataset_leases.get(command.dataset_id)
    if held is None or not is_held(held, command.now):
        held = DatasetLease(dataset_id=command.dataset_id, node_id=command.node_id, boot_id=command.now.boot_id)
    elif held.node_id != command.node_id:
        return Refusal.of(
            RefusalCode.LEASE_HELD,
            f"node {_node_called(state, held.node_id)} holds the lease of the dataset {_called(state, held.dataset_id)}"
            " already: wait until it is released or has expired, or release it",
            lease_key(command.dataset_id),
        ).set(holder=held.node_id)
    return Changes().put(_from(held, command.now, command.seconds))


def released(state: State, command: ReleaseLease) -> Changes | Refusal:
    """
    What releasing a lease changes, or that there is none.
    """
    if not is_held(state.dataset_leases.get(command.dataset_id), command.now):
        return Refusal.of(
            RefusalCode.LEASE_UNKNOWN, f"nobody holds a lease of the dataset {_called(state, command.dataset_id)}"
        )
    return Changes().delete(lease_key(command.dataset_id))


def served(dataset: Dataset, lease: DatasetLease | None) -> Dataset:
    """
    A dataset as it is to be served at present: as it is wanted, but for what waits for the end of a lease.
    """
    if lease is None or lease.kept is None:
        return dataset
    return dataset.set(primary=lease.kept.primary, maximum_size_bytes=lease.kept.maximum_size_bytes, deleted=False)


_HELD_FIELDS = ("primary", "maximum_size_bytes", "deleted")


def under_leases(state: State, changes: Changes, rule: LeaseRule) -> tuple[Changes, tuple[Refusal, ...]]:
    """
    Changes as leases let them be, and what they refuse.
    """
    refusals: list[Refusal] = []
    leases = changed(state, changes, revision=state.revision).dataset_leases
    for wish in changes.puts.values():
        if not isinstance(wish, Dataset):
            continue
        before, lease = state.datasets.get(wish.dataset_id), leases.get(wish.dataset_id)
        if before is None or lease is None:
            continue
        asked = {field for field in _HELD_FIELDS if getattr(wish, field) != getattr(before, field)}
        against = {field for field in asked if not _is_as_before(state, served(before, lease), wish, field)}
        if against and rule is LeaseRule.REFUSE:
            refusals.append(_in_the_way(state, wish, lease))
        elif wish.deleted and rule is LeaseRule.FORCE:
            changes = changes.delete(lease_key(wish.dataset_id))
        elif asked:
            changes = changes.put(
                _with_wish(before, wish, lease, asked if rule is LeaseRule.FORCE else asked - against)
            )
    return changes, tuple(refusals)


def _is_as_before(state: State, kept: Dataset, wish: Dataset, field: str) -> bool:
    if field == "primary" and state.ownerships[wish.dataset_id].owner == wish.primary:
        return True
    return bool(getattr(kept, field) == getattr(wish, field))


def _with_wish(before: Dataset, wish: Dataset, lease: DatasetLease, at_once: set[str]) -> DatasetLease:
    """
    The lease after a wish, of which some fields are done at once and the others when it ends.
    """
    kept = served(before, lease)
    kept = kept.set(**{field: getattr(wish, field) for field in at_once})
    waits = any(getattr(kept, field) != getattr(wish, field) for field in _HELD_FIELDS)
    return lease.set(
        kept=KeptDataset(primary=kept.primary, maximum_size_bytes=kept.maximum_size_bytes) if waits else None
    )


def _in_the_way(state: State, wish: Dataset, lease: DatasetLease) -> Refusal:
    return Refusal.of(
        RefusalCode.DATASET_LEASED,
        f"the dataset {_called(state, wish.dataset_id)} is leased to node {_node_called(state, lease.node_id)}, and is"
        " neither moved nor resized nor deleted before the lease is released or has expired: release it (`flockerctl"
        f" release {_called(state, wish.dataset_id)}`), or ask again with when_released, or with force (API v2)",
        key_of(wish),
    ).set(holder=lease.node_id)


def _called(state: State, dataset_id: DatasetId) -> str:
    dataset = state.datasets.get(dataset_id)
    return str(dataset_id) if dataset is None or dataset.name is None else dataset.name


def _node_called(state: State, node_id: NodeId) -> str:
    node = state.nodes.get(node_id)
    return str(node_id) if node is None or node.name is None else node.name
