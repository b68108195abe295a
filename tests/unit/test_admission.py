"""
Whom a node takes snapshots from.
"""

from __future__ import annotations

from uuid import UUID

import pytest

from flocker_agent.transfer.admission import Admitted, Refused, admission
from flocker_py.assignment import DatasetAssignment, Keep, Own, Receive
from flocker_py.model import DatasetId, MoveId, NodeId

DATASET = DatasetId(UUID(int=1))
MOVE, OTHER_MOVE = MoveId(UUID(int=2)), MoveId(UUID(int=3))
SOURCE, OTHER = NodeId(UUID(int=4)), NodeId(UUID(int=5))
ASSIGNED = Receive(dataset_id=DATASET, epoch=7, move_id=MOVE, source=SOURCE)


def test_what_was_assigned_is_admitted() -> None:
    """
    The source may send what control said it would.
    """
    assert admission(ASSIGNED, DATASET, 7, MOVE, SOURCE) == Admitted()


@pytest.mark.parametrize(
    ("assigned", "epoch", "move_id", "peer", "code"),
    [
        pytest.param(None, 7, MOVE, SOURCE, "TransferUnexpected", id="nothing assigned"),
        pytest.param(Own(dataset_id=DATASET, epoch=8), 7, MOVE, SOURCE, "TransferUnexpected", id="owner"),
        pytest.param(Keep(dataset_id=DATASET, epoch=7), 7, MOVE, SOURCE, "TransferUnexpected", id="only keeps"),
        pytest.param(ASSIGNED, 7, MOVE, OTHER, "TransferUnexpected", id="another node"),
        pytest.param(ASSIGNED, 6, MOVE, SOURCE, "EpochWrong", id="an older epoch"),
        pytest.param(ASSIGNED, 8, MOVE, SOURCE, "EpochWrong", id="a newer epoch"),
        pytest.param(ASSIGNED, 7, OTHER_MOVE, SOURCE, "TransferUnexpected", id="another move"),
    ],
)
def test_anything_else_is_refused(
    assigned: DatasetAssignment | None, epoch: int, move_id: MoveId, peer: NodeId, code: str
) -> None:
    """
    Whatever differs from the assignment is turned away, and may come again once both sides have heard the same.
    """
    answer = admission(assigned, DATASET, epoch, move_id, peer)

    assert isinstance(answer, Refused) and (answer.code, answer.lasting) == (code, False)
