"""
``deployment.yml`` as Flocker 1.x read it: which application runs on which node.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping

from pyrsistent import PMap, pmap

from flocker_py.documents import Fields, Place, Pointer, entries, meant, read_text, reader_of_list, shown
from flocker_py.flocker_file import any_name, read_version
from flocker_py.records import Record, mapping


class ForeignDeployment(Record):
    """
    Where everything runs.

    :param addresses: of all nodes that the file has, and where they are in it.
    :param places: by application: the address of its node, and where the file says so.
    """

    addresses: PMap[str, Pointer] = mapping(str, tuple, default={})
    places: PMap[str, tuple[str, Pointer]] = mapping(str, tuple, default={})


def deployment_file(place: Place, known: Collection[str] | None) -> ForeignDeployment:
    """
    What the file says; whatever is wrong is complained about.

    :param known: the applications that there are; None: that can't be told.
    """
    top = Fields(place, "a deployment file")
    top.need("version", read_version)
    nodes = top.need("nodes", lambda below: dict(entries(below, "nodes", any_name))) or {}
    top.finish()
    addresses: dict[str, Pointer] = {}
    places: dict[str, tuple[str, Pointer]] = {}
    for written, entry in nodes.items():
        address = _address(written, entry)
        if address is not None:
            addresses[address] = entry.pointer
        for index, name in enumerate(_names(entry)):
            if name is not None:
                _take(name, address, entry.below(index, name), places, known)
    return ForeignDeployment(addresses=pmap(addresses), places=pmap(places))


def _address(written: str, place: Place) -> str | None:
    try:
        return str(ipaddress.IPv4Address(written))
    except ValueError:
        place.complain(f"{shown(written)} is not an IPv4 address: for names and IPv6 write a cluster.yml")
        return None


def _names(place: Place) -> list[str | None]:
    def read_name(below: Place) -> tuple[str | None]:
        return (read_text(below),)

    if place.value is None:
        place.complain("must be a list of applications, not nothing: [] for none")
        return []
    return [name for (name,) in reader_of_list(read_name, "applications")(place) or []]


def _take(
    name: str,
    address: str | None,
    place: Place,
    places: dict[str, tuple[str, Pointer]],
    known: Collection[str] | None,
) -> None:
    if known is not None and name not in known:
        place.complain(f"there is no application {shown(name)} in the application file{meant(name, known)}")
    elif name in places:
        place.complain(f"{name} runs on {places[name][0]} already, and an application runs once")
    else:
        # An address that is none was complained about; what else is wrong with its applications is told all the same.
        places[name] = (address or "", place.pointer)


def nodes_of(data: object) -> bool:
    """
    Whether a document looks like such a file.
    """
    return isinstance(data, Mapping) and "nodes" in data and "applications" not in data
