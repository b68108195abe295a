#!/usr/bin/env python3
"""
Run a command on a real ZFS kernel, on a machine that need not have one.

    zfskernel.py run [options] -- COMMAND ARGS...   run it, in a guest if this machine has no ZFS
    zfskernel.py build [--kind uml|qemu]            make the guest's kernel now (run does it when needed)
    zfskernel.py doctor                             say what this machine can do, by trying

The guest sees this machine's files, read-only with a memory file system laid over; what it writes is gone afterwards,
but for the folders given with --out and --disk-dir.

Exit status of `run`: that of the command; 124 if it was out of time, 125 if the guest or the harness failed (the reason
is on standard error), 128 and the signal's number if a signal ended the harness.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import assert_never

_CHECKOUT = Path(__file__).resolve().parents[3]
# Standard library only. An installed package named "tests" would hide the checkout's folder of that name.
if __name__ == "__main__":
    sys.path[:] = [
        str(_CHECKOUT),
        *(path for path in sys.path if not path.endswith(("site-packages", "dist-packages"))),
    ]

from tests.zfs.harness.choice import doctor, ensure_built, run_auto, run_on  # noqa: E402
from tests.zfs.harness.debian import NotDebian, PackagesMissing  # noqa: E402
from tests.zfs.harness.job import Exited, Failed, Request, TimedOut, UnusableFolder  # noqa: E402
from tests.zfs.harness.progress import StepFailed, say  # noqa: E402
from tests.zfs.harness.session import Interrupted, signals_raised  # noqa: E402

_TIMED_OUT = 124
_HARNESS_FAILED = 125
_READER_GONE = 141
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def size_bytes(text: str) -> int:
    """
    A size as in `4G` or `512M`, in bytes.
    """
    found = re.fullmatch(r"(\d+)([KMG])", text.upper())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 4G or 512M")
    return int(found[1]) * _UNITS[found[2]]


def arguments(words: list[str]) -> argparse.Namespace:
    """
    The command line, parsed.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="run a command on a ZFS kernel")
    run.add_argument("--kind", choices=("auto", "host", "uml", "qemu"), default="auto")
    run.add_argument("--timeout", type=float, metavar="SECONDS", help="for the command; none by default")
    run.add_argument("--mem", type=size_bytes, default="4G", metavar="SIZE", help="the guest's memory (default 4G)")
    run.add_argument("--cpu", type=int, default=2, metavar="N", help="CPUs of a QEMU guest (a UML guest has one)")
    run.add_argument(
        "--out", type=Path, metavar="DIR", help="writable for the command, as $FLOCKER_ZFS_OUT, same path inside"
    )
    run.add_argument(
        "--disk-dir", type=Path, metavar="DIR", help="for pools that outlive the guest, as $FLOCKER_ZFS_DISKS"
    )
    run.add_argument(
        "--disk",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a disk of the guest (may be repeated); $FLOCKER_ZFS_BLOCK_DEVICES has their names there",
    )
    run.add_argument(
        "--tap", metavar="NAME", help="a tap device of this network namespace: the guest's device $FLOCKER_ZFS_NETWORK"
    )
    run.add_argument("--keep", action="store_true", help="keep the run's folder: job, output, console of the guest")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ARGS...")
    build = verbs.add_parser("build", help="make a guest's kernel and modules")
    build.add_argument("--kind", choices=("uml", "qemu"), default="uml")
    doctor_parser = verbs.add_parser("doctor", help="say what this machine can do")
    doctor_parser.add_argument("--kind", choices=("uml", "qemu"), action="append", help="only these")
    parsed = parser.parse_args(words)
    if parsed.verb == "run":
        parsed.command = parsed.command[1:] if parsed.command[:1] == ["--"] else parsed.command
        if not parsed.command:
            parser.error("run: give a command after --")
    return parsed


def main(words: list[str]) -> int:
    """
    Do what the command line says; the exit status.
    """
    parsed = arguments(words)
    try:
        with signals_raised():
            match parsed.verb:
                case "build":
                    built = ensure_built(parsed.kind, newest=True)
                    say(f"{parsed.kind}: kernel {built.kernel_version}, ZFS {built.zfs_version}, in {built.folder}")
                    return 0
                case "doctor":
                    return 0 if doctor(parsed.kind) else 1
                case _:
                    return _run(parsed)
    except Interrupted as interrupted:
        say(str(interrupted))
        return 128 + interrupted.number
    except BrokenPipeError:
        return _READER_GONE
    except (NotDebian, PackagesMissing, StepFailed, UnusableFolder, OSError) as failure:
        say(str(failure))
        return _HARNESS_FAILED


def _run(parsed: argparse.Namespace) -> int:
    folders = {"FLOCKER_ZFS_OUT": parsed.out, "FLOCKER_ZFS_DISKS": parsed.disk_dir}
    request = Request(
        command=parsed.command,
        cwd=_CHECKOUT,
        folders={name: folder.resolve() for name, folder in folders.items() if folder is not None},
        timeout_seconds=parsed.timeout,
        memory_bytes=parsed.mem,
        cpus=parsed.cpu,
        keep=parsed.keep,
        disks=[disk.resolve() for disk in parsed.disk],
        tap=parsed.tap,
    )
    outcome = run_auto(request) if parsed.kind == "auto" else run_on(parsed.kind, request)
    match outcome:
        case Exited(status=status, console_trouble=trouble):
            for line in trouble:
                say(f"the guest's kernel said: {line}")
            return status
        case Failed(reason=reason):
            say(reason)
            return _HARNESS_FAILED
        case TimedOut(timeout_seconds=timeout_seconds):
            say(f"the command did not end within {timeout_seconds:g} s; it was ended")
            return _TIMED_OUT
        case _:
            assert_never(outcome)


if __name__ == "__main__":
    for descriptor in (0, 1, 2):
        # A closed one would be taken by the next file opened, and that file mixed up with it.
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.exit(main(sys.argv[1:]))
