"""
JSON values against schemas.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from pyrsistent import PVector, pvector
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from flocker_control.http.schemas import Schema
from flocker_py.records import Record, value

MISTAKES_SHOWN = 20
_CHARACTERS_SHOWN = 300
_ADDRESS = "urn:flocker:api"


class Mistake(Record):
    """
    One place in which a value doesn't fit its schema.

    :param pointer: keys and indexes that lead to it.
    """

    pointer: tuple[str | int, ...] = value(tuple)
    text: str = value(str)


class Schemas:
    """
    Schemas by name, which may refer to one another as ``#/components/schemas/NAME``.
    """

    def __init__(self, schemas: Mapping[str, Schema]) -> None:
        self.by_name = schemas
        document = {"components": {"schemas": dict(schemas)}}
        resource = DRAFT202012.create_resource(document)
        self._registry: Registry[Any] = Registry().with_resource(_ADDRESS, resource)
        # A float is no integer, even if it is a whole number, as it was in draft 4, by which Flocker's API was checked.
        strict = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, found: type(found) is int)
        extend: Any = validators.extend
        self._validator: Any = extend(Draft202012Validator, type_checker=strict)

    @functools.cache  # noqa: B019  # there is one instance, as long-lived as the process
    def _validator_of(self, name: str) -> Validator:
        schema = {"$ref": f"{_ADDRESS}#/components/schemas/{name}"}
        validator: Validator = self._validator(schema, registry=self._registry)
        return validator

    def mistakes(self, name: str, found: Any) -> PVector[Mistake]:
        """
        Where a JSON value doesn't fit a schema; at most the first few places.
        """
        errors = itertools.islice(self._validator_of(name).iter_errors(found), MISTAKES_SHOWN)
        return pvector(_mistake(error) for error in errors)


def _mistake(error: ValidationError) -> Mistake:
    message = error.message
    if len(message) > _CHARACTERS_SHOWN:
        message = f"{message[: _CHARACTERS_SHOWN // 2]} ... {message[-_CHARACTERS_SHOWN // 2 :]}"
    return Mistake(pointer=tuple(error.absolute_path), text=message)
