"""
The state as texts, and back.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector

from flocker_control.codec import commit_changes, loaded_state, texts
from flocker_control.state import Changes, State, changed
from flocker_control.store import Commit, Loaded, StoreDamaged, StoreTooNew
from flocker_py.model import Container, ContainerName, Dataset, DatasetId, Node, NodeId, Ownership

NODE = Node(node_id=NodeId(UUID(int=1)), name="alpha")
DATASET = Dataset(dataset_id=DatasetId(UUID(int=2)), primary=NODE.node_id, metadata=pmap({"größe": "\U0001f40b"}))
CHANGES = Changes().put(
    NODE,
    DATASET,
    Ownership(dataset_id=DATASET.dataset_id, owner=NODE.node_id),
    Container(name=ContainerName("a/b"), node_id=NODE.node_id),
)


def loaded(edit: Callable[[str], str] = str, *, key: str = f"dataset/{DATASET.dataset_id}") -> Loaded:
    """
    A store with one record, its text edited.
    """
    puts, _ = texts(Changes().put(DATASET))
    return Loaded(revision=1, values=pmap({key: edit(*puts.values())}))


def test_what_was_written_is_read() -> None:
    """
    Every kind of record comes back as it was.
    """
    puts, _ = texts(CHANGES)

    assert changed(State(), CHANGES, revision=7) == loaded_state(Loaded(revision=7, values=pmap(puts)))


def test_commit_is_read() -> None:
    """
    A commit of the past means the changes it was made of, deletions too.
    """
    changes = CHANGES.delete("container/gone")
    puts, deletes = texts(changes)

    assert changes == commit_changes(Commit(revision=1, puts=pmap(puts), deletes=pvector(deletes)))


@pytest.mark.parametrize(
    ("damaged", "complaint"),
    [
        (loaded(lambda text: text[:-1]), "not one"),
        (loaded(lambda text: text.replace('"primary"', '"owner"')), "primary"),
        (loaded(lambda text: text.replace('"format":5', '"format":0')), "format 0"),
        (loaded(key=f"dataset/{UUID(int=9)}"), "belongs under"),
        (loaded(key=f"node/{DATASET.dataset_id}"), "Node"),
        (loaded(key="shelf/1"), "no kind of record"),
    ],
    ids=["cut", "field", "format", "key", "kind", "unknown kind"],
)
def test_damage_is_named(damaged: Loaded, complaint: str) -> None:
    """
    A record that isn't what belongs under its key stops the load, and the message says what is wrong with it.
    """
    with pytest.raises(StoreDamaged, match=complaint):
        loaded_state(damaged)


def test_newer_record_is_told_from_damage() -> None:
    """
    A record that a newer version wrote is said to be newer.
    """
    with pytest.raises(StoreTooNew):
        loaded_state(loaded(lambda text: text.replace('"format":5', '"format":99')))
