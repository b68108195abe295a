"""
``cluster.yml``: YAML to a deployment, or to complaints with line and column.

Only the part of YAML that JSON has too is read, with plain values as YAML 1.2 means them: ``no`` is a text, and
``22:22`` is a text. Anchors, aliases, tags, merge keys and second documents are complaints, and so is a key that is
there twice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from pyrsistent import pmap

from flocker_admin.unofficial import explained, is_unofficial
from flocker_py.deployed import Deployment
from flocker_py.deployment import parse
from flocker_py.documents import Complaint, Pointer
from flocker_py.records import Record, value

T = TypeVar("T")

SIZE_LIMIT_CHARACTERS = 1_000_000
DEPTH_LIMIT = 32

# Ten times as fast; not in every build of PyYAML.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_TAGS = ("tag:yaml.org,2002:str", "!")

# YAML 1.2.2, production 1, c-printable, inverted.
_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# YAML 1.2.2, section 10.3.2, the core schema; numbers too long to be meant are texts.
_INTEGER = re.compile(r"[-+]?[0-9]{1,30}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,30}|[0-9]{1,30}(\.[0-9]{0,30})?)([eE][-+]?[0-9]{1,3})?", re.ASCII)
_CONSTANTS: Mapping[str, bool | None] = MappingProxyType(
    {
        **dict.fromkeys(("", "~", "null", "Null", "NULL")),
        **dict.fromkeys(("true", "True", "TRUE"), True),
        **dict.fromkeys(("false", "False", "FALSE"), False),
    }
)


class Position(Record):
    """
    A place in a text; line and column count from 1.
    """

    line: int = value(int)
    column: int = value(int)


_BEGINNING = Position(line=1, column=1)


class Mistake(Record):
    """
    One mistake in a file.

    :param path: the names and numbers that lead to it, for people: ``apps.db.ports[0]``; empty for the whole file.
    :param file: its name, where more than one was read; None: the one.
    """

    position: Position = value(Position)
    path: str = value(str, default="")
    text: str = value(str)
    file: str | None = value((str, type(None)), default=None)


class Origin(Record):
    """
    Where a value was read that is part of another document now.
    """

    file: str = value(str)
    pointer: Pointer = value(tuple)
    position: Position = value(Position)


class Manifest(Record):
    """
    A file that was read.

    :param data: the document as a JSON value.
    :param positions: where each value is, by pointer: that of its key, or of itself in a list.
    :param origins: of a document that was made from other files: where its values come from, by pointer.
    """

    data: Any = value(object)
    positions: Mapping[Pointer, Position] = value(Mapping)
    origins: Mapping[Pointer, Origin] = value(Mapping, default=pmap())


class ManifestDeployment(Record):
    """
    A file that means a deployment.
    """

    manifest: Manifest = value(Manifest)
    deployment: Deployment = value(Deployment)


def manifest(text: str) -> Manifest | list[Mistake]:
    """
    The one document of a YAML text; or why it can't be read.
    """
    read, found = read_manifest(text)
    return read if read is not None and not found else found


def read_manifest(text: str) -> tuple[Manifest | None, list[Mistake]]:
    """
    The document, and what is wrong with it; None where it is so wrong that no more can be said about it.
    """
    if len(text) > SIZE_LIMIT_CHARACTERS:
        return None, [Mistake(position=_BEGINNING, text=f"the file has more than {SIZE_LIMIT_CHARACTERS} characters")]
    strange = _NOT_PRINTABLE.search(text)
    if strange is not None:
        found = f"not YAML: the character U+{ord(strange[0]):04X} must not be in a file"
        return None, [Mistake(position=_counted(text, strange.start()), text=found)]
    composer = _Composer()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            composer.take(event)
    except _Unreadable as unreadable:
        return None, [*composer.mistakes, Mistake(position=unreadable.position, text=unreadable.text)]
    except yaml.MarkedYAMLError as error:
        return None, [*composer.mistakes, Mistake(position=_marked(error), text=f"not YAML: {_problem(error)}")]
    return Manifest(data=composer.root, positions=composer.positions), composer.mistakes


def deployment(text: str) -> ManifestDeployment | list[Mistake]:
    """
    What a YAML text asks for; or everything that is wrong with it, in the order of its lines.
    """
    read, found = read_manifest(text)
    if read is None:
        return found
    parsed = explained(read.data) if is_unofficial(read.data) else parse(read.data)
    if isinstance(parsed, list):
        return in_order([*found, *mistakes(read, parsed)])
    if found:
        return found
    return ManifestDeployment(manifest=read, deployment=parsed)


def mistakes(read: Manifest, complaints: list[Complaint]) -> list[Mistake]:
    """
    Complaints about a document with their positions in its file, in the order of its lines.
    """
    return in_order([_mistake(read, complaint) for complaint in complaints])


def _mistake(read: Manifest, complaint: Complaint) -> Mistake:
    origin = nearest(read.origins, complaint.pointer)
    if origin is not None:
        path = path_text(origin.pointer)
        return Mistake(position=origin.position, path=path, text=complaint.text, file=origin.file)
    position = nearest(read.positions, complaint.pointer) or _BEGINNING
    return Mistake(position=position, path=path_text(complaint.pointer), text=complaint.text)


def in_order(found: Iterable[Mistake]) -> list[Mistake]:
    """
    Mistakes by file, line and column.
    """
    return sorted(found, key=lambda one: (one.file or "", one.position.line, one.position.column))


def mistake_text(file: str, mistake: Mistake) -> str:
    """
    A mistake on one line, as compilers write it.

    :param file: the name of the file, unless the mistake says another.
    """
    where = f"{mistake.file or file}:{mistake.position.line}:{mistake.position.column}: "
    return f"{where}{mistake.path}: {mistake.text}" if mistake.path else f"{where}{mistake.text}"


def path_text(pointer: Pointer) -> str:
    """
    A pointer for people: ``apps.db.ports[0]``.
    """
    result = ""
    for step in pointer:
        match step:
            case int():
                result += f"[{step}]"
            case _ if result:
                result += f".{step}"
            case _:
                result = step
    return result


def nearest(places: Mapping[Pointer, T], pointer: Pointer) -> T | None:
    """
    What is known about a value, or else about the nearest that it is a part of: a complaint may be about what a file
    left out.
    """
    while pointer and pointer not in places:
        pointer = pointer[:-1]
    return places.get(pointer)


class _Unreadable(Exception):
    def __init__(self, mark: Any, text: str) -> None:
        super().__init__(text)
        self.position = _at(mark)
        self.text = text


class _Composer:
    """
    Makes a JSON value of YAML's events, without recursion, and notes where everything was.
    """

    def __init__(self) -> None:
        self.root: Any = None
        self.positions: dict[Pointer, Position] = {}
        self.mistakes: list[Mistake] = []
        self._documents = 0
        self._open: list[tuple[dict[str, Any] | list[Any], Pointer]] = []
        # The key whose value comes next, per open mapping.
        self._keys: list[tuple[str, Position] | None] = []

    def take(self, event: Any) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise _Unreadable(event.start_mark, "a second document begins here, and a file has one")
            case yaml.AliasEvent():
                raise _Unreadable(event.start_mark, "aliases are not supported: write the value out")
            case yaml.ScalarEvent() if self._is_key():
                self._take_key(event)
            case yaml.ScalarEvent():
                self._put(event, _scalar(event))
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._begin(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._open.pop()
                self._keys.pop()
            case _:
                pass  # begin and end of stream and document mean nothing here

    def _is_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1][0], dict) and self._keys[-1] is None

    def _take_key(self, event: Any) -> None:
        _check_plain(event)
        key, position = str(event.value), _at(event.start_mark)
        if key == "<<" and event.implicit[0]:
            raise _Unreadable(event.start_mark, "merge keys are not supported: write the fields out")
        container, pointer = self._open[-1]
        if key in container:
            before = self.positions[(*pointer, key)]
            path = path_text((*pointer, key))
            text = f"this key is there twice, first at {before.line}:{before.column}"
            self.mistakes.append(Mistake(position=position, path=path, text=text))
        self._keys[-1] = (key, position)

    def _begin(self, event: Any) -> None:
        _check_plain(event)
        if self._is_key():
            raise _Unreadable(event.start_mark, "a key must be a text")
        if len(self._open) >= DEPTH_LIMIT:
            raise _Unreadable(event.start_mark, f"nested more than {DEPTH_LIMIT} deep")
        found: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        pointer = self._put(event, found)
        self._open.append((found, pointer))
        self._keys.append(None)

    def _put(self, event: Any, found: Any) -> Pointer:
        if not self._open:
            self.root = found
            self.positions[()] = _at(event.start_mark)
            return ()
        container, pointer = self._open[-1]
        if isinstance(container, list):
            here: Pointer = (*pointer, len(container))
            position = _at(event.start_mark)
            container.append(found)
        else:
            key, position = self._keys[-1] or ("", _BEGINNING)
            self._keys[-1] = None
            here = (*pointer, key)
            container[key] = found
        self.positions[here] = position
        return here


def _check_plain(event: Any) -> None:
    if event.anchor is not None:
        raise _Unreadable(event.start_mark, "anchors are not supported: write the value out where it is needed")
    if event.tag is not None and event.tag not in _TEXT_TAGS:
        raise _Unreadable(event.start_mark, f"tags are not supported: leave {event.tag} out")


def _scalar(event: Any) -> Any:
    _check_plain(event)
    text = str(event.value)
    # Quoted, or said to be a text.
    if event.tag is not None or not event.implicit[0]:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def _at(mark: Any) -> Position:
    return Position(line=mark.line + 1, column=mark.column + 1)


def _marked(error: yaml.MarkedYAMLError) -> Position:
    mark = error.problem_mark or error.context_mark
    return _BEGINNING if mark is None else _at(mark)


def _problem(error: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (error.problem, error.context) if part]
    return ", ".join(parts) or "it can't be parsed"


def _counted(text: str, index: int) -> Position:
    before = text[:index]
    return Position(line=before.count("\n") + 1, column=index - before.rfind("\n"))
