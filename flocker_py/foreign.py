"""
Apps as files of other programs define them, in the words of ``cluster.yml``: Flocker's, fig's and Compose's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import md5
from typing import Any
from uuid import UUID

from pyrsistent import PVector, pvector

from flocker_py.documents import Place, Pointer, Reader, read_text, shown
from flocker_py.records import Record, sequence, value

_NONE = type(None)

Located = tuple[Any, Pointer]
"""Something that was read, and where."""


class ForeignVolume(Record):
    """
    A volume that an app of another program's file mounts.

    :param fields: as ``cluster.yml`` writes them, but for ``primary``.
    :param pointers: from these to where they are in the file, ``()`` for the volume as a whole.
    :param path: absolute, inside the container.
    :param read_only: the app can't write there.
    :param notes: what somebody who reads the fields should know.
    """

    name: str = value(str)
    fields: Mapping[str, Any] = value(Mapping)
    pointers: Mapping[Pointer, Pointer] = value(Mapping)
    path: str = value(str)
    path_pointer: Pointer = value(tuple)
    read_only: bool = value(bool, default=False)
    notes: PVector[str] = sequence(str, default=())


class ForeignApp(Record):
    """
    An app of another program's file.

    :param fields: as ``cluster.yml`` writes them, but for ``node``, ``mounts`` and ``state``.
    :param pointers: as those of a volume.
    :param warnings: what is not as it was.
    """

    name: str = value(str)
    fields: Mapping[str, Any] = value(Mapping)
    pointers: Mapping[Pointer, Pointer] = value(Mapping)
    volumes: PVector[ForeignVolume] = sequence(ForeignVolume, default=())
    notes: PVector[str] = sequence(str, default=())
    warnings: PVector[str] = sequence(str, default=())


class ForeignFile(Record):
    """
    A file of another program.

    :param format: what it is called.
    """

    format: str = value(str)
    apps: PVector[ForeignApp] = sequence(ForeignApp, default=())


class Draft:
    """
    An app or volume that is being read.
    """

    def __init__(self, name: str, pointer: Pointer) -> None:
        self.name = name
        self.fields: dict[str, Any] = {}
        self.pointers: dict[Pointer, Pointer] = {(): pointer}
        self.volumes: list[ForeignVolume] = []
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def put(self, field: str, written: Any, pointer: Pointer) -> None:
        """
        A field; None: the file has nothing for it that could be read.
        """
        if written is not None:
            self.fields[field] = written
            self.pointers[(field,)] = pointer

    def put_items(
        self, field: str, items: Sequence[Located] | None, pointer: Pointer, *, same_keys: bool = False
    ) -> None:
        """
        A field that is a list.

        :param same_keys: its items are mappings whose keys are those in the file.
        """
        if items:
            self.put(field, [item for item, _ in items], pointer)
            for index, (item, at) in enumerate(items):
                self.pointers[(field, index)] = at
                if same_keys:
                    self.pointers.update({(field, index, key): (*at, key) for key in item})

    def put_texts(self, field: str, texts: Mapping[str, Located] | None, pointer: Pointer) -> None:
        """
        A field that is a mapping.
        """
        if texts:
            self.put(field, {name: text for name, (text, _) in texts.items()}, pointer)
            self.pointers.update({(field, name): at for name, (_, at) in texts.items()})

    def app(self) -> ForeignApp:
        """
        What was read.
        """
        return ForeignApp(
            name=self.name,
            fields=self.fields,
            pointers=self.pointers,
            volumes=pvector(self.volumes),
            notes=pvector(self.notes),
            warnings=pvector(self.warnings),
        )

    def volume(self, path: str, path_pointer: Pointer) -> ForeignVolume:
        """
        What was read.
        """
        return ForeignVolume(
            name=self.name,
            fields=self.fields,
            pointers=self.pointers,
            path=path,
            path_pointer=path_pointer,
            notes=pvector(self.notes),
        )


UNKNOWN_IMAGE = "unknown"
"""Stands for an image that was complained about: that there is none would be said a second time."""

ANONYMOUS_NOTE = "The id that Flocker made of the name of its application: by it, the old data is found."


def dataset_id_of(application: str) -> UUID:
    """
    The id that Flocker gave the dataset of an application that names none: the MD5 of the name, as a UUID of version 4.
    """
    return UUID(bytes=md5(application.encode(), usedforsecurity=False).digest(), version=4)


def anonymous_volume(application: str, path: str, pointer: Pointer) -> ForeignVolume:
    """
    The one volume of an application that gives it neither name nor id, as Flocker called it.
    """
    draft = Draft(application, pointer)
    draft.put("id", str(dataset_id_of(application)), pointer)
    draft.put("labels", {"name": application}, pointer)
    draft.notes.append(ANONYMOUS_NOTE)
    return draft.volume(path, pointer)


def size_text(size_bytes: int) -> str | int:
    """
    A size as somebody would write it into ``cluster.yml``.
    """
    for power, letter in ((4, "T"), (3, "G"), (2, "M"), (1, "K")):
        if size_bytes >= 1024**power and size_bytes % 1024**power == 0:
            return f"{size_bytes // 1024**power}{letter}"
    return size_bytes


def read_image(place: Place) -> str | None:
    """
    The name of an image: ``repository[:tag]``.
    """
    image = read_text(place)
    if image is not None and image.startswith(":"):
        place.complain(f"must be the name of an image, repository[:tag], not {shown(image)}")
        return None
    return image


def read_integer(place: Place) -> int | None:
    """
    Any integer. How large it may be is for ``cluster.yml`` to say.
    """
    found = place.value
    if type(found) is not int:
        place.complain(f"must be an integer, not {shown(found)}")
        return None
    return found


def located(read: Reader[Any]) -> Reader[Located]:
    """
    Reads the same, and keeps where it was.
    """

    def read_located(place: Place) -> Located | None:
        found = read(place)
        return None if found is None else (found, place.pointer)

    return read_located
