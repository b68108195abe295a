"""
Run schedules: many on all cores, or one again.

    python -m tests.simulation.run --schedules 100000
    python -m tests.simulation.run --replay FILE
    python -m tests.simulation.run --catalogue
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path
from types import FrameType

import click

from tests.simulation.figures import LEAST_OPPORTUNITIES, Figures

ROOT = Path(__file__).resolve().parents[2]
SECONDS_PER_SCHEDULE = 120
"""At most, of a processor's time: a schedule takes some tens of milliseconds, and what takes so long never ends."""
CHUNK = 20


def with_fixed_hashes() -> None:
    """
    Start this program again where the order of sets is not the same in every run: a seed would mean nothing.
    """
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation.run", *sys.argv[1:]])  # noqa: S606  # ourselves


class TooSlow(BaseException):
    """
    A schedule does not end.
    """


def _too_slow(_number: int, _frame: FrameType | None) -> None:
    raise TooSlow


def run_chunk(seeds: range) -> tuple[Figures, list[tuple[int, str, str]]]:
    """
    Run some schedules: their figures, and the seeds that failed, each with the rule and the reason.
    """
    from tests.simulation.chance import Schedule
    from tests.simulation.schedule import bury, run

    signal.signal(signal.SIGVTALRM, _too_slow)
    figures, failures = Figures(), []
    for seed in seeds:
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS_PER_SCHEDULE)
        try:
            outcome = run(Schedule(seed=seed))
        except TooSlow:
            failures.append((seed, "hangs", f"still not over after {SECONDS_PER_SCHEDULE} s of processor time"))
            continue
        except Exception as error:  # noqa: BLE001  # a mistake of the simulation is a failure too, and has a seed
            failures.append((seed, "simulation", f"{type(error).__name__}: {error}"))
            continue
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        figures.add(outcome.figures)
        if outcome.broken is not None:
            failures.append((seed, outcome.broken.rule, str(outcome.broken)))
        bury(outcome)
    return figures, failures


def prepared() -> None:
    """
    A worker begins. What was imported is never garbage.
    """
    import gc

    import tests.simulation.schedule  # noqa: F401  # once, before anything is frozen

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()


def chunks(ranges: list[range]) -> Iterator[range]:
    """
    Pieces of work.
    """
    for seeds in ranges:
        for start in range(seeds.start, seeds.stop, CHUNK):
            yield range(start, min(start + CHUNK, seeds.stop))


def finished(
    pool: ProcessPoolExecutor, work: Iterator[range], *, at_once: int
) -> Iterator[tuple[Figures, list[tuple[int, str, str]]]]:
    """
    What pieces of work lead to, as they are done.

    :raises BrokenProcessPool: a worker was killed.
    """
    under_way = {pool.submit(run_chunk, seeds) for seeds in itertools.islice(work, at_once)}
    while under_way:
        done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
        for future in done:
            under_way |= {pool.submit(run_chunk, seeds) for seeds in itertools.islice(work, 1)}
            yield future.result()


def run_all(ranges: list[range], *, workers: int, most_failures: int) -> int:
    """
    Run all schedules with these seeds, and tell how it goes. Answers with the exit status.
    """
    total = sum(len(seeds) for seeds in ranges)
    done = 0
    figures = Figures()
    failures: list[tuple[int, str, str]] = []
    began = told_at = time.monotonic()
    # A worker is replaced now and then, so that no schedule depends on how many came before it.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), prepared, max_tasks_per_child=100) as pool:
        for more, failed in finished(pool, chunks(ranges), at_once=3 * workers):
            figures.add(more)
            done += more.counts["schedules"] + sum(rule in ("hangs", "simulation") for _, rule, _ in failed)
            for seed, rule, reason in failed:
                failures.append((seed, rule, reason))
                click.echo(f"FAILED: seed {seed}: {reason[:300]}")
            now = time.monotonic()
            if now - told_at > 10 or done == total:
                told_at = now
                rate = done / (now - began)
                left = (total - done) / rate if rate else 0
                click.echo(
                    f"{done:,} of {total:,} schedules, {rate:.1f}/s, {left / 60:.1f} min to go,"
                    f" {len(failures)} failures"
                )
            if len(failures) >= most_failures:
                click.echo(f"stopped after {len(failures)} failures")
                break
    click.echo("\n" + figures.table())
    seconds = time.monotonic() - began
    if 0 <= figures.least_opportunities < LEAST_OPPORTUNITIES and not failures:
        click.echo(f"\nVERDICT: FAILED: a schedule had fewer than {LEAST_OPPORTUNITIES} opportunities of a fault")
        return 1
    if failures or done < total:
        for seed, rule, _ in failures[:3]:
            if rule not in ("hangs", "simulation"):
                explain(seed)
        click.echo(f"\nVERDICT: FAILED: {len(failures)} of {done:,} schedules in {seconds:.0f} s")
        for seed, _, reason in failures:
            click.echo(f"  seed {seed}: {reason[:160]}   again: {command(f'--seed {seed}')}")
        return 1
    click.echo(f"\nVERDICT: {done:,} schedules in {seconds:.0f} s, no invariant broken, every cluster came to rest")
    return 0


