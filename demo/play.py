"""
The demonstration: a local cluster, an application that never stops writing, moves back and forth, and a verdict.

Exit status: 0 every acknowledged record is there; 1 not so, or it could not be tried; 130 interrupted.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
from rich.console import Console

from demo.demonstration import Demonstration, check_room
from demo.deploying import end_children
from demo.ledger import DEFAULT_RATE
from demo.ledger_check import check_volume
from demo.report import Outcome, moves_table, outcome_json, verdict
from flocker_admin.devcluster_runtime import RUNTIMES
from flocker_admin.devcluster_storage import BACKENDS
from flocker_py.errors import FlockerError, explanation

_TABLE_WIDTH = 90
INTERRUPTED = 130


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--backend", type=click.Choice(BACKENDS), default=BACKENDS[0], show_default=True)
@click.option(
    "--runtime",
    type=click.Choice(RUNTIMES),
    default=RUNTIMES[0],
    show_default=True,
    help="What is moved: a plain process, or a web application in Docker. auto: docker where there is an engine.",
)
@click.option("--moves", type=click.IntRange(1, 1000), default=4, show_default=True, help="How many.")
@click.option("--ballast-mb", type=click.IntRange(0, 100_000), default=200, show_default=True, help="MiB beside it.")
@click.option("--rate", type=click.IntRange(1, 100_000), default=DEFAULT_RATE, show_default=True, help="A second.")
@click.option("--keep", is_flag=True, help="Leave the cluster running.")
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures there.")
def main(
    *, backend: str, runtime: str, moves: int, ballast_mb: int, rate: int, keep: bool, json_path: Path | None
) -> None:
    """
    Move a writing application between two nodes, and see that nothing is lost.
    """
    console = Console()
    # The table rather breaks lines on a narrow terminal than leave figures out.
    console.width = max(console.width, _TABLE_WIDTH)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _own_folder(keep=keep) as folder, ExitStack() as until_the_end:
        demonstration = Demonstration(folder, console, rate, ballast_mb)
        complaints: list[str] = []
        records, interrupted = 0, False
        try:
            check_room(folder, ballast_mb)
            cluster = demonstration.bring_up(backend, runtime)
            application = until_the_end.enter_context(demonstration.application(cluster, keep=keep))
            demonstration.begin(cluster, application)
            for number in range(moves):
                demonstration.move(cluster, number % 2, (number + 1) % 2)
            volume = demonstration.end(cluster, moves % 2)
            demonstration.say(f"reading {volume}")
            evidence = application.hearing.evidence()
            finding = check_volume(volume, evidence.groups)
            records = finding.records
            complaints = [*evidence.complaints, *finding.complaints]
            if evidence.writers != moves + 1:
                complaints.append(f"the application was started {evidence.writers} times for {moves} moves")
        except (FlockerError, OSError) as error:
            complaints.append(explanation(error))
        except KeyboardInterrupt:
            interrupted = True
            complaints.append("interrupted")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        end_children()
        if complaints and not interrupted:
            demonstration.save_logs()
        try:
            demonstration.take_down(keep=keep)
        except (FlockerError, OSError) as error:
            complaints.append(explanation(error))
        acknowledged = demonstration.hearing.last
    outcome = Outcome(demonstration.backend, demonstration.moves, acknowledged, records, complaints)
    if outcome.moves:
        console.print(moves_table(outcome.moves, outcome.backend))
    if json_path is not None:
        json_path.write_text(json.dumps(outcome_json(outcome), indent=1) + "\n")
    for complaint in outcome.complaints:
        console.print(f"* {complaint}", markup=False, highlight=False, soft_wrap=True)
    console.print(verdict(outcome), markup=False, highlight=False, soft_wrap=True)
    if interrupted:
        sys.exit(INTERRUPTED)
    sys.exit(1 if complaints else 0)


@contextmanager
def _own_folder(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="flocker-demo-")).resolve()
    try:
        yield folder
    finally:
        # What is still mounted or running there was said; its files are not to be pulled away.
        if not keep and not (folder / "cluster").exists():
            shutil.rmtree(folder)
