"""
Records in the unusual cases, which are left to pyrsistent.
"""

from __future__ import annotations

from uuid import UUID

from flocker_control import decisions
from flocker_control.absence import Absence
from flocker_control.state import State
from flocker_py.model import NodeId
from flocker_py.records import Record, value


def test_default_that_is_made_anew() -> None:
    """
    A default that is a function is called for each record.
    """

    class Numbered(Record):
        number: int = value(int, default=lambda: 7)

    assert Numbered().number == 7


def test_set_by_name_and_value() -> None:
    """
    A field can be named by a text, as pyrsistent has it.
    """

    class Point(Record):
        x: int = value(int)

    assert Point(x=1).set("x", 2) == Point(x=2)


def test_an_absence_is_known_by_its_node() -> None:
    """
    Whether a commit says something new of a node that is away is seen by what is kept of it.
    """
    absence = Absence(node_id=NodeId(UUID(int=1)), since_seconds=1.0)

    assert decisions._known(State(absences={absence.node_id: absence}), absence) == absence
