"""
Immutable records: pyrsistent classes whose constructors static type checkers understand.

>>> class Point(Record):
...     x_mm: int = value(int)
...     label: str | None = value((str, type(None)), default=None)
>>> Point(x_mm=1).set(label="corner")
Point(x_mm=1, label='corner')
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, dataclass_transform

from pyrsistent import PClass, PMap, PVector, field, pmap_field, pvector_field

type_or_types = type | tuple[type, ...]
_REQUIRED: Any = object()


def value(
    types: type_or_types,
    *,
    default: Any = _REQUIRED,
    invariant: Callable[[Any], tuple[bool, str]] | None = None,
) -> Any:
    """
    A field with one value.

    :param types: what the value must be an instance of, checked at run time.
    :param default: taken when the constructor is not given the field; without one the field is mandatory.
    :param invariant: answers (holds, complaint) for a candidate value.
    """
    options: dict[str, Any] = {"type": types}
    if default is _REQUIRED:
        options["mandatory"] = True
    else:
        options["initial"] = default
    if invariant is not None:
        options["invariant"] = invariant
    return field(**options)


def mapping(key_type: type_or_types, value_type: type_or_types, *, default: Mapping[Any, Any]) -> Any:
    """
    A field with a persistent map.

    :param default: written out as ``{}`` at each use: type checkers look for it there.
    """
    result: Any = pmap_field(key_type, value_type)
    result.initial = result.factory(default)
    return result


def sequence(item_type: type_or_types, *, default: Iterable[Any]) -> Any:
    """
    A field with a persistent vector.

    :param default: written out as ``()`` at each use: type checkers look for it there.
    """
    return pvector_field(item_type, initial=tuple(default))


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(value, mapping, sequence))
class Record(PClass):
    """
    What every record is: compared by value, changed only by making another.

    :raises pyrsistent.InvariantException: a mandatory field is missing or an invariant doesn't hold.
    :raises pyrsistent.PTypeError: a value has another type than its field.
    """

    def set(self, *args: Any, **changes: Any) -> Self:
        """
        The same record but for the fields named.
        """
        return super().set(*args, **changes)


def field_names(record: type[Record]) -> tuple[str, ...]:
    """
    The names of a record's fields, in order of definition.
    """
    fields: Mapping[str, Any] = getattr(record, "_pclass_fields")  # noqa: B009  # pyrsistent has no public name for it
    return tuple(fields)


__all__ = ["PMap", "PVector", "Record", "field_names", "mapping", "sequence", "value"]
