"""
The leases of all nodes, as the control service counts them: by its own clock, and by nothing that a node says.

Nothing is written down when a lease is renewed. Having just started, control knows of no renewal, and takes it that
each node got the longest lease that it may have at the last moment before.
"""

from __future__ import annotations

from uuid import UUID

from pyrsistent import PMap

from flocker_py import leases
from flocker_py.model import Node, NodeId
from flocker_py.records import Record, mapping, value


class Leases(Record):
    """
    Times are of a clock that only goes forward, in seconds.

    :param started_at_seconds: before this, others may have granted leases.
    :param lease_seconds: for how long a lease is granted, as soon as that is recorded with the node.
    :param expiries: when the last lease that was granted since then expires.
    """

    started_at_seconds: float = value((int, float))
    lease_seconds: float = value((int, float), default=leases.DEFAULT_LEASE_SECONDS)
    expiries: PMap[NodeId, float] = mapping(UUID, (int, float), default={})

    def granted_seconds(self, node: Node) -> float:
        """
        For how long a node gets a lease now: never longer than what is recorded with it. 0: not at all.
        """
        return min(self.lease_seconds, node.lease_seconds)

    def renewed(self, node: Node, now_seconds: float) -> Leases:
        """
        After a request that was received now is granted.
        """
        expiry = leases.expires_at_seconds(now_seconds, self.granted_seconds(node))
        # A longer one that was granted before may still be counted down there, if our answer gets lost.
        return self.set(expiries=self.expiries.set(node.node_id, max(expiry, self.expires_at_seconds(node))))

    def expires_at_seconds(self, node: Node) -> float:
        """
        When the node's lease may be taken as expired, unless it is renewed.
        """
        earlier = self._earlier_expire_at_seconds(node)
        return max(earlier, self.expiries.get(node.node_id, earlier))

    def _earlier_expire_at_seconds(self, node: Node) -> float:
        if not node.lease_seconds:
            return self.started_at_seconds
        return leases.expires_at_seconds(self.started_at_seconds, node.lease_seconds)

    def has_expired(self, node: Node, now_seconds: float) -> bool:
        """
        Whether the node has by now ended all that depends on its lease.
        """
        return now_seconds >= self.expires_at_seconds(node)

    def to_record(self, node: Node, now_seconds: float) -> float:
        """
        The longest lease that has to be recorded with a node: a longer one before it is granted, a shorter one once
        no longer one can be in force.
        """
        if self.lease_seconds >= node.lease_seconds or now_seconds >= self._earlier_expire_at_seconds(node):
            return self.lease_seconds
        return node.lease_seconds
