"""
Building blocks of the schemas that validate requests and answers and that the OpenAPI document shows.

All objects are closed: a member that no schema names is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flocker_control import limits
from flocker_py.units import MAXIMUM_SIZE_BYTES, MINIMUM_SIZE_BYTES, SIZE_STEP_BYTES

Schema = Mapping[str, Any]

_HEX = "[0-9a-fA-F]"


def ref(name: str) -> Schema:
    """
    The schema of this name.
    """
    return {"$ref": f"#/components/schemas/{name}"}


def closed(
    required: Mapping[str, Schema] | None = None,
    optional: Mapping[str, Schema] | None = None,
    description: str | None = None,
) -> Schema:
    """
    An object with these members and no others.
    """
    members = {**(required or {}), **(optional or {})}
    schema: dict[str, Any] = {"type": "object", "properties": members, "additionalProperties": False}
    if required:
        schema["required"] = list(required)
    if description:
        schema["description"] = description
    return schema


def nullable(schema: Schema) -> Schema:
    """
    The same, or null.
    """
    kind = schema.get("type")
    if isinstance(kind, str) and "enum" not in schema:
        return {**schema, "type": [kind, "null"]}
    return {"oneOf": [schema, {"type": "null"}]}


def array(items: Schema, **more: Any) -> Schema:
    """
    An array of these.
    """
    return {"type": "array", **more, "items": items}


def text(description: str | None = None, **more: Any) -> Schema:
    """
    A string.
    """
    return {"type": "string", **more, **({"description": description} if description else {})}


def one_of(*words: str) -> Schema:
    """
    One of these strings.
    """
    return {"type": "string", "enum": list(words)}


def integer(lowest: int | None = None, highest: int | None = None, **more: Any) -> Schema:
    """
    An integer, written as one: 1.0 is none.
    """
    bounds = {"minimum": lowest, "maximum": highest}
    return {"type": "integer", **more, **{name: bound for name, bound in bounds.items() if bound is not None}}


def number(description: str | None = None, **more: Any) -> Schema:
    """
    A number.
    """
    return {"type": "number", **more, **({"description": description} if description else {})}


def texts_by_name(value_schema: Schema, **more: Any) -> Schema:
    """
    An object whose members are all alike.
    """
    return {"type": "object", **more, "additionalProperties": value_schema}


BOOLEAN: Schema = {"type": "boolean"}
TEXT: Schema = {"type": "string"}
UUID_TEXT: Schema = {
    "type": "string",
    "minLength": 36,
    "maxLength": 36,
    "pattern": f"^{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}$",
}
UUID_4: Schema = {
    "type": "string",
    "minLength": 36,
    "maxLength": 36,
    "pattern": f"^{_HEX}{{8}}-{_HEX}{{4}}-4{_HEX}{{3}}-[89abAB]{_HEX}{{3}}-{_HEX}{{12}}$",
}
SIZE: Schema = {
    "type": "integer",
    "minimum": MINIMUM_SIZE_BYTES,
    "maximum": MAXIMUM_SIZE_BYTES,
    "multipleOf": SIZE_STEP_BYTES,
    "description": "bytes",
}
COUNT: Schema = {"type": "integer", "minimum": 0}
METADATA: Schema = {
    "type": "object",
    "maxProperties": limits.METADATA_ENTRIES,
    "propertyNames": {"minLength": 1, "maxLength": limits.METADATA_CHARACTERS},
    "additionalProperties": {"type": "string", "maxLength": limits.METADATA_CHARACTERS},
}
NAME: Schema = {"type": "string", "maxLength": 63, "pattern": limits.NAME_PATTERN}
REFERENCE: Schema = {"type": "string", "minLength": 1, "maxLength": 256, "description": "a name or an id"}

ERROR: Schema = {
    "type": "object",
    "required": ["code", "description"],
    "properties": {
        "code": text("stable, machine-readable"),
        "description": text("what is wrong, where, and what to do"),
        "errors": array({}),
        "holder": text("id of the node for which the lease is held that is in the way"),
        "incident": text("number of the log's task that has the whole story"),
    },
    "additionalProperties": False,
}
