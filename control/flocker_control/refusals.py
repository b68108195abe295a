"""
Why a command is refused: one code for each thing that whoever asked would do differently.
"""

from __future__ import annotations

import enum
from typing import Self
from uuid import UUID

from flocker_py.model import NodeId
from flocker_py.records import Record, value


class RefusalCode(enum.Enum):
    """
    The stable, machine-readable name of a refusal, and the HTTP status that says it best.
    """

    VALUE_REFUSED = ("ValueRefused", 400)
    DATASET_UNKNOWN = ("DatasetUnknown", 404)
    NODE_UNKNOWN = ("NodeUnknown", 404)
    CONTAINER_UNKNOWN = ("ContainerUnknown", 404)
    MOVE_UNKNOWN = ("MoveUnknown", 404)
    DATASET_DELETED = ("DatasetDeleted", 409)
    DATASET_ID_IN_USE = ("DatasetIdInUse", 409)
    NAME_IN_USE = ("NameInUse", 409)
    DATASET_IN_USE = ("DatasetInUse", 409)
    DATASET_LEASED = ("DatasetLeased", 409)
    LEASE_HELD = ("LeaseHeld", 409)
    LEASE_UNKNOWN = ("LeaseUnknown", 404)
    DATASET_ELSEWHERE = ("DatasetElsewhere", 409)
    NODE_DRAINING = ("NodeDraining", 409)
    NODE_REMOVED = ("NodeRemoved", 409)
    NODE_IN_USE = ("NodeInUse", 409)
    PORT_IN_USE = ("PortInUse", 409)
    FIELD_NOT_SUPPORTED = ("FieldNotSupported", 409)
    TARGET_WITHOUT_ROOM = ("TargetWithoutRoom", 409)
    NOT_YET = ("NotYet", 409)
    ALREADY_THERE = ("AlreadyThere", 409)
    MOVE_COMMITTED = ("MoveCommitted", 409)
    MOVE_ENDED = ("MoveEnded", 409)
    STASH_UNKNOWN = ("StashUnknown", 404)
    STASH_STAYS = ("StashStays", 409)
    NEVER_MADE = ("NeverMade", 409)
    OWNER_CONNECTED = ("OwnerConnected", 409)
    OWNER_NOT_KNOWN_DEAD = ("OwnerNotKnownDead", 409)
    NODE_AWAY = ("NodeAway", 409)
    COPY_UNFIT = ("CopyUnfit", 409)
    NOT_CONFIRMED = ("NotConfirmed", 409)
    STORE_OLDER = ("StoreOlder", 409)

    @property
    def text(self) -> str:
        """
        What programs compare with.
        """
        return self.value[0]

    @property
    def status(self) -> int:
        """
        The status of HTTP.
        """
        return self.value[1]


class Refusal(Record):
    """
    A command that can't be done. Nothing was changed.

    :param text: what is wrong, where, and what to do.
    :param about: the key of the record that can't be so; empty where it isn't one alone.
    :param holder: the node for which the lease is held that is in the way; None: none is.
    """

    code: RefusalCode = value(RefusalCode)
    text: str = value(str)
    about: str = value(str, default="")
    holder: NodeId | None = value((UUID, type(None)), default=None)

    @classmethod
    def of(cls, code: RefusalCode, text: str, about: str = "") -> Self:
        """
        A refusal, in short.
        """
        return cls(code=code, text=text, about=about)
