"""
Our table as nft's JSON: made from rules, and read back in a form that can be compared.

libnftables-json(5) describes the form. The chains stand behind those of Docker and iptables at the same hooks (-100 and
100), and the first that translates a connection is the one: what the host itself publishes stays where it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flocker_agent.forwarding.plan import Family, Rules

FAMILY, TABLE = "inet", "flocker"
MARK = 0x02000000
"""The bit of a connection's mark that says it is one of ours, for this host's other rules to go by."""
_BEFORE_ROUTING, _AFTER_ROUTING = -90, 110
_TYPES = {Family.IPV4: ("ip", "ipv4_addr"), Family.IPV6: ("ip6", "ipv6_addr")}
_PORT = {"concat": [{"meta": {"key": "l4proto"}}, {"payload": {"protocol": "th", "field": "dport"}}]}
_CT_MARK = {"ct": {"key": "mark"}}

Document = dict[str, Any]


def table_document(rules: Rules) -> Document:
    """
    What makes the kernel have our table with these rules and nothing else in it, whatever was there, in one
    transaction.
    """
    return {"nftables": [_TABLE_ADDED, *_removal(), _TABLE_ADDED, *_contents(rules)]}


def removal_document() -> Document:
    """
    What makes the kernel have no table of ours, whether it has one or not.
    """
    return {"nftables": [_TABLE_ADDED, *_removal()]}


_TABLE_ADDED = {"add": {"table": {"family": FAMILY, "name": TABLE}}}


def _removal() -> Iterator[Document]:
    yield {"delete": {"table": {"family": FAMILY, "name": TABLE}}}


def _contents(rules: Rules) -> Iterator[Document]:
    used = [family for family in Family if rules.of(family)]
    for family in used:
        yield _map(family, rules)
    for name, hook, priority in (
        ("prerouting", "prerouting", _BEFORE_ROUTING),
        ("output", "output", _BEFORE_ROUTING),
        ("postrouting", "postrouting", _AFTER_ROUTING),
    ):
        base = {"type": "nat", "hook": hook, "prio": priority, "policy": "accept"}
        yield {"add": {"chain": {"family": FAMILY, "table": TABLE, "name": name, **base}}}
    for family in used:
        yield {"add": {"chain": {"family": FAMILY, "table": TABLE, "name": f"lead-{family.value}"}}}
        yield _rule(f"lead-{family.value}", _marking(), _leading(family))
    for family in used:
        yield _rule("prerouting", *_is_ours(family), _jump(family))
    for family in used:
        # Nothing that has the address ::1 ever leaves a host; 127.0.0.1 does where the administrator said so.
        loopback = () if family is Family.IPV4 and rules.loopback else (_is_not_loopback(family),)
        yield _rule("output", *loopback, *_is_ours(family), _jump(family))
    # Replies must come back to us, to be given the address that the client knows.
    yield _rule("postrouting", _is_marked(), _match("in", {"ct": {"key": "status"}}, "dnat"), {"masquerade": None})


def _map(family: Family, rules: Rules) -> Document:
    elements = []
    for key, address in sorted(rules.of(family).items()):
        protocol, _, port = key.partition("/")
        elements.append([{"concat": [protocol, int(port)]}, address])
    described = {
        "family": FAMILY,
        "table": TABLE,
        "name": f"to-{family.value}",
        "type": ["inet_proto", "inet_service"],
        "map": _TYPES[family][1],
        "elem": elements,
    }
    return {"add": {"map": described}}


def _rule(chain: str, *expressions: Document) -> Document:
    return {"add": {"rule": {"family": FAMILY, "table": TABLE, "chain": chain, "expr": list(expressions)}}}


def _match(operator: str, left: Document, right: Any) -> Document:
    return {"match": {"op": operator, "left": left, "right": right}}


def _is_ours(family: Family) -> tuple[Document, ...]:
    return (
        _match("==", {"fib": {"result": "type", "flags": ["daddr"]}}, "local"),
        _match("==", {"meta": {"key": "nfproto"}}, family.value),
        _match("==", _PORT, f"@to-{family.value}"),
    )


def _is_not_loopback(family: Family) -> Document:
    network: Any = "::1" if family is Family.IPV6 else {"prefix": {"addr": "127.0.0.0", "len": 8}}
    return _match("!=", {"payload": {"protocol": _TYPES[family][0], "field": "daddr"}}, network)


def _is_marked() -> Document:
    return _match("!=", {"&": [_CT_MARK, MARK]}, 0)


def _jump(family: Family) -> Document:
    return {"jump": {"target": f"lead-{family.value}"}}


def _marking() -> Document:
    return {"mangle": {"key": _CT_MARK, "value": {"|": [_CT_MARK, MARK]}}}


def _leading(family: Family) -> Document:
    return {"dnat": {"family": _TYPES[family][0], "addr": {"map": {"key": _PORT, "data": f"@to-{family.value}"}}}}


def has_table(listing: Document) -> bool:
    """
    Whether our table is among those that `nft -j list tables` lists.
    """
    tables = [entry["table"] for entry in listing["nftables"] if "table" in entry]
    return any((table["family"], table["name"]) == (FAMILY, TABLE) for table in tables)


def comparable(listing: Document) -> str:
    """
    What `nft -j list table` lists, without what says nothing about it: handles, and the order of a map's elements.
    """
    entries = [_plain(entry) for entry in listing["nftables"] if "metainfo" not in entry]
    return json.dumps(entries, sort_keys=True)


def _plain(found: Any) -> Any:
    if isinstance(found, dict):
        plain = {key: _plain(each) for key, each in found.items() if key != "handle"}
        if isinstance(plain.get("elem"), list):
            plain["elem"] = sorted(plain["elem"], key=json.dumps)
        return plain
    if isinstance(found, list):
        return [_plain(each) for each in found]
    return found
