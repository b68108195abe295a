"""
Hypothesis strategies for records, made from their type hints.
"""

from __future__ import annotations

import enum
import types
import typing
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from pyrsistent import PMap, PVector

from flocker_py.records import Record
from flocker_py.wire import HIGHEST_INTEGER, LOWEST_INTEGER, record_hints, union_members

R = TypeVar("R", bound=Record)

integers = st.integers(LOWEST_INTEGER, HIGHEST_INTEGER)
numbers = integers | st.floats(allow_nan=False, allow_infinity=False)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)

_SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    types.NoneType: st.none(),
    str: st.text(),
    int: integers,
    float: numbers,
    bool: st.booleans(),
    UUID: st.uuids(),
}


def records(kind: type[R], **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[R]:
    """
    Every record of a kind that its own invariants allow.

    :param fixed: strategies for fields that must not be just anything.
    """
    fields: Any = getattr(kind, "_pclass_fields")  # noqa: B009  # pyrsistent has no public name for it
    arguments = {
        name: fixed[name] if name in fixed else _filtered(values_of(hint), fields[name].invariant)
        for name, hint in record_hints(kind).items()
    }
    return st.builds(kind, **arguments)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """
    Every value of a type that a field of a record may have.
    """
    members = union_members(hint)
    if len(members) != 1:
        return st.one_of(*(values_of(member) for member in members))
    (kind,) = members
    if typing.get_origin(kind) is PVector:
        return st.lists(values_of(*typing.get_args(kind)), max_size=3)
    if typing.get_origin(kind) is PMap:
        return st.dictionaries(*(values_of(argument) for argument in typing.get_args(kind)), max_size=3)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    return records(kind)


def _filtered(strategy: st.SearchStrategy[Any], invariant: Any) -> st.SearchStrategy[Any]:
    def holds(candidate: Any) -> bool:
        verdict = invariant(candidate)
        # pyrsistent's default invariant answers with a pair of its own making, too.
        return bool(verdict[0])

    return strategy.filter(holds)
