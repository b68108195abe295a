"""
Names in a ZFS pool.
"""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flocker_agent.storage import zfs_names
from flocker_py.model import DatasetId
from flocker_py.storage import NameRefused, PropertyRefused

ID = DatasetId(UUID("11111111-1111-4111-8111-111111111111"))

_labels = st.text(alphabet="abzAZ09_.:-", min_size=1, max_size=80)


class TestPool:
    @pytest.mark.parametrize("pool", ["tank", "r-pool_1.x:y", "p" * 118])
    def test_accepted(self, pool: str) -> None:
        """
        Names that ZFS gives pools are accepted.
        """
        assert zfs_names.checked_pool(pool) == pool

    @pytest.mark.parametrize("pool", ["", "1tank", "tank/flocker", "tank@a", "-o", "p" * 119, "tank\n"])
    def test_refused(self, pool: str) -> None:
        """
        What can't be a pool's name, or leaves no room for snapshots' names, is refused.
        """
        with pytest.raises(NameRefused):
            zfs_names.checked_pool(pool)

    def test_longest_fits(self) -> None:
        """
        With the longest pool name, the longest snapshot name is just one that ZFS takes.
        """
        name = f"{zfs_names.dataset_name('p' * 118, ID)}@{zfs_names.OURS}{'n' * 80}"

        assert len(name) == zfs_names.LONGEST_NAME


class TestDatasets:
    def test_there_and_back(self) -> None:
        """
        From a dataset's place in the pool its id can be told.
        """
        assert zfs_names.dataset_id_of("tank", zfs_names.dataset_name("tank", ID)) == ID

    @pytest.mark.parametrize(
        "name",
        [
            "tank/flocker",
            "tank/flocker/stash",
            f"tank/{ID}",
            f"tank/flocker/{ID}/child",
            f"tank/flocker/{{{ID}}}",
            f"tank/flocker/{str(ID).replace('1', 'A')}",
            f"tank/flocker/{str(ID).replace('-', '')}",
        ],
    )
    def test_not_ours(self, name: str) -> None:
        """
        Other names, those that would only read as an id included, are not datasets of ours.
        """
        assert zfs_names.dataset_id_of("tank", name) is None


class TestStashes:
    @given(label=_labels)
    def test_there_and_back(self, label: str) -> None:
        """
        From a stash's name the id it had can be told, whatever its label.
        """
        assert zfs_names.stashed_id(zfs_names.stash_label(ID, label)) == ID

    def test_place(self) -> None:
        """
        Stashes are below the parent of all datasets, where nothing of theirs reads as one.
        """
        assert zfs_names.dataset_id_of("tank", zfs_names.stash_parent_name("tank")) is None

    @pytest.mark.parametrize("label", ["", "a/b", "a b", "x" * 81])
    def test_label_refused(self, label: str) -> None:
        """
        A label that can't be part of a name is refused.
        """
        with pytest.raises(NameRefused):
            zfs_names.stash_label(ID, label)

    @pytest.mark.parametrize("name", ["", "stash", str(ID), f"{ID}-", f"{ID}.x", f"{ID}-a/b", f"{ID}-" + "x" * 81])
    def test_no_stash(self, name: str) -> None:
        """
        Other names are no stashes'.
        """
        assert zfs_names.stashed_id(name) is None


class TestReceivedName:
    @given(label=_labels)
    def test_ours(self, label: str) -> None:
        """
        A snapshot of ours keeps its name.
        """
        assert zfs_names.received_name(f"p/flocker/{ID}@flocker_py-{label}", 5) == f"flocker_py-{label}"

    def test_foreign(self) -> None:
        """
        Somebody else's snapshot becomes one of ours by being received, under its name.
        """
        assert zfs_names.received_name("p/data@daily", 5) == "flocker_py-daily"

    @pytest.mark.parametrize(
        "name", ["", "p/data", "p/data@with space", f"p@{'x' * 81}", "p@\N{REPLACEMENT CHARACTER}"]
    )
    def test_impossible(self, name: str) -> None:
        """
        A name that can't be one of ours is replaced by the GUID.
        """
        assert zfs_names.received_name(name, 0xABC) == "flocker_py-0000000000000abc"


class TestProperties:
    def test_prefix(self) -> None:
        """
        Properties have a prefix of their own, so that one called "role" is not the role.
        """
        assert dict(zfs_names.property_changes({"role": "x"})) == {"flocker_py:own.role": "x"}

    @pytest.mark.parametrize(
        ("name", "content"), [("A", "x"), ("", "x"), ("x" * 129, "x"), ("a", "\0"), ("a", "\ud800"), ("a", "x" * 1025)]
    )
    def test_refused(self, name: str, content: str) -> None:
        """
        What a pool can't keep is refused.
        """
        with pytest.raises(PropertyRefused):
            dict(zfs_names.property_changes({name: content}))


def test_branch_is_neither_dataset_nor_stash() -> None:
    """
    What is on its way to be a dataset is not taken for one.
    """
    name = zfs_names.branch_name("tank", ID)

    assert (zfs_names.dataset_id_of("tank", name), zfs_names.stashed_id(name.rpartition("/")[2])) == (None, None)
