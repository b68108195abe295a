"""
Ports led to other nodes by a real kernel: three nodes and a client in network namespaces.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyrsistent import pmap

from flocker_agent.changes import Nothing
from flocker_agent.forwarding import network as host_network
from flocker_agent.forwarding.network import ForwardedByAnother, HostNetwork, NftablesMissing
from flocker_agent.forwarding.plan import (
    AcceptForwarded,
    AcceptNoMore,
    Applied,
    Family,
    RemoveTable,
    ReplaceTable,
    Rules,
    Seen,
    forward_step,
)
from tests.conftest import Require
from tests.networks.services import CLIENT, NODES, Client, Service, namespace, network, run, who
from tests.zfs.namespaces import enter

PORT = 8080
TCP, UDP = f"tcp/{PORT}", f"udp/{PORT}"


@pytest.fixture(scope="module")
def addresses(require: Require) -> Iterator[dict[str, str]]:
    require("root")
    require("nftables")
    with network() as addresses:
        yield addresses


class Forwarder:
    """
    One node's part in it, and what it put in place last.
    """

    def __init__(self, name: str, marker: Path) -> None:
        self.name = name
        self.marker = marker
        self.network = HostNetwork(marker)
        self.applied: Applied | None = None

    def look(self, *ports: str) -> Seen:
        with enter(namespace(self.name)):
            return self.network.look(frozenset(ports))

    def leads(self, rules: Rules) -> None:
        """
        Do all that is to be done.
        """
        with enter(namespace(self.name)):
            while True:
                step = forward_step(rules, self.applied, self.network.look(frozenset()))
                if isinstance(step, Nothing):
                    return
                table = self.network.perform(step)
                if isinstance(step, ReplaceTable):
                    assert table is not None
                    self.applied = Applied(rules=rules, table=table)


@pytest.fixture
def forwarders(addresses: dict[str, str], tmp_path: Path) -> Iterator[dict[str, Forwarder]]:
    """
    By the name of the node. Afterwards nothing is led anywhere, and no rule of iptables is left.
    """
    forwarders = {name: Forwarder(name, tmp_path / name) for name in NODES}
    yield forwarders
    for name, forwarder in forwarders.items():
        forwarder.leads(Rules())
        forwarder.network.close()
        run(name, "iptables", "-P", "FORWARD", "ACCEPT")
        run(name, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=0")


def lead_to(forwarders: dict[str, Forwarder], address: str, target: str) -> None:
    """
    Both ports are led to a node, by the two others.
    """
    for name, forwarder in forwarders.items():
        forwarder.leads(Rules() if name == target else Rules(ipv4=pmap({TCP: address, UDP: address})))


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_every_node_leads_to_the_service(
    addresses: dict[str, str], forwarders: dict[str, Forwarder], protocol: str
) -> None:
    """
    A client reaches the service at every node, wherever it runs; and where it moved to, after that.
    """
    answers = []
    for target in ("n1", "n2"):
        with Service(target, PORT, protocol=protocol):
            lead_to(forwarders, addresses[target], target)
            answers.append([who(CLIENT, addresses[name], PORT, protocol=protocol) for name in NODES])

    assert answers == [["n1", "n1", "n1"], ["n2", "n2", "n2"]]


def test_ipv6(addresses: dict[str, str], forwarders: dict[str, Forwarder]) -> None:
    """
    The same by IPv6.
    """
    with Service("n1", PORT, address="::"):
        forwarders["n2"].leads(Rules(ipv6=pmap({TCP: "fd00::1"})))

        assert who(CLIENT, "fd00::2", PORT) == "n1"


def test_from_the_node_itself(addresses: dict[str, str], forwarders: dict[str, Forwarder]) -> None:
    """
    A program of a node that leads ports reaches the service at its own node's address.
    """
    with Service("n1", PORT):
        lead_to(forwarders, addresses["n1"], "n1")

        assert who("n3", addresses["n3"], PORT) == "n1"


def test_at_127_0_0_1(addresses: dict[str, str], forwarders: dict[str, Forwarder]) -> None:
    """
    At 127.0.0.1 nobody answers, which is told at once; with route_localnet, the service does.
    """
    rules = Rules(ipv4=pmap({TCP: addresses["n1"]}))
    with Service("n1", PORT):
        forwarders["n3"].leads(rules)
        with pytest.raises(ConnectionRefusedError):
            who("n3", "127.0.0.1", PORT)
        run("n3", "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
        seen = forwarders["n3"].look()
        forwarders["n3"].leads(rules.set(loopback=seen.loopback))

        assert who("n3", "127.0.0.1", PORT) == "n1"


def test_client_that_keeps_its_socket(addresses: dict[str, str], forwarders: dict[str, Forwarder]) -> None:
    """
    Who goes on sending UDP from one socket reaches the place that the service moved to.
    """
    with Service("n1", PORT, protocol="udp"), Service("n2", PORT, protocol="udp"):
        forwarders["n3"].leads(Rules(ipv4=pmap({UDP: addresses["n1"]})))
        with Client(CLIENT, addresses["n3"], PORT, protocol="udp") as client:
            first = client.asks()
            forwarders["n3"].leads(Rules(ipv4=pmap({UDP: addresses["n2"]})))

            assert (first, client.asks()) == ("n1", "n2")


def test_connection_to_where_it_was(addresses: dict[str, str], forwarders: dict[str, Forwarder]) -> None:
    """
    A TCP connection to where the service was ends at once, even if nobody is there any more to say so.
    """
    with Service("n1", PORT), Service("n2", PORT):
        forwarders["n3"].leads(Rules(ipv4=pmap({TCP: addresses["n1"]})))
        with Client(CLIENT, addresses["n3"], PORT) as client:
            client.asks()
            run(
                "n1",
                "nft",
                "add table inet dead; add chain inet dead in_ { type filter hook input priority -300; policy drop; }",
            )
            forwarders["n3"].leads(Rules(ipv4=pmap({TCP: addresses["n2"]})))
            try:
                with pytest.raises(ConnectionResetError):
                    client.asks()
            finally:
                run("n1", "nft", "delete table inet dead")


def test_other_connections_go_on(addresses: dict[str, str], forwarders: dict[str, Forwarder]) -> None:
    """
    What is open goes on when other ports change, and when the table is replaced by the same once more.
    """
    forwarder = forwarders["n3"]
    with Service("n1", PORT):
        lead_to(forwarders, addresses["n1"], "n1")
        with Client(CLIENT, addresses["n3"], PORT) as client:
            client.asks()
            forwarder.leads(Rules(ipv4=pmap({TCP: addresses["n1"], "tcp/9999": addresses["n2"]})))
            forwarder.applied = None
            forwarder.leads(Rules(ipv4=pmap({TCP: addresses["n1"]})))

            assert client.asks() == "n1"


@pytest.mark.parametrize(
    "damage",
    [
        ("flush", "chain", "inet", "flocker", "prerouting"),
        ("delete", "table", "inet", "flocker"),
        ("add", "rule", "inet", "flocker", "prerouting", "accept"),
        ("delete", "element", "inet", "flocker", "to-ipv4", "{", "tcp", ".", str(PORT), "}"),
        ("flush", "ruleset"),
    ],
    ids=lambda damage: " ".join(damage[:2]),
)
def test_what_others_change_is_repaired(
    addresses: dict[str, str], forwarders: dict[str, Forwarder], damage: tuple[str, ...]
) -> None:
    """
    Whatever somebody does to our table is undone.
    """
    lead_to(forwarders, addresses["n1"], "n1")
    before = forwarders["n3"].look().table
    run("n3", "nft", *damage)
    damaged = forwarders["n3"].look().table
    lead_to(forwarders, addresses["n1"], "n1")

    assert (damaged == before, forwarders["n3"].look().table == before) == (False, True)


def tables_of_others(name: str) -> list[object]:
    listing = json.loads(run(name, "nft", "-j", "list", "ruleset"))["nftables"]
    return [entry for entry in listing if "flocker" not in json.dumps(entry)]


def test_others_are_left_alone(addresses: dict[str, str], forwarders: dict[str, Forwarder]) -> None:
    """
    Tables of others are what they were while ports are led and afterwards; and nothing of ours is left then.
    """
    run("n3", "nft", "add table inet other; add chain inet other mine { type filter hook input priority 0; }")
    before = tables_of_others("n3")
    lead_to(forwarders, addresses["n1"], "n1")
    while_led = tables_of_others("n3")
    forwarders["n3"].leads(Rules())

    assert (while_led, tables_of_others("n3")) == (before, before)
    assert "flocker" not in run("n3", "nft", "list", "ruleset")


def test_forward_policy_of_iptables(addresses: dict[str, str], forwarders: dict[str, Forwarder]) -> None:
    """
    Where iptables drops what it is to pass on, as Docker has it, it passes on what we lead, and drops all else still.
    """
    rules = Rules(ipv4=pmap({TCP: addresses["n1"]}))
    run("n3", "iptables", "-P", "FORWARD", "DROP")
    with Service("n1", PORT):
        forwarders["n3"].leads(rules)
        answer = who(CLIENT, addresses["n3"], PORT)
        run(CLIENT, "ip", "route", "add", "192.0.2.1", "via", addresses["n3"])
        run("n1", "ip", "addr", "add", "192.0.2.1", "dev", "lo")
        run("n3", "ip", "route", "add", "192.0.2.1", "via", addresses["n1"])
        with pytest.raises(TimeoutError):
            who(CLIENT, "192.0.2.1", PORT, seconds=1.0)

        assert answer == "n1"


def test_rule_of_iptables_goes_too(addresses: dict[str, str], forwarders: dict[str, Forwarder]) -> None:
    """
    The rule that iptables was given is there once, and removed with the rest.
    """
    run("n3", "iptables", "-P", "FORWARD", "DROP")
    lead_to(forwarders, addresses["n1"], "n1")
    lead_to(forwarders, addresses["n2"], "n2")
    while_led = run("n3", "iptables", "-S", "FORWARD").count("flocker")
    forwarders["n3"].leads(Rules())

    assert (while_led, run("n3", "iptables", "-S", "FORWARD").count("flocker")) == (1, 0)


def test_host_as_it_is(addresses: dict[str, str], forwarders: dict[str, Forwarder]) -> None:
    """
    What the kernel does, and who listens, is seen.
    """
    with Service("n2", PORT), Service("n2", 8081, protocol="udp", address="127.0.0.1"):
        seen = forwarders["n2"].look(TCP, UDP, "udp/8081", "tcp/1")
    run("n2", "sysctl", "-qw", "net.ipv4.ip_forward=0")
    later = forwarders["n2"].look(TCP)
    run("n2", "sysctl", "-qw", "net.ipv4.ip_forward=1")

    assert (list(seen.listening), list(seen.listening_on_loopback), list(later.listening)) == ([TCP], ["udp/8081"], [])
    assert (list(seen.routing), list(later.routing)) == ([Family.IPV4, Family.IPV6], [Family.IPV6])


def test_one_agent_a_host(forwarders: dict[str, Forwarder], tmp_path: Path) -> None:
    """
    Two agents in one network namespace don't fight about the table: the second is refused until the first ends.
    """
    second = Forwarder("n3", tmp_path / "second")
    forwarders["n3"].look()
    with pytest.raises(ForwardedByAnother):
        second.look()
    forwarders["n3"].network.close()

    assert second.look().table is None
    second.network.close()


def test_marker(addresses: dict[str, str], forwarders: dict[str, Forwarder]) -> None:
    """
    Before the host is first changed, it is written down that there may be something to remove.
    """
    forwarder = forwarders["n3"]
    forwarder.look()
    before = forwarder.marker.exists()
    lead_to(forwarders, addresses["n1"], "n1")
    there = forwarder.marker.exists()
    forwarder.network.forget()

    assert (before, there, forwarder.marker.exists()) == (False, True, False)


def test_without_nft(forwarders: dict[str, Forwarder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A host without the command is told what to install.
    """
    monkeypatch.setattr(host_network, "_PATH", os.fspath(tmp_path))
    with pytest.raises(NftablesMissing, match="no command nft"):
        forwarders["n3"].look()
    monkeypatch.undo()


def test_changes_may_be_repeated(addresses: dict[str, str], forwarders: dict[str, Forwarder]) -> None:
    """
    Who was killed between two changes makes them again.
    """
    rules = Rules(ipv4=pmap({TCP: addresses["n1"]}))
    network = forwarders["n3"].network
    with enter(namespace("n3")):
        tables = [network.perform(ReplaceTable(rules=rules)) for _ in range(2)]
        network.perform(AcceptForwarded(family=Family.IPV6))
        network.perform(AcceptNoMore(family=Family.IPV6))
        removed = [network.perform(RemoveTable()) for _ in range(2)]

    assert (tables[0] is not None, tables[0] == tables[1], removed) == (True, True, [None, None])
