"""
The last assignment, kept on disk: what an agent goes by while the control service is away.

It is old by its nature. That is harmless, since what is written in a dataset's own properties beats it; only the leave
to create datasets is taken out of it, because a dataset that is no longer here may be elsewhere by now.

It is gone by only in the boot of the host in which it was written. A host that comes back from a power cut was away
for longer than an agent that is started again: by now its datasets may be served elsewhere, so it takes up nothing
before the control service has spoken.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

from eliot import log_message

from flocker_py import wire
from flocker_py.assignment import NodeAssignment, Own, Remembered
from flocker_py.model import NodeId


def remember(path: Path, assignment: NodeAssignment, era: UUID) -> None:
    """
    Write an assignment, atomically. Blocking.

    :param era: of the host, as in ``NodeObservation``.
    :raises OSError: it could not be written; the one before is still there.
    """
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(wire.to_text(Remembered(era=era, assignment=assignment)))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def remembered(path: Path, node_id: NodeId, era: UUID) -> NodeAssignment | None:
    """
    The assignment that was written last; None: there is none that this version can read, it is another node's, or the
    host was booted since.

    :param era: the present one of the host.
    """
    try:
        kept = wire.from_text(Remembered, path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, wire.WireError) as error:
        log_message(message_type="flocker:agent:assignment-unreadable", path=str(path), reason=str(error))
        return None
    if kept.assignment.node_id != node_id:
        log_message(message_type="flocker:agent:assignment-of-another-node", path=str(path))
        return None
    if kept.era != era:
        log_message(
            message_type="flocker:agent:assignment-of-an-earlier-boot",
            path=str(path),
            remedy="nothing is mounted or started here before the control service has been heard",
        )
        return None
    return trusted(kept.assignment)


def trusted(assignment: NodeAssignment) -> NodeAssignment:
    """
    What may still be gone by of an old assignment.
    """
    datasets = assignment.datasets
    for dataset_id, asked in datasets.items():
        if isinstance(asked, Own) and asked.may_create:
            datasets = datasets.set(dataset_id, asked.set(may_create=False))
    return assignment.set(datasets=datasets)
