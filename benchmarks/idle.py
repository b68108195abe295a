"""
What agents and control cost while nothing happens, with many datasets.

The baseline is the same programs with no dataset at all, in the same run.

    python -m benchmarks.idle --datasets 100 --seconds 60
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.clusters import NODES, cluster
from tests.cluster import CONTROL, Cluster

MIB = 1 << 20


def main() -> int:
    """
    Measure, and print a table.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["directory", "zfs"], default="directory")
    parser.add_argument("--datasets", type=int, default=100, help="on one node (default 100)")
    parser.add_argument("--seconds", type=float, default=60.0, help="to watch (default 60)")
    parser.add_argument("--json", action="store_true", help="figures for programs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, cluster(Path(name), options.backend, pool_bytes=1 << 30) as it:
        empty = watched(it, options.seconds)
        volumes = {f"volume-{number}": {"primary": "n1"} for number in range(options.datasets)}
        it.deploy(volumes, {})
        it.wait(lambda: all(d["status"] == "ok" for d in it.api("GET", "/v2/datasets")["datasets"]), seconds=300)
        full = watched(it, options.seconds)
    if options.json:
        json.dump({"datasets": options.datasets, "empty": empty, "full": full}, sys.stdout, indent=2)
        return 0
    for program in (CONTROL, *NODES):
        cpu, memory = full[program]["cpu_percent"], full[program]["memory_mib"]
        extra = memory / empty[program]["memory_mib"]
        print(
            f"{program:8s} with {options.datasets if program != 'n2' else 0:3d} datasets: {cpu:5.2f} % of a core"
            f" (without: {empty[program]['cpu_percent']:.2f} %), {memory:.0f} MiB ({extra:.2f} x without)"
        )
    return 0


def watched(it: Cluster, seconds: float) -> dict[str, Any]:
    """
    Processor and memory of each program over some time.
    """
    processes = {name: psutil.Process(it.pid(name)) for name in (CONTROL, *NODES)}
    time.sleep(5)  # what was started, or made, settles
    before = {name: _cpu_seconds(process) for name, process in processes.items()}
    time.sleep(seconds)
    return {
        name: {
            "cpu_percent": 100 * (_cpu_seconds(process) - before[name]) / seconds,
            "memory_mib": process.memory_info().rss / MIB,
        }
        for name, process in processes.items()
    }


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


if __name__ == "__main__":
    sys.exit(main())
