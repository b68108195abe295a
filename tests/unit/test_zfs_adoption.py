"""
What has to be done with ZFS datasets that somebody else made.
"""

from __future__ import annotations

from uuid import UUID

import pytest
from pyrsistent import pvector

from flocker_agent.storage.zfs_adoption import (
    Candidate,
    Mark,
    Refused,
    Rename,
    Step,
    Unmount,
    Wish,
    flockers_wish,
    flockers_wishes,
    steps,
    wish_of,
)
from flocker_py.model import DatasetId, NodeId
from flocker_py.storage import Role

NODE = NodeId(UUID("11111111-0000-4000-8000-000000000001"))
OTHER = UUID("11111111-0000-4000-8000-000000000002")
DATASET = DatasetId(UUID("dddddddd-0000-4000-8000-000000000001"))
OLD_NAME = f"tank/{NODE}.default.{DATASET}"
TARGET = f"tank/flocker/{DATASET}"
OWNED = Wish(name=OLD_NAME, dataset_id=DATASET, role=Role.OWNER)
PLAIN = Candidate(kind="filesystem")


def left(found: Candidate | None = PLAIN, wish: Wish = OWNED, *, target_taken: bool = False) -> list[Step]:
    result = steps("tank", wish, found, target_taken=target_taken)
    assert not isinstance(result, Refused), result.text
    return result


def refusal(found: Candidate | None = PLAIN, wish: Wish = OWNED, *, target_taken: bool = False) -> str:
    result = steps("tank", wish, found, target_taken=target_taken)
    assert isinstance(result, Refused)
    return result.text


@pytest.mark.parametrize(
    ("name", "role"),
    [
        (OLD_NAME, Role.OWNER),
        (f"tank/{OTHER}.default.{DATASET}", Role.REPLICA),
        (OLD_NAME.upper().replace("TANK", "tank").replace("DEFAULT", "default"), Role.OWNER),
    ],
)
def test_names_that_flocker_gave(name: str, role: Role) -> None:
    """
    The name says which dataset it is, and whether this node served it or had a copy.
    """
    assert flockers_wish("tank", name, NODE) == Wish(name=name, dataset_id=DATASET, role=role)


@pytest.mark.parametrize(
    "name",
    [
        "tank/flocker",
        f"pool/{NODE}.default.{DATASET}",
        f"tank/{NODE}.other.{DATASET}",
        f"tank/x.default.{DATASET}",
        f"tank/{NODE}.default.x",
        f"tank/{NODE}.default.{DATASET.hex}",
    ],
)
def test_names_that_flocker_did_not_give(name: str) -> None:
    """
    Any other name says nothing.
    """
    assert flockers_wishes("tank", [name, OLD_NAME], NODE) == [OWNED]


@pytest.mark.parametrize(
    ("written", "replica", "wish"),
    [
        (OLD_NAME, False, OWNED),
        (OLD_NAME, True, OWNED.set(role=Role.REPLICA)),
        (f"{OTHER}={OLD_NAME}", False, OWNED.set(dataset_id=OTHER)),
        (f"{DATASET}=tank/data/pg", False, OWNED.set(name="tank/data/pg")),
        (f"{DATASET}=tank/data/pg", True, OWNED.set(name="tank/data/pg", role=Role.REPLICA)),
        (f"tank/{OTHER}.default.{DATASET}", True, OWNED.set(name=f"tank/{OTHER}.default.{DATASET}", role=Role.REPLICA)),
    ],
)
def test_what_an_operator_names(written: str, replica: bool, wish: Wish) -> None:
    """
    A dataset of any name is given with its id; Flocker's name has one in it, which can be overridden.
    """
    assert wish_of("tank", written, NODE, replica=replica) == wish


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("tank/data/pg", "is not a name that Flocker gave: give its id with it, ID=tank/data/pg"),
        ("x=tank/data/pg", "'x' is no id"),
        ("=tank/data/pg", "'' is no id"),
        (f"{DATASET}=pool/data", "'pool/data' is not in the agent's pool, tank"),
        (f"tank/{OTHER}.default.{DATASET}", f"is a copy of what node {OTHER} served: adopt it there"),
        (f"{DATASET}=tank/{OTHER}.default.{DATASET}", f"is a copy of what node {OTHER} served: adopt it there"),
        ("pool/data", "'pool/data' is not in the agent's pool, tank"),
    ],
)
def test_what_an_operator_can_not_name(written: str, text: str) -> None:
    """
    What can't be meant is refused, with what to write instead.
    """
    found = wish_of("tank", written, NODE, replica=False)

    assert isinstance(found, Refused)
    assert text in found.text


