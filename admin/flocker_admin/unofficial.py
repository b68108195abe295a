"""
The ``cluster.yml`` of the unofficial Flocker tools, and of Flocker's benchmarks: addresses of hosts, and no workloads.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from flocker_py.documents import Complaint, Fields, Place, Pointer, read_text, reader_of_list, shown
from flocker_py.identity import cluster_name_complaint

_MARKS = ("agent_nodes", "control_node")

EXPLANATION = (
    "this is the cluster.yml of the unofficial Flocker tools, or of Flocker's benchmark: it lists the addresses of"
    " hosts and nothing that runs on them. flocker-deploy convert FILE writes the beginning of a cluster.yml of"
    " version 2 from it"
)

# What the fields that have no place in the new file were for, and what to do about them now.
_ELSEWHERE = {
    "users": "users: make their certificates with flocker-ca create-api-certificate USER.",
    "os": "os: the programs are installed as the installation guide says.",
    "private_key_path": "private_key_path: hosts are not reached by SSH.",
    "agent_config": "agent_config: what agents need is in agent.yml on each node; its backend is named there.",
}


def is_unofficial(data: object) -> bool:
    """
    Whether a document is such a file.
    """
    return isinstance(data, Mapping) and any(mark in data for mark in _MARKS) and "version" not in data


def explained(data: object) -> list[Complaint]:
    """
    What to say to somebody who deploys such a file.
    """
    mark = next(key for key in data if key in _MARKS) if isinstance(data, Mapping) else ""
    return [Complaint(pointer=(mark,), text=EXPLANATION)]


def converted(data: object, complaints: list[Complaint]) -> tuple[dict[str, Any], dict[Pointer, list[str]]]:
    """
    The beginning of a ``cluster.yml`` of version 2, and notes for its reader.

    :param complaints: what is wrong is added to them.
    """
    fields = Fields(Place(data, (), complaints), "a cluster.yml of the unofficial tools")
    name = fields.take("cluster_name", _read_cluster_name)
    host = fields.take("control_node", read_text)
    nodes = fields.take("agent_nodes", reader_of_list(_read_node, "nodes")) or []
    notes: dict[Pointer, list[str]] = {}
    for field, text in _ELSEWHERE.items():
        if fields.take(field, lambda place: place) is not None:
            notes.setdefault((), []).append(text)
    fields.finish()
    cluster: dict[str, Any] = {"name": name or "flocker"}
    if host is not None:
        cluster["control"] = {"host": host}
    document: dict[str, Any] = {"version": 2, "cluster": cluster, "nodes": {}}
    for number, (address, public) in enumerate(nodes, start=1):
        document["nodes"][f"n{number}"] = {"address": address}
        if public is not None:
            notes["nodes", f"n{number}"] = [f"From outside: {public}."]
    if nodes:
        notes[("nodes",)] = ["The names are made up. Deploying the file gives them to the nodes: choose better ones."]
    return document, notes


def _read_cluster_name(place: Place) -> str | None:
    name = read_text(place)
    complaint = None if name is None else cluster_name_complaint(name)
    if complaint is not None:
        place.complain(complaint)
    return name


def _read_node(place: Place) -> tuple[str, str | None] | None:
    if isinstance(place.value, str):
        address = _read_address(place)
        return None if address is None else (address, None)
    fields = Fields(place, "a node")
    private, public = fields.take("private", _read_address), fields.take("public", read_text)
    fields.finish()
    if fields.sound and not fields.has("private"):
        place.complain("a node needs private, the address at which other nodes reach it")
    return None if private is None else (private, None if public == private else public)


def _read_address(place: Place) -> str | None:
    try:
        return str(ipaddress.ip_address(str(place.value)))
    except ValueError:
        place.complain(f"must be an IP address, not {shown(place.value)}")
        return None
