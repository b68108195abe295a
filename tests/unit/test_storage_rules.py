"""
What the embedded storage backends accept.
"""

from __future__ import annotations

from uuid import UUID

import pytest
from pyrsistent import pvector

from flocker_agent.storage.openings import Opening, opening_bytes, parsed_opening
from flocker_agent.storage.rules import Kept, admit, changed_properties, checked_base, checked_limit, checked_name
from flocker_agent.storage.tokens import resume_position, token
from flocker_py.model import DatasetId, Guid
from flocker_py.storage import (
    DatasetBusy,
    DatasetDiverged,
    DatasetExists,
    LimitRefused,
    NameRefused,
    PropertyRefused,
    ResumeRefused,
    Role,
    SendPlan,
    SnapshotExists,
    StorageError,
    StoredDataset,
    StoredSnapshot,
    StreamCorrupt,
    WrongBase,
)

ID = DatasetId(UUID(int=1))
OLD, NEW, OTHER = Guid(1), Guid(2), Guid(3)
REPLICA = StoredDataset(
    dataset_id=ID, role=Role.REPLICA, epoch=0, snapshots=pvector([StoredSnapshot(guid=OLD, name="old")])
)
FULL = Opening(backend="memory", to_guid=NEW, to_name="new", data_bytes=10)
INCREMENT = FULL.set(from_guid=OLD)
KEPT_FULL = Kept(to_guid=NEW, position=5)
KEPT_INCREMENT = KEPT_FULL.set(from_guid=OLD)


@pytest.mark.parametrize(
    ("present", "kept", "opening"),
    [
        (None, None, FULL),
        (REPLICA.set(snapshots=pvector(), partial=True), KEPT_FULL, FULL.set(resume_position=5)),
        (REPLICA, None, INCREMENT),
        (REPLICA, KEPT_INCREMENT, INCREMENT.set(resume_position=5)),
    ],
)
def test_admitted(present: StoredDataset | None, kept: Kept | None, opening: Opening) -> None:
    """
    A whole dataset comes where there is none, an increment on its base, and the rest of either where its beginning is.
    """
    admit(ID, present, kept, opening, lambda: False)


@pytest.mark.parametrize(
    ("present", "kept", "opening", "written", "refusal"),
    [
        (REPLICA.set(mounted_at="/x"), None, INCREMENT, False, DatasetBusy),
        (None, None, FULL.set(resume_position=0), False, ResumeRefused),
        (REPLICA, KEPT_INCREMENT, INCREMENT, False, ResumeRefused),
        (REPLICA, KEPT_INCREMENT, INCREMENT.set(resume_position=4), False, ResumeRefused),
        (REPLICA, KEPT_INCREMENT, INCREMENT.set(resume_position=5, key=1), False, ResumeRefused),
        (REPLICA, KEPT_INCREMENT, INCREMENT.set(resume_position=5, to_guid=OTHER), False, ResumeRefused),
        (REPLICA, KEPT_INCREMENT, FULL.set(resume_position=5), False, ResumeRefused),
        (None, None, INCREMENT, False, WrongBase),
        (REPLICA, None, FULL, False, DatasetExists),
        (REPLICA, None, INCREMENT.set(from_guid=OTHER), False, WrongBase),
        (
            REPLICA.set(snapshots=REPLICA.snapshots.append(StoredSnapshot(guid=OTHER, name="other"))),
            None,
            INCREMENT,
            False,
            DatasetDiverged,
        ),
        (REPLICA, None, INCREMENT.set(to_name="old"), False, SnapshotExists),
        (REPLICA, None, INCREMENT, True, DatasetDiverged),
    ],
)
def test_not_admitted(
    present: StoredDataset | None, kept: Kept | None, opening: Opening, written: bool, refusal: type[StorageError]
) -> None:
    """
    Every other stream is refused for its own reason.
    """
    with pytest.raises(refusal, match=str(ID)):
        admit(ID, present, kept, opening, lambda: written)


def test_name() -> None:
    """
    A good name is answered as it is.
    """
    assert checked_name("flocker:a-b_c.1") == "flocker:a-b_c.1"


