"""
Datasets that begin as a snapshot of another one.
"""

from __future__ import annotations

from flocker_control.groups import called, present
from flocker_control.membership import node_called
from flocker_control.refusals import Refusal, RefusalCode
from flocker_control.state import State
from flocker_py.model import NodeId, Origin


def origin_refusal(state: State, origin: Origin, primary: NodeId) -> Refusal | None:
    """
    Why a dataset can't be made from a snapshot on a node; None: it can, if the pool there has the snapshot.
    """
    found = present(state, origin.dataset_id)
    if isinstance(found, Refusal):
        return found
    own = state.ownerships[origin.dataset_id]
    if not own.created:
        return Refusal.of(
            RefusalCode.NEVER_MADE, f"the dataset {called(found)} has not been made yet, so it has no snapshots"
        )
    # Copied in the pool that has it. What is to be elsewhere is moved there afterwards, in rounds, like anything else.
    if own.owner != primary:
        where = node_called(state, own.owner)
        return Refusal.of(
            RefusalCode.DATASET_ELSEWHERE,
            f"the dataset {called(found)} is on node {where}, and copies of its snapshots are made where they are: make"
            f" it on node {where}, and move it",
        )
    return None
