"""
What operators ask of stashes: to be readable, or to be gone.
"""

from __future__ import annotations

from uuid import UUID

from flocker_control.failover import Observed, stash_unknown
from flocker_control.refusals import Refusal, RefusalCode
from flocker_control.state import Changes, State, stash_key
from flocker_py.model import NodeId, StashWish
from flocker_py.records import Record, value


class MountStash(Record):
    """
    Make a stash readable on its node, or unreadable again.
    """

    node_id: NodeId = value(UUID)
    name: str = value(str)
    mounted: bool = value(bool)


class DropStash(Record):
    """
    Destroy a stash, for good.

    :param confirmed: its name, once more.
    """

    node_id: NodeId = value(UUID)
    name: str = value(str)
    confirmed: str = value(str, default="")


def wishing(state: State, command: MountStash | DropStash, observed: Observed) -> Changes | Refusal:
    """
    What such a command changes, or why it can't be.
    """
    node = observed.get(command.node_id)
    stash = None if node is None else node.stashes.get(command.name)
    if stash is None:
        return stash_unknown(state, command.node_id, command.name)
    wish = state.stash_wishes.get(stash_key(command.node_id, command.name))
    wish = StashWish(node_id=command.node_id, name=command.name) if wish is None else wish
    restored = state.ownerships.get(stash.dataset_id)
    if restored is not None and restored.owner == command.node_id and restored.from_stash == command.name:
        return Refusal.of(RefusalCode.STASH_STAYS, f"the stash {command.name} is being restored")
    if wish.dropped:
        return Changes() if isinstance(command, DropStash) else stash_unknown(state, command.node_id, command.name)
    if isinstance(command, MountStash):
        return Changes().put(wish.set(mounted=command.mounted))
    if command.confirmed != command.name:
        return Refusal.of(
            RefusalCode.NOT_CONFIRMED,
            f"dropping a stash destroys what may be nowhere else: confirm it by its name, {command.name}",
        )
    return Changes().put(wish.set(mounted=False, dropped=True))
