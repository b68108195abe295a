"""
``flockerctl``: look at a cluster, and move volumes in it.

The exit statuses are in ``flocker_admin.exits``.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import click
from twisted.internet.task import deferLater

from flocker_admin.connecting import connection_options
from flocker_admin.convergence import Standing, dataset_item, finished_move_text
from flocker_admin.ctl_failover import adopt, failover, stashes, unclaimed_lines
from flocker_admin.ctl_leases import lease, leases, release
from flocker_admin.ctl_nodes import drain, readmit, remove, undrain
from flocker_admin.ctl_protection import protect, unprotect
from flocker_admin.ctl_session import Session, json_option, known_dataset_names, known_node_names, listed, named, told
from flocker_admin.ctl_status import status
from flocker_admin.exits import HELP, Exit
from flocker_admin.listings import container_lines, dataset_lines, move_lines, node_lines
from flocker_py import __version__
from flocker_py.client.control import ControlClient
from flocker_py.client.errors import ControlUnreachable, NotFound
from flocker_py.client.sse import Event
from flocker_py.client.views import ContainersView, DatasetsView, MovesView, MoveView, NodesView, view
from flocker_py.model import NodeId
from flocker_py.wire import TYPE_KEY, WireError, encode, json_text, json_value

LOOK_EVERY_SECONDS = 0.5
FOLLOW_AGAIN_SECONDS = 1.0


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=HELP)
@click.version_option(__version__, prog_name="flockerctl")
@connection_options
@click.pass_context
def main(context: click.Context, /, **options: Any) -> None:
    """
    Look at a cluster, and move volumes in it.
    """
    given = context.get_parameter_source("certificates_directory") is click.core.ParameterSource.COMMANDLINE
    context.obj = Session(options, directory_given=given)


@main.command()
@json_option
@click.pass_obj
def nodes(session: Session, as_json: bool) -> None:
    """
    List the nodes, and what goes wrong on them.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        raw = await client.answer("GET", "/v2/nodes", harmless=True)
        if as_json:
            return told(raw)
        return listed(node_lines(view(NodesView, raw).nodes))

    session.run(command, as_json=as_json)


@main.command()
@json_option
@click.pass_obj
def datasets(session: Session, as_json: bool) -> None:
    """
    List the datasets, which deployment files call volumes.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        raw = await client.answer("GET", "/v2/datasets", harmless=True)
        if as_json:
            return told(raw)
        names = await known_node_names(client)
        lines = dataset_lines(view(DatasetsView, raw).datasets, names)
        return listed([*lines, *unclaimed_lines(await client.unclaimed(), names)])

    session.run(command, as_json=as_json)


@main.command()
@json_option
@click.pass_obj
def apps(session: Session, as_json: bool) -> None:
    """
    List the apps, and where they run.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        raw = await client.answer("GET", "/v2/containers", harmless=True)
        if as_json:
            return told(raw)
        return listed(container_lines(view(ContainersView, raw), await known_node_names(client)))

    session.run(command, as_json=as_json)


@main.command()
@json_option
@click.pass_obj
def moves(session: Session, as_json: bool) -> None:
    """
    List the moves under way, and of each dataset the one that ended last.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        raw = await client.answer("GET", "/v2/moves", harmless=True)
        if as_json:
            return told(raw)
        found = view(MovesView, raw).moves
        return listed(move_lines(found, await known_node_names(client), await known_dataset_names(client)))

    session.run(command, as_json=as_json)


@main.command()
@click.argument("dataset")
@click.argument("node")
@click.option("--wait", is_flag=True, help="Follow the move to its end.")
@click.option("--when-released", is_flag=True, help="If the dataset is leased, move it when the lease ends.")
@click.option("--force", is_flag=True, help="Move it although it is leased.")
@json_option
@click.pass_obj
def move(
    session: Session, *, dataset: str, node: str, wait: bool, when_released: bool, force: bool, as_json: bool
) -> None:
    """
    Move DATASET, with the app that uses it, to NODE. Both by name or id.
    """

    if when_released and force:
        raise click.UsageError("--when-released and --force exclude one another")

    async def command(reactor: Any, client: ControlClient) -> int:
        known = await client.dataset(dataset)
        before = None if known.last_move is None else known.last_move.move_id
        started = await client.start_move(dataset, node, when_released=when_released, force=force)
        names = await known_node_names(client)
        if not wait:
            way = f"from {named(started.source, names)} to {named(started.target, names)}"
            waits = f", waiting for {started.waiting_for}" if started.waiting_for else ""
            return _told_of_move(started, f"{dataset} moves {way}{waits}.", as_json=as_json)
        return await _followed(reactor, client, str(known.dataset_id), before, names, as_json=as_json)

    session.run(command, as_json=as_json)


@main.command()
@click.argument("dataset_or_move")
@json_option
@click.pass_obj
def cancel(session: Session, dataset_or_move: str, as_json: bool) -> None:
    """
    Let a dataset stay where it is: cancel its move. By the name or id of the dataset, or the id of the move.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        found = await _move_to_cancel(client, dataset_or_move)
        if found is None or found.move_id is None:
            click.echo(f"Error: {dataset_or_move} is not moving.", err=True)
            return Exit.FAILED
        cancelled = await client.cancel_move(found.move_id)
        names = await known_node_names(client)
        text = f"The move to {named(cancelled.target, names)} is cancelled; {named(cancelled.source, names)} goes on."
        return _told_of_move(cancelled, text, as_json=as_json)

    session.run(command, as_json=as_json)


