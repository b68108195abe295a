"""
Coverage-guided fuzzing: ``python -m tests.fuzz.run TARGET``, by the library atheris.

Ends after so many runs or so many seconds. An input that breaks the target is kept in ``.fuzz/TARGET``, which is also
where what was found to reach further is kept for the next time.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import click

FOLDER = Path(".fuzz")
NAMES = (
    "wire",
    "frames",
    "manifest",
    "flocker-files",
    "flocker-configuration",
    "body",
    "pool",
    "control-link",
    "agent-link",
)
MEMORY_MIB = 1024
INPUT_SECONDS = 10


@click.command()
@click.argument("targets", nargs=-1, type=click.Choice(NAMES))
@click.option("--runs", type=int, default=0, help="End each target after so many runs; 0: no matter how many.")
@click.option("--seconds", type=int, default=60, show_default=True, help="End each target after so long.")
@click.option("--seed", type=int, default=0, help="Of the choices; 0: another one every time.")
def main(targets: tuple[str, ...], runs: int, seconds: int, seed: int) -> None:
    """
    Fuzz TARGETS one after the other; all, unless some are named.
    """
    broken = []
    for name in targets or NAMES:
        begun = time.monotonic()
        status = _fuzzed(name, runs, seconds, seed)
        click.echo(f"{name}: {'passed' if status == 0 else 'BROKEN'}, {time.monotonic() - begun:.0f} s")
        if status != 0:
            broken.append(name)
    if broken:
        click.echo(
            f"VERDICT: FAILED: {', '.join(broken)}. Inputs are in {FOLDER}/TARGET/broken-*; move those that should be"
            " tested for ever to tests/fuzz/corpus/TARGET"
        )
        sys.exit(1)
    click.echo("VERDICT: nothing was broken")


def _fuzzed(name: str, runs: int, seconds: int, seed: int) -> int:
    found = FOLDER / name
    (found / "reaching").mkdir(parents=True, exist_ok=True)
    # A process of its own: libFuzzer ends the one that it runs in.
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.instrumented",
        name,
        str(found / "reaching"),
        f"-artifact_prefix={found}/broken-",
        f"-max_total_time={seconds}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-timeout={INPUT_SECONDS}",
        "-max_len=65536",
        "-verbosity=0",
        "-print_final_stats=1",
    ]
    if runs:
        command.append(f"-runs={runs}")
    if seed:
        command.append(f"-seed={seed}")
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    main()
