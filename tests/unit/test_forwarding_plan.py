"""
What an agent does about ports that containers on other nodes publish.
"""

from __future__ import annotations

from typing import Any

import pytest
from pyrsistent import pmap, pvector

from flocker_agent.changes import Nothing
from flocker_agent.forwarding.plan import (
    AcceptForwarded,
    AcceptNoMore,
    Applied,
    Family,
    RemoveTable,
    ReplaceTable,
    Rules,
    Seen,
    family_of,
    forward_step,
    rules_of,
    troubles,
)
from flocker_py.assignment import Forward

BOTH = pvector(Family)
RULES = Rules(ipv4=pmap({"tcp/80": "192.0.2.1"}))
APPLIED = Applied(rules=RULES, table="listed")


def asked(*forwards: Forward) -> Any:
    return pmap({f"{forward.protocol}/{forward.port}": forward for forward in forwards})


def forward(port: int = 80, address: str | None = "192.0.2.1", *containers: str) -> Forward:
    """
    A TCP port.
    """
    return Forward(protocol="tcp", port=port, address=address, containers=pvector(containers or ("web",)))


def seen(**fields: Any) -> Seen:
    """
    A host that passes packets on, and has no table of ours.
    """
    return Seen(**{"routing": BOTH, **fields})


@pytest.mark.parametrize(
    ("address", "family"),
    [
        ("192.0.2.1", Family.IPV4),
        ("2001:db8::1", Family.IPV6),
        ("fe80::1%eth0", None),
        ("a.example", None),
        (None, None),
    ],
)
def test_family(address: str | None, family: Family | None) -> None:
    """
    An address that means something on every host has a family.
    """
    assert family_of(address) == family


class TestRules:
    """
    What is put in place of what is asked.
    """

    def test_both_families(self) -> None:
        """
        Each port leads to its address, written as the kernel would write it.
        """
        rules = rules_of(asked(forward(), forward(81, "2001:DB8:0::1")), seen())

        assert rules == Rules(ipv4=pmap({"tcp/80": "192.0.2.1"}), ipv6=pmap({"tcp/81": "2001:db8::1"}))

    def test_where_a_port_leads(self) -> None:
        """
        Everywhere that a port leads is known.
        """
        rules = Rules(ipv4=pmap({"tcp/80": "192.0.2.1"}), ipv6=pmap({"tcp/80": "2001:db8::1"}))

        assert (rules.address("tcp/80"), rules.address("tcp/81")) == (("192.0.2.1", "2001:db8::1"), ())

    @pytest.mark.parametrize("address", [None, "fe80::1%eth0"])
    def test_nowhere(self, address: str | None) -> None:
        """
        A port that leads nowhere has no rule.
        """
        assert rules_of(asked(forward(80, address)), seen()) == Rules()

    def test_programs_of_the_host(self) -> None:
        """
        A port that a program of the host listens on is left to it.
        """
        rules = rules_of(asked(forward(80), forward(81)), seen(listening=pvector(["tcp/80"])))

        assert rules == Rules(ipv4=pmap({"tcp/81": "192.0.2.1"}))

    @pytest.mark.parametrize("leaves_host", [False, True])
    def test_loopback(self, leaves_host: bool) -> None:
        """
        Only where 127.0.0.1 is led on, too, a program that listens there and nowhere else is in the way.
        """
        host = seen(loopback=leaves_host, listening_on_loopback=pvector(["tcp/80"]))
        rules = rules_of(asked(forward(80), forward(81)), host)

        assert (rules.loopback, "tcp/80" in rules.ipv4) == (leaves_host, not leaves_host)

    def test_loopback_of_nothing(self) -> None:
        """
        Where nothing is led on there is nothing to tell apart.
        """
        assert rules_of(asked(), seen(loopback=True)) == Rules()


class TestSteps:
    """
    One change after the other, until all is as it should be.
    """

    @pytest.mark.parametrize(
        ("rules", "applied", "host", "step"),
        [
            (Rules(), None, seen(), Nothing()),
            (Rules(), APPLIED, seen(), Nothing()),
            (Rules(), None, seen(table="listed"), RemoveTable()),
            (RULES, None, seen(), ReplaceTable(rules=RULES)),
            (RULES, None, seen(table="listed"), ReplaceTable(rules=RULES)),
            (RULES, APPLIED, seen(), ReplaceTable(rules=RULES)),
            (RULES, APPLIED, seen(table="changed"), ReplaceTable(rules=RULES)),
            (RULES, Applied(rules=Rules(), table="listed"), seen(table="listed"), ReplaceTable(rules=RULES)),
            (RULES, APPLIED, seen(table="listed"), Nothing()),
            (RULES, APPLIED, seen(table="listed", dropping=BOTH), AcceptForwarded(family=Family.IPV4)),
            (RULES, APPLIED, seen(table="listed", dropping=BOTH, accepting=pvector([Family.IPV4])), Nothing()),
            (RULES, APPLIED, seen(table="listed", accepting=pvector([Family.IPV4])), Nothing()),
            (RULES, APPLIED, seen(table="listed", accepting=BOTH), AcceptNoMore(family=Family.IPV6)),
            (Rules(), None, seen(dropping=BOTH, accepting=BOTH), AcceptNoMore(family=Family.IPV4)),
        ],
    )
    def test_step(self, rules: Rules, applied: Applied | None, host: Seen, step: Any) -> None:
        """
        The table first, then what iptables has to accept; what is not known to be right is put in place again.
        """
        assert forward_step(rules, applied, host) == step


class TestTroubles:
    """
    Why clients may not get through.
    """

    def test_none(self) -> None:
        """
        Where all is well nothing is said.
        """
        assert troubles(asked(forward()), seen()) == ()

    @pytest.mark.parametrize(
        ("port", "host", "words"),
        [
            (forward(80, None, "db", "web"), seen(), ("tcp/80", "db and web", "external port of its own")),
            (forward(80, "fe80::1%eth0"), seen(), ("tcp/80", "fe80::1%eth0")),
            (forward(80), seen(listening=pvector(["tcp/80"])), ("tcp/80", "web", "end that program")),
            (forward(80), seen(routing=pvector([Family.IPV6])), ("net.ipv4.ip_forward=1", "sysctl.d")),
            (forward(80, "2001:db8::1"), seen(routing=pvector()), ("net.ipv6.conf.all.forwarding=1",)),
        ],
    )
    def test_told(self, port: Forward, host: Seen, words: tuple[str, ...]) -> None:
        """
        Each is one sentence with the port, what is in the way, and what to do.
        """
        (text,) = troubles(asked(port), host)

        assert [word for word in words if word not in text] == []
