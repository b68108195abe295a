"""
What the wire refuses, and how it says so.
"""

from __future__ import annotations

import enum
import json
from typing import Any
from uuid import UUID

import pytest
from pyrsistent import PMap, PVector

from flocker_py.assignment import DatasetAssignment, Keep, NodeAssignment, Own
from flocker_py.model import Container, ContainerName, Dataset, DatasetId, Mount, NodeId, Port
from flocker_py.records import Record, mapping, sequence, value
from flocker_py.upgrade import FormatTooNew, FormatUnknown, upgraded
from flocker_py.wire import WireError, decode, encode, from_text, json_value, to_text

NODE = NodeId(UUID("11111111-1111-4111-8111-111111111111"))
DATASET = DatasetId(UUID("22222222-2222-4222-8222-222222222222"))


class Sample(Record):
    """
    One field of each sort.
    """

    number: float = value((int, float), default=1.5)
    count: int = value(int, default=1)
    flag: bool = value(bool, default=True)
    label: str | None = value((str, type(None)), default=None)
    by_count: PMap[int, str] = mapping(int, str, default={})
    ports: PVector[Port] = sequence(Port, default=())


def refused(kind: Any, data: object) -> str:
    with pytest.raises(WireError) as caught:
        decode(kind, data)
    return str(caught.value)


def sample(**changed: object) -> dict[str, Any]:
    return {**encode(Sample()), **changed}


def test_record_is_an_object_with_type_and_every_field() -> None:
    """
    A record becomes an object that has its class's name and all fields, defaults too.
    """
    assert encode(Port(internal=80, external=8080)) == {
        "type": "Port",
        "internal": 80,
        "external": 8080,
        "protocol": "tcp",
        "host_address": None,
    }


def test_every_sort_of_value_comes_back() -> None:
    """
    Numbers, texts, maps with keys that aren't text, sequences and null survive.
    """
    full = Sample(number=3, count=-3, flag=False, label="é", by_count={7: "x"}, ports=[Port(internal=1, external=2)])

    assert decode(Sample, encode(full)) == full


def test_text_is_sorted_and_compact() -> None:
    """
    A persisted text has its format, sorted keys and no spaces.
    """
    assert (
        to_text(Mount(dataset_id=DATASET))
        == f'{{"dataset_id":"{DATASET}","format":5,"path":null,"read_only":false,"type":"Mount"}}'
    )


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (sample(count=True), "$.count: expected an integer of at most 64 bits, found true"),
        (sample(count=1.0), "$.count: expected an integer of at most 64 bits, found 1.0"),
        (sample(count=2**64), "$.count: expected an integer of at most 64 bits, found an integer of more than 64 bits"),
        (sample(number=True), "$.number: expected a number, found true"),
        (sample(number=float("nan")), "$.number: expected a finite number, found nan"),
        (sample(number=float("inf")), "$.number: expected a finite number, found inf"),
        (sample(number=10**400), "$.number: expected a number, found an integer of more than 64 bits"),
        (sample(number="1"), '$.number: expected a number, found "1"'),
        (sample(flag=0), "$.flag: expected true or false, found 0"),
        (sample(label=7), "$.label: expected a string or null, found 7"),
        (
            sample(label="\ud800"),
            "$.label: expected a string of Unicode characters or null, found one with half a surrogate pair",
        ),
        (sample(label="x" * 100 and [1]), "$.label: expected a string or null, found an array"),
        (sample(flag="y" * 70), f'$.flag: expected true or false, found "{"y" * 60}..."'),
        (sample(by_count={"01": "x"}), '$.by_count["01"]: expected an integer as text, found "01"'),
        (
            sample(by_count={"01234567890123456789": "x"}),
            '$.by_count["01234567890123456789"]: expected an integer as text, found "01234567890123456789"',
        ),
        (sample(by_count={"x": "x"}), '$.by_count.x: expected an integer as text, found "x"'),
        (
            sample(by_count={"1" * 30: "x"}),
            f'$.by_count["{"1" * 30}"]: expected an integer as text, found "{"1" * 30}"',
        ),
        (sample(by_count={7: "x"}), '$.by_count["7"]: expected an integer as text, found 7'),
        (sample(by_count=[]), "$.by_count: expected an object, found an array"),
        (sample(ports={}), "$.ports: expected an array, found an object"),
        (
            sample(ports=[{"internal": 1, "external": 2, "protocol": "tcp", "host_address": None}, None]),
            "$.ports[1]: expected a Port, found null",
        ),
        (
            sample(ports=[{"internal": 1, "external": 2, "protocol": 3, "host_address": None}]),
            "$.ports[0].protocol: expected a string, found 3",
        ),
        (sample(strange=1), "$.strange: expected no such field in a Sample, found 1"),
        ({**sample(), 1: 2}, '$["1"]: expected no such field in a Sample, found 2'),
        ({"type": "Sample"}, "$.number: expected this field of a Sample, found nothing"),
        (sample(type="Port"), '$.type: expected "Sample", found "Port"'),
        ([], "$: expected a Sample, found an array"),
        (sample(number=b"1"), "$.number: expected a number, found a Python bytes"),
    ],
)
def test_what_does_not_fit_is_named(data: object, complaint: str) -> None:
    """
    A refusal says where, what belongs there and what was found.
    """
    assert refused(Sample, data) == complaint


