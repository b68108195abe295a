"""
Records as JSON values and back, by their type hints.

>>> encode(Port(internal=80, external=8080))
{'type': 'Port', 'internal': 80, 'external': 8080, 'protocol': 'tcp', 'host_address': None}

========================  ======================================================================
in a record               in JSON
========================  ======================================================================
str, int, float, bool     the same; neither a bool for a number nor NaN nor an infinity
None                      null
UUID                      its text, in lower case with dashes
an Enum                   its value
PVector                   array
PMap                      object; keys that are UUIDs or integers become text
a record                  object with every field, defaults too
one of several records    the same, and ``type``, the name of its class
========================  ======================================================================

A whole message has ``type`` always, so that one record is never taken for another; a persisted text has ``format``
too (see ``flocker_py.upgrade``). Reading is strict: what isn't exactly this is a ``WireError`` that names the place.
"""

from __future__ import annotations

import enum
import functools
import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeVar, overload
from uuid import UUID

from pyrsistent import InvariantException, PMap, PTypeError, PVector

from flocker_py.errors import FlockerError
from flocker_py.records import Record, field_names
from flocker_py.upgrade import FORMAT, upgraded

R = TypeVar("R", bound=Record)

TYPE_KEY = "type"
FORMAT_KEY = "format"
LOWEST_INTEGER = -(2**63)
HIGHEST_INTEGER = 2**64 - 1
_SHOWN_CHARACTERS = 60


class WireError(FlockerError):
    """
    What was read is not the JSON form of the record that belongs there. The other side runs another version of
    flocker_py, or the data was damaged.

    :param place: where in the JSON value, as a JSONPath: ``$.mounts[0].path``.
    :param expected: what belongs there.
    """

    lasting = True

    def __init__(self, place: str, expected: str, found: str) -> None:
        super().__init__(f"{place}: expected {expected}, found {found}")
        self.place = place
        self.expected = expected


def encode(record: Record) -> dict[str, Any]:
    """
    The JSON object of a record, with ``type``.
    """
    kind = type(record)
    return {TYPE_KEY: kind.__name__, **_record_encoder(kind)(record)}


@overload
def decode(kind: type[R], data: object) -> R: ...
@overload
def decode(kind: types.UnionType, data: object) -> Record: ...
def decode(kind: type[R] | types.UnionType, data: object) -> Record:
    """
    The record that ``encode`` made this JSON object of.

    :param kind: a record class, or a union of them of which it is one.
    :param data: any JSON value, however hostile.
    :raises WireError: it is not the JSON form of such a record.
    """
    try:
        record = _tagged_decoder(kind)(data)
    except _Mismatch as mismatch:
        raise WireError(mismatch.place(), mismatch.expected, mismatch.found) from None
    assert isinstance(record, Record)  # noqa: S101  # tells type checkers what every decoder of a record answers
    return record


def to_text(record: Record) -> str:
    """
    A record as it is persisted: JSON in ASCII, keys sorted, no spaces; equal records give equal texts.
    """
    return json_text({FORMAT_KEY: FORMAT, **encode(record)})


def json_text(data: object) -> str:
    """
    A JSON value as text in ASCII, keys sorted, no spaces.

    :raises ValueError: there is a NaN or an infinity in it.
    """
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


@overload
def from_text(kind: type[R], text: str) -> R: ...
@overload
def from_text(kind: types.UnionType, text: str) -> Record: ...
def from_text(kind: type[R] | types.UnionType, text: str) -> Record:
    """
    The record that ``to_text`` of this or an earlier version made this text of.

    :raises WireError: it is not JSON, or not the JSON form of such a record.
    :raises FormatTooNew: a newer version wrote it.
    :raises FormatUnknown: no version wrote it.
    """
    data = json_value(text)
    if type(data) is not dict:
        raise WireError("$", "an object", _shown(data))
    written = data.pop(FORMAT_KEY, None)
    if type(written) is not int:
        raise WireError(f"$.{FORMAT_KEY}", "the number of a format", _shown(written))
    return decode(kind, upgraded(data, written))


def json_value(text: str) -> Any:
    """
    What a JSON text means.

    :raises WireError: it is not JSON, is nested too deeply, has a key twice in one object, or has a number that only
        Python takes for JSON.
    """
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_key_twice)
    except _Mismatch as mismatch:
        raise WireError("$", mismatch.expected, mismatch.found) from None
    except RecursionError:
        raise WireError("$", "a JSON text", "one that is nested too deeply") from None
    except ValueError as error:
        raise WireError("$", "a JSON text", f"a text that is not one ({error})") from None


@functools.cache
def record_hints(kind: type[Record]) -> Mapping[str, Any]:
    """
    A record's fields in order of definition, each with its type.
    """
    hints = typing.get_type_hints(kind)
    return types.MappingProxyType({name: hints[name] for name in field_names(kind)})


