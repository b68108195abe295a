"""
The options by which an operator's tool finds the control service and proves who the operator is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from flocker_py.credentials import Credential, credential_from_files, load_credential
from flocker_py.deployed import API_PORT
from flocker_py.identity import UserIdentity
from flocker_py.records import Record, value

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

CONTROL_VARIABLE = "FLOCKER_CONTROL"
CERTIFICATES_VARIABLE = "FLOCKER_CERTIFICATES"

_FILE = click.Path(path_type=Path, dir_okay=False)


class ControlAddress(Record):
    """
    Where the control service's REST API is.
    """

    host: str = value(str)
    port: int = value(int, default=API_PORT)


def control_address(text: str) -> ControlAddress:
    """
    The address in ``HOST``, ``HOST:PORT``, ``ADDRESS`` or ``[ADDRESS]:PORT``.

    :raises click.BadParameter: it is none of these.
    """
    host, port = _split(text)
    if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port[:6]) <= 65535:
        raise click.BadParameter(f"{text!r} is not HOST or HOST:PORT; IPv6 addresses with a port need brackets.")
    return ControlAddress(host=host, port=int(port))


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


def _address_option(_context: click.Context, _parameter: click.Parameter, text: str | None) -> ControlAddress | None:
    return None if text is None else control_address(text)


def connection_options(command: Decorated) -> Decorated:
    """
    Give a command the options ``control``, ``certificates_directory``, ``user``, ``cacert``, ``cert`` and ``key``.
    """
    options = (
        click.option(
            "--control",
            metavar="HOST[:PORT]",
            envvar=CONTROL_VARIABLE,
            show_envvar=True,
            callback=_address_option,
            help="The control service's REST API.",
        ),
        click.option(
            "--certificates-directory",
            type=click.Path(path_type=Path, file_okay=False),
            envvar=CERTIFICATES_VARIABLE,
            show_envvar=True,
            help="Has cluster.crt, USER.crt and USER.key; the current folder unless given.",
        ),
        click.option("--user", metavar="USER", help="Whose certificate to use.  [default: user]"),
        click.option("--cacert", type=_FILE, help="The cluster's certificate."),
        click.option("--cert", type=_FILE, help="The user's certificate."),
        click.option("--key", type=_FILE, help="The user's key."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def user_credential(
    certificates_directory: Path | None,
    user: str | None,
    cacert: Path | None,
    cert: Path | None,
    key: Path | None,
    *,
    directory_given: bool,
) -> Credential:
    """
    The credential that the options name.

    :param directory_given: on the command line; one from the environment gives way to files named one by one.
    :raises click.UsageError: they contradict one another.
    :raises CredentialUnusable: the files can't be used.
    """
    files = (cacert, cert, key)
    if any(files):
        if cacert is None or cert is None or key is None:
            raise click.UsageError("--cacert, --cert and --key belong together: give all three.")
        if directory_given or user is not None:
            raise click.UsageError("Give either --cacert, --cert and --key, or --certificates-directory and --user.")
        return credential_from_files(cacert, cert, key, UserIdentity)
    name = user or "user"
    if "/" in name or name in {"node", "control-service", "cluster"}:
        raise click.UsageError(f"{name!r} is not the name of a user's certificate.")
    return load_credential(certificates_directory or Path(), name)
