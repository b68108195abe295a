"""
The network of this host: nftables, iptables where it is in the way, and the kernel's own files.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, assert_never

from pyrsistent import pvector

from flocker_agent.forwarding.listeners import TABLES, listeners
from flocker_agent.forwarding.plan import (
    AcceptForwarded,
    AcceptNoMore,
    Family,
    ForwardChange,
    RemoveTable,
    ReplaceTable,
    Rules,
    Seen,
)
from flocker_agent.forwarding.ruleset import (
    FAMILY,
    MARK,
    TABLE,
    comparable,
    has_table,
    removal_document,
    table_document,
)
from flocker_agent.forwarding.tracked import Answers, Tracked, answers, astray, ending_request, listing_request
from flocker_agent.holding import StateInUse, hold
from flocker_py.errors import FlockerError

# A service's PATH may lack the folders of the administrator's commands.
_PATH = os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"])
_IPTABLES = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
_ROUTING = {Family.IPV4: "net/ipv4/ip_forward", Family.IPV6: "net/ipv6/conf/all/forwarding"}
_ACCEPT = (
    "FORWARD", "-m", "connmark", "--mark", f"{MARK:#x}/{MARK:#x}",
    "-m", "comment", "--comment", "flocker: ports led to other nodes", "-j", "ACCEPT",
)  # fmt: skip
_HELD = Path("/run/flocker/forwarding")
"""A folder for each network namespace; whoever forwards there holds it."""
_NFNETLINK = 12  # linux/netlink.h
_RECEIVED_BYTES = 1 << 16
_COMMAND_SECONDS = 30.0


class ForwardingFailed(FlockerError):
    """
    Ports that containers on other nodes publish could not be led there. The agent needs the capabilities CAP_NET_ADMIN
    and CAP_NET_RAW, and a kernel with nftables; it tries again.
    """


class NftablesMissing(ForwardingFailed):
    """
    Forwarding of ports needs the command nft: install the package nftables, or set forwarding to enabled: false in
    agent.yml. All else works without it.
    """

    lasting = True


class ForwardedByAnother(ForwardingFailed):
    """
    Another agent forwards ports on this host. Only one can: set forwarding to enabled: false in the other's agent.yml.
    """

    lasting = True


class HostNetwork:
    """
    The network namespace that this process is in. All calls block; they are made one at a time.

    :param marker: a file that is there from before the host is first changed until nothing of ours is left.
    """

    def __init__(self, marker: Path) -> None:
        self._marker = marker
        self._held: int | None = None

    def look(self, ports: frozenset[str]) -> Seen:
        """
        The host as it is.

        :param ports: that may be led elsewhere, as in ``tcp/5432``.
        :raises ForwardingFailed: it can't be looked at.
        """
        self._be_alone()
        reached, on_loopback = listeners(_socket_tables(), ports, short_lived=_short_lived())
        return Seen(
            table=self._table(),
            routing=pvector(family for family in Family if _switch(_ROUTING[family])),
            loopback=_switch("net/ipv4/conf/all/route_localnet"),
            dropping=pvector(family for family in Family if _drops(family)),
            accepting=pvector(family for family in Family if _accepts(family)),
            listening=pvector(sorted(reached)),
            listening_on_loopback=pvector(sorted(on_loopback)),
        )

    def perform(self, change: ForwardChange) -> str | None:
        """
        Carry out one change.

        :returns: our table as it is afterwards, where that was put in place.
        :raises ForwardingFailed: it can't be done.
        """
        self._be_alone()
        self._remember()
        match change:
            case ReplaceTable():
                _nft(["-f", "-"], table_document(change.rules))
                _end_astray(change.rules)
                return self._table()
            case RemoveTable():
                _nft(["-f", "-"], removal_document())
                _end_astray(Rules())
            case AcceptForwarded():
                _iptables(change.family, "-A", *_ACCEPT)
            case AcceptNoMore():
                _iptables(change.family, "-D", *_ACCEPT)
            case _:
                assert_never(change)
        return None

    def forget(self) -> None:
        """
        Nothing of ours is left on the host.

        :raises ForwardingFailed: the marker stays.
        """
        try:
            self._marker.unlink(missing_ok=True)
        except OSError as error:
            raise ForwardingFailed(f"{self._marker}: {error.strerror}") from error

    def _remember(self) -> None:
        try:
            self._marker.touch(mode=0o600)
        except OSError as error:
            raise ForwardingFailed(f"{self._marker}: {error.strerror}") from error

    def _table(self) -> str | None:
        if not has_table(_nft(["list", "tables", FAMILY])):
            return None
        return comparable(_nft(["list", "table", FAMILY, TABLE]))

    def _be_alone(self) -> None:
        if self._held is not None:
            return
        try:
            namespace = Path("/proc/thread-self/ns/net").stat().st_ino
            self._held = hold(_HELD / str(namespace))
        except StateInUse as error:
            raise ForwardedByAnother("two agents in one network namespace") from error
        except OSError as error:
            raise ForwardingFailed(f"{_HELD}: {error.strerror}") from error

    def close(self) -> None:
        """
        Let another agent forward. What is in place stays.
        """
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _run(program: str, arguments: Sequence[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [program, *arguments],
            env={"LC_ALL": "C", "PATH": _PATH},
            input=text or "",
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_COMMAND_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ForwardingFailed(str(error)) from error


def _nft(arguments: Sequence[str], document: Mapping[str, Any] | None = None) -> dict[str, Any]:
    program = shutil.which("nft", path=_PATH)
    if program is None:
        raise NftablesMissing("there is no command nft")
    done = _run(program, ["-j", *arguments], None if document is None else json.dumps(document))
    if done.returncode != 0:
        raise ForwardingFailed(f"nft {' '.join(arguments)}: {done.stderr.strip()}")
    result: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {"nftables": []}
    return result


def _drops(family: Family) -> bool:
    program = shutil.which(_IPTABLES[family], path=_PATH)
    return program is not None and "-P FORWARD DROP" in _run(program, ["-w", "-S", "FORWARD"]).stdout.splitlines()


def _accepts(family: Family) -> bool:
    program = shutil.which(_IPTABLES[family], path=_PATH)
    return program is not None and _run(program, ["-w", "-C", *_ACCEPT]).returncode == 0


def _iptables(family: Family, *arguments: str) -> None:
    done = _run(_IPTABLES[family], ["-w", *arguments])
    if done.returncode != 0:
        raise ForwardingFailed(f"{_IPTABLES[family]} {' '.join(arguments)}: {done.stderr.strip()}")


def _switch(name: str) -> bool:
    with suppress(OSError):
        return (Path("/proc/sys") / name).read_text().strip() not in ("", "0")
    return False  # a kernel without that family


def _short_lived() -> range:
    first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    return range(int(first), int(last) + 1)


def _socket_tables() -> dict[str, str]:
    result = {}
    for name in TABLES:
        with suppress(FileNotFoundError):  # a kernel without IPv6
            result[name] = (Path("/proc/thread-self/net") / name).read_text()
    return result


def _end_astray(rules: Rules) -> None:
    """
    End the connections that lead where their port leads no more.
    """
    wanted = {key: rules.address(key) for key in {*rules.ipv4, *rules.ipv6}}
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NFNETLINK) as kernel:
            kernel.settimeout(_COMMAND_SECONDS)
            for tracked in astray(list(_all_tracked(kernel)), wanted):
                kernel.send(ending_request(tracked, sequence=2))
                # It may have ended by itself: then the kernel says so, and that is all that is wanted.
                kernel.recv(_RECEIVED_BYTES)
    except OSError as error:
        raise ForwardingFailed(f"connections that are tracked: {error}") from error


def _all_tracked(kernel: socket.socket) -> Iterator[Tracked]:
    kernel.send(listing_request(mark=MARK, sequence=1))
    found = Answers((), 0, ended=False)
    while not found.ended:
        found = answers(kernel.recv(_RECEIVED_BYTES), mark=MARK)
        if found.error:
            raise OSError(found.error, os.strerror(found.error))
        yield from found.tracked
