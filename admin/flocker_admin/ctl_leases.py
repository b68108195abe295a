"""
The commands of ``flockerctl`` about leases that users hold on datasets.
"""

from __future__ import annotations

from typing import Any

import click

from flocker_admin.ctl_session import Session, json_option, known_dataset_names, known_node_names, listed, told
from flocker_admin.listings import lease_lines
from flocker_py.client.control import ControlClient
from flocker_py.client.views import LeasesView, view
from flocker_py.errors import explanation
from flocker_py.units import DurationUnreadable, duration_seconds, duration_text


@click.command()
@json_option
@click.pass_obj
def leases(session: Session, as_json: bool) -> None:
    """
    List the leases held on datasets, which are neither moved nor resized nor deleted meanwhile.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        raw = await client.answer("GET", "/v2/leases", harmless=True)
        if as_json:
            return told(raw)
        found = view(LeasesView, raw).leases
        return listed(lease_lines(found, await known_node_names(client), await known_dataset_names(client)))

    session.run(command, as_json=as_json)


class _Duration(click.ParamType[float]):
    """
    A duration, as people write it.
    """

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """
        Seconds.
        """
        try:
            return duration_seconds(value)
        except DurationUnreadable as error:
            self.fail(explanation(error), param, ctx)


@click.command()
@click.argument("dataset")
@click.argument("node")
@click.option("--for", "seconds", type=_Duration(), help="Such as 10m.  [default: until it is released]")
@json_option
@click.pass_obj
def lease(session: Session, dataset: str, node: str, seconds: float | None, as_json: bool) -> None:
    """
    Hold DATASET for NODE, or go on holding it: meanwhile it is neither moved nor resized nor deleted.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        raw = await client.acquire_lease(dataset, node, seconds)
        until = "until it is released" if seconds is None else f"for {duration_text(seconds)}"
        return told(raw) if as_json else listed([f"{dataset} is leased to {node} {until}."])

    session.run(command, as_json=as_json)


@click.command()
@click.argument("dataset")
@json_option
@click.pass_obj
def release(session: Session, dataset: str, as_json: bool) -> None:
    """
    End the lease on DATASET, whoever holds it. What waits for that is done.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        raw = await client.release_lease(dataset)
        return told(raw) if as_json else listed([f"{dataset} is leased no more."])

    session.run(command, as_json=as_json)
