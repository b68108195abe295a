"""
Records are made as pyrsistent makes its classes, only quicker: every value, and every refusal, is the same.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pyrsistent import PClass, PVector, pmap, pvector

from flocker_py.records import Record, mapping, sequence, value


def _even(number: int) -> tuple[bool, str]:
    return number % 2 == 0, f"{number} is odd"


class Inner(Record):
    """
    A record in a record.
    """

    depth: int = value(int, default=0)


FIELDS: dict[str, Any] = {
    "number": lambda: value((int, float)),
    "even": lambda: value(int, default=2, invariant=_even),
    "text": lambda: value((str, type(None)), default=None),
    "inner": lambda: value(Inner, default=Inner()),
    "vector": lambda: value(PVector, default=pvector()),
    "names": lambda: sequence(str, default=()),
    "sizes": lambda: mapping(str, int, default={}),
}
METACLASS: Any = type(Record)
Ours: Any = METACLASS("Sample", (Record,), {name: make() for name, make in FIELDS.items()})
Theirs: Any = METACLASS("Sample", (PClass,), {name: make() for name, make in FIELDS.items()})

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(allow_nan=False),
    st.text(max_size=3),
    st.just(Inner(depth=1)),
    st.just({"depth": 3}),
    st.just(pvector([1])),
    st.lists(st.text(max_size=2), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(0, 3), max_size=2),
    st.just(pmap({"a": 1})),
)
FITTING: dict[str, st.SearchStrategy[Any]] = {
    "number": st.integers() | st.floats(allow_nan=False),
    "even": st.integers().map(lambda n: 2 * n),
    "text": st.none() | st.text(max_size=3),
    "inner": st.builds(Inner, depth=st.integers()),
    "vector": st.lists(st.integers(), max_size=2).map(pvector),
    "names": st.lists(st.text(max_size=2), max_size=2),
    "sizes": st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
}
CHANGES = st.fixed_dictionaries(
    {}, optional={**{name: fits | ANYTHING for name, fits in FITTING.items()}, "no_such_field": ANYTHING}
)
FITTING_CHANGES = st.fixed_dictionaries({}, optional=FITTING)


def outcome(make: Any) -> Any:
    """
    The fields of what is made, or how making it fails.
    """
    try:
        made = make()
    except Exception as error:  # noqa: BLE001  # whatever it is, the other one must do the same
        details = [
            getattr(error, name, None) for name in ("invariant_errors", "missing_fields", "field", "expected_types")
        ]
        return type(error), str(error), details
    return [(name, type(getattr(made, name)), getattr(made, name)) for name in FIELDS], hash(made) is not None


@given(CHANGES)
def test_made_alike(fields: dict[str, Any]) -> None:
    """
    A record is made, or refused with the same error, just as pyrsistent alone would.
    """
    assert outcome(lambda: Ours(**fields)) == outcome(lambda: Theirs(**fields))


@given(FITTING_CHANGES, CHANGES)
def test_changed_alike(fields: dict[str, Any], changes: dict[str, Any]) -> None:
    """
    A changed record is what pyrsistent alone would make of it.
    """
    fields = {"number": 0, **fields}
    ours, theirs = Ours(**fields), Theirs(**fields)

    assert outcome(lambda: ours.set(**changes)) == outcome(lambda: theirs.set(**changes))


@given(FITTING_CHANGES, FITTING_CHANGES)
def test_compared_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    """
    Two records are equal where pyrsistent alone would say so, and equal ones have equal hashes.
    """
    one, other = {"number": 0, **one}, {"number": 0, **other}
    first, second = Ours(**one), Ours(**other)

    equal = first == second
    assert (equal, not equal or hash(first) == hash(second)) == (Theirs(**one) == Theirs(**other), True)


def test_frozen() -> None:
    """
    A record can't be changed in place.
    """
    record = Inner(depth=1)
    try:
        record.depth = 2  # type: ignore[misc]
    except AttributeError:
        pass

    assert record.depth == 1


def test_class_invariant_is_kept() -> None:
    """
    What has to hold between fields is checked as pyrsistent does.
    """
    refused = False
    ordered = METACLASS(
        "Ordered",
        (Record,),
        {"low": value(int), "high": value(int), "__invariant__": lambda r: (r.low <= r.high, "low is above high")},
    )
    try:
        ordered(low=2, high=1)
    except Exception as error:  # noqa: BLE001  # pyrsistent's own
        refused = "low is above high" in str(error)

    assert refused and ordered(low=1, high=2).high == 2
