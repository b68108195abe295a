"""
Histories of snapshots, and the way to bring one up to another.

Snapshots are known by GUID: one that both sides have is the same data on both, whatever it is called.

==========================================  ======================================================
the target                                  path
==========================================  ======================================================
has nothing                                 ``SendFull``
ends in a snapshot or bookmark of source    ``SendIncremental`` from there
has kept part of a useful stream            ``SendResumed``
ends in what is wanted, or later in source  ``NothingToSend``
==========================================  ======================================================

Anything else is a conflict, and says which. Nothing here ever proposes to roll a target back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import assert_never

from pyrsistent import PVector, pvector

from flocker_py.model import Guid
from flocker_py.records import Record, sequence, value
from flocker_py.storage import StoredDataset

_NONE = type(None)
_NO_BOOKMARKS: Mapping[str, Guid] = MappingProxyType({})


class PartialReceive(Record):
    """
    What a target kept of a stream that was cut.

    :param to_guid: the snapshot that the stream was to make; None where nobody remembers.
    """

    resume_token: str = value(str)
    to_guid: Guid | None = value((int, _NONE), default=None)


class SendFull(Record):
    """
    Send the whole dataset.

    :param abort_partial: the target must first throw away what it kept of another stream.
    """

    to_guid: Guid = value(int)
    abort_partial: bool = value(bool, default=False)


class SendIncremental(Record):
    """
    Send what changed since a snapshot that the target ends in.

    :param from_bookmark: the source has only this bookmark left of that snapshot; None: it has the snapshot itself.
    :param abort_partial: the target must first throw away what it kept of another stream.
    """

    from_guid: Guid = value(int)
    to_guid: Guid = value(int)
    from_bookmark: str | None = value((str, _NONE), default=None)
    abort_partial: bool = value(bool, default=False)


class SendResumed(Record):
    """
    Go on with the stream that was cut. Afterwards look for the path again: ``to_guid`` may be older than was asked for.

    If the source refuses the token, the target aborts its partial receive and the path is looked for again.

    :param from_guid: what the stream builds on; None: it is of the whole dataset.
    """

    to_guid: Guid = value(int)
    from_guid: Guid | None = value((int, _NONE), default=None)
    resume_token: str = value(str)


class NothingToSend(Record):
    """
    The target holds the snapshot already.

    :param abort_partial: the target should throw away what it kept of a stream: no one needs it.
    """

    to_guid: Guid = value(int)
    abort_partial: bool = value(bool, default=False)


class SourceLacksSnapshot(Record):
    """
    What is to be sent isn't there.
    """

    to_guid: Guid = value(int)


class TargetWritten(Record):
    """
    The target was written to after its newest snapshot.

    :param newest_guid: None: it has no snapshot at all.
    """

    newest_guid: Guid | None = value((int, _NONE), default=None)


class TargetAhead(Record):
    """
    The target is of the same history, but later than what is to be sent.
    """

    to_guid: Guid = value(int)
    newest_guid: Guid = value(int)


class Diverged(Record):
    """
    Source and target went different ways after a snapshot that both have.

    :param newer_guids: snapshots of the target after that, which the source doesn't have; oldest first.
    """

    common_guid: Guid = value(int)
    newer_guids: PVector[Guid] = sequence(int, default=())


class NothingInCommon(Record):
    """
    Source and target share no snapshot, and the target isn't empty.
    """

    newest_guid: Guid = value(int)


Conflict = SourceLacksSnapshot | TargetWritten | TargetAhead | Diverged | NothingInCommon
Sending = SendFull | SendIncremental | SendResumed
Path = Sending | NothingToSend | Conflict


def history(dataset: StoredDataset) -> PVector[Guid]:
    """
    The GUIDs of a dataset's snapshots, oldest first.
    """
    return pvector(snapshot.guid for snapshot in dataset.snapshots)


def common_ancestor(
    source: Sequence[Guid], target: Sequence[Guid], bookmarks: Mapping[str, Guid] = _NO_BOOKMARKS
) -> Guid | None:
    """
    The newest snapshot of the target that the source has too, or remembers by a bookmark. None: there is none.
    """
    known = {*source, *bookmarks.values()}
    return next((guid for guid in reversed(target) if guid in known), None)


def path_to_send(
    source: Sequence[Guid],
    target: Sequence[Guid],
    to_guid: Guid,
    bookmarks: Mapping[str, Guid] = _NO_BOOKMARKS,
    *,
    partial: PartialReceive | None = None,
    target_written: bool = False,
) -> Path:
    """
    How the target gets a snapshot of the source.

    :param source: oldest first.
    :param target: oldest first; empty where it doesn't have the dataset, or only a first, unfinished receive of it.
    :param to_guid: the snapshot that the target shall end in.
    :param bookmarks: of the source, by name.
    :param partial: what the target kept of a stream that was cut.
    :param target_written: the target's live data differs from its newest snapshot, or it has data and no snapshot.
    """
    if to_guid not in source:
        return SourceLacksSnapshot(to_guid=to_guid)
    if target_written:
        return TargetWritten(newest_guid=target[-1] if target else None)
    if not target:
        return _resumed(source, None, to_guid, partial) or SendFull(to_guid=to_guid, abort_partial=partial is not None)
    newest = target[-1]
    wanted = source.index(to_guid)
    if newest in source:
        if to_guid in target:
            return NothingToSend(to_guid=to_guid, abort_partial=partial is not None)
        if source.index(newest) > wanted:
            return TargetAhead(to_guid=to_guid, newest_guid=newest)
        bookmark = None
    else:
        bookmark = next((name for name in sorted(bookmarks) if bookmarks[name] == newest), None)
        if bookmark is None:
            return _conflict(source, target, bookmarks)
    return _resumed(source, newest, to_guid, partial) or SendIncremental(
        from_guid=newest, to_guid=to_guid, from_bookmark=bookmark, abort_partial=partial is not None
    )


def explain(path: Path) -> str:
    """
    A path or conflict in a sentence; a conflict with what can be done.
    """
    match path:
        case SendFull():
            return f"send everything up to snapshot {path.to_guid}"
        case SendIncremental(from_bookmark=None):
            return f"send the changes from snapshot {path.from_guid} to snapshot {path.to_guid}"
        case SendIncremental():
            return (
                f"send the changes from snapshot {path.from_guid}, of which the source has bookmark "
                f"{path.from_bookmark}, to snapshot {path.to_guid}"
            )
        case SendResumed():
            return f"go on with the cut stream of snapshot {path.to_guid}"
        case NothingToSend():
            return f"the target has snapshot {path.to_guid} already"
        case SourceLacksSnapshot():
            return f"the source has no snapshot {path.to_guid}: take a new one and send that"
        case TargetWritten(newest_guid=None):
            return "the target has data and no snapshot of it: put it aside if it is needed, or remove it"
        case TargetWritten():
            return (
                f"the target was written to after its newest snapshot, {path.newest_guid}: "
                "put it aside; what was written there is nowhere else"
            )
        case TargetAhead():
            return (
                f"the target ends in snapshot {path.newest_guid}, which is newer than snapshot {path.to_guid}: "
                "send a newer one"
            )
        case Diverged():
            count = len(path.newer_guids)
            some = "1 snapshot" if count == 1 else f"{count} snapshots"
            return (
                f"after snapshot {path.common_guid}, which both have, the target got {some} that the source doesn't "
                f"have, the newest being {path.newer_guids[-1]}: put the target aside; its newer data is nowhere else"
            )
        case NothingInCommon():
            return (
                f"the target ends in snapshot {path.newest_guid}, and has none in common with the source: "
                "put it aside; its data is nowhere else"
            )
        case _:
            assert_never(path)


def _resumed(
    source: Sequence[Guid], newest: Guid | None, to_guid: Guid, partial: PartialReceive | None
) -> SendResumed | None:
    if partial is None:
        return None
    through = to_guid if partial.to_guid is None else partial.to_guid
    # A stream past what is wanted would leave the target ahead.
    if through not in source or source.index(through) > source.index(to_guid):
        return None
    # One at or before the target's end was overtaken by another stream.
    if newest in source and source.index(through) <= source.index(newest):
        return None
    return SendResumed(to_guid=through, from_guid=newest, resume_token=partial.resume_token)


def _conflict(source: Sequence[Guid], target: Sequence[Guid], bookmarks: Mapping[str, Guid]) -> Conflict:
    common = common_ancestor(source, target, bookmarks)
    if common is None:
        return NothingInCommon(newest_guid=target[-1])
    return Diverged(common_guid=common, newer_guids=pvector(target[target.index(common) + 1 :]))
