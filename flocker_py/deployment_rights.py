"""
What an app of a deployment document may do on its node: its user, capabilities, security options.
"""

from __future__ import annotations

from collections.abc import Callable

from pyrsistent import PVector, pvector

from flocker_py.container_values import (
    ValueUnusable,
    capabilities_complaint,
    capability,
    security_option,
    user_complaint,
)
from flocker_py.documents import Fields, Place, read_boolean, read_text, reader_of_list
from flocker_py.records import Record, sequence, value


class Rights(Record):
    """
    The fields of a container that say what it may do.
    """

    read_only: bool = value(bool, default=False)
    user: str | None = value((str, type(None)), default=None)
    capabilities_add: PVector[str] = sequence(str, default=())
    capabilities_drop: PVector[str] = sequence(str, default=())
    security_options: PVector[str] = sequence(str, default=())


def read_rights(fields: Fields) -> Rights:
    """
    The rights among an app's fields.
    """
    result = Rights(
        read_only=fields.take("read_only", read_boolean) is True,
        user=fields.take("user", _read_user),
        capabilities_add=pvector(fields.take("cap_add", _reader_of_set(capability, "capabilities")) or ()),
        capabilities_drop=pvector(fields.take("cap_drop", _reader_of_set(capability, "capabilities")) or ()),
        security_options=pvector(fields.take("security_opt", _reader_of_set(security_option, "options")) or ()),
    )
    complaint = capabilities_complaint(result.capabilities_add, result.capabilities_drop)
    if complaint is not None:
        fields.place.complain(f"cap_add and cap_drop: {complaint}")
    return result


def _read_user(place: Place) -> str | None:
    user = read_text(place)
    complaint = None if user is None else user_complaint(user)
    if complaint is not None:
        place.complain(complaint)
        return None
    return user


def _reader_of_set(spelling: Callable[[str], str], what: str) -> Callable[[Place], list[str] | None]:
    def read_set(place: Place) -> list[str] | None:
        found: list[str] = []

        def read_item(item: Place) -> str | None:
            written = read_text(item)
            if written is None:
                return None
            try:
                read = spelling(written)
            except ValueUnusable as error:
                item.complain(str(error))
                return None
            if read in found:
                item.complain(f"{read} is there already")
                return None
            found.append(read)
            return read

        return reader_of_list(read_item, what)(place)

    return read_set
