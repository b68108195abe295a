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
from typing import Any, ClassVar, NamedTuple, Self, dataclass_transform

from pyrsistent import CheckedPMap, PClass, PMap, PVector, field, pmap, pmap_field, pvector, pvector_field
from pyrsistent._field_common import PFIELD_NO_FACTORY, PFIELD_NO_INITIAL, PFIELD_NO_INVARIANT

type_or_types = type | tuple[type, ...]
_REQUIRED: Any = object()
_EMPTY_MAPS: tuple[type, ...] = (type(pmap()), dict)
_EMPTY_SEQUENCES: tuple[type, ...] = (type(pvector()), tuple, list)


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


def empty_mapping(key_type: type_or_types, value_type: type_or_types) -> PMap[Any, Any]:
    """
    The map to begin with where a ``mapping`` of these types will be taken from: it checks what is put into it, so that
    the field need not go through all of it again.
    """
    result: PMap[Any, Any] = pmap_field(key_type, value_type).initial
    return result


def sequence(item_type: type_or_types, *, default: Iterable[Any]) -> Any:
    """
    A field with a persistent vector.

    :param default: written out as ``()`` at each use: type checkers look for it there.
    """
    return pvector_field(item_type, initial=tuple(default))


class _Slot(NamedTuple):
    """
    One field of a class of records, looked up once. ``make`` and ``holds`` are None where they have nothing to do;
    ``own_make``: there is nothing to make of a value that has the field's type already, and an empty one of the types
    ``empties`` makes the default.
    """

    name: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]
    types: tuple[type, ...]
    make: Callable[[Any], Any] | None
    own_make: bool
    empties: tuple[type, ...]
    default: Any
    holds: Callable[[Any], tuple[bool, Any]] | None


def _slots(kind: Any) -> tuple[_Slot, ...] | None:
    """
    How the fields of a class are filled in the usual case; None: only pyrsistent can tell.
    """
    if kind._pclass_invariants:
        return None
    result = []
    for name, described in kind._pclass_fields.items():
        types = tuple(described.type)
        make: Any = None if described.factory is PFIELD_NO_FACTORY else described.factory
        holds = None if described.invariant is PFIELD_NO_INVARIANT else described.invariant
        default = _REQUIRED if described.initial is PFIELD_NO_INITIAL else described.initial
        if default is not _REQUIRED and (
            callable(default) or not isinstance(default, types) or not (holds is None or holds(default)[0])
        ):
            return None
        member = kind.__dict__[name]
        # ``create`` of a checked type leaves what is of that type as it is.
        own_make = getattr(make, "__name__", "") == "create" and getattr(make, "__self__", None) in types
        empties: tuple[type, ...] = ()
        if own_make and default is not _REQUIRED and not default:
            empties = _EMPTY_MAPS if isinstance(default, CheckedPMap) else _EMPTY_SEQUENCES
        slot = _Slot(name, member.__get__, member.__set__, types, make, own_make, empties, default, holds)
        result.append(slot)
    return tuple(result)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(value, mapping, sequence))
class Record(PClass):
    """
    What every record is: compared by value, changed only by making another.

    Everything else is as pyrsistent has it. This only is quicker in the usual case, where all is right: records are
    most of what the control service and its agents make. Whatever is not right is left to pyrsistent.

    :raises pyrsistent.InvariantException: a mandatory field is missing or an invariant doesn't hold.
    :raises pyrsistent.PTypeError: a value has another type than its field.
    """

    _record_slots: ClassVar[tuple[_Slot, ...] | None]
    _record_frozen: ClassVar[Callable[[Any, Any], None]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._record_slots = _slots(cls)
        cls._record_frozen = cls.__dict__["_pclass_frozen"].__set__

    def __new__(cls, **given: Any) -> Self:
        """
        A record with these fields.
        """
        result = cls._filled(None, given)
        return super().__new__(cls, **given) if result is None else result

    def set(self, *args: Any, **changes: Any) -> Self:
        """
        The same record but for the fields named.
        """
        if args:
            changes[args[0]] = args[1]
        result = self._filled(self, changes)
        return super().set(**changes) if result is None else result

    @classmethod
    def _filled(cls, before: Self | None, given: dict[str, Any]) -> Self | None:
        # What ``before`` has was checked when it was made.
        slots = cls._record_slots
        if slots is None:
            return None
        result = object.__new__(cls)
        used = 0
        for name, read, write, types, make, own_make, empties, default, holds in slots:
            if name in given:
                used += 1
                candidate = given[name]
                if make is not None and not (own_make and isinstance(candidate, types)):
                    candidate = default if type(candidate) in empties and not candidate else make(candidate)
                if not isinstance(candidate, types) or not (holds is None or holds(candidate)[0]):
                    return None
            elif before is not None:
                candidate = read(before)
            elif default is not _REQUIRED:
                candidate = default
            else:
                return None
            write(result, candidate)
        if used != len(given):
            return None
        cls._record_frozen(result, True)
        return result

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        slots = self._record_slots
        if type(self) is not type(other) or slots is None:
            equal: bool = super().__eq__(other)
            return equal
        for slot in slots:
            mine, theirs = slot.read(self), slot.read(other)
            if mine is not theirs and mine != theirs:
                return False
        return True

    __hash__ = PClass.__hash__


def field_names(record: type[Record]) -> tuple[str, ...]:
    """
    The names of a record's fields, in order of definition.
    """
    fields: Mapping[str, Any] = getattr(record, "_pclass_fields")  # noqa: B009  # pyrsistent has no public name for it
    return tuple(fields)


__all__ = ["PMap", "PVector", "Record", "empty_mapping", "field_names", "mapping", "sequence", "value"]
