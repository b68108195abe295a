"""
``flockerctl failover``, ``adopt`` and ``stashes``: what an operator decides in the place of a node that is gone.

Nothing is done before it was confirmed by what was shown: run without a confirmation, these commands show what would be
lost and the command that does it, and exit with status 1.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click
from twisted.internet.task import deferLater

from flocker_admin.ctl_session import Session, json_option, known_dataset_names, known_node_names, listed, named, told
from flocker_admin.exits import Exit
from flocker_admin.listings import aligned
from flocker_py.client.control import ControlClient
from flocker_py.client.errors import NotFound
from flocker_py.client.views import CopiesView, CopyView, StashesView, StashView, UnclaimedView, view
from flocker_py.model import DatasetId, NodeId
from flocker_py.units import bytes_text

LOOK_EVERY_SECONDS = 0.5
MOUNT_TIMEOUT_SECONDS = 60.0


@click.command()
@click.argument("dataset")
@click.option("--to", "node", required=True, metavar="NODE", help="The node that has a copy to go on from.")
@click.option("--confirm", "confirmed", multiple=True, metavar="GUID", help="The snapshot that was shown.")
@click.option("--owner-is-dead", is_flag=True, help="Your word that the node that owns DATASET does not run.")
@json_option
@click.pass_obj
def failover(session: Session, /, dataset: str, node: str, *, as_json: bool, **options: Any) -> None:
    """
    Go on with DATASET from the copy that NODE has, since the node that owns it is gone.

    All that the same app uses goes with it. What was written after that copy's newest snapshot is not in it. What the
    old owner has is put aside when it returns: see `flockerctl stashes`.
    """

    confirmed: tuple[str, ...] = options["confirmed"]
    owner_is_dead: bool = options["owner_is_dead"]

    async def command(_reactor: Any, client: ControlClient) -> int:
        copies = await client.copies(dataset)
        names = await known_node_names(client)
        target = _node_id(node, names)
        members = [copies]
        for other in copies.together:
            if other != copies.dataset_id:
                members.append(await client.copies(str(other)))
        members = [member for member in members if member.owner != target]
        called = await known_dataset_names(client)
        found = {member.dataset_id: _copy_on(member, target) for member in members}
        if not as_json or not confirmed:
            for member in members:
                listed(_story(member, found[member.dataset_id], names, called))
        needed = [copy.newest_guid for copy in found.values() if copy is not None and copy.newest_guid is not None]
        given = list(confirmed)
        if not given and needed and sys.stdin.isatty() and not as_json:
            given = [_typed(guid) for guid in needed]
        if not given and needed:
            # Where the owner goes by its lease, waiting is safe, and somebody's word may be wrong.
            by_word = not copies.owner_connected and copies.owner_lease_left_seconds is None
            word = " --owner-is-dead" if owner_is_dead or by_word else ""
            again = " ".join(f"--confirm {guid}" for guid in needed)
            click.echo(
                f"Nothing was done. To go on from there: flockerctl failover {dataset} --to {node}{word} {again}"
            )
            return Exit.FAILED
        if not needed and not given and members:
            click.echo(f"Nothing was done: {node} has no copy to go on from.")
            return Exit.FAILED
        guids = _matched(found, given)
        raw = await client.fail_over(dataset, node, guids, owner_is_dead=owner_is_dead)
        if as_json:
            return told(raw)
        click.echo(f"{dataset} belongs to {node} now, under epoch {raw['epoch']}.")
        return Exit.DONE

    session.run(command, as_json=as_json)


def _typed(guid: str) -> str:
    answer: str = click.prompt(f"Type {guid} to go on from that snapshot", default="", show_default=False)
    return answer.strip()


def _matched(found: Mapping[DatasetId, CopyView | None], given: list[str]) -> dict[DatasetId, str]:
    """
    Which confirmation is for which dataset. One that fits none is for the one that lacks one: the service refuses it.
    """
    rest = list(given)
    result = {}
    for dataset_id, copy in found.items():
        if copy is not None and copy.newest_guid in rest:
            rest.remove(copy.newest_guid)
            result[dataset_id] = copy.newest_guid
    for dataset_id in found:
        if dataset_id not in result and rest:
            result[dataset_id] = rest.pop(0)
    return result


def _copy_on(copies: CopiesView, node_id: NodeId | None) -> CopyView | None:
    return next((copy for copy in copies.copies if copy.node_id == node_id), None)


def _story(
    copies: CopiesView, chosen: CopyView | None, names: dict[NodeId, str], called: dict[DatasetId, str]
) -> list[str]:
    name = called.get(copies.dataset_id, str(copies.dataset_id))
    owner = named(copies.owner, names)
    if copies.owner_connected:
        state = "is connected"
    elif copies.owner_away_since_seconds is None:
        state = "has no connection, since when is not known"
    else:
        state = f"has had no connection since {time_text(copies.owner_away_since_seconds)}"
    left_seconds = copies.owner_lease_left_seconds
    if left_seconds is not None:
        state += (
            f", and may serve it for another {math.ceil(left_seconds)} s: then its lease has ended for certain"
            if left_seconds
            else ", and has ended what it ran: its lease is over"
        )
    lines = [f"{name}: owned by {owner} under epoch {copies.epoch}, which {state}."]
    for copy in copies.copies:
        heard = "" if copy.connected else ", as last heard of"
        mark = "->" if chosen is not None and copy.node_id == chosen.node_id else "  "
        lines.append(f"{mark} {named(copy.node_id, names)} ({copy.role} of epoch {copy.epoch}{heard}): {copy.text}")
    # The newest comes first.
    newest = next((copy for copy in copies.copies if copy.candidate), None)
    if chosen is not None and newest is not None and newest.newest_guid != chosen.newest_guid:
        there = named(newest.node_id, names)
        lines.append(f"   Node {there} has a newer copy: to go on from there (--to {there}) loses less.")
    return lines


def time_text(at_seconds: float) -> str:
    """
    A moment, for people.
    """
    return datetime.fromtimestamp(at_seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _node_id(text: str, names: Mapping[NodeId, str]) -> NodeId | None:
    for node_id, name in names.items():
        if text in (name, str(node_id)):
            return node_id
    return None


@click.command()
@click.argument("dataset")
@click.option("--from", "node", required=True, metavar="NODE", help="The node that has it.")
@click.option("--confirm", "epoch", type=click.IntRange(min=0), metavar="EPOCH", help="The epoch that was shown.")
@click.option("--others-are-dead", is_flag=True, help="Your word that no node without a connection runs with it.")
@json_option
@click.pass_obj
def adopt(session: Session, /, dataset: str, node: str, *, as_json: bool, **options: Any) -> None:
    """
    Take what NODE has for DATASET, where the control service's record of it is older than the cluster, or missing.

    For after a restore of an old copy of the control service's store. What other nodes have is put aside, not removed.
    """

    epoch: int | None = options["epoch"]

    async def command(_reactor: Any, client: ControlClient) -> int:
        if epoch is None:
            names = await known_node_names(client)
            lines, found = await _adoptable(client, dataset, _node_id(node, names), names)
            listed(lines)
            if found is not None:
                click.echo(
                    f"Nothing was done. To take that for the dataset: flockerctl adopt {dataset} --from {node}"
                    f" --confirm {found}"
                )
            return Exit.FAILED
        raw = await client.adopt(dataset, node, epoch, others_are_dead=options["others_are_dead"])
        if as_json:
            return told(raw)
        click.echo(f"{dataset} belongs to {node} now, under epoch {raw['epoch']}.")
        return Exit.DONE

    session.run(command, as_json=as_json)


async def _adoptable(
    client: ControlClient, dataset: str, node_id: NodeId | None, names: dict[NodeId, str]
) -> tuple[list[str], int | None]:
    try:
        copies = await client.copies(dataset)
    except NotFound:
        unclaimed = await client.unclaimed()
        found = [one for one in unclaimed.unclaimed if str(one.dataset_id) == dataset.lower()]
        if not found:
            raise
        lines = [f"{dataset}: the control service has no record of it."]
        copy_epochs = {copy.node_id: copy.epoch for copy in found[0].copies}
        lines += [
            f"   {named(copy.node_id, names)}: {copy.role} of epoch {copy.epoch}, {bytes_text(copy.used_bytes)}"
            for copy in found[0].copies
        ]
        return lines, None if node_id is None else copy_epochs.get(node_id)
    lines = _story(copies, _copy_on(copies, node_id), names, {copies.dataset_id: dataset})
    chosen = _copy_on(copies, node_id)
    return lines, None if chosen is None or not chosen.connected else chosen.epoch


def unclaimed_lines(found: UnclaimedView, names: Mapping[NodeId, str]) -> list[str]:
    """
    What nodes have and the control service has no record of.
    """
    lines = []
    for dataset in found.unclaimed:
        copies = ", ".join(
            f"{names.get(copy.node_id, copy.node_id)}"
            f" ({copy.role} of epoch {copy.epoch}, {bytes_text(copy.used_bytes)})"
            for copy in dataset.copies
        )
        lines.append(
            f"Unclaimed: {dataset.dataset_id} on {copies}: left alone. If it is yours: flockerctl adopt"
            f" {dataset.dataset_id} --from NODE"
        )
    return lines


# -- stashes -----------------------------------------------------------------------------------------------------------


@click.group(invoke_without_command=True)
@click.pass_context
def stashes(context: click.Context) -> None:
    """
    What nodes have put aside: the data of owners that were failed over. Without a command, list it.

    A STASH is given by its name, or as NODE/NAME where more than one node has one of that name.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_stashes, as_json=False)