@pytest.mark.parametrize("name", ["", "x" * 81, "a\n", "ä", "a/b"])
def test_name_refused(name: str) -> None:
    """
    A bad name is refused.
    """
    with pytest.raises(NameRefused):
        checked_name(name)


@pytest.mark.parametrize("limit_bytes", [None, 10, 11])
def test_limit(limit_bytes: int | None) -> None:
    """
    A limit may be none, or what the dataset holds or more.
    """
    assert checked_limit(ID, limit_bytes, held_bytes=10) == limit_bytes


@pytest.mark.parametrize("limit_bytes", [-1, 0, 9])
def test_limit_refused(limit_bytes: int) -> None:
    """
    A limit is positive, and not less than what the dataset holds.
    """
    with pytest.raises(LimitRefused, match=str(limit_bytes)):
        checked_limit(ID, limit_bytes, held_bytes=10)


def test_properties() -> None:
    """
    Properties are added, changed, and removed by an empty value.
    """
    assert changed_properties({"a": "1", "b": "2", "c": "3"}, {"a": "", "b": "4", "d": "5"}) == {
        "b": "4",
        "c": "3",
        "d": "5",
    }


@pytest.mark.parametrize("change", [{"A": "1"}, {"": "1"}, {"a": "x" * 1025}])
def test_property_refused(change: dict[str, str]) -> None:
    """
    A name or value that can't be kept is refused.
    """
    with pytest.raises(PropertyRefused):
        changed_properties({}, change)


def test_base() -> None:
    """
    A stream leads from an older snapshot to a newer.
    """
    checked_base({OLD: 1, NEW: 2}, NEW, OLD)


@pytest.mark.parametrize("base", [NEW, OTHER])
def test_wrong_base(base: Guid) -> None:
    """
    A stream does not lead from itself, nor from what isn't there.
    """
    with pytest.raises(WrongBase, match=str(base)):
        checked_base({OLD: 1, NEW: 2}, NEW, base)


def test_token() -> None:
    """
    A token says where its stream goes on.
    """
    kept = Kept(to_guid=NEW, from_guid=OLD, key=7, position=5)

    assert resume_position(SendPlan(to_guid=NEW, from_guid=OLD, resume_token=token(kept)), 10, 7) == 5


def test_no_token() -> None:
    """
    A stream without a token begins.
    """
    assert resume_position(SendPlan(to_guid=NEW), 10) is None


@pytest.mark.parametrize(
    "kept",
    [
        Kept(to_guid=OTHER, from_guid=OLD, key=7, position=5),
        Kept(to_guid=NEW, from_guid=None, key=7, position=5),
        Kept(to_guid=NEW, from_guid=OLD, key=8, position=5),
        Kept(to_guid=NEW, from_guid=OLD, key=7, position=11),
        Kept(to_guid=NEW, from_guid=OLD, key=7, position=-1),
    ],
)
def test_token_of_another_stream(kept: Kept) -> None:
    """
    The token of another stream is refused.
    """
    with pytest.raises(ResumeRefused):
        resume_position(SendPlan(to_guid=NEW, from_guid=OLD, resume_token=token(kept)), 10, 7)


@pytest.mark.parametrize("text", ["", "!", "AAAA", "W10=", "e30=", "MQ==", "ä"])
def test_no_such_token(text: str) -> None:
    """
    What is no token is refused.
    """
    with pytest.raises(ResumeRefused, match="no resume token"):
        resume_position(SendPlan(to_guid=NEW, resume_token=text), 10)


def test_opening() -> None:
    """
    An opening arrives as it was sent.
    """
    opening = INCREMENT.set(resume_position=3, key=9, to_guid=Guid(2**64 - 1))

    assert parsed_opening(opening_bytes(opening), "memory") == opening


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"version": 2}',
        b'{"version": 1}',
        b'{"version": 1, "more": 1}',
        opening_bytes(FULL).replace(b"2", b'"2"'),
        opening_bytes(FULL.set(backend="directory")),
    ],
)
def test_bad_opening(payload: bytes) -> None:
    """
    What is no opening of this version and backend is refused.
    """
    with pytest.raises(StreamCorrupt):
        parsed_opening(payload, "memory")
