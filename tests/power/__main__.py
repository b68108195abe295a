"""
Many power cuts in one go: ``python -m tests.power --cuts 50 --seed 1``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.power.cuts import ONE_GUEST, SEPARATE_GUESTS, Ended, chosen_cuts, table
from tests.power.machines import powered_cluster
from tests.power.moves import CutMoves

_MEMORY_FOLDER = Path("/dev/shm")


def main() -> int:
    """
    Cut, and print a line each and the table; 1 if one failed.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.power", description=__doc__)
    parser.add_argument("--cuts", type=int, default=50, help="how many (default 50)")
    parser.add_argument("--seed", type=int, default=1, help="what chooses them (default 1)")
    parser.add_argument("--separate", action="store_true", help="control and nodes in a guest each; only some are cut")
    parser.add_argument("--kind", choices=("uml", "qemu"), default="uml", help="the kind of guest")
    parser.add_argument("--folder", type=Path, help="for disks and logs (default: a new one in memory)")
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="flocker-power-", dir=_MEMORY_FOLDER))
    ended: list[Ended] = []
    started = time.monotonic()
    with powered_cluster(folder, SEPARATE_GUESTS if chosen.separate else ONE_GUEST, kind=chosen.kind) as cluster:
        moves = CutMoves(cluster)
        for cut in chosen_cuts(chosen.seed, chosen.cuts, separate=chosen.separate):
            ended.append(moves.moved(cut))
            print(f"{time.monotonic() - started:6.0f} s  cut {len(ended)}: {'  '.join(ended[-1].cells())}", flush=True)
            if ended[-1].failure:
                # The next move would start from what is broken.
                print(cluster.logs())
                break
    print(f"\nseed {chosen.seed}, {len(ended)} power cuts in {time.monotonic() - started:.0f} s\n{table(ended)}")
    if ended[-1].failure:
        print(f"disks and logs are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