def command(arguments: str) -> str:
    """
    How to run it again.
    """
    return f".venv/bin/python -m tests.simulation.run {arguments}"


def explain(seed: int) -> None:
    """
    Shrink a schedule that fails, and tell its story.
    """
    from tests.simulation.chance import Schedule
    from tests.simulation.report import told, written
    from tests.simulation.schedule import bury, run
    from tests.simulation.shrink import shrunk

    outcome = run(Schedule(seed=seed))
    if outcome.broken is None:
        click.echo(f"seed {seed} passes when it is run alone")
        return
    smaller, tries = shrunk(outcome)
    bury(outcome)
    path = Path("simulation-failures") / f"{seed}.json"
    again = run(smaller)
    written(smaller, path, str(again.broken)[:200])
    click.echo(f"\n-- seed {seed}: {again.broken}")
    click.echo(f"   {len(smaller.keep or ())} faults and wishes are left, found in {tries} schedules:")
    for name in smaller.keep or ():
        click.echo(f"     {name}")
    click.echo(told(again))
    click.echo(f"   again: {command(f'--replay {path}')}")
    bury(again)


def replay(path: Path, *, everything: bool) -> int:
    """
    Run one schedule that was kept, and tell its story.
    """
    from tests.simulation.report import read, told
    from tests.simulation.schedule import run

    outcome = run(read(path))
    click.echo(told(outcome, everything=everything))
    click.echo(f"VERDICT: {outcome.broken or 'all is well'}")
    return 0 if outcome.broken is None else 1


@click.command()
@click.option("--schedules", type=int, default=1000, show_default=True, help="How many to run.")
@click.option("--from", "first", type=int, default=0, show_default=True, help="The first seed.")
@click.option("--fresh", type=int, default=0, help="So many more, with seeds that were never run before.")
@click.option("--workers", type=int, default=os.cpu_count() or 1, show_default=True)
@click.option("--most-failures", type=int, default=20, show_default=True, help="Then stop.")
@click.option("--seed", type=int, default=None, help="Run one schedule, shrink it if it fails, and tell its story.")
@click.option(
    "--replay", "replayed", type=click.Path(exists=True, path_type=Path), help="Run a schedule that was kept."
)
@click.option("--everything", is_flag=True, help="With --replay: tell all that happened.")
@click.option("--catalogue", is_flag=True, help="See that deliberate bugs are caught.")
@click.option("--only", default=None, help="With --catalogue: one bug, by its name.")
def main(  # noqa: PLR0917  # click passes them by name
    schedules: int,
    first: int,
    fresh: int,
    workers: int,
    most_failures: int,
    seed: int | None,
    replayed: Path | None,
    everything: bool,
    catalogue: bool,
    only: str | None,
) -> None:
    """
    Simulated clusters under faults.
    """
    if replayed is not None:
        sys.exit(replay(replayed, everything=everything))
    if catalogue:
        from tests.simulation.catalogue import run_catalogue

        sys.exit(run_catalogue(workers=workers, only=only))
    if seed is not None:
        from tests.simulation.chance import Schedule
        from tests.simulation.schedule import run

        outcome = run(Schedule(seed=seed))
        if outcome.broken is None:
            click.echo(outcome.figures.table())
            click.echo(f"VERDICT: seed {seed}: all is well")
            sys.exit(0)
        explain(seed)
        sys.exit(1)
    ranges = [range(first, first + schedules)]
    if fresh:
        base = int.from_bytes(os.urandom(6), "big")
        click.echo(f"fresh seeds: {base} to {base + fresh - 1} (again: --from {base} --schedules {fresh})")
        ranges.append(range(base, base + fresh))
    sys.exit(run_all(ranges, workers=workers, most_failures=most_failures))


if __name__ == "__main__":
    with_fixed_hashes()
    sys.path[:0] = [str(ROOT / folder) for folder in ("control", "agent", "admin")]
    main()