@pytest.mark.parametrize("text", ["AAAAAAAA-AAAA-4AAA-8AAA-AAAAAAAAAAAA", f"{{{NODE}}}", NODE.hex, "n1", "", "\x00"])
def test_uuid_has_one_spelling(text: str) -> None:
    """
    An id is read in its usual spelling only.
    """
    data = {**encode(Mount(dataset_id=DATASET)), "dataset_id": text}

    assert refused(Mount, data) == f"$.dataset_id: expected a UUID in lower case with dashes, found {json.dumps(text)}"


def test_uuid_is_a_text() -> None:
    """
    A number is no id.
    """
    data = {**encode(Mount(dataset_id=DATASET)), "dataset_id": 7}

    assert refused(Mount, data) == "$.dataset_id: expected a UUID in lower case with dashes, found 7"


def test_null_is_allowed_only_inside_what_may_be_null() -> None:
    """
    A mistake within an optional record is told as such, and not as a missing null.
    """
    data = encode(Own(dataset_id=DATASET, epoch=1))
    data["send_to"] = {}

    assert refused(Own, data) == "$.send_to.move_id: expected this field of a SendTo, found nothing"


def test_enum_names_its_values() -> None:
    """
    A value that isn't one of a few is answered with the few.
    """
    data = {**encode(Dataset(dataset_id=DATASET, primary=NODE)), "on_overrun": "panic"}

    assert refused(Dataset, data) == '$.on_overrun: expected one of "give-up", "cut-over", found "panic"'


def test_invariant_is_checked() -> None:
    """
    A value of the right type that the record doesn't allow is refused with the record's own complaint.
    """
    data = {**encode(Dataset(dataset_id=DATASET, primary=NODE)), "max_downtime_seconds": -1.0}

    assert (
        refused(Dataset, data) == "$: expected a Dataset that holds together, found must be greater than zero, not -1.0"
    )


def test_type_check_of_the_record_is_obeyed() -> None:
    """
    Where a record's own check is narrower than its annotation, the wire refuses what the record refuses.
    """

    class Narrow(Record):
        count: int | None = value(int)

    assert refused(Narrow, {"type": "Narrow", "count": None}).startswith("$: expected a Narrow, found ")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (None, '$: expected an object whose type is one of "Own", "Release", "Receive", "Keep", "Remove", "Destroy"'),
        ({"type": "Sample"}, '$.type: expected one of "Own", "Release", "Receive", "Keep", "Remove", "Destroy"'),
        ({"type": ["Own"]}, '$.type: expected one of "Own", "Release", "Receive", "Keep", "Remove", "Destroy"'),
        ({"type": "Keep", "epoch": 1}, "$.dataset_id: expected this field of a Keep"),
    ],
)
def test_one_of_several_must_say_which(data: object, complaint: str) -> None:
    """
    Where several kinds of records may be, ``type`` must name one of them.
    """
    assert refused(DatasetAssignment, data).startswith(complaint)


