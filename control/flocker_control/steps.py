"""
What a plan says to its reader.
"""

from __future__ import annotations

from flocker_py.records import Record, value


class Step(Record):
    """
    One thing that would be done.

    :param action: create, resize, move, delete, start, stop, restart, update or name-node.
    :param kind: of thing: dataset, container or node.
    """

    action: str = value(str)
    kind: str = value(str)
    name: str = value(str)
    text: str = value(str)


class Unmanaged(Record):
    """
    One thing that the cluster has and a document doesn't name.
    """

    kind: str = value(str)
    name: str = value(str)
    text: str = value(str)
