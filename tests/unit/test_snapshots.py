"""
Which way leads from one history of snapshots to another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pvector

from flocker_py.model import DatasetId, Guid
from flocker_py.snapshots import (
    Diverged,
    NothingInCommon,
    NothingToSend,
    PartialReceive,
    Path,
    SendFull,
    SendIncremental,
    SendResumed,
    SourceLacksSnapshot,
    TargetAhead,
    TargetWritten,
    common_ancestor,
    explain,
    history,
    path_to_send,
)
from flocker_py.storage import Role, StoredDataset, StoredSnapshot


def path(
    source: Sequence[int], target: Sequence[int], to: int, bookmarks: Mapping[str, int] | None = None, **rest: Any
) -> Path:
    return path_to_send(
        [Guid(guid) for guid in source],
        [Guid(guid) for guid in target],
        Guid(to),
        {name: Guid(guid) for name, guid in (bookmarks or {}).items()},
        **rest,
    )


def partial(to_guid: int | None) -> PartialReceive:
    return PartialReceive(resume_token="token", to_guid=None if to_guid is None else Guid(to_guid))


def full(to: int, **rest: Any) -> SendFull:
    return SendFull(to_guid=Guid(to), **rest)


def incremental(since: int, to: int, **rest: Any) -> SendIncremental:
    return SendIncremental(from_guid=Guid(since), to_guid=Guid(to), **rest)


def resumed(to: int, since: int | None = None) -> SendResumed:
    return SendResumed(to_guid=Guid(to), from_guid=None if since is None else Guid(since), resume_token="token")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(path([1, 2], [], 2), full(2), id="an empty target gets everything"),
        pytest.param(path([1, 2, 3], [1, 2], 3), incremental(2, 3), id="a target behind gets the changes"),
        pytest.param(path([2, 3], [1, 2], 3), incremental(2, 3), id="older snapshots of the target do not matter"),
        pytest.param(
            path([3], [1, 2], 3, {"b": 1, "d": 2, "c": 2}),
            incremental(2, 3, from_bookmark="c"),
            id="a bookmark serves as base",
        ),
        pytest.param(path([1, 2, 3], [1, 2], 2), NothingToSend(to_guid=Guid(2)), id="a target that ends in it has it"),
        pytest.param(path([1, 2, 3], [1, 2, 3], 2), NothingToSend(to_guid=Guid(2)), id="and one that went on has it"),
        pytest.param(path([1, 2], [], 3), SourceLacksSnapshot(to_guid=Guid(3)), id="the snapshot must be there"),
        pytest.param(
            path([1, 2, 3], [1, 3], 2),
            TargetAhead(to_guid=Guid(2), newest_guid=Guid(3)),
            id="a target that skipped it is ahead",
        ),
        pytest.param(
            path([1, 2, 3], [1, 7, 8], 3),
            Diverged(common_guid=Guid(1), newer_guids=pvector([Guid(7), Guid(8)])),
            id="a target with snapshots of its own has diverged",
        ),
        pytest.param(
            path([1, 2, 3], [1, 2, 3, 9], 3),
            Diverged(common_guid=Guid(3), newer_guids=pvector([Guid(9)])),
            id="also after what is wanted",
        ),
        pytest.param(
            path([2, 3], [1, 7], 3, {"b": 1}),
            Diverged(common_guid=Guid(1), newer_guids=pvector([Guid(7)])),
            id="the common one may be a bookmark",
        ),
        pytest.param(path([1, 2], [7, 8], 2), NothingInCommon(newest_guid=Guid(8)), id="strangers have no way"),
        pytest.param(
            path([1, 2], [1], 2, target_written=True), TargetWritten(newest_guid=Guid(1)), id="written data is kept"
        ),
        pytest.param(
            path([1, 2], [], 2, target_written=True), TargetWritten(newest_guid=None), id="with no snapshot, too"
        ),
        pytest.param(path([1, 2], [], 2, partial=partial(2)), resumed(2), id="a cut first stream goes on"),
        pytest.param(path([1, 2], [], 2, partial=partial(1)), resumed(1), id="to where it was going"),
        pytest.param(path([1, 2], [], 2, partial=partial(None)), resumed(2), id="a token of unknown aim is tried"),
        pytest.param(path([1, 2, 3], [1], 3, partial=partial(2)), resumed(2, 1), id="a cut increment goes on"),
        pytest.param(
            path([1, 3], [1], 3, partial=partial(2)),
            incremental(1, 3, abort_partial=True),
            id="what can't be finished is aborted",
        ),
        pytest.param(
            path([1, 2, 3], [1, 2], 3, partial=partial(2)),
            incremental(2, 3, abort_partial=True),
            id="what was overtaken is aborted",
        ),
        pytest.param(
            path([1, 2, 3], [], 2, partial=partial(3)),
            full(2, abort_partial=True),
            id="a stream past what is wanted is aborted",
        ),
        pytest.param(
            path([1, 2], [1, 2], 2, partial=partial(3)),
            NothingToSend(to_guid=Guid(2), abort_partial=True),
            id="a needless stream is aborted",
        ),
    ],
)
def test_path(found: Path, expected: Path) -> None:
    """
    Each pair of histories has one path, or one conflict.
    """
    assert found == expected


@pytest.mark.parametrize(
    ("explained", "expected"),
    [
        (full(2), "send everything up to snapshot 2"),
        (incremental(1, 2), "send the changes from snapshot 1 to snapshot 2"),
        (
            incremental(1, 2, from_bookmark="b"),
            "send the changes from snapshot 1, of which the source has bookmark b, to snapshot 2",
        ),
        (resumed(2), "go on with the cut stream of snapshot 2"),
        (NothingToSend(to_guid=Guid(2)), "the target has snapshot 2 already"),
        (SourceLacksSnapshot(to_guid=Guid(2)), "the source has no snapshot 2: take a new one and send that"),
        (
            TargetWritten(newest_guid=None),
            "the target has data and no snapshot of it: put it aside if it is needed, or remove it",
        ),
        (
            TargetWritten(newest_guid=Guid(1)),
            (
                "the target was written to after its newest snapshot, 1: "
                "put it aside; what was written there is nowhere else"
            ),
        ),
        (
            TargetAhead(to_guid=Guid(2), newest_guid=Guid(3)),
            "the target ends in snapshot 3, which is newer than snapshot 2: send a newer one",
        ),
        (
            Diverged(common_guid=Guid(1), newer_guids=pvector([Guid(7)])),
            (
                "after snapshot 1, which both have, the target got 1 snapshot that the source doesn't have, "
                "the newest being 7: put the target aside; its newer data is nowhere else"
            ),
        ),
        (
            Diverged(common_guid=Guid(1), newer_guids=pvector([Guid(7), Guid(8)])),
            (
                "after snapshot 1, which both have, the target got 2 snapshots that the source doesn't have, "
                "the newest being 8: put the target aside; its newer data is nowhere else"
            ),
        ),
        (
            NothingInCommon(newest_guid=Guid(8)),
            (
                "the target ends in snapshot 8, and has none in common with the source: "
                "put it aside; its data is nowhere else"
            ),
        ),
    ],
)
def test_explanation(explained: Path, expected: str) -> None:
    """
    Every path and conflict is explained in a sentence, and a conflict says what to do.
    """
    assert explain(explained) == expected


def test_newest_common_snapshot_is_the_ancestor() -> None:
    """
    Of several common snapshots the newest counts.
    """
    assert common_ancestor([Guid(1), Guid(2), Guid(3)], [Guid(1), Guid(2), Guid(9)]) == 2


def test_history_of_a_stored_dataset() -> None:
    """
    A dataset's history is the GUIDs of its snapshots, oldest first.
    """
    dataset = StoredDataset(
        dataset_id=DatasetId(UUID(int=1)),
        role=Role.OWNER,
        epoch=1,
        snapshots=pvector([StoredSnapshot(guid=Guid(5), name="a"), StoredSnapshot(guid=Guid(3), name="b")]),
    )

    assert list(history(dataset)) == [5, 3]
