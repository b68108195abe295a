"""
``flocker-ca``: the certificates of a cluster, made on the machine that keeps the cluster's key.

Exit status: 0 done; 1 refused or failed, and what was refused is as it was; 2 wrong usage.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import click

from flocker_admin.ca import CertificateFiles, create, initialize, opened_authority, renew, revoke
from flocker_admin.certificate_report import report
from flocker_admin.issued import ISSUED_FILE, Issued, issued_of, read_issued
from flocker_py.certificates import cluster_of, is_authority
from flocker_py.credentials import AUTHORITY_FILE, read_certificate
from flocker_py.errors import FlockerError, explanation
from flocker_py.identity import (
    CONTROL_NAME,
    ControlIdentity,
    Identity,
    NodeIdentity,
    UserIdentity,
    cluster_name_complaint,
    user_name_complaint,
)
from flocker_py.issuing import (
    AUTHORITY_LIFETIME_DAYS,
    LEAF_LIFETIME_DAYS,
    KeyedCertificate,
    NotIssued,
    general_name,
)
from flocker_py.model import NodeId
from flocker_py.revocations import read_revocations, revocations_path

# A certificate may not outlast the year 9999, and nobody means to come near it.
_DAYS = click.IntRange(min=1, max=36500)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILES = click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))


def _host(_context: click.Context, _parameter: click.Parameter, host: str) -> str:
    try:
        general_name(host)
    except NotIssued as refusal:
        raise click.BadParameter(f"{refusal}.") from refusal
    return host


def _hosts(context: click.Context, parameter: click.Parameter, hosts: Sequence[str]) -> Sequence[str]:
    return [_host(context, parameter, host) for host in hosts]


def _cluster_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    complaint = cluster_name_complaint(name)
    if complaint is not None:
        raise click.BadParameter(f"{name!r} can't be a cluster's name: {complaint}.")
    return name


def _user_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    complaint = user_name_complaint(name)
    if complaint is not None:
        raise click.BadParameter(f"{name!r} can't be a user's name: {complaint}.")
    return name


def _input_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--inputpath",
        "-i",
        type=_FOLDER,
        default=Path(),
        help="The folder with cluster.crt and cluster.key; the current one unless given.",
    )(command)


def _output_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--outputpath",
        "-o",
        type=_FOLDER,
        default=Path(),
        help="The folder to write to; the current one unless given.",
    )(command)


def _days_option(default_days: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--days", type=_DAYS, default=default_days, show_default=True, help="For how many days it is valid."
    )


class _Group(click.Group):
    """
    Tells our errors in a sentence, as every command should.
    """

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except FlockerError as error:
            raise click.ClickException(explanation(error)) from error


@click.group(cls=_Group)
@click.version_option(package_name="flocker_py")
def main() -> None:
    """
    Make and look at the certificates of a cluster.

    Run it where the cluster's key is kept, which need not be a machine of the cluster. No command overwrites a file,
    but for renew, which replaces a certificate by a later one for the same key, and revoke, which replaces its list.
    """


@main.command("initialize")
@click.argument("name", callback=_cluster_name)
@_output_option
@_days_option(AUTHORITY_LIFETIME_DAYS)
def _initialize(name: str, outputpath: Path, days: int) -> None:
    """
    Make the authority of a new cluster called NAME: cluster.crt and cluster.key.
    """
    files = initialize(outputpath, name, uuid4(), _now(), days)
    _say_created(files)
    click.echo(
        f"The cluster is {name}, {cluster_of(files.certificate)}. Whoever has cluster.key controls the cluster: "
        "keep it here, and a copy in a safe place. cluster.crt goes to every machine of the cluster."
    )


@main.command("create-control-certificate")
@click.argument("host", callback=_host)
@click.option(
    "--also",
    "more",
    multiple=True,
    callback=_hosts,
    metavar="NAME-OR-ADDRESS",
    help="Another DNS name, IPv4 or IPv6 address of the control service; can be given several times.",
)
@_input_option
@_output_option
@_days_option(LEAF_LIFETIME_DAYS)
def _create_control(host: str, more: Sequence[str], inputpath: Path, outputpath: Path, days: int) -> None:
    """
    Make the certificate of the control service, reached as HOST: control-HOST.crt and control-HOST.key.
    """
    _create(ControlIdentity(), CONTROL_NAME, inputpath, outputpath, days, hosts=(host, *more))


@main.command("create-node-certificate")
@click.argument("node_id", metavar="[UUID]", required=False, type=click.UUID)
@_input_option
@_output_option
@_days_option(LEAF_LIFETIME_DAYS)
def _create_node(node_id: UUID | None, inputpath: Path, outputpath: Path, days: int) -> None:
    """
    Make the certificate of a node: UUID.crt and UUID.key.

    The UUID is who the node is; a new one is drawn unless given. Never put one node's certificate on two machines:
    they would be taken for one.
    """
    identity = NodeIdentity(node_id=NodeId(node_id or uuid4()))
    _create(identity, "node", inputpath, outputpath, days)


@main.command("create-api-certificate")
@click.argument("user", callback=_user_name)
@_input_option
@_output_option
@_days_option(LEAF_LIFETIME_DAYS)
def _create_user(user: str, inputpath: Path, outputpath: Path, days: int) -> None:
    """
    Make the certificate of a user of the REST API: USER.crt and USER.key.
    """
    _create(UserIdentity(name=user), "user", inputpath, outputpath, days)


@main.command("renew")
@_FILES
@_input_option
@click.option(
    "--days",
    type=_DAYS,
    help=f"For how many days it is valid from now. [default: {LEAF_LIFETIME_DAYS}; "
    f"{AUTHORITY_LIFETIME_DAYS} for cluster.crt]",
)
def _renew(files: Sequence[Path], inputpath: Path, days: int | None) -> None:
    """
    Replace certificates by later ones with the same key, subject and names.

    Only the .crt files are needed. Copy them back to where they came from: running programs take them up by
    themselves. A file that can't be renewed stays as it is, and the others are renewed all the same.
    """
    authority = opened_authority(inputpath)
    failed = False
    for path in files:
        try:
            new = renew(authority, path, _now(), days, ledger=inputpath)
        except FlockerError as error:
            failed = True
            _complain(path, explanation(error))
            continue
        click.echo(f"{path}: renewed, valid until {new.not_valid_after_utc:%Y-%m-%d %H:%M} UTC.")
        if is_authority(new):
            click.echo(
                "Copy it to every machine of the cluster; what it has signed stays good with the old and the new."
            )
        elif new.not_valid_after_utc == authority.certificate.not_valid_after_utc:
            click.echo("It can't last longer than the cluster's authority: renew cluster.crt first.")
    sys.exit(1 if failed else 0)


@main.command("revoke")
@click.argument("files", metavar="[FILE...]", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="Every certificate of this common name: node-UUID, user-NAME or control-service. Can be given again.",
)
@_input_option
def _revoke(files: Sequence[Path], names: Sequence[str], inputpath: Path) -> None:
    """
    Shut certificates out before they end, with all others that have the same key: writes cluster.crl.

    Copy cluster.crl to every machine of the cluster, beside cluster.crt: running programs take it up by themselves, and
    refuse these certificates from their next connection on. A machine without the list lets them in.
    """
    if not files and not names:
        raise click.UsageError("Name the certificates to revoke: by their files, or by --name.")
    authority = opened_authority(inputpath)
    doomed = [_to_be_revoked(authority, path) for path in files]
    known = read_issued(inputpath)
    for name in names:
        found = [one for one in known if one.name == name]
        if not found:
            raise click.ClickException(
                f"{name}: no certificate of that name is written down in {inputpath / ISSUED_FILE}."
                " flocker-ca list shows those that are; name others by their files"
            )
        doomed += found
    for entry in revoke(authority, inputpath, doomed, _now()):
        click.echo(f"Revoked: {entry.serial_number:x}, at {entry.revocation_date_utc:%Y-%m-%d %H:%M} UTC.")
    path = revocations_path(inputpath / AUTHORITY_FILE)
    click.echo(f"Copy {path} to every machine of the cluster, beside cluster.crt. Nothing has to be restarted.")


def _to_be_revoked(authority: KeyedCertificate, path: Path) -> Issued:
    certificate = read_certificate(path)
    if is_authority(certificate):
        raise click.ClickException(
            f"{path}: an authority can't be revoked. Make a new one, and new certificates for all"
        )
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except Exception as error:  # cryptography raises many kinds; each means "not signed by it"
        raise click.ClickException(f"{path}: it was not signed by this authority, so nothing was revoked") from error
    return issued_of(certificate)


@main.command("list")
@_input_option
def _list(inputpath: Path) -> None:
    """
    Say which certificates were signed, and which of them are good.
    """
    authority, now = opened_authority(inputpath), _now()
    revocations = read_revocations(inputpath / AUTHORITY_FILE, authority.certificate)
    revoked = {entry.serial_number for entry in revocations or ()}
    for one in read_issued(inputpath):
        state = "expired" if one.until < now else "good"
        if int(one.serial_number, 16) in revoked:
            state = "revoked"
        click.echo(f"{one.name}  {state}, until {one.until:%Y-%m-%d %H:%M} UTC, serial number {one.serial_number}")


@main.command("show")
@_FILES
def _show(files: Sequence[Path]) -> None:
    """
    Say what certificates are for, and whether they are good.

    The exit status is 1 if one can't be read, is not valid now, or would be refused by every program of the cluster.
    """
    failed = False
    for path in files:
        try:
            said = report(read_certificate(path), _now())
        except FlockerError as error:
            failed = True
            _complain(path, explanation(error))
            continue
        click.echo(f"{path}:")
        for what, text in said.facts:
            click.echo(f"  {what + ':':<13}{text}")
        for text in said.warnings:
            click.echo(f"  WARNING: {text}.")
        for text in said.faults:
            failed = True
            click.echo(f"  UNUSABLE: {text}.")
    sys.exit(1 if failed else 0)


def _create(
    identity: Identity, installed: str, inputpath: Path, outputpath: Path, days: int, *, hosts: Sequence[str] = ()
) -> None:
    authority = opened_authority(inputpath)
    files = create(authority, outputpath, identity, _now(), days, ledger=inputpath, hosts=hosts)
    _say_created(files)
    where = "to the user" if installed == "user" else "to /etc/flocker on its machine"
    click.echo(
        f"Copy them {where} as {installed}.crt and {installed}.key, the key with mode 0600, and cluster.crt with them."
    )


def _say_created(files: CertificateFiles) -> None:
    click.echo(
        f"Created {files.certificate_path} and {files.key_path}, "
        f"valid until {files.certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC."
    )


def _complain(path: Path, text: str) -> None:
    # Messages about the content of a file name it already.
    click.echo(f"Error: {text}" if str(path) in text else f"Error: {path}: {text}", err=True)


def _now() -> datetime:
    return datetime.now(UTC)
