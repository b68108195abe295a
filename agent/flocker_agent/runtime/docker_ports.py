"""
Whether ports can be published on this host at this moment, and which containers of Docker publish some.

The first is found out by a try: it knows every rule of the kernel by which sockets exclude one another.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from flocker_agent.runtime.docker_engine import DockerEngine
from flocker_agent.runtime.docker_spec import IDENTITY_LABEL
from flocker_py.model import Container, Port
from flocker_py.published_ports import clashing, port_text
from flocker_py.runtime import ContainerNotPrepared, ContainerRuntimeError

# Where no address was asked for, the engine publishes at both: at IPv6's with its userland proxy, which it has unless
# somebody has switched that off.
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # tried, not served
_ADDRESS_OPTION = "com.docker.network.bridge.host_binding_ipv4"
"""Of a network: at which address ports are published for which none was asked."""
_MODE_OPTION = "com.docker.network.bridge.gateway_mode_ipv4"
_PROXY = "docker-proxy"
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def check_ports(engine: DockerEngine, network: str, container: Container) -> None:
    """
    Whether the ports of a container that is to start here later are free, but for those that containers of any agent
    publish.

    :param network: that it will be in.
    :raises ContainerNotPrepared: foreign programs hold some, or this host lacks their addresses.
    """
    if not container.ports:
        return
    found = engine.network(network)
    options = {} if found is None else found["Options"] or {}
    if found is not None and (found["Driver"] != "bridge" or options.get(_MODE_OPTION) == "routed"):
        # Such a network takes no ports of the host.
        return
    everywhere = options.get(_ADDRESS_OPTION)
    held = untakable(container.ports, everywhere=(everywhere,) if everywhere else _EVERYWHERE)
    if not held:
        return
    # Those will be free when the containers have stopped, as the same change may ask of them. With agents that share an
    # engine, it may be the very container that is to come here.
    ours = published(engine.containers(IDENTITY_LABEL))
    foreign = {port: reason for port, reason in held if not clashing([port], ours)}
    if foreign:
        reasons = foreign | kept_for_nobody(engine, foreign)
        raise ContainerNotPrepared(f"Container {container.name!r}: {'; '.join(reasons.values())}")


def untakable(ports: Iterable[Port], *, everywhere: Iterable[str] = _EVERYWHERE) -> list[tuple[Port, str]]:
    """
    The ports that can't be taken on this host now, each with the reason.

    :param everywhere: the addresses that are taken where none was asked for.
    """
    found = []
    for port in ports:
        addresses = everywhere if port.host_address is None else (port.host_address,)
        troubles = {_trouble(port, address) for address in addresses}
        if errno.EADDRINUSE in troubles:
            letter = port.protocol[0]
            reason = (
                f"the port {port_text(port)} of this host is held by another program: end it"
                f" (ss -{letter}anp 'sport = :{port.external}' shows it), or choose another external port"
            )
            found.append((port, reason))
        elif errno.EADDRNOTAVAIL in troubles and port.host_address is not None:
            found.append((port, f"the port {port_text(port)} can't be published: this host doesn't have that address"))
    return found


def kept_for_nobody(engine: DockerEngine, ports: Collection[Port]) -> dict[Port, str]:
    """
    Those of the ports that a proxy of Docker holds for none of the engine's containers, each with the reason.

    An engine that was killed while it started a container publishes its ports anew when it begins, though the container
    never ran, and goes on doing so when that was removed. Only another beginning frees them. None are known if the
    engine doesn't answer, or has no such proxies.
    """
    suspects = clashing(ports, _proxied()) if ports else []
    if not suspects:
        return {}
    try:
        taken = clashing(suspects, published(engine.containers()))
    except ContainerRuntimeError:
        # What is to be explained is worse, and known already.
        return {}
    # A container that ended meanwhile was seen to publish nothing; its proxies are gone, too.
    return {
        port: f"the port {port_text(port)} of this host is held by Docker for no container of this engine"
        f" (ss -{port.protocol[0]}anp 'sport = :{port.external}' shows it). If no other engine runs here, it was killed"
        " while it started one: systemctl restart docker frees the port, and ends all containers of this host unless"
        " Docker has live-restore"
        for port in clashing(suspects, _proxied())
        if port not in taken
    }


def _proxied() -> Iterator[Port]:
    """
    What proxies of Docker hold in the agent's own network namespace, each for one port.
    """
    here = Path("/proc/thread-self/ns/net").readlink()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            program, *words = (process / "cmdline").read_text(errors="replace").split("\0")
            if Path(program).name != _PROXY or (process / "ns" / "net").readlink() != here:
                continue
        except OSError:
            # It has ended.
            continue
        said = dict(pairwise(words))
        protocol, external = said.get("-proto", ""), said.get("-host-port", "")
        if protocol in _KINDS and external.isdecimal():
            # To which port of a container it leads doesn't matter here.
            yield Port(internal=1, external=int(external), protocol=protocol, host_address=said.get("-host-ip"))


def _trouble(port: Port, address: str) -> int | None:
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    kind = _KINDS[port.protocol]
    try:
        # In the agent's own network namespace: it is the one in which the engine publishes, since both are the host's.
        # Ports that are led to other nodes are no sockets, and don't count.
        with socket.socket(family, kind) as probe:
            if kind is socket.SOCK_STREAM:
                # As the engine's own sockets have it: connections that linger after they were closed hold nothing; a
                # program that listens does all the same. Without a call of listen, no client ever gets here.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family is socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address, port.external))
    except OSError as error:
        # Others say nothing: a port that takes more rights than the agent has, a kernel without IPv6.
        return error.errno
    return None


def published(inspected: Iterable[Mapping[str, Any]]) -> list[Port]:
    """
    The ports that containers publish at this moment.

    :param inspected: what Docker answers to GET /containers/ID/json for each.
    """
    result = []
    for each in inspected:
        for key, bindings in (each["NetworkSettings"].get("Ports") or {}).items():
            internal, _, protocol = key.partition("/")
            result += [
                Port(
                    internal=int(internal),
                    external=int(bound["HostPort"]),
                    protocol=protocol,
                    host_address=bound["HostIp"] or None,
                )
                for bound in bindings or ()
                if bound.get("HostPort")
            ]
    return result
