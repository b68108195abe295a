"""
The last assignment on disk.
"""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from pyrsistent import pmap

from flocker_agent.remembered import remember, remembered
from flocker_py.assignment import DatasetAssignment, Keep, NodeAssignment, Own
from flocker_py.model import DatasetId, NodeId

A, B = NodeId(UUID(int=1)), NodeId(UUID(int=2))
NEW, OLD, KEPT = (DatasetId(UUID(int=100 + number)) for number in range(3))
ASKED: dict[DatasetId, DatasetAssignment] = {
    NEW: Own(dataset_id=NEW, epoch=1, may_create=True),
    OLD: Own(dataset_id=OLD, epoch=2),
    KEPT: Keep(dataset_id=KEPT, epoch=1),
}
BOOT, NEXT_BOOT = UUID(int=1001), UUID(int=1002)
ASSIGNMENT = NodeAssignment(node_id=A, revision=7, datasets=pmap(ASKED))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "assignment.json"


def test_leave_to_create_is_not_remembered(path: Path) -> None:
    """
    All is as it was asked, but for the leave to create: a dataset that is not here any more may be elsewhere by now.
    """
    remember(path, ASSIGNMENT, BOOT)

    assert remembered(path, A, BOOT) == ASSIGNMENT.set(
        datasets=ASSIGNMENT.datasets.set(NEW, Own(dataset_id=NEW, epoch=1, may_create=False))
    )


def test_only_its_owner_reads_it(path: Path) -> None:
    """
    It holds the environment of containers, where people keep passwords.
    """
    remember(path, ASSIGNMENT, BOOT)

    assert path.stat().st_mode & 0o777 == 0o600


def test_latest_counts(path: Path) -> None:
    """
    The next one takes the place of the one before, and nothing else is left.
    """
    remember(path, ASSIGNMENT, BOOT)
    remember(path, NodeAssignment(node_id=A, revision=8), BOOT)

    assert remembered(path, A, BOOT) == NodeAssignment(node_id=A, revision=8)
    assert [file.name for file in path.parent.iterdir()] == ["assignment.json"]


def test_nothing_remembered(path: Path) -> None:
    """
    An agent that was never asked anything remembers nothing.
    """
    assert remembered(path, A, BOOT) is None


def test_of_another_node(path: Path) -> None:
    """
    What was asked of another node is not gone by: the folder was copied, or the certificate changed.
    """
    remember(path, ASSIGNMENT, BOOT)

    assert remembered(path, B, BOOT) is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"{}", b'{"type": "Keep"}', b"[" * 100_000])
def test_unreadable(path: Path, content: bytes) -> None:
    """
    What can't be read is as if it weren't there: the control service will ask again.
    """
    path.write_bytes(content)

    assert remembered(path, A, BOOT) is None


def test_cut_short(path: Path) -> None:
    """
    So is what a full disk has cut short.
    """
    remember(path, ASSIGNMENT, BOOT)
    path.write_bytes(path.read_bytes()[:-20])

    assert remembered(path, A, BOOT) is None


def test_disk_that_fails(tmp_path: Path) -> None:
    """
    What can't be written is told to the caller, and what was there before stays.
    """
    with pytest.raises(OSError, match="No such file"):
        remember(tmp_path / "no" / "assignment.json", ASSIGNMENT, BOOT)


def test_nothing_is_remembered_over_a_reboot(path: Path) -> None:
    """
    A host that was booted again goes by nothing before it has heard from the control service: what it owned may be
    served elsewhere by now.
    """
    remember(path, ASSIGNMENT, BOOT)

    assert remembered(path, A, NEXT_BOOT) is None
