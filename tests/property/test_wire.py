"""
Every record survives the wire, and nothing that arrives there is more than refused.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flocker_py.assignment import DatasetAssignment, NodeAssignment, Own, Receive, Remove
from flocker_py.model import Container, Dataset, Node, Ownership
from flocker_py.observed import NodeObservation
from flocker_py.records import Record
from flocker_py.storage import StoredDataset
from flocker_py.testing.strategies import json_values, records
from flocker_py.upgrade import FormatTooNew, FormatUnknown
from flocker_py.wire import WireError, decode, encode, from_text, to_text

KINDS = [Node, Dataset, Container, Ownership, NodeAssignment, NodeObservation, StoredDataset]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_text_means_the_record_it_was_made_of(kind: type[Record], data: st.DataObject) -> None:
    """
    Reading what was written gives an equal record.
    """
    record = data.draw(records(kind))

    assert from_text(kind, to_text(record)) == record


@given(record=records(Own) | records(Receive) | records(Remove))
def test_union_finds_the_class_again(record: Record) -> None:
    """
    One of several kinds of records is read as the kind that was written.
    """
    read = decode(DatasetAssignment, encode(record))

    assert (type(read), read) == (type(record), record)


def result(kind: type[Record], data: object) -> WireError | Record:
    try:
        return decode(kind, data)
    except WireError as error:
        return error


@pytest.mark.parametrize("kind", KINDS)
@given(data=json_values)
def test_arbitrary_json_is_refused(kind: type[Record], data: object) -> None:
    """
    A JSON value that is no such record is a WireError and nothing else.
    """
    assert isinstance(result(kind, data), WireError)


def places(value: Any) -> list[tuple[Any, Any]]:
    """
    Every place of a JSON value in which another value can be put: the container and the key or index.
    """
    match value:
        case dict():
            return [(value, key) for key in value] + [place for item in value.values() for place in places(item)]
        case list():
            return [(value, index) for index in range(len(value))] + [place for item in value for place in places(item)]
        case _:
            return []


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_damaged_record_is_refused_or_read(kind: type[Record], data: st.DataObject) -> None:
    """
    A record with one value replaced by any other gives either a record or a WireError.
    """
    encoded = encode(data.draw(records(kind)))
    container, key = data.draw(st.sampled_from(places(encoded)))
    container[key] = data.draw(json_values)

    assert isinstance(result(kind, encoded), WireError | kind)


@given(text=st.text() | json_values.map(str))
def test_arbitrary_text_is_refused(text: str) -> None:
    """
    A text that nobody wrote for a record is refused by one of three errors.
    """
    with pytest.raises((WireError, FormatTooNew, FormatUnknown)):
        from_text(Dataset, text)


@given(record=records(Ownership))
def test_equal_records_give_equal_texts(record: Ownership) -> None:
    """
    The text depends on nothing but the record.
    """
    assert to_text(from_text(Ownership, to_text(record))) == to_text(record)
