"""
The commands of ``flockerctl`` that let nodes come and go.
"""

from __future__ import annotations

from typing import Any

import click

from flocker_admin.ctl_session import Session, json_option, known_node_names, listed, told
from flocker_admin.exits import Exit
from flocker_admin.listings import drained_lines
from flocker_py.client.control import ControlClient
from flocker_py.client.views import DrainedView, view


@click.command()
@click.argument("node")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
@click.pass_obj
def drain(session: Session, node: str, dry_run: bool, as_json: bool) -> None:
    """
    Move everything off NODE, as far as it finds a place, and put nothing new there. What finds no place stays, and is
    named with the reasons; the exit status is 1 then.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        raw = await client.drain_node(node, dry_run=dry_run)
        drained = view(DrainedView, raw)
        if as_json:
            told(raw)
        else:
            listed(drained_lines(node, drained, await known_node_names(client)))
        return Exit.FAILED if drained.unplaced else Exit.DONE

    session.run(command, as_json=as_json)


@click.command()
@click.argument("node")
@json_option
@click.pass_obj
def undrain(session: Session, node: str, as_json: bool) -> None:
    """
    Let NODE be used again. What has left it stays where it is.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        raw = await client.undrain_node(node)
        return told(raw) if as_json else listed([f"Node {node} is used again; nothing is moved back to it."])

    session.run(command, as_json=as_json)


@click.command()
@click.argument("node")
@click.option("--is-dead", is_flag=True, help="It never comes back: wait for nothing that it may still have.")
@json_option
@click.pass_obj
def remove(session: Session, node: str, is_dead: bool, as_json: bool) -> None:
    """
    Take NODE, which has nothing any more, out of the cluster. Its agent is heard no more.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        raw = await client.remove_node(node, is_dead=is_dead)
        text = f"Node {node} is removed. Stop its agent; to let it in again: flockerctl readmit {raw['node_id']}"
        return told(raw) if as_json else listed([text])

    session.run(command, as_json=as_json)


@click.command()
@click.argument("node")
@json_option
@click.pass_obj
def readmit(session: Session, node: str, as_json: bool) -> None:
    """
    Let NODE, which was removed, in again: by its id, or the name that it had.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        raw = await client.readmit_node(node)
        text = f"Node {raw['name'] or raw['node_id']} is part of the cluster again, as soon as its agent connects."
        return told(raw) if as_json else listed([text])

    session.run(command, as_json=as_json)
