"""
Whether a volume may be deleted by Docker's user.
"""

from __future__ import annotations

from flocker_agent.plugin.mounting import Look, called, held_text, users
from flocker_py.protection import is_protected


def why_not_removed(look: Look, mounts_here: int) -> str | None:
    """
    What stands in the way; None: nothing.

    :param mounts_here: how many have it mounted on this node.
    """
    volume, lease = look.volume, look.dataset.lease
    if is_protected(look.dataset.metadata):
        remedy = f"If it is to go all the same, an operator runs `flockerctl unprotect {volume}`"
        return f"volume {volume} is protected. {remedy}"
    if mounts_here:
        return f"volume {volume} is in use: {mounts_here} on this node have it mounted. Remove their containers first"
    if lease is not None and lease.node_id != look.here:
        return held_text(volume, called(look.names, lease.node_id), lease.left_seconds)
    if lease is not None:
        left = "until that is released" if lease.left_seconds is None else f"for another {lease.left_seconds:.0f} s"
        return (
            f"volume {volume} is leased to this node {left}, by somebody else or for a mount that took too long:"
            f" release it by `flockerctl release {volume}`"
        )
    for container in users(look):
        where = called(look.names, container.node_id)
        return f"volume {volume} is used by the app {container.name} on node {where}: remove the app by flocker-deploy"
    return None
