"""
Where a control service is, as users write it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from flocker_py.deployed import API_PORT
from flocker_py.errors import FlockerError
from flocker_py.records import Record, value


class AddressUnreadable(FlockerError):
    """
    IPv6 addresses with a port need brackets, and a comma is between several addresses.
    """

    lasting = True


class ControlAddress(Record):
    """
    Where the control service's REST API is.

    :param host: DNS name or IP address. Whoever answers there must be the control service of the user's cluster.
    """

    host: str = value(str)
    port: int = value(int, default=API_PORT)

    @property
    def text(self) -> str:
        """
        As in a URL.
        """
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def control_address(text: str) -> ControlAddress:
    """
    The address in ``HOST``, ``HOST:PORT``, ``ADDRESS`` or ``[ADDRESS]:PORT``.

    :raises AddressUnreadable: it is none of these.
    """
    host, port = _split(text)
    if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port[:6]) <= 65535:
        raise AddressUnreadable(f"{text!r} is not HOST or HOST:PORT")
    return ControlAddress(host=host, port=int(port))


def control_addresses(given: str | ControlAddress | Iterable[str | ControlAddress]) -> tuple[ControlAddress, ...]:
    """
    One or several addresses, in the order in which they are tried; a text may have several, with commas.

    :raises AddressUnreadable: one is none, or there is none.
    """
    parts = [given] if isinstance(given, str | ControlAddress) else list(given)
    found = [
        address
        for part in parts
        for address in ([part] if isinstance(part, ControlAddress) else map(control_address, part.split(",")))
    ]
    if not found:
        raise AddressUnreadable("no address is given")
    return tuple(dict.fromkeys(found))


def _split(text: str) -> tuple[str, str]:
    try:
        return str(ipaddress.ip_address(text)), str(API_PORT)
    except ValueError:
        pass
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        try:
            host = str(ipaddress.IPv6Address(address))
        except ValueError:
            return "", ""
        if not bracket or (rest and not rest.startswith(":")):
            return "", ""
        return host, rest[1:] if rest else str(API_PORT)
    host, colon, port = text.partition(":")
    if any(character in host for character in "/@? \t") or ":" in port:
        return "", ""
    return host, port if colon else str(API_PORT)
