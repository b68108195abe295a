"""
Our table as nft's JSON. What the kernel makes of it is in ``tests/networks/test_host_network.py``.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from pyrsistent import pmap

from flocker_agent.forwarding.plan import Rules
from flocker_agent.forwarding.ruleset import comparable, has_table, removal_document, table_document

BOTH = Rules(ipv4=pmap({"udp/53": "192.0.2.1", "tcp/80": "192.0.2.2"}), ipv6=pmap({"tcp/80": "2001:db8::1"}))


def added(rules: Rules, kind: str) -> list[Any]:
    commands = table_document(rules)["nftables"]
    return [command["add"][kind] for command in commands if kind in command.get("add", {})]


def test_one_transaction() -> None:
    """
    Whatever was there is removed by the transaction that makes the new table, and of ours alone.
    """
    commands = table_document(BOTH)["nftables"]

    assert [next(iter(command)) for command in commands[:3]] == ["add", "delete", "add"]
    assert removal_document()["nftables"] == commands[:2]
    assert '"flocker"' in json.dumps(commands[:3])


def test_maps() -> None:
    """
    A map for each family holds where ports lead.
    """
    maps = {described["name"]: described["elem"] for described in added(BOTH, "map")}

    assert maps == {
        "to-ipv4": [[{"concat": ["tcp", 80]}, "192.0.2.2"], [{"concat": ["udp", 53]}, "192.0.2.1"]],
        "to-ipv6": [[{"concat": ["tcp", 80]}, "2001:db8::1"]],
    }


def test_only_what_is_used() -> None:
    """
    Of a family that isn't used there is nothing.
    """
    assert "ipv6" not in json.dumps(table_document(Rules(ipv4=pmap({"tcp/80": "192.0.2.2"}))))


@pytest.mark.parametrize(("loopback", "left_out"), [(False, True), (True, False)])
def test_loopback(loopback: bool, left_out: bool) -> None:
    """
    What goes to 127.0.0.1 is left alone, unless it can leave the host.
    """
    assert ("127.0.0.0" in json.dumps(added(BOTH.set(loopback=loopback), "rule"))) == left_out


def test_has_table() -> None:
    """
    Our table is known by its family and name.
    """
    other = {"table": {"family": "ip", "name": "flocker", "handle": 1}}
    ours = {"table": {"family": "inet", "name": "flocker", "handle": 2}}

    assert has_table({"nftables": [{"metainfo": {}}, other, ours]})
    assert not has_table({"nftables": [{"metainfo": {}}, other]})


def listing(handle: int, elements: list[Any], priority: int = -90) -> dict[str, Any]:
    return {
        "nftables": [
            {"metainfo": {"version": f"1.0.{handle}"}},
            {"map": {"name": "to-ipv4", "handle": handle, "elem": elements}},
            {"chain": {"name": "output", "handle": handle, "prio": priority}},
            {"rule": {"expr": [{"fib": {"flags": ["daddr"]}}], "handle": handle}},
        ]
    }


def test_comparable() -> None:
    """
    Handles, the program's version and the order of elements make no difference; all else does.
    """
    one, two = [{"concat": ["tcp", 80]}, "192.0.2.2"], [{"concat": ["udp", 53]}, "192.0.2.1"]

    assert comparable(listing(1, [one, two])) == comparable(listing(2, [two, one]))
    assert comparable(listing(1, [one, two])) != comparable(listing(1, [one]))
    assert comparable(listing(1, [one])) != comparable(listing(1, [one], priority=0))
