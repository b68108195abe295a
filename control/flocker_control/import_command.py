"""
``flocker-control import``: begin with what Flocker's control service kept.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred

from flocker_control.codec import loaded_state, texts
from flocker_control.dataset_leases import Moment
from flocker_control.flocker_configuration import ConfigurationUnreadable, OldConfiguration, old_configuration
from flocker_control.importing import Imported, imported
from flocker_control.sqlite_store import open_store
from flocker_control.state import State
from flocker_control.store_commands import data_path_option
from flocker_control.store_files import STORE_FILE
from flocker_py.boottime import boot_id, boottime_seconds
from flocker_py.errors import FlockerError, explanation

REFUSED = 1


class StoreNotEmpty(FlockerError):
    """
    There are datasets or containers already, and what is imported could contradict them. Import into a data path in
    which no control service has run, or into one that knows nodes only. Nothing was changed.
    """

    lasting = True


@click.command("import")
@data_path_option
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Flocker's current_configuration.json, of any version from 1 to 6.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be imported, and change nothing.")
def import_configuration(*, data_path: Path, source: Path, dry_run: bool) -> None:
    """
    Take over the nodes, datasets, containers and leases of Flocker 1.x, with their ids.

    The control service must not run, and must not have datasets or containers yet. What can't be taken is listed, and
    why. Datasets are imported as ones that have data: none is made anew.
    """
    try:
        text = source.read_text(encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(f"{source}: {error.strerror or error}", param_hint="--from") from error
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{source}: it is no text in UTF-8", param_hint="--from") from error
    try:
        old = old_configuration(text)
    except ConfigurationUnreadable as error:
        _refuse(f"{source}: {explanation(error)}")
    if dry_run and not (data_path / STORE_FILE).exists():
        # There is nothing to be contradicted, and nothing is to be made.
        done, revision = _imported(old, State()), None
    else:
        try:
            done, revision = _in_store(data_path, old, dry_run=dry_run)
        except FlockerError as error:
            _refuse(explanation(error))
    for line in _lines(source, old, done, revision):
        click.echo(line)


def _imported(old: OldConfiguration, state: State) -> Imported:
    now = Moment(at_seconds=boottime_seconds(), boot_id=boot_id())
    return imported(old, state, day_seconds=time.time(), now=now)


def _in_store(data_path: Path, old: OldConfiguration, *, dry_run: bool) -> tuple[Imported, int | None]:
    reactor: Any = _reactor
    done: list[tuple[Imported, int | None]] = []
    failed: list[Exception] = []

    async def guarded() -> None:
        try:
            done.append(await run())
        except Exception as error:  # noqa: BLE001  # raised again where it can be told
            failed.append(error)
        finally:
            reactor.stop()

    async def run() -> tuple[Imported, int | None]:
        store = await open_store(reactor, data_path)
        try:
            loaded = await store.load()
            state = loaded_state(loaded)
            if state.datasets or state.containers:
                raise StoreNotEmpty(
                    f"{data_path}: {len(state.datasets)} datasets and {len(state.containers)} containers"
                )
            found = _imported(old, state)
            if dry_run or not found.changes:
                return found, None
            puts, deletes = texts(found.changes)
            return found, await store.commit(loaded.revision, puts, deletes)
        finally:
            await store.close()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(guarded()))
    reactor.run()
    for error in failed:
        raise error
    return done[0]


def _lines(source: Path, old: OldConfiguration, done: Imported, revision: int | None) -> Iterator[str]:
    yield f"{source} is Flocker's configuration, version {old.version}."
    for heading, lines in (("Taken", done.taken), ("Not as it was", done.altered), ("Not taken", done.left)):
        if lines:
            yield f"{heading}:"
            yield from (f"  {line}" for line in lines)
    if not done.changes:
        yield "There is nothing to import."
    elif revision is None:
        yield "Nothing was changed: this was a dry run."
    else:
        yield f"Imported; the cluster is at revision {revision}."
        yield (
            "Each node needs a certificate for its id: flocker-ca create-node-certificate ID. Each dataset is missing"
            " until its data is in its place there; none is made anew."
        )
        if any(line.startswith("container ") for line in done.taken):
            yield "Containers have images: a node whose runtime can't run these refuses them, and says so."


def _refuse(text: str) -> NoReturn:
    click.echo(f"flocker-control: {text}", err=True)
    sys.exit(REFUSED)