@stashes.command("list")
@json_option
@click.pass_obj
def list_stashes(session: Session, as_json: bool) -> None:
    """
    List what nodes have put aside.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        raw = await client.answer("GET", "/v2/stashes", harmless=True)
        if as_json:
            return told(raw)
        return listed(stash_lines(view(StashesView, raw), await known_node_names(client)))

    session.run(command, as_json=as_json)


def stash_lines(found: StashesView, names: dict[NodeId, str]) -> list[str]:
    """
    Stashes as a table, what goes wrong with them, and the nodes whose stashes are not known.
    """
    header = ("VOLUME", "NODE", "SINCE", "EXPIRES", "USED", "READABLE AT", "STASH")
    rows = [
        (
            stash.dataset_name or str(stash.dataset_id),
            named(stash.node_id, names),
            "-" if stash.since_seconds is None else time_text(stash.since_seconds),
            "never" if stash.expires_at_seconds is None else time_text(stash.expires_at_seconds),
            bytes_text(stash.used_bytes),
            stash.path or "-",
            stash.name,
        )
        for stash in found.stashes
    ]
    lines = aligned(header, rows) if rows else ["Nothing is put aside."]
    lines += [f"{s.name}: {s.last_error.text} ({s.last_error.code})" for s in found.stashes if s.last_error is not None]
    if found.unknown_nodes:
        away = ", ".join(named(node_id, names) for node_id in found.unknown_nodes)
        lines.append(f"Of what is on {away} nothing is known: no connection.")
    return lines


async def _found(client: ControlClient, text: str, names: dict[NodeId, str]) -> StashView:
    node, _, name = text.rpartition("/")
    all_of_them = (await client.stashes()).stashes
    fitting = [s for s in all_of_them if s.name == name and node in ("", str(s.node_id), named(s.node_id, names))]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise click.ClickException(f"No node that is connected has a stash {text}. See flockerctl stashes.")
    places = ", ".join(f"{named(s.node_id, names)}/{s.name}" for s in fitting)
    raise click.ClickException(f"More than one node has a stash {name}. Say which: {places}")


@stashes.command("mount")
@click.argument("stash")
@json_option
@click.pass_obj
def mount_stash(session: Session, stash: str, as_json: bool) -> None:
    """
    Make STASH readable on its node, and print the path. Nobody can write there.
    """
    session.run(_mounting(stash, mounted=True, as_json=as_json), as_json=as_json)


@stashes.command("unmount")
@click.argument("stash")
@json_option
@click.pass_obj
def unmount_stash(session: Session, stash: str, as_json: bool) -> None:
    """
    Make STASH unreadable again.
    """
    session.run(_mounting(stash, mounted=False, as_json=as_json), as_json=as_json)


def _mounting(text: str, *, mounted: bool, as_json: bool) -> Any:
    async def command(reactor: Any, client: ControlClient) -> int:
        names = await known_node_names(client)
        stash = await _found(client, text, names)
        seen = await client.change_stash(stash, mounted=mounted)
        deadline = reactor.seconds() + MOUNT_TIMEOUT_SECONDS
        while (seen.path is not None) != mounted:
            if reactor.seconds() > deadline:
                reason = "the node has not done it yet" if seen.last_error is None else seen.last_error.text
                click.echo(f"Error: {reason}. It goes on; see flockerctl stashes.", err=True)
                return Exit.TIMEOUT
            await deferLater(reactor, LOOK_EVERY_SECONDS)
            seen = await client.stash(stash)
        if as_json:
            return told({"node_id": str(seen.node_id), "name": seen.name, "path": seen.path})
        click.echo(seen.path if mounted else f"{stash.name} is not readable any more.")
        return Exit.DONE

    return command


@stashes.command("restore")
@click.argument("stash")
@click.option("--confirm", "epoch", type=click.IntRange(min=0), metavar="EPOCH", help="The epoch that was shown.")
@click.option("--owner-is-dead", is_flag=True, help="Your word that the node that owns the dataset does not run.")
@json_option
@click.pass_obj
def restore_stash(session: Session, stash: str, epoch: int | None, owner_is_dead: bool, as_json: bool) -> None:
    """
    Make STASH the dataset again, on its node. What is the dataset now is put aside in turn.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        names = await known_node_names(client)
        found = await _found(client, stash, names)
        present = await client.dataset(str(found.dataset_id))
        name = present.name or str(present.dataset_id)
        if epoch is None:
            click.echo(
                f"{name}: owned by {named(present.owner, names)} under epoch {present.epoch}. It would go on from"
                f" {stash} on {named(found.node_id, names)}; what {named(present.owner, names)} has would be"
                " put aside."
            )
            click.echo(f"Nothing was done. To do it: flockerctl stashes restore {stash} --confirm {present.epoch}")
            return Exit.FAILED
        raw = await client.restore_stash(found, epoch, owner_is_dead=owner_is_dead)
        if as_json:
            return told(raw)
        click.echo(f"{name} belongs to {named(found.node_id, names)} now, under epoch {raw['epoch']}.")
        return Exit.DONE

    session.run(command, as_json=as_json)


@stashes.command("drop")
@click.argument("stash")
@click.option("--confirm", "confirmed", metavar="NAME", help="The name of the stash, once more.")
@json_option
@click.pass_obj
def drop_stash(session: Session, stash: str, confirmed: str | None, as_json: bool) -> None:
    """
    Destroy STASH, for good.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        names = await known_node_names(client)
        found = await _found(client, stash, names)
        if confirmed is None:
            click.echo(
                f"{found.name} on {named(found.node_id, names)} holds {bytes_text(found.used_bytes)}, which may be"
                " nowhere else."
            )
            click.echo(f"Nothing was done. To destroy it: flockerctl stashes drop {stash} --confirm {found.name}")
            return Exit.FAILED
        raw = await client.drop_stash(found, confirmed)
        if as_json:
            return told(raw)
        click.echo(f"{found.name} is being destroyed.")
        return Exit.DONE

    session.run(command, as_json=as_json)
