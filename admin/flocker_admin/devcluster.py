"""
``flocker-devcluster``: a real cluster on this machine, for trying: a certificate authority of its own, the control
service, and agents that are separate processes, each with a loopback address.

Exit status: 0 done; 1 refused or failed, and ``status``: not everything runs and is connected; 2 wrong usage.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from pyrsistent import pvector
from rich.console import Console
from rich.table import Table

from flocker_admin.devcluster_cluster import bring_up, end_program, programs, start_program, statuses, take_down
from flocker_admin.devcluster_files import read_cluster
from flocker_admin.devcluster_layout import (
    AUTO,
    DEPLOYMENT_FILE,
    ENVIRONMENT_FILE,
    MOST_NODES,
    STANDARD_PORT,
    DevCluster,
    environment_text,
)
from flocker_admin.devcluster_making import Wishes
from flocker_admin.devcluster_runtime import RUNTIMES
from flocker_admin.devcluster_storage import BACKENDS
from flocker_py import __version__
from flocker_py.errors import FlockerError, explanation
from flocker_py.units import SizeUnreadable, size_bytes

DEFAULT_FOLDER = Path(".flocker-devcluster")
DIRECTORY_VARIABLE = "FLOCKER_DEVCLUSTER"
_FOLLOW_SECONDS = 0.25

_TIMEOUT = click.option(
    "--timeout", "timeout_seconds", type=click.FloatRange(1, 3600), default=60.0, show_default=True, help="In seconds."
)


def _size(context: click.Context, parameter: click.Parameter, written: str) -> int:
    try:
        return size_bytes(written)
    except SizeUnreadable as error:
        raise click.BadParameter(explanation(error), context, parameter) from error


def _in_folder(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--directory",
        "-d",
        "folder",
        type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
        default=DEFAULT_FOLDER,
        envvar=DIRECTORY_VARIABLE,
        show_default=True,
        show_envvar=True,
        help="The cluster's folder. Clusters in different folders run side by side.",
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="flocker-devcluster")
def main() -> None:
    """
    A real cluster on this machine, for trying.
    """


@main.command()
@_in_folder
@click.option(
    "--nodes", type=click.IntRange(1, MOST_NODES), default=None, help="How many nodes; 2, or as many as it has."
)
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default=AUTO,
    show_default=True,
    help="What volumes are kept on. auto: zfs where this machine has it, else directory.",
)
@click.option(
    "--runtime",
    type=click.Choice(RUNTIMES),
    default=None,
    help="What apps are: plain processes, containers of this machine's Docker Engine, or, by auto, what it can. A new"
    " cluster has processes, unless told otherwise.",
)
@click.option(
    "--pool", "pools", multiple=True, help="An existing ZFS pool, once for each node. Without it: pools on files."
)
@click.option(
    "--pool-size", "pool_bytes", callback=_size, default="4G", show_default=True, help="Of each pool on a file."
)
@click.option(
    "--port",
    type=click.IntRange(1024, 32000),
    default=STANDARD_PORT,
    show_default=True,
    help="From which on three free ports are looked for.",
)
@_TIMEOUT
def up(
    *,
    folder: Path,
    nodes: int | None,
    backend: str,
    runtime: str | None,
    pools: tuple[str, ...],
    pool_bytes: int,
    port: int,
    timeout_seconds: float,
) -> None:
    """
    Make the cluster if there is none, and start what is not running.
    """
    wishes = Wishes(
        nodes=nodes, backend=backend, runtime=runtime, pools=pvector(pools), pool_bytes=pool_bytes, port=port
    )
    with _told_errors():
        cluster = bring_up(folder, wishes, say=click.echo, timeout_seconds=timeout_seconds)
    click.echo(f"\nTo use the cluster in {folder}:\n")
    click.echo("  " + environment_text(cluster, folder).rstrip().replace("\n", "\n  "))
    click.echo(f"  # the same: . {folder / ENVIRONMENT_FILE}")
    click.echo(f"  flocker-deploy {folder / DEPLOYMENT_FILE}\n  flockerctl nodes")


@main.command()
@_in_folder
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(folder: Path, *, as_json: bool) -> None:
    """
    Show what runs and is connected.
    """
    with _told_errors():
        cluster = read_cluster(folder)
        found = statuses(cluster, folder)
    if as_json:
        content = {"directory": str(folder), "backend": cluster.backend, "control": cluster.control}
        click.echo(json.dumps({**content, "programs": [each.serialize() for each in found]}))
    else:
        table = Table("program", "process", "address", "connected", title=f"{folder}: {cluster.backend}")
        for each in found:
            table.add_row(each.name, str(each.pid or "not running"), each.address, "yes" if each.connected else "no")
        Console().print(table)
    if not all(each.pid and each.connected for each in found):
        sys.exit(1)


@main.command()
@_in_folder
@click.option("--destroy", is_flag=True, help="Remove all of the cluster too, volumes included, for ever.")
def down(folder: Path, *, destroy: bool) -> None:
    """
    End the cluster's programs and the applications on its nodes. Volumes stay.
    """
    with _told_errors():
        take_down(folder, destroy=destroy, say=click.echo)


@main.command()
@_in_folder
@click.argument("names", nargs=-1)
@click.option("--lines", "-n", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until interrupted.")
def logs(folder: Path, names: tuple[str, ...], lines: int, *, follow: bool) -> None:
    """
    Show the end of the logs of NAMES: control, n1, n2, …; of all without any.
    """
    with _told_errors():
        cluster = read_cluster(folder)
        paths = [_log_path(cluster, folder, name) for name in names or cluster.program_names]
    positions = {path: _show_new(path, None, lines) for path in paths}
    try:
        while follow:
            time.sleep(_FOLLOW_SECONDS)
            positions = {path: _show_new(path, position, lines) for path, position in positions.items()}
    except KeyboardInterrupt:
        pass


@main.command()
@_in_folder
@click.argument("name")
def kill(folder: Path, name: str) -> None:
    """
    End NAME (control, n1, n2, …) as a crash would: at once and without a word. Applications of its node go on.
    """
    with _told_errors():
        end_program(folder, name, kill=True, say=click.echo)


@main.command()
@_in_folder
@click.argument("name")
def stop(folder: Path, name: str) -> None:
    """
    End NAME (control, n1, n2, …) in good order. Applications of its node go on.
    """
    with _told_errors():
        end_program(folder, name, kill=False, say=click.echo)


@main.command()
@_in_folder
@click.argument("name")
@_TIMEOUT
def start(folder: Path, name: str, timeout_seconds: float) -> None:
    """
    Start NAME (control, n1, n2, …) again, and wait until it is connected.
    """
    with _told_errors():
        start_program(folder, name, say=click.echo, timeout_seconds=timeout_seconds)


def _log_path(cluster: DevCluster, folder: Path, name: str) -> Path:
    known = programs(cluster, folder)
    if name not in known:
        raise click.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint="NAMES")
    return known[name].log_path


def _show_new(path: Path, position: int | None, lines: int) -> int:
    """
    Print what a file has from a position on, or its last lines, and answer where it ends.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    if position is None or position > len(content):
        new = b"".join(content.splitlines(keepends=True)[-lines:])
        click.echo(f"==> {path} <==")
    else:
        new = content[position:]
    click.echo(new.decode(errors="replace"), nl=False)
    return len(content)


@contextmanager
def _told_errors() -> Iterator[None]:
    try:
        yield
    except (FlockerError, OSError) as error:
        click.echo(f"flocker-devcluster: {explanation(error)}", err=True)
        sys.exit(1)
