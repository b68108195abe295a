"""
Reading what a pool answers.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector

from flocker_agent.storage.zfs_listing import ListedDataset, detailed, listed
from flocker_py.model import DatasetId, Guid
from flocker_py.storage import Role, StoredDataset, StoredSnapshot

ID = DatasetId(UUID("11111111-1111-4111-8111-111111111111"))
NAME = f"p/flocker/{ID}"


def answer(own: dict[bytes, bytes] | None = None, **more: Any) -> ListedDataset:
    """
    What the pool says of a dataset of which all is usual but what is given.
    """
    found: dict[bytes, Any] = {b"used": 100, b"own": own or {}}
    found |= {name.encode(): content for name, content in more.items()}
    return listed({NAME.encode(): found})[NAME]


class TestStored:
    def test_nothing_written(self) -> None:
        """
        A dataset without role and epoch, as right after a receive, is a REPLICA of epoch 0.
        """
        assert answer().stored(ID, None) == StoredDataset(dataset_id=ID, role=Role.REPLICA, epoch=0, used_bytes=100)

    def test_all(self) -> None:
        """
        All that the pool knows is told in the protocol's words.
        """
        own = {
            b"flocker_py:role": b"owner",
            b"flocker_py:epoch": b"7",
            b"flocker_py:own.role": b"\xc3\xa4",
            b"com.sun:auto-snapshot": b"true",
        }
        found = answer(own, refquota=5000, keystatus=b"available", receive_resume_token=b"1-a-b-c")

        assert found.stored(ID, "/flocker/x") == StoredDataset(
            dataset_id=ID,
            role=Role.OWNER,
            epoch=7,
            mounted_at="/flocker/x",
            used_bytes=100,
            maximum_size_bytes=5000,
            resume_token="1-a-b-c",
            encrypted=True,
            properties=pmap({"role": "\N{LATIN SMALL LETTER A WITH DIAERESIS}"}),
        )

    def test_snapshots(self) -> None:
        """
        Snapshots are in the order of their making; GUIDs have no sign; others' snapshots and holds are told from ours.
        """
        listed = {
            f"{NAME}@daily".encode(): {b"guid": 5, b"createtxg": 30, b"holds": {b"backup": True}},
            f"{NAME}@flocker_py-b".encode(): {
                b"guid": -1,
                b"createtxg": 9,
                b"holds": {b"flocker_py-t": True, b"x": True},
            },
            f"{NAME}@flocker_py-a".encode(): {b"guid": 7, b"createtxg": 10},
        }

        assert answer(snapshots=listed).stored(ID, None).snapshots == pvector(
            [
                StoredSnapshot(guid=Guid((1 << 64) - 1), name="b", holds=pvector(["t"])),
                StoredSnapshot(guid=Guid(7), name="a"),
                StoredSnapshot(guid=Guid(5), name="daily", ours=False),
            ]
        )

    @pytest.mark.parametrize(("guid", "name"), [(7, "flocker_py-a"), (8, None)])
    def test_snapshot(self, guid: int, name: str | None) -> None:
        """
        A snapshot is found by its GUID, if it is there.
        """
        entry = answer(snapshots={f"{NAME}@flocker_py-a".encode(): {b"guid": 7, b"createtxg": 10}})

        found = entry.snapshot(Guid(guid))

        assert (None if found is None else found.name) == name

    @pytest.mark.parametrize(
        ("role", "epoch"),
        [(b"emperor", b"1"), (b"", b""), (b"replica", b"x"), (b"replica", b"-1"), (b"replica", b"\xb2")],
    )
    def test_unknown_role(self, role: bytes, epoch: bytes) -> None:
        """
        A role that nobody knows is never read as the right to write.
        """
        found = answer({b"flocker_py:role": role, b"flocker_py:epoch": epoch})

        assert (found.role, found.epoch) in {(Role.REPLICA, 0), (Role.REPLICA, 1)}


class TestDetailed:
    @pytest.mark.parametrize(("read_only", "key"), [(b"on", b"unavailable"), (b"off", b"available"), (b"off", b"none")])
    def test_details(self, read_only: bytes, key: bytes) -> None:
        """
        Of one dataset it is told whether it can be written and read, too.
        """
        found = {
            b"used": 100,
            b"referenced": 90,
            b"written": 5,
            b"available": 1000,
            b"own": {},
            b"readonly": read_only,
            b"keystatus": key,
            b"mountpoint": b"legacy",
        }

        entry = detailed({NAME.encode(): found})[NAME]

        assert (entry.read_only, entry.key_loaded, entry.written_bytes) == (
            read_only == b"on",
            key != b"unavailable",
            5,
        )