def test_place_leads_through_maps_and_unions() -> None:
    """
    The place of an error is told through every level.
    """
    assignment = NodeAssignment(
        node_id=NODE,
        revision=1,
        datasets={DATASET: Keep(dataset_id=DATASET, epoch=1)},
        containers={ContainerName("db"): Container(name=ContainerName("db"), node_id=NODE)},
    )
    data = encode(assignment)
    data["datasets"][str(DATASET)]["epoch"] = "one"

    assert refused(NodeAssignment, data).startswith(f'$.datasets["{DATASET}"].epoch: ')


def test_text_of_another_kind_is_refused() -> None:
    """
    One record is never read as another that happens to be stored in its place.
    """
    text = to_text(Mount(dataset_id=DATASET))

    with pytest.raises(WireError, match=r'\$\.type: expected "Dataset", found "Mount"'):
        from_text(Dataset, text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected a JSON text"),
        ("{", "expected a JSON text"),
        ("NaN", "expected a JSON text, found NaN"),
        ('{"a": 1, "b": 2, "a": 3}', 'expected each key once in an object, found "a" twice'),
        ("[" * 200_000, "nested too deeply"),
        ("1" * 5000, "expected a JSON text"),
    ],
)
def test_what_is_not_json_is_refused(text: str, complaint: str) -> None:
    """
    Only JSON is read, and only if it means one thing.
    """
    with pytest.raises(WireError, match=complaint):
        json_value(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[]", r"\$: expected an object, found an array"),
        ("{}", r"\$\.format: expected the number of a format, found null"),
        ('{"format": true}', r"\$\.format: expected the number of a format, found true"),
    ],
)
def test_text_without_a_format_is_refused(text: str, complaint: str) -> None:
    """
    A persisted text says in which format it is.
    """
    with pytest.raises(WireError, match=complaint):
        from_text(Mount, text)


def test_newer_format_is_refused() -> None:
    """
    What a newer version wrote is not guessed at.
    """
    with pytest.raises(FormatTooNew, match="format 99 is newer"):
        from_text(Mount, '{"format": 99}')


@pytest.mark.parametrize("written", [0, -1])
def test_format_that_never_was_is_refused(written: int) -> None:
    """
    A format below the first one is refused.
    """
    with pytest.raises(FormatUnknown):
        from_text(Mount, f'{{"format": {written}}}')


def add_two(document: dict[str, Any]) -> dict[str, Any]:
    document["two"] = document["one"]
    return document


def drop_one(document: dict[str, Any]) -> dict[str, Any]:
    del document["one"]
    return document


def test_old_document_goes_through_every_step() -> None:
    """
    A document of the first format becomes one of the third by both steps, in order.
    """
    assert upgraded({"one": 1}, 1, steps={1: add_two, 2: drop_one}, current=3) == {"two": 1}


def test_upgrade_leaves_the_original_alone() -> None:
    """
    What was read stays as it was read.
    """
    document = {"one": 1}
    upgraded(document, 2, steps={2: drop_one}, current=3)

    assert document == {"one": 1}


def test_missing_step_is_found_before_the_first_is_taken() -> None:
    """
    With a step missing in the way nothing is upgraded half.
    """
    with pytest.raises(FormatUnknown, match="no way from format 1 to format 3"):
        upgraded({}, 1, steps={1: drop_one}, current=3)


def test_field_that_means_something_on_the_wire_is_refused() -> None:
    """
    A record can't have a field that the wire uses itself.
    """

    class Typed(Record):
        type: str = value(str)

    with pytest.raises(TypeError, match="has a field 'type'"):
        decode(Typed, {})


@pytest.mark.parametrize("hint", [bytes, int | str, enum.Flag | int])
def test_type_without_a_form_is_found_when_the_record_is_first_used(hint: Any) -> None:
    """
    A field that could not be read back unambiguously is an error of the programmer.
    """
    odd = type("Odd", (Record,), {"__annotations__": {"field": hint}, "field": value(object), "__module__": __name__})

    with pytest.raises(TypeError, match="on the wire"):
        decode(odd, {})


def test_nested_union_member_keeps_its_type() -> None:
    """
    Inside another record, one of several kinds is marked with which.
    """
    own = Own(dataset_id=DATASET, epoch=3)
    data = encode(NodeAssignment(node_id=NODE, revision=1, datasets={DATASET: own}))

    assert data["datasets"][str(DATASET)]["type"] == "Own"
