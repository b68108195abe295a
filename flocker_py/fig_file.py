"""
The files of fig, which are Compose's of version 1, as far as Flocker 1.x read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pyrsistent import pvector

from flocker_py.documents import Fields, Place, Pointer, entries, meant, read_text, reader_of_list, shown
from flocker_py.flocker_file import any_name, read_environment
from flocker_py.foreign import (
    UNKNOWN_IMAGE,
    Draft,
    ForeignApp,
    ForeignFile,
    Located,
    anonymous_volume,
    located,
    read_image,
    read_integer,
    size_text,
)

# What fig knew and Flocker refused.
UNIMPLEMENTED = (
    *("working_dir", "entrypoint", "user", "hostname", "domainname", "privileged", "dns", "net", "volumes_from"),
    *("expose", "command"),
)


def fig_file(place: Place) -> ForeignFile:
    """
    The services of a file in fig's format; whatever is wrong is complained about.
    """
    services = dict(entries(place, "a fig file", any_name))
    exposed = {name: list(_ports_of(entry)) for name, entry in services.items()}
    return ForeignFile(format="fig", apps=pvector(_app(name, entry, exposed) for name, entry in services.items()))


def is_service(found: object) -> bool:
    """
    Whether a value has what every service of fig has.
    """
    return isinstance(found, Mapping) and ("image" in found or "build" in found)


def _app(name: str, place: Place, exposed: Mapping[str, list[tuple[int, int]]]) -> ForeignApp:
    draft = Draft(name, place.pointer)
    fields = Fields(place, "a service", UNIMPLEMENTED)

    def at(field: str) -> Pointer:
        return (*place.pointer, field)

    if fields.has("image") and fields.has("build"):
        place.complain("a service has image or build, not both")
    if fields.has("build"):
        fields.take("build", _refuse_build)
    elif fields.sound and not fields.has("image"):
        place.complain("a service needs image")
    draft.put("image", fields.take("image", read_image) or UNKNOWN_IMAGE, at("image"))
    draft.put_texts("env", fields.take("environment", _read_environment), at("environment"))
    draft.put_items("ports", fields.take("ports", reader_of_list(located(_read_port), "ports")), at("ports"))
    links = fields.take("links", reader_of_list(lambda below: _read_link(below, exposed, draft), "links"))
    draft.put_items("links", [link for several in links or () for link in several], at("links"))
    memory = fields.take("mem_limit", read_integer)
    draft.put("memory", None if memory is None else size_text(memory), at("mem_limit"))
    paths = fields.take("volumes", reader_of_list(located(read_text), "paths")) or []
    if len(paths) > 1:
        place.below("volumes", None).complain(f"there are {len(paths)} volumes, and Flocker had one for each service")
    draft.volumes += [anonymous_volume(name, path, pointer) for path, pointer in paths[:1]]
    fields.finish()
    return draft.app()


def _refuse_build(place: Place) -> None:
    place.complain("images are not built here: build it, push it, and write image")


def _read_environment(place: Place) -> dict[str, Located] | None:
    if not isinstance(place.value, list):
        return read_environment(place)
    # A value may have a "=" in it; Flocker took that for no value at all.
    items = reader_of_list(located(read_text), "texts")(place) or []
    return {text.partition("=")[0]: (text.partition("=")[2], pointer) for text, pointer in items}


def _read_port(place: Place) -> dict[str, int] | None:
    numbers = _numbers(place.value)
    if numbers is None:
        place.complain(f"must be 'host:container', two numbers in quotes, not {shown(place.value)}")
        return None
    return {"internal": numbers[1], "external": numbers[0]}


def _numbers(written: object) -> tuple[int, int] | None:
    parts = written.split(":") if isinstance(written, str) else []
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) <= 5 for part in parts):
        return None
    return int(parts[0]), int(parts[1])


def _ports_of(place: Place) -> Iterator[tuple[int, int]]:
    written: Any = place.value.get("ports") if isinstance(place.value, Mapping) else None
    for port in written if isinstance(written, list) else ():
        numbers = _numbers(port)
        if numbers is not None:
            yield numbers


def _read_link(place: Place, exposed: Mapping[str, list[tuple[int, int]]], draft: Draft) -> list[Located] | None:
    written = read_text(place)
    if written is None:
        return None
    target, _, alias = written.partition(":")
    if target not in exposed:
        place.complain(f"there is no service {shown(target)} in this file{meant(target, exposed)}")
        return None
    if not exposed[target]:
        draft.warnings.append(f"the link to {target} tells {draft.name} nothing: {target} has no ports")
    return [
        ({"alias": alias or target, "local_port": internal, "remote_port": external}, place.pointer)
        for external, internal in exposed[target]
    ]
