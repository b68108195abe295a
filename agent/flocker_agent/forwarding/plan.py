"""
What to do next about ports that containers on other nodes publish: from what is asked and what the host shows, one
change.

A port that a program of this host listens on is its own: it is never taken from it, and the trouble is told.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Mapping

from pyrsistent import PMap, PVector, pmap

from flocker_agent.changes import Change, Nothing
from flocker_py.assignment import Forward
from flocker_py.records import Record, mapping, sequence, value
from flocker_py.sentences import listed

_NONE = type(None)


class Family(enum.Enum):
    """
    A version of the Internet Protocol. What comes in by one can't be led on by the other.
    """

    IPV4 = "ipv4"
    IPV6 = "ipv6"


SWITCHES: Mapping[Family, str] = {
    Family.IPV4: "net.ipv4.ip_forward",
    Family.IPV6: "net.ipv6.conf.all.forwarding",
}
"""The kernel's switch that lets a host pass packets on, which is for the host's administrator to set."""


class Rules(Record):
    """
    Where ports lead: per family the address, by protocol and port, as in ``tcp/5432``.

    :param loopback: for programs of this host that connect to 127.0.0.1, too.
    """

    ipv4: PMap[str, str] = mapping(str, str, default={})
    ipv6: PMap[str, str] = mapping(str, str, default={})
    loopback: bool = value(bool, default=False)

    def of(self, family: Family) -> PMap[str, str]:
        """
        Those of one family.
        """
        return self.ipv4 if family is Family.IPV4 else self.ipv6

    def address(self, key: str) -> tuple[str, ...]:
        """
        Everywhere that a port leads.
        """
        return tuple(rules[key] for rules in (self.ipv4, self.ipv6) if key in rules)


class Seen(Record):
    """
    The host as it is.

    :param table: our table as the kernel lists it, in a form that can be compared; None: there is none.
    :param routing: the families of which the kernel passes packets on.
    :param loopback: it lets packets of 127.0.0.1 leave the host (``net.ipv4.conf.all.route_localnet``).
    :param dropping: the families of which iptables drops what it is to pass on, unless a rule accepts it. Docker does
        so where it switched routing on itself.
    :param accepting: the families for which it has the rule that accepts what we lead on.
    :param listening: the ports, of those asked for, that a program of this host listens on.
    :param listening_on_loopback: and those where it does so at a loopback address alone.
    """

    table: str | None = value((str, _NONE), default=None)
    routing: PVector[Family] = sequence(Family, default=())
    loopback: bool = value(bool, default=False)
    dropping: PVector[Family] = sequence(Family, default=())
    accepting: PVector[Family] = sequence(Family, default=())
    listening: PVector[str] = sequence(str, default=())
    listening_on_loopback: PVector[str] = sequence(str, default=())


class Applied(Record):
    """
    The rules that were put in place last, and how the kernel listed the table then.
    """

    rules: Rules = value(Rules)
    table: str = value(str)


class ReplaceTable(Change):
    """
    Put our table in place, in one transaction, and end what flows by rules that are no more.
    """

    kind = "flocker:agent:replace-forwards"
    rules: Rules = value(Rules)


class RemoveTable(Change):
    """
    Remove our table, and end what flows by it.
    """

    kind = "flocker:agent:remove-forwards"


class AcceptForwarded(Change):
    """
    Let iptables accept, as its last word, what we lead on.
    """

    kind = "flocker:agent:accept-forwarded"
    family: Family = value(Family)


class AcceptNoMore(Change):
    """
    Remove that rule.
    """

    kind = "flocker:agent:accept-forwarded-no-more"
    family: Family = value(Family)


ForwardChange = ReplaceTable | RemoveTable | AcceptForwarded | AcceptNoMore


def rules_of(asked: PMap[str, Forward], seen: Seen) -> Rules:
    """
    What can be put in place of what is asked.
    """
    taken = _taken(seen)
    by_family: dict[Family, dict[str, str]] = {family: {} for family in Family}
    for key, forward in asked.items():
        family = family_of(forward.address)
        if family is not None and forward.address is not None and key not in taken:
            by_family[family][key] = str(ipaddress.ip_address(forward.address))
    return Rules(
        ipv4=pmap(by_family[Family.IPV4]),
        ipv6=pmap(by_family[Family.IPV6]),
        loopback=seen.loopback and bool(by_family[Family.IPV4]),
    )


def family_of(address: str | None) -> Family | None:
    """
    Of an address that can be led to; None: there is none, or it means something on one link of one host only.
    """
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    if parsed.version == 4:
        return Family.IPV4
    return Family.IPV6 if parsed.scope_id is None else None


def _taken(seen: Seen) -> set[str]:
    return {*seen.listening, *(seen.listening_on_loopback if seen.loopback else ())}


def forward_step(rules: Rules, applied: Applied | None, seen: Seen) -> ForwardChange | Nothing:
    """
    The next step.

    :param rules: that are to be in place.
    :param applied: what was put there last; None: it isn't known, as after a start.
    """
    used = [family for family in Family if rules.of(family)]
    if not used and seen.table is not None:
        return RemoveTable()
    # How a listing looks is the kernel's and nft's affair: what it was when all was right is what it should be.
    if used and (applied is None or applied.rules != rules or applied.table != seen.table):
        return ReplaceTable(rules=rules)
    for family in Family:
        needed = family in used and family in seen.dropping
        if needed and family not in seen.accepting:
            return AcceptForwarded(family=family)
        if family not in used and family in seen.accepting:
            return AcceptNoMore(family=family)
    return Nothing()


def troubles(asked: PMap[str, Forward], seen: Seen) -> tuple[str, ...]:
    """
    Why clients may not get where a port should lead; each a sentence without its full stop.
    """
    result = []
    taken = _taken(seen)
    for key, forward in sorted(asked.items()):
        if forward.address is None:
            result.append(
                f"{key} leads nowhere, since {listed('container', forward.containers)} on several nodes publish it:"
                " give each an external port of its own"
            )
        elif family_of(forward.address) is None:
            result.append(f"{key} leads nowhere, since {forward.address} is no address that other hosts can use")
        elif key in taken:
            result.append(
                f"{key} is served by a program of this host, and doesn't lead to"
                f" {listed('container', forward.containers)}: end that program, or choose another external port"
            )
    rules = rules_of(asked, seen)
    for family in Family:
        if rules.of(family) and family not in seen.routing:
            result.append(
                f"this host doesn't pass packets on, so other hosts don't get through: set {SWITCHES[family]}=1,"
                " by a file in /etc/sysctl.d"
            )
    return tuple(result)
