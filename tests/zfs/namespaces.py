"""
Hosts of a cluster as network namespaces on one bridge.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

BRIDGE = "fptest"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def hosts(names: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """
    A namespace per name, called ``fp-NAME``, with an address of its own; all reach one another.

    :returns: the addresses, by name.
    """
    with ExitStack() as undo:
        _ip("netns", "add", BRIDGE)
        undo.callback(_ip, "netns", "del", BRIDGE)
        _ip("-n", BRIDGE, "link", "add", "br0", "type", "bridge")
        _ip("-n", BRIDGE, "link", "set", "br0", "up")
        addresses = {}
        for number, name in enumerate(names, start=1):
            namespace = f"fp-{name}"
            _ip("netns", "add", namespace)
            undo.callback(_ip, "netns", "del", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
            _ip(
                "link", "add", f"v{name}", "netns", BRIDGE, "type", "veth", "peer", "name", "eth0", "netns", namespace
            )  # fmt: skip
            _ip("-n", BRIDGE, "link", "set", f"v{name}", "master", "br0", "up")
            addresses[name] = f"10.99.0.{number}"
            _ip("-n", namespace, "addr", "add", f"{addresses[name]}/24", "dev", "eth0")
            _ip("-n", namespace, "link", "set", "eth0", "up")
        yield addresses


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
