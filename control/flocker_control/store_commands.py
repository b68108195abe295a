"""
``flocker-control backup`` and ``flocker-control restore``: the store's copies, by hand.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import click

from flocker_control.backups import back_up
from flocker_control.restoring import Restored
from flocker_control.restoring import restore as restored
from flocker_py.errors import FlockerError, explanation
from flocker_py.units import DurationUnreadable, duration_seconds

REFUSED = 1

data_path_option = click.option(
    "--data-path",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/lib/flocker"),
    show_default=True,
    help="Where the cluster's state is kept. One control service at a time.",
)


class Duration(click.ParamType[float]):
    """
    A duration, as people write it.

    :param at_least: the shortest that makes sense, in the same form.
    """

    name = "duration"

    def __init__(self, *, at_least: str = "1s") -> None:
        self._at_least = at_least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """
        Seconds.
        """
        try:
            seconds = duration_seconds(value)
        except DurationUnreadable as error:
            self.fail(explanation(error), param, ctx)
        if seconds < duration_seconds(self._at_least):
            self.fail(f"it must be at least {self._at_least}", param, ctx)
        return seconds


@click.command()
@data_path_option
@click.option(
    "--keep", type=click.IntRange(min=1), default=None, help="How many backups of this store stay.  [default: all]"
)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def backup(*, data_path: Path, keep: int | None, directory: Path) -> None:
    """
    Copy the cluster's state into DIRECTORY, and print the name of the copy.

    The control service may run meanwhile. The copy is of one revision, and is checked from end to end.
    """
    try:
        made = back_up(data_path, directory, now_seconds=time.time(), keep=keep)
    except FlockerError as error:
        _refuse(error)
    click.echo(made.path)


@click.command()
@data_path_option
@click.argument("source", type=click.Path(path_type=Path))
def restore(*, data_path: Path, source: Path) -> None:
    """
    Put SOURCE in place of the cluster's state: a backup, or a folder with backups, of which the newest is taken.

    The control service must not run. What is replaced is kept in the data path.
    """
    try:
        done = restored(data_path, source, now_seconds=time.time())
    except FlockerError as error:
        _refuse(error)
    for line in restored_lines(done):
        click.echo(line)


def restored_lines(done: Restored) -> list[str]:
    """
    What was done, and what an operator has to expect now.
    """
    lines = [f"Restored revision {done.copied_revision} from {done.source}. It goes on as revision {done.revision}."]
    if done.replaced is not None:
        lines.append(f"What was there before is in {done.replaced}.")
    if done.kept:
        names = ", ".join(path.name for path in done.kept)
        lines.append(f"Kept beside the store from earlier restores and upgrades, to be removed by you: {names}.")
    lost = None if done.acknowledged_revision is None else done.acknowledged_revision - done.copied_revision
    if lost is None:
        lines.append("What was changed after the copy was made is forgotten; how much that is, is not known.")
    elif lost > 0:
        lines.append(
            f"The replaced store had acknowledged {lost} more changes, up to revision {done.acknowledged_revision}."
        )
        lines.append("These are forgotten: deploy your cluster.yml again, and look at every dataset that moved since.")
    else:
        lines.append("The replaced store had acknowledged nothing that this copy lacks.")
    lines.append(
        "Start the control service now. Nothing is done with a dataset that has moved since: its node says so, and "
        "flockerctl datasets shows which these are, flockerctl explain DATASET what to do."
    )
    return lines


def _refuse(error: FlockerError) -> NoReturn:
    click.echo(f"flocker-control: {explanation(error)}", err=True)
    sys.exit(REFUSED)
