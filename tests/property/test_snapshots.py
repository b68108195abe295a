"""
Whatever two histories look like, the path between them is right.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flocker_py.model import Guid
from flocker_py.snapshots import (
    NothingToSend,
    PartialReceive,
    SendFull,
    SendIncremental,
    SendResumed,
    explain,
    path_to_send,
)

guids = st.integers(1, 9).map(Guid)
histories = st.lists(guids, unique=True, max_size=6)
bookmarks = st.dictionaries(st.sampled_from("abc"), guids)
partials = st.none() | st.builds(PartialReceive, resume_token=st.just("t"), to_guid=st.none() | guids)


@given(source=histories, target=histories, to_guid=guids, bookmarks=bookmarks, partial=partials)
def test_stream_fits_the_target(
    source: list[Guid],
    target: list[Guid],
    to_guid: Guid,
    bookmarks: dict[str, Guid],
    partial: PartialReceive | None,
) -> None:
    """
    A stream builds on exactly the newest snapshot of the target, and on one that the source can send from.
    """
    path = path_to_send(source, target, to_guid, bookmarks, partial=partial)

    match path:
        case SendFull():
            assert not target
        case SendIncremental():
            assert path.from_guid == target[-1]
            assert path.from_guid in source or bookmarks[str(path.from_bookmark)] == path.from_guid
        case SendResumed():
            assert path.from_guid == (target[-1] if target else None)
        case NothingToSend():
            assert path.to_guid in target
        case _:
            assert explain(path)


@given(source=st.lists(guids, unique=True, min_size=1, max_size=6), target=histories, data=st.data(), partial=partials)
def test_sending_ends(
    source: list[Guid], target: list[Guid], data: st.DataObject, partial: PartialReceive | None
) -> None:
    """
    Doing what the path says, at most twice, leaves nothing to send; or there was a conflict from the beginning.
    """
    to_guid = data.draw(st.sampled_from(source))
    sent = 0
    path = path_to_send(source, target, to_guid, partial=partial)
    while isinstance(path, SendFull | SendIncremental | SendResumed):
        target = [*target, path.to_guid]
        sent += 1
        path = path_to_send(source, target, to_guid)

    assert sent == 0 or (sent <= 2 and isinstance(path, NothingToSend))