def union_members(hint: Any) -> tuple[Any, ...]:
    """
    The alternatives of a type, each without its NewType; the type itself if it is not a union.
    """
    hint = bare_type(hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return tuple(bare_type(member) for member in typing.get_args(hint))
    return (hint,)


def bare_type(hint: Any) -> Any:
    """
    What a NewType is at run time; any other type itself.
    """
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    return hint


_Encode = Callable[[Any], Any]
_Decode = Callable[[Any], Any]


class _Mismatch(Exception):
    """
    What doesn't fit; the path to it is collected on the way out.
    """

    def __init__(self, expected: str, found: str, *path: str | int) -> None:
        super().__init__(expected, found)
        self.expected = expected
        self.found = found
        self.path: list[str | int] = list(path)

    def place(self) -> str:
        return "$" + "".join(_step_text(step) for step in reversed(self.path))


def _step_text(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if step.isidentifier() else f"[{_shown(step)}]"


def _shown(data: object) -> str:
    match data:
        case None | bool():
            return json.dumps(data)
        case str():
            return json.dumps(data if len(data) <= _SHOWN_CHARACTERS else data[:_SHOWN_CHARACTERS] + "...")
        case int() if not LOWEST_INTEGER <= data <= HIGHEST_INTEGER:
            return "an integer of more than 64 bits"
        case int() | float():
            return repr(data)
        case dict():
            return "an object"
        case list():
            return "an array"
        case _:
            return f"a Python {type(data).__name__}"


def _no_constant(name: str) -> NoReturn:
    raise _Mismatch("a JSON text", name)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Mismatch("each key once in an object", f"{_shown(twice)} twice")
    return result


def _same(data: Any) -> Any:
    return data


def _text(data: Any) -> str:
    if type(data) is not str:
        raise _Mismatch("a string", _shown(data))
    # Half a surrogate pair is a JSON string but can't be stored or sent as UTF-8.
    if not data.isascii() and any("\ud800" <= character <= "\udfff" for character in data):
        raise _Mismatch("a string of Unicode characters", "one with half a surrogate pair")
    return data


def _integer(data: Any) -> int:
    if type(data) is not int or not LOWEST_INTEGER <= data <= HIGHEST_INTEGER:
        raise _Mismatch("an integer of at most 64 bits", _shown(data))
    return data


def _number(data: Any) -> int | float:
    if type(data) is float:
        if not math.isfinite(data):
            raise _Mismatch("a finite number", _shown(data))
        return data
    if type(data) is not int or not LOWEST_INTEGER <= data <= HIGHEST_INTEGER:
        raise _Mismatch("a number", _shown(data))
    return data


def _boolean(data: Any) -> bool:
    if type(data) is not bool:
        raise _Mismatch("true or false", _shown(data))
    return data


def _uuid(data: Any) -> UUID:
    if type(data) is str:
        try:
            result = UUID(data)
        except ValueError:
            pass
        else:
            # UUID() also reads braces, capitals and no dashes; one thing must have one spelling.
            if str(result) == data:
                return result
    raise _Mismatch("a UUID in lower case with dashes", _shown(data))


def _integer_key(data: Any) -> int:
    if type(data) is str and len(data) <= len(str(LOWEST_INTEGER)) and data.removeprefix("-").isascii():
        try:
            result = int(data)
        except ValueError:
            pass
        else:
            if str(result) == data:
                return _integer(result)
    raise _Mismatch("an integer as text", _shown(data))


# Per type of value: how to write it, and how to read it.
_SCALARS: Mapping[type, tuple[_Encode, _Decode]] = {
    str: (_same, _text),
    int: (_same, _integer),
    float: (_same, _number),
    bool: (_same, _boolean),
    UUID: (str, _uuid),
}

_KEYS: Mapping[type, tuple[_Encode, _Decode]] = {
    str: (_same, _text),
    int: (str, _integer_key),
    UUID: (str, _uuid),
}


def _codec(hint: Any) -> tuple[_Encode, _Decode]:
    members = union_members(hint)
    if len(members) != 1:
        return _union_codec(members)
    (kind,) = members
    origin = typing.get_origin(kind)
    if origin is PVector:
        return _sequence_codec(*typing.get_args(kind))
    if origin is PMap:
        return _mapping_codec(*typing.get_args(kind))
    if kind in _SCALARS:
        return _SCALARS[kind]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _enum_codec(kind)
    if isinstance(kind, type) and issubclass(kind, Record):
        return _record_encoder(kind), _record_decoder(kind)
    raise TypeError(f"{hint!r} has no form on the wire")


def _union_codec(members: tuple[Any, ...]) -> tuple[_Encode, _Decode]:
    others = tuple(member for member in members if member is not types.NoneType)
    if len(others) == 1:
        encode_other, decode_other = _codec(others[0])
    elif all(isinstance(member, type) and issubclass(member, Record) for member in others):
        encode_other, decode_other = encode, _one_of_decoder(others)
    else:
        raise TypeError(f"of {members!r} none can be told from the others on the wire")
    if len(others) == len(members):
        return encode_other, decode_other

    def encode_optional(value: Any) -> Any:
        return None if value is None else encode_other(value)

    def decode_optional(data: Any) -> Any:
        if data is None:
            return None
        try:
            return decode_other(data)
        except _Mismatch as mismatch:
            if not mismatch.path:
                mismatch.expected += " or null"
            raise

    return encode_optional, decode_optional


def _sequence_codec(item_type: Any) -> tuple[_Encode, _Decode]:
    encode_item, decode_item = _codec(item_type)

    def encode_sequence(value: Iterable[Any]) -> list[Any]:
        return [encode_item(item) for item in value]

    def decode_sequence(data: Any) -> list[Any]:
        if type(data) is not list:
            raise _Mismatch("an array", _shown(data))
        result: list[Any] = []
        try:
            for item in data:
                result.append(decode_item(item))  # its length is the index of what didn't fit
        except _Mismatch as mismatch:
            mismatch.path.append(len(result))
            raise
        return result

    return encode_sequence, decode_sequence


def _mapping_codec(key_type: Any, item_type: Any) -> tuple[_Encode, _Decode]:
    encode_key, decode_key = _KEYS[bare_type(key_type)]
    encode_item, decode_item = _codec(item_type)

    def encode_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
        return {encode_key(key): encode_item(item) for key, item in value.items()}

    def decode_mapping(data: Any) -> dict[Any, Any]:
        if type(data) is not dict:
            raise _Mismatch("an object", _shown(data))
        result: dict[Any, Any] = {}
        for key, item in data.items():
            try:
                result[decode_key(key)] = decode_item(item)
            except _Mismatch as mismatch:
                mismatch.path.append(key if type(key) is str else _shown(key))
                raise
        return result

    return encode_mapping, decode_mapping


def _enum_codec(kind: type[enum.Enum]) -> tuple[_Encode, _Decode]:
    by_value = {member.value: member for member in kind}
    expected = "one of " + ", ".join(_shown(value) for value in by_value)

    def encode_member(value: enum.Enum) -> Any:
        return value.value

    def decode_member(data: Any) -> enum.Enum:
        member = by_value.get(data) if type(data) is str else None
        if member is None:
            raise _Mismatch(expected, _shown(data))
        return member

    return encode_member, decode_member


@functools.cache
def _record_encoder(kind: type[Record]) -> _Encode:
    fields = [(name, _codec(hint)[0]) for name, hint in record_hints(kind).items()]

    def encode_record(record: Record) -> dict[str, Any]:
        return {name: encode_field(getattr(record, name)) for name, encode_field in fields}

    return encode_record


@functools.cache
def _record_decoder(kind: type[Record], *, tagged: bool = False) -> _Decode:
    decoders = {name: _codec(hint)[1] for name, hint in record_hints(kind).items()}
    for reserved in (TYPE_KEY, FORMAT_KEY):
        if reserved in decoders:
            raise TypeError(f"{kind.__name__} has a field {reserved!r}, which means something else on the wire")
    expected_keys = decoders.keys() | {TYPE_KEY} if tagged else decoders.keys()

    def decode_record(data: Any) -> Record:
        if type(data) is not dict:
            raise _Mismatch(f"a {kind.__name__}", _shown(data))
        if tagged and data.get(TYPE_KEY) != kind.__name__:
            raise _Mismatch(_shown(kind.__name__), _shown(data.get(TYPE_KEY)), TYPE_KEY)
        if data.keys() != expected_keys:
            raise _wrong_keys(data, decoders, kind)
        values: dict[str, Any] = {}
        for name, decode_field in decoders.items():
            try:
                values[name] = decode_field(data[name])
            except _Mismatch as mismatch:
                mismatch.path.append(name)
                raise
        try:
            return kind(**values)
        except InvariantException as error:
            complaints = [str(complaint) for complaint in error.invariant_errors]
            raise _Mismatch(f"a {kind.__name__} that holds together", "; ".join(complaints)) from None
        except PTypeError as error:
            raise _Mismatch(f"a {kind.__name__}", str(error)) from None

    return decode_record


def _wrong_keys(data: dict[Any, Any], fields: Iterable[str], kind: type[Record]) -> _Mismatch:
    for name in fields:
        if name not in data:
            return _Mismatch(f"this field of a {kind.__name__}", "nothing", name)
    strange = next(key for key in data if key not in fields and key != TYPE_KEY)
    name = strange if type(strange) is str else _shown(strange)
    return _Mismatch(f"no such field in a {kind.__name__}", _shown(data[strange]), name)


def _one_of_decoder(kinds: Iterable[type[Record]]) -> _Decode:
    decoders = {kind.__name__: _record_decoder(kind, tagged=True) for kind in kinds}
    expected = "one of " + ", ".join(_shown(name) for name in decoders)

    def decode_one_of(data: Any) -> Any:
        if type(data) is not dict:
            raise _Mismatch(f"an object whose {TYPE_KEY} is {expected}", _shown(data))
        name = data.get(TYPE_KEY)
        decode_record = decoders.get(name) if type(name) is str else None
        if decode_record is None:
            raise _Mismatch(expected, _shown(name), TYPE_KEY)
        return decode_record(data)

    return decode_one_of


@functools.cache
def _tagged_decoder(kind: type[Record] | types.UnionType) -> _Decode:
    if isinstance(kind, types.UnionType):
        return _one_of_decoder(union_members(kind))
    return _record_decoder(kind, tagged=True)
