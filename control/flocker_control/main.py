"""
``flocker-control``: the control service as a program.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
from eliot import log_message
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.protocols.tls import TLSMemoryBIOFactory

from flocker_control.agents import AgentSessions
from flocker_control.backup_schedule import BackupPlan, BackupSchedule
from flocker_control.backups import way_back
from flocker_control.connections import CountedConnections, raise_descriptor_limit
from flocker_control.http.site import api_site
from flocker_control.import_command import import_configuration
from flocker_control.service import opened
from flocker_control.sqlite_store import open_store
from flocker_control.store import Store, StoreDamaged
from flocker_control.store_commands import Duration, backup, data_path_option, restore
from flocker_py import __version__
from flocker_py.boottime import boot_id, keep_time_by_boottime
from flocker_py.credentials import Credential, load_credential
from flocker_py.errors import FlockerError, explanation
from flocker_py.leases import DEFAULT_LEASE_SECONDS, LONGEST_LEASE_SECONDS, SHORTEST_LEASE_SECONDS
from flocker_py.logs import start_logging
from flocker_py.subcommands import refuse_given_options
from flocker_py.tls import ServerOptions, agents_server_options, api_server_options

_endpoint: Any = TCP4ServerEndpoint
_secured: Any = TLSMemoryBIOFactory

USERS_LIMIT, USERS_LIMIT_PER_ADDRESS = 512, 128
"""Connections to the REST API."""
AGENTS_LIMIT, AGENTS_LIMIT_PER_ADDRESS = 2048, 128
"""Sessions with agents: several times what the largest cluster has, and a whole one behind one address."""

VALIDATE_VARIABLE = "FLOCKER_VALIDATE_API_RESPONSES"
"""Set to ``yes``, every answer of the REST API is held against its schema, as with Flocker: for tests of clients."""

REFUSED = 1
"""Exit status: it did not start, for the reason on standard error."""


class PortUnavailable(FlockerError):
    """
    The control service can't listen there. End whatever else does, or choose another ``--address``, which must be one
    of this host, ``--port`` or ``--agent-port``.
    """

    lasting = True


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(__version__, prog_name="flocker-control")
@data_path_option
@click.option(
    "--certificates",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/etc/flocker"),
    show_default=True,
    help="Holds cluster.crt, control-service.crt and control-service.key.",
)
@click.option("--address", default="0.0.0.0", show_default=True, help="Address to listen at.")  # noqa: S104  # a service
@click.option("--port", type=click.IntRange(0, 65535), default=4523, show_default=True, help="REST API, for users.")
@click.option("--agent-port", type=click.IntRange(0, 65535), default=4524, show_default=True, help="For agents.")
@click.option(
    "--mount-root",
    default="/flocker",
    show_default=True,
    help="Where nodes mount datasets: what API v1 reports as path. One constant per cluster.",
)
@click.option(
    "--lease-seconds",
    type=click.FloatRange(SHORTEST_LEASE_SECONDS, LONGEST_LEASE_SECONDS),
    default=DEFAULT_LEASE_SECONDS,
    show_default=True,
    help="How long a node serves volumes with on_partition: fence without hearing from this service.",
)
@click.option(
    "--keep-stashes",
    type=Duration(at_least="1h"),
    default="30d",
    show_default=True,
    help="How long nodes keep what they put aside from now on, such as after a failover, unless somebody drops it.",
)
@click.option(
    "--backup-to",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder for backups of the cluster's state, best on another disk; made if need be.  [default: no backups]",
)
@click.option(
    "--backup-every",
    type=Duration(),
    default="1h",
    show_default=True,
    help="A backup is made at the start, and so long after the last one; each if something has changed.",
)
@click.option("--backup-keep", type=click.IntRange(min=1), default=48, show_default=True, help="How many backups stay.")
@click.option(
    "--log-file", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Default: standard error."
)
@click.pass_context
def main(
    context: click.Context,
    *,
    data_path: Path,
    certificates: Path,
    address: str,
    port: int,
    agent_port: int,
    mount_root: str,
    lease_seconds: float,
    keep_stashes: float,
    backup_to: Path | None,
    backup_every: float,
    backup_keep: int,
    log_file: Path | None,
) -> None:
    """
    Hold what is wanted of a cluster, and tell its agents.

    Without a command, run the service. Its options stand for nothing before a command, and are refused there.
    """
    if context.invoked_subcommand is not None:
        refuse_given_options(context)
        return
    reactor: Any = _reactor
    keep_time_by_boottime(reactor)
    if not certificates.is_dir():
        raise click.BadParameter(f"there is no folder {certificates}", param_hint="--certificates")
    if not mount_root.startswith("/"):
        raise click.BadParameter("it must be an absolute path", param_hint="--mount-root")
    try:
        stop_logging = start_logging(reactor, log_file)
    except OSError as error:
        click.echo(f"flocker-control: log file {log_file}: {error.strerror}", err=True)
        sys.exit(REFUSED)
    failed: list[str] = []
    raise_descriptor_limit()

    async def run() -> None:
        credential = load_credential(certificates, "control-service")
        store = await open_store(reactor, data_path)
        try:
            await serve(credential, store)
        except BaseException:
            # Its thread would keep the process alive.
            await store.close()
            raise

    def counted(factory: Any, options: ServerOptions, limit: int, limit_per_address: int) -> CountedConnections:
        secured = _secured(options, isClient=False, wrappedFactory=factory)
        return CountedConnections(secured, limit=limit, limit_per_address=limit_per_address, clock=reactor)

    async def serve(credential: Credential, store: Store) -> None:
        service = await opened(
            store,
            clock=reactor,
            new_id=uuid4,
            now_seconds=time.time,
            lease_seconds=lease_seconds,
            keep_stash_seconds=keep_stashes,
            boot_id=boot_id(),
        )
        backups: BackupSchedule | None = None
        if backup_to is not None:
            plan = BackupPlan(directory=backup_to, every_seconds=backup_every, keep=backup_keep)
            backups = BackupSchedule(reactor, data_path, plan, now_seconds=time.time)
        site = api_site(
            service,
            clock=reactor,
            uuid4=uuid4,
            mount_root=mount_root,
            backups=lambda: None if backups is None else backups.report,
            validate_answers=os.environ.get(VALIDATE_VARIABLE) == "yes",
        )
        sessions = AgentSessions(reactor, service)
        users = counted(site, api_server_options(credential), USERS_LIMIT, USERS_LIMIT_PER_ADDRESS)
        agents = counted(sessions, agents_server_options(credential), AGENTS_LIMIT, AGENTS_LIMIT_PER_ADDRESS)
        try:
            # Twisted's endpoints and ports have no annotations.
            ports: list[Any] = [
                await _endpoint(reactor, number, interface=address).listen(factory)
                for number, factory in ((port, users), (agent_port, agents))
            ]
        except CannotListenError as error:
            raise PortUnavailable(f"{error.interface}:{error.port}: {error.socketError.strerror}") from error

        async def stop() -> None:
            for listening in ports:
                stopped = listening.stopListening()
                if stopped is not None:
                    await stopped
            if backups is not None:
                await backups.stop()
            await store.close()

        if backups is not None:
            backups.start()

        reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(stop()))
        numbers = [listening.getHost().port for listening in ports]
        log_message(message_type="flocker:control:ready", version=__version__, address=address, ports=numbers)
        click.echo(
            f"flocker-control {__version__}: REST API on {address}:{numbers[0]}, agents on {address}:{numbers[1]}"
        )

    def refused(failure: Any) -> None:
        if failure.check(FlockerError) is not None:
            failed.append(explanation(failure.value))
            if failure.check(StoreDamaged) is not None:
                failed.append(way_back(data_path, backup_to))
        else:
            failed.append(failure.getTraceback() if failure.check(OSError) is None else str(failure.value))
        reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(run()).addErrback(refused))
    reactor.run()
    stop_logging()
    if failed:
        click.echo("flocker-control: " + "\n".join(failed), err=True)
        sys.exit(REFUSED)


main.add_command(backup)
main.add_command(import_configuration)
main.add_command(restore)
