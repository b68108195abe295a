"""
How long an application stands still while its volume moves, against the volume's size and the application's rate.

It must not grow with the size: that is what catch-up rounds are for. The baseline is the same move of a nearly empty
volume, in the same run; the application's own share is a plain stop and start of it on one node.

    python -m benchmarks.cutover --sizes-mib 100,1024,4096
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.clusters import cluster
from tests.cluster import Cluster, Ledger

MIB = 1 << 20
SMALL_MIB = 1


def main() -> int:
    """
    Measure, and print a table.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["directory", "zfs"], default="directory")
    parser.add_argument("--sizes-mib", default="100,1024,4096", help="sizes of the volume (default 100,1024,4096)")
    parser.add_argument("--rates", default="100,1000", help="records a second, each fsynced (default 100,1000)")
    parser.add_argument("--moves", type=int, default=4, help="of each; the median counts (default 4)")
    parser.add_argument("--folder", type=Path, default=None, help="for everything; default: a temporary one")
    parser.add_argument("--json", action="store_true", help="figures for programs")
    options = parser.parse_args()
    sizes = [SMALL_MIB, *(int(size) for size in options.sizes_mib.split(","))]
    rates = [int(rate) for rate in options.rates.split(",")]
    rows = []
    for rate in rates:
        baseline = None
        for size in sizes:
            row = measured(options.backend, size, rate, options.moves, options.folder)
            baseline = row["downtime_seconds"] if baseline is None else baseline
            row["ratio_to_small"] = row["downtime_seconds"] / baseline
            rows.append(row)
            if not options.json:
                print(line(row), flush=True)
    if options.json:
        json.dump({"backend": options.backend, "cutover": rows}, sys.stdout, indent=2)
    return 0


def line(row: dict[str, Any]) -> str:
    """
    One row for people.
    """
    return (
        f"{row['size_mib']:6d} MiB, {row['rate']:5d} records/s: stood still {row['downtime_seconds'] * 1000:6.0f} ms"
        f" (its own stop and start: {row['restart_seconds'] * 1000:.0f} ms);"
        f" {row['ratio_to_small']:.2f} x a volume of {SMALL_MIB} MiB"
    )


def measured(backend: str, size_mib: int, rate: int, moves: int, folder: Path | None) -> dict[str, Any]:
    """
    The median downtime of moves back and forth, as the application's witness saw it.
    """
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = Path(name)
        with cluster(path, backend, pool_bytes=(3 * size_mib + 512) * MIB) as it:
            ledger = Ledger(path, pause_seconds=1 / rate)
            it.deploy({"data": {}}, {"ledger": ledger.app("n1", "data")})
            it.settled("data", "n1")
            fill(Path(it.dataset("data")["path"]), size_mib)
            restart = restarted(it, ledger)
            gaps = [moved(it, ledger, "n2" if number % 2 == 0 else "n1") for number in range(moves)]
            data = it.dataset("data")["path"]
            it.deploy({"data": {}}, {"ledger": {"state": "deleted"}})
            it.wait(lambda: not it.api("GET", "/v2/containers")["containers"])
            it.end_containers()
            ledger.check(Path(data))
    return {
        "size_mib": size_mib,
        "rate": rate,
        "downtime_seconds": statistics.median(gaps),
        "restart_seconds": restart,
        "all_seconds": gaps,
    }


def fill(folder: Path, size_mib: int) -> None:
    """
    Ballast that can't be compressed, in files of 16 MiB.
    """
    block = os.urandom(MIB)
    for number in range(0, size_mib, 16):
        with (folder / f"ballast-{number}").open("wb") as file:
            for part in range(min(16, size_mib - number)):
                file.write(block[part:] + block[:part])
            os.fsync(file.fileno())


def restarted(it: Cluster, ledger: Ledger) -> float:
    """
    How long the application stands still when it is only stopped and started where it is.
    """
    resumed(it, ledger)
    app = ledger.app("n1", "data")
    app["env"] = {"RESTART": "once"}
    since = time.time()
    it.deploy({"data": {}}, {"ledger": app})
    it.wait(lambda: ledger.gap_since_seconds(since) > 0 and ledger.acknowledged()[-1][1] > since + 1)
    return ledger.gap_since_seconds(since)


def moved(it: Cluster, ledger: Ledger, node: str) -> float:
    """
    The longest time between two acknowledged records during one move.
    """
    resumed(it, ledger)
    since = time.time()
    it.deploy({"data": {}}, {"ledger": ledger.app(node, "data")})
    it.settled("data", node)
    resumed(it, ledger)
    return ledger.gap_since_seconds(since)


def resumed(it: Cluster, ledger: Ledger) -> None:
    """
    Wait until the application writes.
    """
    count = len(ledger.acknowledged())
    it.wait(lambda: len(ledger.acknowledged()) > count + 20)


if __name__ == "__main__":
    sys.exit(main())
