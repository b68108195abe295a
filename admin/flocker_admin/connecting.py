"""
The options by which an operator's tool finds the control service and proves who the operator is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from flocker_py.client.addresses import AddressUnreadable, ControlAddress, control_addresses
from flocker_py.credentials import Credential, credential_from_files, load_credential
from flocker_py.errors import explanation
from flocker_py.identity import UserIdentity

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

CONTROL_VARIABLE = "FLOCKER_CONTROL"
CERTIFICATES_VARIABLE = "FLOCKER_CERTIFICATES"

_FILE = click.Path(path_type=Path, dir_okay=False)


def addresses_option(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> tuple[ControlAddress, ...]:
    """
    The callback of an option that names a control service, at one or several addresses; nothing where it isn't given.
    """
    return () if text is None else given_addresses(text)


def given_addresses(text: str) -> tuple[ControlAddress, ...]:
    """
    The addresses in an argument.

    :raises click.BadParameter: one is none.
    """
    try:
        return control_addresses(text)
    except AddressUnreadable as error:
        raise click.BadParameter(explanation(error)) from error


def connection_options(command: Decorated) -> Decorated:
    """
    Give a command the options ``control``, ``certificates_directory``, ``user``, ``cacert``, ``cert`` and ``key``.
    """
    options = (
        click.option(
            "--control",
            metavar="HOST[:PORT][,...]",
            envvar=CONTROL_VARIABLE,
            show_envvar=True,
            callback=addresses_option,
            help="The control service's REST API; several addresses of it are tried in turn.",
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
