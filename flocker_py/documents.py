"""
Reading JSON values that people wrote: every mistake is a complaint, and none hides another.

A reader takes a value and where it is. It answers what the value means; or it complains, and answers None.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from flocker_py.errors import FlockerError
from flocker_py.records import Record, value

T = TypeVar("T")

Pointer = tuple[str | int, ...]
"""The keys and indexes that lead from the whole document to one value."""

_SHOWN_CHARACTERS = 60


class Complaint(Record):
    """
    One mistake in a document.

    :param pointer: to the value that is wrong, or lacks something.
    :param text: what is wrong and what to write instead; not where.
    """

    pointer: Pointer = value(tuple)
    text: str = value(str)


class Place:
    """
    A value of a document that is being read, and the list where complaints about the document go.
    """

    __slots__ = ("complaints", "pointer", "value")

    def __init__(self, found: object, pointer: Pointer, complaints: list[Complaint]) -> None:
        self.value = found
        self.pointer = pointer
        self.complaints = complaints

    def complain(self, text: str) -> None:
        """
        Say that something is wrong with this value.
        """
        self.complaints.append(Complaint(pointer=self.pointer, text=text))

    def below(self, key: str | int, found: object) -> Place:
        """
        A value inside this one.
        """
        return Place(found, (*self.pointer, key), self.complaints)


Reader = Callable[[Place], T | None]


class Fields:
    """
    An object of a document, whose fields are asked for one by one; those that nobody asked for are complained about.

    :param place: something else than an object is complained about, and reads as one without fields.
    :param what: the object in words, for complaints.
    :param unimplemented: fields that are part of the format and can't be done by this version.
    """

    def __init__(self, place: Place, what: str, unimplemented: Iterable[str] = ()) -> None:
        self.place = place
        self._what = what
        self._unimplemented = frozenset(unimplemented)
        self._known: list[str] = []
        self._data: Mapping[object, object] = {}
        self.sound = isinstance(place.value, Mapping)
        if isinstance(place.value, Mapping):
            self._data = place.value
        else:
            place.complain(f"{what} must be a mapping, not {shown(place.value)}")

    def has(self, name: str) -> bool:
        """
        Whether the field is there.
        """
        return name in self._data

    def take(self, name: str, read: Reader[T]) -> T | None:
        """
        What a field means; None if it isn't there, or is wrong.
        """
        self._known.append(name)
        if name not in self._data:
            return None
        return read(self.place.below(name, self._data[name]))

    def need(self, name: str, read: Reader[T]) -> T | None:
        """
        What a field means; it is a mistake not to have it.
        """
        if self.sound and name not in self._data:
            self.place.complain(f"{self._what} needs {name}")
        return self.take(name, read)

    def finish(self) -> None:
        """
        Complain about every field that nobody asked for.
        """
        for key, found in self._data.items():
            if key in self._known:
                continue
            place = self.place.below(str(key), found)
            if key in self._unimplemented:
                place.complain(f"{key} is not implemented: leave it out")
            else:
                place.complain(f"{self._what} has no field {shown(key)}{_meant(str(key), self._known)}")


def entries(place: Place, what: str, name_complaint: Callable[[str], str | None]) -> Iterable[tuple[str, Place]]:
    """
    The entries of an object whose keys are names; those with a wrong name are complained about and left out.
    """
    if not isinstance(place.value, Mapping):
        place.complain(f"{what} must be a mapping from names, not {shown(place.value)}")
        return
    for key, found in place.value.items():
        entry = place.below(str(key), found)
        complaint = name_complaint(key) if isinstance(key, str) else f"{shown(key)} is not a text: put it in quotes"
        if complaint is not None:
            entry.complain(complaint)
        else:
            yield key, entry


def read_text(place: Place) -> str | None:
    """
    A text that isn't empty and can be passed on to programs.
    """
    found = place.value
    if not isinstance(found, str):
        hint = f': write "{found}" in quotes' if type(found) in {int, float} else ""
        place.complain(f"must be a text, not {shown(found)}{hint}")
    elif not found:
        place.complain("must not be empty")
    elif unprintable(found):
        place.complain("has a character that can't be passed on to programs")
    else:
        return found
    return None


def read_any_text(place: Place) -> str | None:
    """
    A text, perhaps empty.
    """
    return "" if place.value == "" else read_text(place)


def read_boolean(place: Place) -> bool | None:
    """
    true or false.
    """
    if isinstance(place.value, bool):
        return place.value
    place.complain(f"must be true or false, not {shown(place.value)}")
    return None


def unprintable(text: str) -> bool:
    """
    Whether a text has what no program can be given: a NUL, or half a surrogate pair.
    """
    return "\0" in text or any("\ud800" <= character <= "\udfff" for character in text)


def reader_of_integer(lowest: int, highest: int) -> Reader[int]:
    """
    Reads integers from ``lowest`` to ``highest``.
    """

    def read_integer(place: Place) -> int | None:
        found = place.value
        if type(found) is not int or not lowest <= found <= highest:
            place.complain(f"must be an integer from {lowest} to {highest}, not {shown(found)}")
            return None
        return found

    return read_integer


def reader_of_choice(choices: Mapping[str, T], unimplemented: Iterable[str] = ()) -> Reader[T]:
    """
    Reads one of a few words.
    """
    refused = frozenset(unimplemented)

    def read_choice(place: Place) -> T | None:
        found = place.value
        if isinstance(found, str) and found in choices:
            return choices[found]
        if isinstance(found, str) and found in refused:
            place.complain(f"{found} is not implemented: use {' or '.join(choices)}")
        else:
            place.complain(f"must be {' or '.join(choices)}, not {shown(found)}")
        return None

    return read_choice


def reader_of_pattern(pattern: str, meaning: str) -> Reader[str]:
    """
    Reads texts of a form.

    :param meaning: what such a text is, for complaints.
    """

    def read_pattern(place: Place) -> str | None:
        found = place.value
        if not isinstance(found, str) or not re.fullmatch(pattern, found):
            place.complain(f"must be {meaning}, not {shown(found)}")
            return None
        return found

    return read_pattern


def reader_by(understand: Callable[[object], T], *errors: type[FlockerError]) -> Reader[T]:
    """
    Reads by a function that raises when it doesn't understand; the error's own words are the complaint.
    """

    def read_understood(place: Place) -> T | None:
        try:
            return understand(place.value)
        except errors as error:
            place.complain(" ".join(f"{error}. {type(error).__doc__}".split()))
            return None

    return read_understood


def reader_of_list(read_item: Reader[T], what: str) -> Reader[list[T]]:
    """
    Reads lists; items that are wrong are complained about and left out.
    """

    def read_list(place: Place) -> list[T] | None:
        if not isinstance(place.value, list):
            place.complain(f"must be a list of {what}, not {shown(place.value)}")
            return None
        items = (read_item(place.below(index, item)) for index, item in enumerate(place.value))
        return [item for item in items if item is not None]

    return read_list


def reader_of_texts_by_name(what: str, name_complaint: Callable[[str], str | None]) -> Reader[dict[str, str]]:
    """
    Reads mappings from names to texts.
    """

    def read_texts(place: Place) -> dict[str, str]:
        read = {name: read_any_text(entry) for name, entry in entries(place, what, name_complaint)}
        return {name: text for name, text in read.items() if text is not None}

    return read_texts


def shown(found: object) -> str:
    """
    A value of a document in a complaint.
    """
    match found:
        case None:
            return "nothing"
        case bool():
            return str(found).lower()
        case Mapping():
            return "a mapping"
        case list():
            return "a list"
        case int() if abs(found) >= 10**20:
            return "a huge number"
        case _:
            text = ascii(found) if isinstance(found, str) and unprintable(found) else repr(found)
            return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def meant(name: str, known: Iterable[str]) -> str:
    """
    ``; did you mean …?`` where one of the known names is close to a wrong one, else nothing.
    """
    return _meant(name, sorted(known))
