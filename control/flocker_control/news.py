"""
What has happened since the control service last looked, and what therefore has to be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from flocker_control.absence import Absence
from flocker_py.model import ContainerName, DatasetId, NodeId


@dataclass(slots=True)
class News:
    """
    Gathered until the next commit, which takes it; given back if the commit fails.

    :param datasets: to be decided on again.
    :param containers: of which something may be asked otherwise than before.
    :param unrecorded: nodes whose record isn't as they are.
    :param attendance: nodes that have gone, with the last that was known of them, or come: None.
    :param stashes: nodes whose stashes may have changed.
    :param leases_due: whether leases of datasets may have ended.
    """

    datasets: set[DatasetId] = field(default_factory=set)
    containers: set[ContainerName] = field(default_factory=set)
    unrecorded: set[NodeId] = field(default_factory=set)
    attendance: dict[NodeId, Absence | None] = field(default_factory=dict)
    stashes: set[NodeId] = field(default_factory=set)
    leases_due: bool = False

    def __bool__(self) -> bool:
        """
        Whether there is any.
        """
        return bool(
            self.datasets or self.containers or self.unrecorded or self.attendance or self.stashes or self.leases_due
        )

    def give_back(self, earlier: News) -> None:
        """
        Add what was taken and came to nothing. What has come in since is later than that.
        """
        self.datasets |= earlier.datasets
        self.containers |= earlier.containers
        self.unrecorded |= earlier.unrecorded
        self.attendance = earlier.attendance | self.attendance
        self.stashes |= earlier.stashes
        self.leases_due |= earlier.leases_due
