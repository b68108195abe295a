"""
What is known of the copies of a dataset: those that nodes report, and those that were last heard of.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from flocker_control.absence import LastHeard, last_heard
from flocker_control.situation import Situation
from flocker_py.model import Guid, NodeId
from flocker_py.records import Record, value
from flocker_py.storage import Role
from flocker_py.units import bytes_text


class KnownCopy(Record):
    """
    One copy.

    :param connected: the node reports it now; else it is as it was last heard of.
    """

    node_id: NodeId = value(UUID)
    connected: bool = value(bool)
    heard: LastHeard = value(LastHeard)


class Loss(Record):
    """
    What a copy is known to lack of what was written.

    :param at_least_bytes: known to be missing; None: nothing is known of that.
    :param nothing: it is known to hold all that was ever written.
    """

    at_least_bytes: int | None = value((int, type(None)), default=None)
    nothing: bool = value(bool, default=False)


def known_copies(s: Situation) -> tuple[KnownCopy, ...]:
    """
    Every copy that there is word of, the newest snapshots first; what has none, or none with a time, comes last.
    """
    copies = []
    for node_id in {*s.nodes, *s.absences}:
        copy = known_copy(s, node_id)
        if copy is not None:
            copies.append(copy)
    return tuple(sorted(copies, key=lambda copy: (-(copy.heard.newest_at_seconds or 0.0), str(copy.node_id))))


def known_copy(s: Situation, node_id: NodeId) -> KnownCopy | None:
    """
    What one node has, or had when it was last heard of; None: nothing is known of a copy there.
    """
    seen, last = s.seen(node_id), s.absences.get(node_id)
    if node_id in s.nodes:
        return None if seen is None else KnownCopy(node_id=node_id, connected=True, heard=last_heard(seen))
    heard = None if last is None else last.datasets.get(s.dataset.dataset_id)
    return None if heard is None else KnownCopy(node_id=node_id, connected=False, heard=heard)


def loss(s: Situation, guid: Guid | None) -> Loss:
    """
    What is lost, as far as is known, if the dataset goes on from a snapshot without its owner.
    """
    owner = known_copy(s, s.ownership.owner)
    if owner is None or guid is None:
        return Loss()
    heard = owner.heard
    if heard.newest_guid == guid:
        final = heard.role is Role.RELEASED and heard.epoch == s.ownership.epoch
        return Loss(at_least_bytes=0, nothing=final)
    if heard.acknowledged_guid == guid and heard.unsent_bytes is not None:
        return Loss(at_least_bytes=heard.unsent_bytes)
    return Loss()


def is_candidate(s: Situation, copy: KnownCopy) -> bool:
    """
    Whether the dataset could be failed over to where this copy is.
    """
    here = copy.connected and copy.node_id != s.ownership.owner
    return here and copy.heard.newest_guid is not None and copy.heard.role is not Role.OWNER


def time_text(at_seconds: float) -> str:
    """
    A moment, for people.
    """
    return datetime.fromtimestamp(at_seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def since_text(s: Situation, node_id: NodeId) -> str:
    """
    Since when a node has had no session, for people.
    """
    last = s.absences.get(node_id)
    if last is not None:
        return f"since {time_text(last.since_seconds)}"
    return f"since before this control service was started at {time_text(s.started_at_seconds)}"


def snapshot_text(s: Situation, heard: LastHeard) -> str:
    """
    The newest snapshot of a copy, and its age, for people.
    """
    if heard.newest_guid is None:
        return "no snapshot"
    text = f"snapshot {heard.newest_name or '(of unknown name)'} with GUID {heard.newest_guid}"
    if heard.newest_at_seconds is None:
        return f"{text}, of unknown age"
    age_seconds = max(0, int(s.now_seconds - heard.newest_at_seconds))
    return f"{text}, taken at {time_text(heard.newest_at_seconds)}, {age_text(age_seconds)} ago"


def age_text(seconds: int) -> str:
    """
    A span of time in its two largest units, for people.
    """
    parts = []
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def loss_text(s: Situation, heard: LastHeard) -> str:
    """
    What is known to be missing in a copy, for people, and that the rest is unknown.
    """
    lost = loss(s, heard.newest_guid)
    if lost.nothing:
        return "nothing is missing: the owner had stopped writing before this snapshot was taken"
    since = "the snapshot" if heard.newest_at_seconds is None else time_text(heard.newest_at_seconds)
    if lost.at_least_bytes is None:
        known = "how much is missing is not known"
    elif lost.at_least_bytes == 0:
        known = "nothing is known to be missing"
    else:
        known = f"at least {bytes_text(lost.at_least_bytes)} are missing"
    if heard.role is Role.RELEASED:
        # It is taken up as it was laid down, not as its newest snapshot has it.
        return (
            f"{known}; what was written elsewhere after {since} is not in it, what was written there before it was"
            " laid down is"
        )
    return f"{known}; what was written after {since} is not in it"
