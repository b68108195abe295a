"""
``flocker-agent``: the agent of one node as a program.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from eliot import log_message
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS

from flocker_agent.adopt_command import adopt, agent_config_option
from flocker_agent.forwarding.network import HostNetwork
from flocker_agent.holding import hold
from flocker_agent.link import CONNECT_SECONDS, ControlLink
from flocker_agent.locks import Locks
from flocker_agent.loop import Agent
from flocker_agent.memory import Memory
from flocker_agent.runtime.runtimes import opened_runtime
from flocker_agent.settings import Settings, SettingsRefused, read_settings
from flocker_agent.storage.backends import opened_storage
from flocker_agent.threads import Threads
from flocker_agent.transfers import Transfers
from flocker_py import __version__
from flocker_py.boottime import boottime_seconds, keep_time_by_boottime
from flocker_py.credentials import Credential, load_credential
from flocker_py.errors import FlockerError, explanation
from flocker_py.identity import NodeIdentity
from flocker_py.logs import start_logging
from flocker_py.model import NodeId
from flocker_py.observed import NodeObservation
from flocker_py.runtime import FORWARDS_FIELD
from flocker_py.subcommands import refuse_given_options
from flocker_py.tls import agent_client_options

REFUSED = 1
"""Exit status: it did not start, for the reason on standard error."""
BLOCKING_CALLS = 16
FETCHING_CALLS = 3
COPIES = 2
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class PortUnavailable(FlockerError):
    """
    The agent can't listen for transfers. End whatever else listens there, or correct ``transfer`` in agent.yml
    (``address``, which must be one of this host, and ``port``).
    """

    lasting = True


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(__version__, prog_name="flocker-agent")
@agent_config_option
@click.option(
    "--log-file", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Default: standard error."
)
@click.pass_context
def main(context: click.Context, agent_config: Path, log_file: Path | None) -> None:
    """
    Make this host match what the control service asks of it.

    Without a command, run the agent. Its options stand for nothing before a command, and are refused there.
    """
    if context.invoked_subcommand is not None:
        refuse_given_options(context)
        return
    reactor: Any = _reactor
    keep_time_by_boottime(reactor)
    with ExitStack() as undo:
        try:
            settings = read_settings(agent_config)
            credential = load_credential(agent_config.parent, "node")
            stop_logging = _logging(reactor, settings, agent_config, log_file)
            # Its thread keeps the process alive.
            undo.callback(stop_logging)
            stop_agent = _started(reactor, settings, credential)
        except (FlockerError, OSError) as error:
            click.echo(f"flocker-agent: {explanation(error)}", err=True)
            sys.exit(REFUSED)
        undo.pop_all()
    reactor.addSystemEventTrigger("before", "shutdown", stop_agent)
    reactor.run()
    stop_logging()


def _logging(reactor: Any, settings: Settings, path: Path, log_file: Path | None) -> Callable[[], None]:
    python_logging = None if settings.logging is None else dict(settings.logging)
    try:
        return start_logging(reactor, log_file, python_logging=python_logging)
    except ValueError as error:
        # The cause of dictConfig's "Unable to configure handler 'x'" is where it says why.
        cause = "" if error.__cause__ is None else f": {error.__cause__}"
        raise SettingsRefused(f"{path}: logging: {error}{cause}") from error


def _started(reactor: Any, settings: Settings, credential: Credential) -> Callable[[], Deferred[None]]:
    identity = credential.identity
    if not isinstance(identity, NodeIdentity):
        raise FlockerError(f"{credential.certificate_path} is not the certificate of a node")
    node_id = identity.node_id
    state_path = Path(settings.state_path)
    hold(state_path)
    storage = opened_storage(settings.backend, dict(settings.backend_settings))
    runtime_settings = {"backend": settings.runtime, **settings.runtime_settings}
    if settings.runtime in ("process", "docker"):
        runtime_settings.setdefault("state_path", str(state_path / "containers"))
    runtime = opened_runtime(runtime_settings)
    if settings.runtime in ("process", "docker") and "state_path" in settings.runtime_settings:
        # Whoever shares it would stop our containers: they are not asked of it.
        hold(Path(settings.runtime_settings["state_path"]))
    locks = Locks()
    threads = Threads(reactor, BLOCKING_CALLS)
    # Its own, so that however many other calls hang, the lease is renewed.
    lease_thread = Threads(reactor, 1)
    # In the same way, a registry that doesn't answer is in nobody else's way.
    fetching = Threads(reactor, FETCHING_CALLS)
    # And so is a copy within the pool.
    copying = Threads(reactor, COPIES)
    transfers = Transfers(
        reactor,
        storage,
        node_id,
        credential,
        locks=locks,
        maximum_transfers=settings.maximum_transfers,
        maximum_bytes_per_second=settings.maximum_bytes_per_second,
    )
    address = settings.address or "0.0.0.0"  # noqa: S104  # mutual TLS
    try:
        port = transfers.listen(address, settings.transfer_port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise PortUnavailable(f"transfer port {settings.transfer_port} at {address}: {reason}") from error
    marker = state_path / "forwarding"
    agent = Agent(
        node=_node(settings, node_id, port, storage.capabilities.name, runtime.capabilities),
        storage=storage,
        runtime=runtime,
        transfers=transfers,
        clock=reactor,
        blocking=threads,
        locks=locks,
        publish=lambda _: link.tell(),
        now_seconds=time.time,
        boottime_seconds=boottime_seconds,
        lease_blocking=lease_thread,
        fetching=fetching,
        copying=copying,
        network=HostNetwork(marker) if settings.forwarding or marker.exists() else None,
        forwards=settings.forwarding,
    )
    transfers.attach(agent.datasets)
    memory = Memory(state_path / "assignment.json", node_id, agent, threads)
    # Pyright doesn't follow zope's interfaces.
    options: Any = agent_client_options(credential)
    control: Any = HostnameEndpoint(reactor, settings.control_host, settings.control_port, timeout=CONNECT_SECONDS)
    endpoint = wrapClientTLS(options, control)
    where = f"{settings.control_host}:{settings.control_port}"
    link = ControlLink(reactor, endpoint, memory, where=where)
    threads.start()
    lease_thread.start()
    fetching.start()
    copying.start()
    memory.recall()
    agent.start()
    link.start()
    log_message(message_type="flocker:agent:started", version=__version__, node_id=str(node_id), transfer_port=port)
    click.echo(f"flocker-agent {__version__}: node {node_id}, transfers on port {port}")

    async def stop() -> None:
        await link.stop()
        await agent.stop()
        await threads.run(transfers.stop)
        threads.stop()
        lease_thread.stop()
        fetching.stop()
        copying.stop()

    return lambda: Deferred.fromCoroutine(stop())


def _node(settings: Settings, node_id: NodeId, port: int, storage: str, runtime: Any) -> NodeObservation:
    return NodeObservation(
        node_id=node_id,
        era=UUID(_BOOT_ID.read_text().strip()),
        address=settings.advertised_address,
        transfer_port=settings.advertised_port or port,
        version=__version__,
        storage=storage,
        runtime=runtime.name,
        container_fields=runtime.reported_fields().extend([FORWARDS_FIELD] if settings.forwarding else []),
    )


main.add_command(adopt)
