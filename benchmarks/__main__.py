"""
All benchmarks, one after the other: ``python -m benchmarks [--zfs] [--quick]``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys


def main() -> int:
    """
    Run them as a user would, and end with a verdict.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zfs", action="store_true", help="those that need a ZFS kernel, on it")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that they run")
    options = parser.parse_args()
    quick = options.quick
    runs: list[tuple[str, list[str]]] = []
    if options.zfs:
        runs.append(("transfer on ZFS", ["benchmarks.zfs_transfer", *(["--size-mib", "64"] if quick else [])]))
    else:
        sizes = ["--size-mib", "256", "--repeat", "1"] if quick else []
        runs.append(("transfer", ["benchmarks.transfer", *sizes]))
    backend = ["--backend", "zfs" if options.zfs else "directory"]
    if options.zfs:
        # A guest keeps its pools in memory.
        sizes = ["--sizes-mib", "32" if quick else "100,400", "--rates", "100", "--moves", "2" if quick else "4"]
    else:
        sizes = ["--sizes-mib", "64", "--rates", "200", "--moves", "2"] if quick else []
    runs.append(("cut-over", ["benchmarks.cutover", *backend, *sizes]))
    runs.append(("idle", ["benchmarks.idle", *backend, *(["--datasets", "10", "--seconds", "10"] if quick else [])]))
    sizes = ["--size-mib", "64"] if quick else []
    runs.append(("sent twice after a cut", ["benchmarks.resume", *backend, *sizes]))
    failed = []
    for name, arguments in runs:
        print(f"\n== {name}: python -m {' '.join(arguments)}", flush=True)
        if subprocess.run([sys.executable, "-m", *arguments], check=False).returncode != 0:
            failed.append(name)
    print(f"\nVERDICT: {'FAILED: ' + ', '.join(failed) if failed else 'all benchmarks ran'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
