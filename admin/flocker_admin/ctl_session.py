"""
What the commands of ``flockerctl`` share.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import click

from flocker_admin.connecting import CONTROL_VARIABLE, user_credential
from flocker_admin.exits import Exit
from flocker_admin.running import run, tell
from flocker_py.client.addresses import ControlAddress
from flocker_py.client.control import ControlClient
from flocker_py.client.views import node_names
from flocker_py.errors import FlockerError
from flocker_py.model import DatasetId, NodeId

Command = Callable[[Any, ControlClient], Awaitable[int]]

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


class Session:
    """
    What all commands share: how to get at the cluster, and how to tell.
    """

    def __init__(self, options: dict[str, Any], *, directory_given: bool) -> None:
        self._options = options
        self._directory_given = directory_given

    def run(self, command: Command, *, as_json: bool) -> None:
        """
        Run a command with a client, and exit with its status.
        """
        addresses: tuple[ControlAddress, ...] = self._options["control"]
        if not addresses:
            raise click.UsageError(f"Where is the control service? Give --control, or set {CONTROL_VARIABLE}.")
        files = {name: self._options[name] for name in ("certificates_directory", "user", "cacert", "cert", "key")}
        try:
            credential = user_credential(**files, directory_given=self._directory_given)
        except FlockerError as error:
            sys.exit(tell(error, as_json=as_json))

        async def connected(reactor: Any) -> int:
            client = ControlClient(reactor, credential, addresses)
            try:
                return await command(reactor, client)
            finally:
                await client.close()

        sys.exit(run(connected, as_json=as_json))


async def known_node_names(client: ControlClient) -> dict[NodeId, str]:
    """
    What to call each node.
    """
    return node_names((await client.nodes()).nodes)


async def known_dataset_names(client: ControlClient) -> dict[DatasetId, str]:
    """
    The names of those datasets that have one.
    """
    found = (await client.datasets()).datasets
    return {dataset.dataset_id: dataset.name for dataset in found if dataset.name is not None}


def named(node_id: NodeId, names: dict[NodeId, str]) -> str:
    """
    What to call a node.
    """
    return names.get(node_id, str(node_id))


def told(data: object) -> int:
    """
    Write JSON.
    """
    click.echo(json.dumps(data, indent=1))
    return Exit.DONE


def listed(lines: list[str]) -> int:
    """
    Write lines.
    """
    for line in lines:
        click.echo(line)
    return Exit.DONE
