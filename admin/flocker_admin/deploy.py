"""
``flocker-deploy``: from ``cluster.yml``, or Flocker's two files, to a cluster that is so.

The exit statuses are in ``flocker_admin.exits``.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from pyrsistent import PMap, PVector, pmap, pvector
from twisted.internet.defer import CancelledError

from flocker_admin.connecting import connection_options, given_addresses, user_credential
from flocker_admin.convergence import finished_move_text
from flocker_admin.convert import convert, file_text
from flocker_admin.exits import HELP, Exit
from flocker_admin.following import Look, follow, look
from flocker_admin.manifest import ManifestDeployment, Mistake, Origin, deployment, in_order, mistakes, path_text
from flocker_admin.mistakes_told import tell_mistakes
from flocker_admin.reporting import Ending, MoveEnding, Report, report_for
from flocker_admin.running import run, tell
from flocker_admin.translation import translated
from flocker_py import __version__
from flocker_py.client.addresses import ControlAddress
from flocker_py.client.control import ControlClient
from flocker_py.client.errors import DeploymentRefused
from flocker_py.client.views import DatasetView, MoveView
from flocker_py.credentials import Credential
from flocker_py.deployed import API_PORT
from flocker_py.deployment_schema import DEPLOYMENT_SCHEMA
from flocker_py.errors import FlockerError
from flocker_py.model import MoveId
from flocker_py.records import Record, mapping, sequence, value
from flocker_py.units import DurationUnreadable, duration_seconds, duration_text

SETTLE_SECONDS = 1.0


class _Options(Record):
    """
    :param again: the command line that watches again.
    :param idle_nodes: addresses of nodes that must be there though nothing is wanted of them.
    """

    file: str = value(str)
    again: str = value(str)
    idle_nodes: PMap[str, Origin] = mapping(str, Origin, default={})
    warnings: PVector[str] = sequence(str, default=())
    credential: Credential = value(Credential)
    addresses: Any = sequence(ControlAddress, default=())
    dry_run: bool = value(bool)
    wait: bool = value(bool)
    timeout_seconds: float | None = value((float, type(None)))
    as_json: bool = value(bool)


def _timeout(_context: click.Context, _parameter: click.Parameter, text: str) -> float | None:
    try:
        return duration_seconds(text) or None
    except DurationUnreadable as error:
        raise click.BadParameter(f"{error}. {' '.join((DurationUnreadable.__doc__ or '').split())}") from error


def _show_schema(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(json.dumps(DEPLOYMENT_SCHEMA, indent=1))
        context.exit()


class _DeployOrConvert(click.Command):
    """
    A command that takes files, unless its first argument is ``convert``.
    """

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == [convert.name]:
            return convert.make_context(f"{info_name} {convert.name}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@click.command(cls=_DeployOrConvert, context_settings={"help_option_names": ["-h", "--help"]}, epilog=HELP)
@click.version_option(__version__, prog_name="flocker-deploy")
@click.argument("files", metavar="CLUSTER.YML | CONTROL DEPLOYMENT.YML APPLICATION.YML", nargs=-1, required=True)
@connection_options
@click.option("--port", type=click.IntRange(1, 65535), help="With CONTROL: the port of its REST API.")
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@click.option("--no-wait", is_flag=True, help="Don't wait until everything is as the file says.")
@click.option(
    "--timeout",
    default="1h",
    show_default=True,
    callback=_timeout,
    help="Wait at most so long; 0: as long as it takes.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON objects, one a line.")
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_schema,
    help="Print the form of CLUSTER.YML as JSON Schema, for editors, and exit.",
)
@click.pass_context
def main(
    context: click.Context,
    *,
    files: tuple[str, ...],
    control: tuple[ControlAddress, ...],
    port: int | None,
    certificates_directory: Path | None,
    user: str | None,
    cacert: Path | None,
    cert: Path | None,
    key: Path | None,
    dry_run: bool,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """
    Make a cluster what CLUSTER.YML says: show what would change, change it, and follow it to the end.

    What the file doesn't name stays as it is. Doing it again when nothing is to be changed only watches.

    Flocker's arguments do the same with its two files: the address of the control service, deployment.yml, and an
    application.yml of Flocker, fig or Compose. flocker-deploy convert writes them as a CLUSTER.YML.
    """
    match files:
        case (file,):
            if port is not None:
                raise click.UsageError("--port belongs to CONTROL: write --control HOST:PORT.")
            read = deployment(file_text(file))
            warnings: Iterable[str] = ()
            idle_nodes: Mapping[str, Origin] = {}
        case (host, deployment_file, application_file):
            if context.get_parameter_source("control") is click.core.ParameterSource.COMMANDLINE:
                raise click.UsageError("Give CONTROL or --control, not both.")
            control = _flockers_addresses(host, port)
            both = translated(
                deployment_file, file_text(deployment_file), application_file, file_text(application_file)
            )
            if isinstance(both, list):
                sys.exit(tell_mistakes(application_file, both, as_json=as_json))
            read = ManifestDeployment(manifest=both.manifest, deployment=both.deployment)
            warnings, idle_nodes = both.warnings, both.idle_nodes
        case _:
            raise click.UsageError("Give CLUSTER.YML; or CONTROL DEPLOYMENT.YML APPLICATION.YML, as Flocker's did.")
    if isinstance(read, list):
        sys.exit(tell_mistakes(files[-1], read, as_json=as_json))
    in_file = read.deployment.control
    addresses = control or (() if in_file is None else (ControlAddress(host=in_file.host, port=in_file.api_port),))
    if not addresses:
        raise click.UsageError("Where is the control service? Give --control, or cluster.control.host in the file.")
    given = context.get_parameter_source("certificates_directory") is click.core.ParameterSource.COMMANDLINE
    try:
        credential = user_credential(certificates_directory, user, cacert, cert, key, directory_given=given)
    except FlockerError as error:
        sys.exit(tell(error, as_json=as_json))
    options = _Options(
        file=files[-1],
        again=shlex.join(["flocker-deploy", *files]),
        idle_nodes=pmap(idle_nodes),
        warnings=pvector(warnings),
        credential=credential,
        addresses=pvector(addresses),
        dry_run=dry_run,
        wait=not no_wait,
        timeout_seconds=timeout,
        as_json=as_json,
    )
    sys.exit(run(lambda reactor: _deploy(reactor, options, read), as_json=as_json))


def _flockers_addresses(host: str, port: int | None) -> tuple[ControlAddress, ...]:
    addresses = given_addresses(host)
    if port is None:
        return addresses
    for address in addresses:
        if address.port not in (API_PORT, port):
            raise click.UsageError(f"CONTROL says port {address.port}, and --port says {port}.")
    return tuple(address.set(port=port) for address in addresses)


async def _deploy(reactor: Any, options: _Options, read: ManifestDeployment) -> int:
    client = ControlClient(reactor, options.credential, options.addresses)
    report = report_for(reactor.seconds, as_json=options.as_json)
    try:
        missing = await _missing_nodes(client, options.idle_nodes)
        try:
            if not missing:
                for warning in options.warnings:
                    report.note(f"Warning: {warning}")
                return await _planned(reactor, client, report, options, read)
            await client.plan(read.manifest.data)
            found = missing
        except DeploymentRefused as refusal:
            found = in_order([*missing, *mistakes(read.manifest, refusal.complaints)])
            if not found:
                raise
        return tell_mistakes(options.file, found, as_json=options.as_json)
    finally:
        report.close()
        await client.close()


async def _missing_nodes(client: ControlClient, wanted: Mapping[str, Origin]) -> list[Mistake]:
    """
    A mistake for each address at which the cluster has no node.
    """
    if not wanted:
        return []
    present = {node.address for node in (await client.nodes()).nodes if not node.removed}
    text = "no node of the cluster is at this address: start its agent, or leave it out"
    return [
        Mistake(position=at.position, path=path_text(at.pointer), text=text, file=at.file)
        for address, at in sorted(wanted.items())
        if address not in present
    ]


async def _planned(
    reactor: Any, client: ControlClient, report: Report, options: _Options, read: ManifestDeployment
) -> int:
    plan = await client.plan(read.manifest.data)
    report.plan(plan)
    if options.dry_run:
        report.end(Ending(outcome="planned", text="Nothing was changed: this was a dry run.", good=True))
        return Exit.DONE
    before = await look(client, read.deployment)
    ended_before = [
        dataset.last_move.move_id
        for dataset in before.datasets
        if dataset.last_move is not None and dataset.last_move.move_id is not None
    ]
    if plan.steps:
        try:
            report.applied(await client.apply_planned(read.manifest.data, plan))
        except CancelledError:
            text = f"Interrupted while applying: it may have been done. To see, and to watch: {options.again}"
            report.end(Ending(outcome="interrupted", text=text, good=False))
            raise
    if not options.wait:
        report.end(Ending(outcome="applied", text="Not waiting for the cluster to be so.", good=True))
        return Exit.DONE
    try:
        # An app that can't run ends in its first moments.
        settle_seconds = SETTLE_SECONDS if plan.steps else 0.0
        seen = await follow(
            reactor,
            client,
            read.deployment,
            report,
            timeout_seconds=options.timeout_seconds,
            settle_seconds=settle_seconds,
        )
    except CancelledError:
        text = (
            "Interrupted: no longer watching. The cluster goes on by itself; nothing is left half done. "
            f"To watch again: {options.again}"
        )
        report.end(Ending(outcome="interrupted", text=text, good=False))
        raise
    return _ended(report, options, seen, ended_before)


def _ended(report: Report, options: _Options, seen: Look | None, ended_before: list[MoveId]) -> int:
    if seen is None:
        text = (
            f"Not done after {duration_text(options.timeout_seconds or 0.0)}; the cluster goes on by itself. "
            f"To watch again: {options.again}. Why a volume waits: flockerctl explain VOLUME"
        )
        report.end(Ending(outcome="timeout", text=text, good=False))
        return Exit.TIMEOUT
    moves = pvector(_moved(seen, dataset, move) for dataset, move in seen.moves_since(ended_before))
    if seen.convergence.done:
        report.end(Ending(outcome="converged", text="Everything is as the file says.", good=True, moves=moves))
        return Exit.DONE
    text = "Not everything is as the file says, and waiting does not help: see above."
    report.end(Ending(outcome="failed", text=text, good=False, moves=moves))
    return Exit.FAILED


def _moved(seen: Look, dataset: DatasetView, move: MoveView) -> MoveEnding:
    name = dataset.name or str(dataset.dataset_id)
    return MoveEnding(name=name, text=f"Move of {finished_move_text(name, move, seen.node_names)}", move=move)
