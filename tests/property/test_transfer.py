"""
What holds of transfers whatever is said, measured or booked.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrsistent import pvector

from flocker_agent.pacing import QUANTUM_SECONDS, Booking, booked, piece_bytes
from flocker_agent.rounds import Round, needless, outlook
from flocker_py.model import Guid
from flocker_py.observed import SendVerdict
from flocker_py.storage import StoredSnapshot
from flocker_py.streams import HEADER_BYTES, FrameKind, FrameRefused, Refusal, State, frame, header, message

GUIDS = st.integers(1, 2**64 - 1)
SECONDS = st.floats(0, 1e6, allow_nan=False)
ROUNDS = st.lists(
    st.builds(
        Round,
        size_bytes=st.integers(0, 2**50),
        snapshot_seconds=SECONDS,
        transfer_seconds=SECONDS,
        gathered_seconds=st.none() | SECONDS,
    ),
    max_size=130,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(guids=st.lists(GUIDS, max_size=50), token=st.none() | TEXT, free_bytes=st.integers(0, 2**63))
def test_states_survive(guids: list[int], token: str | None, free_bytes: int) -> None:
    """
    Whatever a pool holds, the other side hears exactly that.
    """
    state = State(guids=pvector(Guid(guid) for guid in guids), resume_token=token, free_bytes=free_bytes)

    assert message(frame(state)[HEADER_BYTES:]) == state


@given(code=TEXT, text=TEXT, lasting=st.booleans())
def test_refusals_survive(code: str, text: str, lasting: bool) -> None:
    """
    Whatever the reason is, the other side hears exactly that.
    """
    refusal = Refusal(code=code, text=text, lasting=lasting)

    assert message(frame(refusal)[HEADER_BYTES:]) == refusal


@given(octets=st.binary(min_size=HEADER_BYTES, max_size=HEADER_BYTES))
def test_any_octets_are_a_header_or_refused(octets: bytes) -> None:
    """
    There is nothing that is neither a header nor refused.
    """
    try:
        kind, size_bytes = header(octets)
    except FrameRefused:
        return

    assert kind in FrameKind and size_bytes > 0


@given(body=st.binary(max_size=200))
def test_any_octets_are_a_message_or_refused(body: bytes) -> None:
    """
    Random octets are never taken for a message, and never anything but refused.
    """
    with pytest.raises(FrameRefused):
        message(body)


@given(rounds=ROUNDS, budget=st.floats(0.001, 1000))
def test_ready_means_that_it_fits(rounds: list[Round], budget: float) -> None:
    """
    An application is only ready to be stopped if the predicted downtime is within the budget, pause included.
    """
    seen = outlook(rounds, budget)
    predicted = seen.predicted_downtime_seconds

    assert (seen.verdict is not SendVerdict.READY) or (predicted is not None and predicted <= budget * 1.000001)


@given(rounds=ROUNDS, budget=st.floats(0.001, 1000))
def test_pauses_are_short(rounds: list[Round], budget: float) -> None:
    """
    Nothing measured makes a sender pause for longer than ten seconds, or for less than nothing.
    """
    assert 0.0 <= outlook(rounds, budget).pause_seconds <= 10.0


@given(
    rate=st.floats(100, 1e10),
    sizes=st.lists(st.integers(1, 2**20), min_size=1, max_size=50),
    gaps=st.lists(st.floats(0, 0.1), min_size=50, max_size=50),
)
def test_no_window_carries_more_than_the_rate(rate: float, sizes: list[int], gaps: list[float]) -> None:
    """
    However pieces are asked for, what is sent up to any moment is no more than the rate allows and two pieces.
    """
    booking, now, sent = Booking(booked_until_seconds=0.0), 0.0, 0
    excess = []
    for size, gap in zip(sizes, gaps, strict=False):
        now += gap
        piece = piece_bytes(rate, size)
        booking, wait = booked(booking, rate, piece, now)
        sent += piece
        excess.append(sent - rate * (now + wait))

    assert max(excess) <= rate * 2 * QUANTUM_SECONDS + 2


@given(
    snapshots=st.lists(
        st.builds(
            StoredSnapshot,
            guid=st.integers(1, 20),
            name=st.sampled_from(["move-a-1", "move-a-2", "daily", "moved"]),
            ours=st.booleans(),
            holds=st.lists(st.sampled_from(["move", "backup"]), max_size=2).map(pvector),
        ),
        unique_by=lambda one: one.guid,
        max_size=10,
    ),
    before=st.integers(1, 20),
)
def test_the_common_snapshot_and_what_follows_are_kept(snapshots: list[StoredSnapshot], before: int) -> None:
    """
    Neither the snapshot that both sides hold nor a newer one is ever called needless.
    """
    guids = [one.guid for one in snapshots]
    kept = guids[guids.index(Guid(before)) :] if before in guids else guids

    assert not set(needless(snapshots, Guid(before))) & set(kept)
