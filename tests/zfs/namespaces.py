"""
Hosts of a cluster as network namespaces on one bridge.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

BRIDGE = "fptest"
_CLONE_NEWNET = 0x40000000  # linux/sched.h


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def hosts(names: Sequence[str] | Mapping[str, str], *, apart: str = "") -> Iterator[Mapping[str, str]]:
    """
    A namespace per name, called ``fp-NAME``, with an address of its own; all reach one another.

    :param names: or, by name, the addresses, which are given out here otherwise.
    :param apart: what tells these hosts from others that there may be at the same time: then a namespace is called
        ``fp-APART-NAME``. The functions below are for hosts without it.
    :returns: the addresses, by name.
    """
    bridge = BRIDGE + apart
    with ExitStack() as undo:
        _ip("netns", "add", bridge)
        undo.callback(_ip, "netns", "del", bridge)
        _ip("-n", bridge, "link", "add", "br0", "type", "bridge")
        _ip("-n", bridge, "link", "set", "br0", "up")
        addresses = {}
        for number, name in enumerate(names, start=1):
            namespace = f"fp-{apart}-{name}" if apart else f"fp-{name}"
            _ip("netns", "add", namespace)
            undo.callback(_ip, "netns", "del", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
            _ip(
                "link", "add", f"v{name}", "netns", bridge, "type", "veth", "peer", "name", "eth0", "netns", namespace
            )  # fmt: skip
            _ip("-n", bridge, "link", "set", f"v{name}", "master", "br0", "up")
            addresses[name] = names[name] if isinstance(names, Mapping) else f"10.99.0.{number}"
            _ip("-n", namespace, "addr", "add", f"{addresses[name]}/24", "dev", "eth0")
            _ip("-n", namespace, "link", "set", "eth0", "up")
        yield addresses


def joined(device: str, address: str) -> None:
    """
    Connect the bridge of ``hosts`` to a network device of this machine, which moves to the bridge's namespace.

    :param address: of the bridge itself, by which it is reached from both sides.
    """
    _ip("link", "set", device, "netns", BRIDGE)
    _ip("-n", BRIDGE, "link", "set", device, "master", "br0", "up")
    _ip("-n", BRIDGE, "addr", "add", f"{address}/24", "dev", "br0")


@contextmanager
def enter(namespace: str) -> Iterator[None]:
    """
    Sockets that this thread makes inside the block are in a network namespace.
    """
    with Path("/proc/thread-self/ns/net").open() as here, Path(f"/run/netns/{namespace}").open() as there:
        _setns(there.fileno())
        try:
            yield
        finally:
            _setns(here.fileno())


def _setns(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def cut(name: str) -> None:
    """
    Nothing reaches a host any more, nor leaves it; nobody is told.
    """
    _ip("-n", BRIDGE, "link", "set", f"v{name}", "down")


def heal(name: str) -> None:
    """
    Undo ``cut``.
    """
    _ip("-n", BRIDGE, "link", "set", f"v{name}", "up")


def drop(ways: Iterable[tuple[str, str]]) -> None:
    """
    From now on, nothing that comes from one address gets to another, for each pair of them; nobody is told. It is done
    on the bridge, by nftables, and at one moment.
    """
    rules = [f"add rule bridge fp forward ip saddr {source} ip daddr {target} drop" for source, target in ways]
    _nft("add table bridge fp", "add chain bridge fp forward { type filter hook forward priority 0; }", *rules)


def drop_nothing() -> None:
    """
    Undo ``drop``.
    """
    _nft("add table bridge fp", "flush table bridge fp")


def _nft(*commands: str) -> None:
    inside = ["nsenter", f"--net=/run/netns/{BRIDGE}"]
    subprocess.run([*inside, "nft", "-f", "-"], input="\n".join(commands).encode(), check=True, capture_output=True)


def far_away(name: str, *, delay_seconds: float, loss_percent: float = 0.0) -> None:
    """
    What a host sends is under way for so long, and a part of its packets never arrives.
    """
    milliseconds = f"{delay_seconds * 1000:.0f}ms"
    # Room for all that is under way: the 1000 packets of the default would lose more than is asked for.
    netem = ["netem", "limit", "50000", "delay", milliseconds, "loss", f"{loss_percent:g}%"]
    command = ["tc", "-n", f"fp-{name}", "qdisc", "replace", "dev", "eth0", "root", *netem]
    subprocess.run(command, check=True, capture_output=True)