@main.command()
@click.argument("dataset")
@json_option
@click.pass_obj
def explain(session: Session, dataset: str, as_json: bool) -> None:
    """
    Say why DATASET is not yet where it should be.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        explanation = await client.explanation(dataset)
        if as_json:
            return told(
                {
                    "dataset_id": str(explanation.dataset_id),
                    "converged": explanation.converged,
                    "lines": list(explanation.lines),
                }
            )
        return listed(list(explanation.lines))

    session.run(command, as_json=as_json)


@main.command()
@click.option("--from", "begun_at", type=click.IntRange(min=0), help="From this revision on.  [default: from now on]")
@json_option
@click.pass_obj
def events(session: Session, begun_at: int | None, as_json: bool) -> None:
    """
    Follow what happens, until interrupted.
    """

    async def command(reactor: Any, client: ControlClient) -> int:
        revision = begun_at
        if revision is None:
            revision = (await client.nodes()).revision
        away = False
        while True:
            try:
                async for event in client.events(revision):
                    away = False
                    if event.event_id.isdigit():
                        revision = int(event.event_id)
                    _tell_event(event, as_json=as_json)
            except ControlUnreachable as error:
                if not away:
                    click.echo(f"{error}: trying again", err=True)
                away = True
            await deferLater(reactor, FOLLOW_AGAIN_SECONDS)

    session.run(command, as_json=as_json)


for _command in (
    *(drain, undrain, remove, readmit, failover, adopt, stashes, status),
    *(lease, leases, release, protect, unprotect),
):
    main.add_command(_command)


def _told_of_move(moved: MoveView, text: str, *, as_json: bool) -> int:
    if as_json:
        click.echo(json_text(_move_data(moved)))
    else:
        click.echo(text)
    return Exit.DONE


def _move_data(moved: MoveView) -> dict[str, Any]:
    return {name: found for name, found in encode(moved).items() if name != TYPE_KEY}


async def _move_to_cancel(client: ControlClient, text: str) -> MoveView | None:
    try:
        move_id = UUID(text)
    except ValueError:
        return (await client.dataset(text)).move
    known = {found.move_id: found for found in (await client.moves()).moves}
    if move_id in known:
        return known[move_id]  # type: ignore[index]  # any UUID may be asked for
    try:
        return (await client.dataset(text)).move
    except NotFound as error:
        raise NotFound(error.status, error.code, f"there is no move and no dataset {text}") from error


async def _followed(
    reactor: Any, client: ControlClient, dataset: str, before: Any, names: dict[NodeId, str], *, as_json: bool
) -> int:
    told = ""
    while True:
        try:
            seen = await client.dataset(dataset)
        except ControlUnreachable as error:
            click.echo(f"{error}: trying again", err=True)
            await deferLater(reactor, FOLLOW_AGAIN_SECONDS)
            continue
        name = seen.name or dataset
        ended = seen.last_move
        if seen.move is None and ended is not None and ended.move_id != before:
            status = Exit.DONE if ended.outcome == "done" else Exit.FAILED
            _told_of_move(ended, f"Move of {finished_move_text(name, ended, names)}", as_json=as_json)
            return status
        item = dataset_item(name, seen, names, deleted=False)
        if item.standing is Standing.FAILED:
            click.echo(f"Error: {item.text}", err=True)
            return Exit.FAILED
        if item.text != told:
            told = item.text
            if as_json and seen.move is not None:
                click.echo(json_text(_move_data(seen.move)))
            elif not as_json:
                click.echo(item.text)
        await deferLater(reactor, LOOK_EVERY_SECONDS)


def _tell_event(event: Event, *, as_json: bool) -> None:
    try:
        data = json_value(event.data)
    except WireError:
        data = event.data
    if as_json:
        click.echo(json_text({"event": event.name, "revision": event.event_id or None, "data": data}))
        return
    changes = data.get("changes") if isinstance(data, dict) else None
    if isinstance(changes, list):
        for change in changes:
            text = change.get("text") if isinstance(change, dict) else change
            click.echo(f"{event.event_id}  {text}")
    elif isinstance(data, dict) and "connected" in data:
        click.echo(
            f"{'':>{len(event.event_id)}}  node {data.get('node_id')} {'reported' if data['connected'] else 'is away'}"
        )
    else:
        click.echo(f"{event.event_id}  {event.name}: {event.data}")
