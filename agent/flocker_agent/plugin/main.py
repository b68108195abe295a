"""
``flocker-docker-plugin``: Docker's volume plugin of one node as a program.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from eliot import log_message
from pyrsistent import pvector
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, maybeDeferred

from flocker_agent.adopt_command import agent_config_option
from flocker_agent.holding import StateInUse, hold
from flocker_agent.plugin.engines import ContainerEngines
from flocker_agent.plugin.forgetting import Forgetting
from flocker_agent.plugin.keeping import remembered
from flocker_agent.plugin.listening import listen
from flocker_agent.plugin.site import plugin_site
from flocker_agent.plugin.volumes import Volumes
from flocker_agent.settings import read_settings
from flocker_agent.threads import Threads
from flocker_py import __version__
from flocker_py.boottime import boot_id, keep_time_by_boottime
from flocker_py.certificates import claimed_identity
from flocker_py.client.addresses import AddressUnreadable, ControlAddress, control_addresses
from flocker_py.client.control import ControlClient
from flocker_py.client.retrying import Patience
from flocker_py.credentials import load_credential, read_certificate
from flocker_py.errors import FlockerError, explanation
from flocker_py.identity import NodeIdentity
from flocker_py.logs import start_logging
from flocker_py.model import NodeId

REFUSED = 1
"""Exit status: it did not start, for the reason on standard error."""
LOCK_FILE = "plugin.lock"
USER = "plugin"
"""Whose certificate it uses: ``plugin.crt`` and ``plugin.key``."""
# Docker's user is told within half a minute that there is no control service.
PATIENCE = Patience(connect_seconds=3.0, answer_seconds=6.0, whole_seconds=8.0, pauses_seconds=pvector([0.2, 0.8]))

_SOCKET = Path("/run/docker/plugins/flocker.sock")
_ENGINE = Path("/run/docker.sock")
_STATE = Path("/var/lib/flocker-docker-plugin")


class PluginRuns(FlockerError):
    """
    Another plugin that is still running works with this folder. Stop it first, or give each a --state-path of its own.
    """

    lasting = True


class NodeUnknown(FlockerError):
    """
    The plugin must know which node of the cluster its host is. Put the node's certificate beside agent.yml, where the
    agent has it, or say it with --node.
    """

    lasting = True


def _addresses(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> tuple[ControlAddress, ...] | None:
    try:
        return None if text is None else control_addresses(text)
    except AddressUnreadable as error:
        raise click.BadParameter(explanation(error)) from error


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="flocker-docker-plugin")
@agent_config_option
@click.option(
    "--control",
    metavar="HOST[:PORT][,...]",
    callback=_addresses,
    help="The control service's REST API; several addresses of it are tried in turn.  [default: the host in agent.yml]",
)
@click.option("--node", type=click.UUID, help="The node that this host is.  [default: the one of node.crt]")
@click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=_SOCKET,
    show_default=True,
    help="Where Docker finds the plugin, unless systemd gives a socket. The name of the file is that of the driver.",
)
@click.option(
    "--engine",
    "engines",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    default=[_ENGINE],
    show_default=True,
    help="Socket of a container engine that uses the plugin; can be given several times. See --forget-seconds.",
)
@click.option(
    "--state-path",
    type=click.Path(path_type=Path, file_okay=False),
    default=_STATE,
    show_default=True,
    help="Where it remembers who has what mounted; made if need be.",
)
@click.option(
    "--mount-seconds",
    type=click.FloatRange(1, 105),
    default=100,
    show_default=True,
    help="How long a mount waits for a volume to be moved here. Docker waits for two minutes.",
)
@click.option(
    "--forget-seconds",
    type=click.FloatRange(1),
    default=60,
    show_default=True,
    help="A volume that no running container of any engine has used for so long is mounted by nobody.",
)
@click.option(
    "--log-file", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Default: standard error."
)
def main(
    *,
    agent_config: Path,
    control: tuple[ControlAddress, ...] | None,
    node: UUID | None,
    socket_path: Path,
    engines: tuple[Path, ...],
    state_path: Path,
    mount_seconds: float,
    forget_seconds: float,
    log_file: Path | None,
) -> None:
    """
    Give the Docker Engine of this node the cluster's datasets as volumes.

    Beside agent.yml lie cluster.crt, plugin.crt and plugin.key, made by `flocker-ca create-api-certificate plugin`.
    """
    reactor: Any = _reactor
    keep_time_by_boottime(reactor)
    threads = Threads(reactor, 1)
    with ExitStack() as undo:
        try:
            stop_logging = start_logging(reactor, log_file)
            # Its thread keeps the process alive.
            undo.callback(stop_logging)
            here = _node(agent_config.parent) if node is None else NodeId(node)
            addresses = control or (ControlAddress(host=read_settings(agent_config).control_host),)
            client = ControlClient(reactor, load_credential(agent_config.parent, USER), addresses, patience=PATIENCE)
            _hold(state_path)
            volumes = Volumes(
                reactor,
                client,
                here=here,
                known=remembered(state_path, boot_id()),
                folder=state_path,
                blocking=threads,
                mount_seconds=mount_seconds,
            )
            stop_listening = listen(reactor, socket_path, plugin_site(reactor, volumes, mount_seconds=mount_seconds))
        except (FlockerError, OSError) as error:
            click.echo(f"flocker-docker-plugin: {explanation(error)}", err=True)
            sys.exit(REFUSED)
        undo.pop_all()
    forgetting = Forgetting(reactor, volumes, ContainerEngines(reactor, engines), forget_seconds=forget_seconds)
    threads.start()
    reactor.callWhenRunning(forgetting.start)

    async def stop() -> None:
        forgetting.stop()
        await maybeDeferred(stop_listening)
        await client.close()
        threads.stop()

    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(stop()))
    log_message(message_type="flocker:plugin:started", version=__version__, node_id=str(here), control=client.address)
    click.echo(f"flocker-docker-plugin {__version__}: node {here}, control service at {client.address}")
    reactor.run()
    stop_logging()


def _node(folder: Path) -> NodeId:
    path = folder / "node.crt"
    try:
        identity = claimed_identity(read_certificate(path))
    except FlockerError as error:
        raise NodeUnknown(explanation(error)) from error
    if not isinstance(identity, NodeIdentity):
        raise NodeUnknown(f"{path} is not the certificate of a node")
    return identity.node_id


def _hold(state_path: Path) -> None:
    try:
        hold(state_path, LOCK_FILE)
    except StateInUse as error:
        raise PluginRuns(str(error)) from error
