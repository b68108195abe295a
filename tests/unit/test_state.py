"""
The durable state as one value, and the changes to it.
"""

from __future__ import annotations

from uuid import UUID

import pytest

from flocker_control.absence import Absence
from flocker_control.state import Changes, State, Stored, changed, key_of
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    DatasetLease,
    Node,
    NodeId,
    Ownership,
    StashWish,
)

NODE = Node(node_id=NodeId(UUID(int=1)))
DATASET = Dataset(dataset_id=DatasetId(UUID(int=2)), primary=NODE.node_id)
OWNERSHIP = Ownership(dataset_id=DATASET.dataset_id, owner=NODE.node_id)
CONTAINER = Container(name=ContainerName("web"), node_id=NODE.node_id)
WISH = StashWish(node_id=NODE.node_id, name="s")
ABSENCE = Absence(node_id=NODE.node_id, since_seconds=1.0)
LEASE = DatasetLease(dataset_id=DATASET.dataset_id, node_id=NODE.node_id, boot_id=UUID(int=9))
ALL: tuple[Stored, ...] = (NODE, DATASET, OWNERSHIP, CONTAINER, WISH, LEASE, ABSENCE)


def test_put() -> None:
    """
    What is put is there, at the revision given.
    """
    after = changed(State(), Changes().put(*ALL), revision=3)

    assert (3, [NODE], [DATASET], [OWNERSHIP], [CONTAINER]) == (
        after.revision,
        list(after.nodes.values()),
        list(after.datasets.values()),
        list(after.ownerships.values()),
        list(after.containers.values()),
    )


@pytest.mark.parametrize("record", ALL, ids=lambda record: type(record).__name__)
def test_delete(record: Stored) -> None:
    """
    What is deleted is gone, and nothing else.
    """
    full = changed(State(), Changes().put(*ALL), revision=1)
    rest = [other for other in ALL if other is not record]

    after = changed(full, Changes().delete(key_of(record)), revision=2)
    assert changed(State(), Changes().put(*rest), revision=2) == after


def test_delete_what_is_not_there() -> None:
    """
    Deleting what isn't there is harmless.
    """
    assert State(revision=1) == changed(State(), Changes().delete("container/web"), revision=1)


def test_unknown_kind() -> None:
    """
    A key of an unknown kind is a mistake.
    """
    with pytest.raises(ValueError, match="shelf/1"):
        changed(State(), Changes().delete("shelf/1"), revision=1)


def test_last_word_counts() -> None:
    """
    A key is put or deleted, never both: what comes later counts.
    """
    put, deleted = Changes().put(CONTAINER), Changes().delete("container/web")

    assert (deleted, put) == (put.then(deleted), deleted.then(put))


def test_no_changes_are_false() -> None:
    """
    Changes are true if there are any.
    """
    assert (False, True, True) == (bool(Changes()), bool(Changes().put(NODE)), bool(Changes().delete("node/x")))


def test_compared_by_value() -> None:
    """
    Equal changes are equal, and show what they are.
    """
    one, two = Changes().put(NODE).delete("container/web"), Changes().delete("container/web").put(NODE)

    assert (one, hash(one), repr(one)) == (two, hash(two), repr(two))
    assert one != NODE
