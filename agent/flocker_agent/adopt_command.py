"""
``flocker-agent adopt``: ZFS datasets that somebody else made become the node's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from flocker_agent.holding import hold
from flocker_agent.settings import read_settings
from flocker_agent.storage.zfs_adoption import Refused, Wish, flockers_wishes, wish_of
from flocker_py.credentials import load_credential
from flocker_py.errors import FlockerError, explanation
from flocker_py.identity import NodeIdentity
from flocker_py.model import NodeId
from flocker_py.storage import Role

REFUSED = 1

agent_config_option = click.option(
    "--agent-config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("/etc/flocker/agent.yml"),
    show_default=True,
    help="The agent's settings. cluster.crt, node.crt and node.key lie beside it.",
)


class PoolNotZfs(FlockerError):
    """
    Only what is in a ZFS pool can be adopted, and the agent keeps its datasets elsewhere.
    """

    lasting = True


@click.command()
@agent_config_option
@click.option(
    "--replica", is_flag=True, help="What is named are copies, for moves to this node that are wanted already."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, step by step, and change nothing.")
@click.argument("names", metavar="[[ID=]NAME...]", nargs=-1)
def adopt(*, agent_config: Path, replica: bool, dry_run: bool, names: tuple[str, ...]) -> None:
    """
    Take over ZFS datasets that are in the agent's pool under other names. The agent must not run.

    Without NAMES, all that Flocker 1.x made there for this node: POOL/OWNER.default.ID. Any other dataset is given with
    the id that it shall have, ID=NAME. Snapshots, holds and bookmarks stay as they are, whoever made them.

    A copy of what another node serves is good for one thing: a move to this node sends only what it lacks. Want the
    move first: a copy is removed, with its snapshots, as soon as its dataset is served elsewhere and no move needs it.
    """
    if replica and not names:
        raise click.UsageError("Name the copies.")
    try:
        failed = _adopted(agent_config, names, replica=replica, dry_run=dry_run)
    except (FlockerError, OSError) as error:
        click.echo(f"flocker-agent: {explanation(error)}", err=True)
        sys.exit(REFUSED)
    if failed:
        sys.exit(REFUSED)


def _adopted(agent_config: Path, names: tuple[str, ...], *, replica: bool, dry_run: bool) -> bool:
    settings = read_settings(agent_config)
    if settings.backend != "zfs":
        raise PoolNotZfs(f"{agent_config}: the backend is {settings.backend}")
    identity = load_credential(agent_config.parent, "node").identity
    assert isinstance(identity, NodeIdentity)  # noqa: S101  # else it would have been refused
    held = hold(Path(settings.state_path))
    try:
        return _adopted_in(settings.backend_settings["pool"], identity.node_id, names, replica=replica, dry_run=dry_run)
    finally:
        os.close(held)


def _adopted_in(pool_name: str, node_id: NodeId, names: tuple[str, ...], *, replica: bool, dry_run: bool) -> bool:
    # Only here: their library is not on every host.
    from flocker_agent.storage import zfs_adopting
    from flocker_agent.storage.zfs_binding import ZfsCore
    from flocker_agent.storage.zfs_pool import ZfsPool

    pool = ZfsPool(ZfsCore(), pool_name)
    if names:
        wishes = [wish_of(pool.name, name, node_id, replica=replica) for name in names]
    else:
        found = flockers_wishes(pool.name, pool.children(pool.name), node_id)
        wishes = [wish for wish in found if wish.role is Role.OWNER]
        for copy in found:
            if copy.role is not Role.OWNER:
                click.echo(
                    f"{copy.name}: a copy of dataset {copy.dataset_id}, which another node served: left as it is"
                )
    failed = False
    for wish in wishes:
        if isinstance(wish, Refused):
            failed = True
            click.echo(f"flocker-agent: {wish.text}.", err=True)
            continue
        click.echo(f"{wish.name}: dataset {wish.dataset_id}, {_role_text(wish)}")
        try:
            if dry_run:
                for step in zfs_adopting.adoption(pool, wish):
                    click.echo(f"  would {step.text}")
            else:
                zfs_adopting.adopt(pool, wish, lambda step: click.echo(f"  {step.text}"))
        except FlockerError as error:
            failed = True
            click.echo(f"flocker-agent: {explanation(error)}", err=True)
    if not wishes:
        click.echo(f"There is nothing in pool {pool.name} that Flocker made for this node.")
    elif dry_run:
        click.echo("Nothing was changed: this was a dry run.")
    elif not failed:
        click.echo(
            "Start the agent. What the control service doesn't know is listed by flockerctl datasets, and is taken by"
            " flockerctl adopt ID."
        )
    return failed


def _role_text(wish: Wish) -> str:
    return "served by this node" if wish.role is Role.OWNER else "a copy"
