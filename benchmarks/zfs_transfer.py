"""
A snapshot on real ZFS through our data plane, against ``zfs send | zfs receive`` on the same pools.

The pipe has neither TLS nor a network, so the part of our time that the cipher takes is measured apart, by the same
bytes through a minimal TLS pump, and left out of the second ratio.

    python -m benchmarks.zfs_transfer --size-mib 256
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from benchmarks.transfer import Target, minimal_pump, node_id, plain_pipe, send_whole
from flocker_agent.storage.zfs import ZfsStorage
from flocker_agent.transfer.admission import Admitted
from flocker_agent.transfer.receive import ReceiveService
from flocker_py.model import DatasetId
from flocker_py.storage import Role, SendPlan
from flocker_py.testing.certificates import make_cluster
from tests.zfs.pools import temporary_pool

MIB = 1 << 20


def main() -> int:
    """
    Measure, and print a table.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mib", type=int, default=256, help="of the dataset (default 256)")
    parser.add_argument("--repeat", type=int, default=3, help="the median counts (default 3)")
    parser.add_argument("--json", action="store_true", help="figures for programs")
    options = parser.parse_args()
    room = (3 * options.size_mib + 256) * MIB
    with (
        tempfile.TemporaryDirectory() as name,
        temporary_pool(size_bytes=room, name="bench-a") as a,
        temporary_pool(size_bytes=room, name="bench-b") as b,
    ):
        folder = Path(name)
        source, target = (ZfsStorage(pool.name, folder / pool.name) for pool in (a, b))
        dataset_id = DatasetId(uuid4())
        source.create(dataset_id, role=Role.OWNER, epoch=1)
        path = source.mount(dataset_id)
        with (path / "data").open("wb") as file:
            for _ in range(options.size_mib):
                file.write(os.urandom(MIB))
        snapshot = source.snapshot(dataset_id, "bench")
        certificates = make_cluster(folder / "certificates")
        receiver = ReceiveService(
            target, certificates.nodes[1], admission=lambda *_: Admitted(), on_change=lambda _: None
        )
        there = Target(node_id(certificates.nodes[1]), receiver.start("127.0.0.1", 0))
        plan = SendPlan(to_guid=snapshot.guid)
        full_name = next(name for name in snapshots("bench-a") if name.endswith("bench"))
        raw, ours = [], []
        for _ in range(options.repeat):
            raw.append(piped(full_name, "bench-b/raw"))
            began = time.perf_counter()
            ended = send_whole(certificates.nodes[0], source, dataset_id, plan, there)
            ours.append(time.perf_counter() - began)
            if ended.error is not None:
                raise ended.error
            target.destroy(dataset_id)
        receiver.stop()
        size_bytes = options.size_mib * MIB
        cipher = minimal_pump(certificates, size_bytes, random=True).seconds
        cipher -= plain_pipe(size_bytes, random=True).seconds
        source.unmount(dataset_id)
    raw_seconds, our_seconds = statistics.median(raw), statistics.median(ours)
    figures = {
        "size_mib": options.size_mib,
        "zfs_send_receive_seconds": raw_seconds,
        "ours_seconds": our_seconds,
        "tls_seconds": cipher,
        "ratio": raw_seconds / our_seconds,
        # A cipher that seems to take all of the time was measured on a machine that did other things, too.
        "ratio_without_tls": raw_seconds / (our_seconds - cipher) if 0 <= cipher < our_seconds else None,
    }
    without = figures["ratio_without_tls"]
    if options.json:
        json.dump(figures, sys.stdout, indent=2)
    else:
        print(
            f"{options.size_mib} MiB: zfs send | zfs receive {raw_seconds:.2f} s, ours with mutual TLS"
            f" {our_seconds:.2f} s: {figures['ratio']:.2f} of its speed,"
            f" {'unknown' if without is None else f'{without:.2f}'} with TLS left out (aim: 0.80 or more)"
        )
    return 0


def snapshots(pool: str) -> list[str]:
    """
    Names of all snapshots of a pool.
    """
    command = ["zfs", "list", "-H", "-o", "name", "-t", "snapshot", "-r", pool]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def piped(snapshot: str, target: str) -> float:
    """
    Seconds of ``zfs send | zfs receive``.
    """
    began = time.perf_counter()
    with subprocess.Popen(["zfs", "send", "-Lc", snapshot], stdout=subprocess.PIPE) as sending:
        subprocess.run(["zfs", "receive", "-u", target], stdin=sending.stdout, check=True)
    seconds = time.perf_counter() - began
    subprocess.run(["zfs", "destroy", "-r", target], check=True)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