def test_what_is_done() -> None:
    """
    It is unmounted, marked, and then renamed, so that it never stands in its place unmarked.
    """
    found = PLAIN.set(mounted_at=pvector(["/flocker/x"]), encryption_root=OLD_NAME, snapshots=2)
    mark = Mark(
        name=OLD_NAME,
        properties=pvector(
            [
                ("canmount", "noauto"),
                ("mountpoint", "legacy"),
                ("readonly", "off"),
                ("flocker_py:epoch", "1"),
                ("flocker_py:role", "owner"),
            ]
        ),
    )

    assert left(found) == [Unmount(path="/flocker/x"), mark, Rename(source=OLD_NAME, target=TARGET)]


def test_steps_for_people() -> None:
    """
    Each step says what is done to what.
    """
    assert [step.text for step in left(PLAIN.set(mounted_at=pvector(["/x"])))] == [
        "unmount /x",
        f"set canmount=noauto mountpoint=legacy readonly=off flocker_py:epoch=1 flocker_py:role=owner on {OLD_NAME}",
        f"rename {OLD_NAME} to {TARGET}",
    ]


def test_copies_are_read_only() -> None:
    """
    A copy is of epoch 0, as one that was received here, and can't be written to.
    """
    mark, _ = left(PLAIN.set(snapshots=1), OWNED.set(role=Role.REPLICA))

    assert isinstance(mark, Mark)
    assert dict(mark.properties)["readonly"] == "on"
    assert dict(mark.properties)["flocker_py:epoch"] == "0"


def test_interrupted_before_the_renaming() -> None:
    """
    What was marked already is only renamed.
    """
    found = PLAIN.set(marked_role="owner", marked_epoch="1")

    assert left(found) == [Rename(source=OLD_NAME, target=TARGET)]


def test_taken_in_place() -> None:
    """
    What has its name already is only marked; and what is marked too is left alone, even mounted.
    """
    wish = OWNED.set(name=TARGET)
    found = PLAIN.set(mounted_at=pvector(["/x"]))
    done = found.set(marked_role="owner", marked_epoch="1")

    assert ([type(step) for step in left(found, wish, target_taken=True)], left(done, wish, target_taken=True)) == (
        [Unmount, Mark],
        [],
    )


@pytest.mark.parametrize(
    ("found", "wish", "target_taken", "text"),
    [
        (None, OWNED, False, f"there is no {OLD_NAME}"),
        (None, OWNED, True, f"there is no {OLD_NAME}, but {TARGET}: it was adopted before, or is another one"),
        (PLAIN, OWNED, True, f"there is {TARGET} already: adopt one of them only, or under another id"),
        (PLAIN, OWNED.set(name="tank/flocker"), False, "tank/flocker is among our own"),
        (PLAIN, OWNED.set(name="tank/flocker/stash/x"), False, "tank/flocker/stash/x is among our own"),
        (PLAIN.set(kind="volume"), OWNED, False, f"{OLD_NAME} is a volume, and datasets are file systems"),
        (PLAIN.set(partial=True), OWNED, False, f"{OLD_NAME} has come in only in part"),
        (PLAIN.set(children=pvector(["tank/a/b"])), OWNED, False, f"{OLD_NAME} has children, tank/a/b: move them"),
        (PLAIN.set(encryption_root="tank"), OWNED, False, f"{OLD_NAME} has its key from tank, and can't leave it"),
        (
            PLAIN.set(marked_role="owner", marked_epoch="7"),
            OWNED,
            False,
            f"{OLD_NAME} is ours already: owner of epoch 7",
        ),
        (PLAIN, OWNED.set(role=Role.REPLICA), False, f"{OLD_NAME} has no snapshots: as a copy it is good for nothing"),
    ],
)
def test_what_can_not_be_adopted(found: Candidate | None, wish: Wish, target_taken: bool, text: str) -> None:
    """
    What can't be one of ours, or would be in the way of one, is refused with the reason.
    """
    assert refusal(found, wish, target_taken=target_taken)[: len(text)] == text
