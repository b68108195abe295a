"""
The demonstration as ``make demo`` runs it, with less ballast.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "demo" / "demo.py"
DEADLINE_SECONDS = 240.0

pytestmark = pytest.mark.timeout(300)


def begun(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """
    A demonstration that has all its files below a folder.
    """
    return subprocess.Popen(
        [sys.executable, str(DEMO), "--backend=directory", *arguments],
        cwd="/",
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """
    Read what it prints, until a line has this text.
    """
    assert process.stdout is not None
    deadline = time.monotonic() + DEADLINE_SECONDS
    said = b""
    while text.encode() not in said.rpartition(b"\n")[0]:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        # Byte by byte, past the stream: what that has read ahead would be waited for in vain.
        byte = os.read(process.stdout.fileno(), 1) if ready else b""
        assert byte, f"never said {text!r}: {said.decode(errors='replace')}"
        said += byte


def left(folder: Path) -> list[str]:
    """
    Command lines of processes that have anything to do with a folder.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line, environment = ((process / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            continue
        if str(folder).encode() in line + environment:
            found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


def test_two_moves(tmp_path: Path) -> None:
    """
    The application is moved there and back, no record is lost, and nothing is left on the machine.
    """
    figures = tmp_path / "figures.json"
    with begun(tmp_path, "--moves=2", "--ballast-mb=8", f"--json={figures}") as process:
        output, _ = process.communicate(timeout=DEADLINE_SECONDS)

    assert process.returncode == 0, output
    assert "no record lost" in output.splitlines()[-1]
    told = json.loads(figures.read_text())
    assert [(move["source"], move["target"]) for move in told["moves"]] == [("n1", "n2"), ("n2", "n1")]
    assert all(move["sent_bytes"] > 8 * 1024 * 1024 for move in told["moves"])
    assert (left(tmp_path), [path.name for path in tmp_path.iterdir()]) == ([], ["figures.json"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    """
    A demonstration that is interrupted takes its cluster down, and leaves nothing.
    """
    with begun(tmp_path, "--ballast-mb=8") as process:
        read_until(process, "move 1: cluster.yml now says")
        process.send_signal(number)
        output, _ = process.communicate(timeout=DEADLINE_SECONDS)

    assert process.returncode == 130, output
    assert output.splitlines()[-1] == "VERDICT: FAILED: interrupted"
    assert (left(tmp_path), list(tmp_path.iterdir())) == ([], [])


def test_lost_record(tmp_path: Path) -> None:
    """
    When a record is taken out of the volume behind the application's back, the verdict is a failure, and the logs stay.
    """
    with begun(tmp_path, "--moves=1", "--ballast-mb=0", "--rate=100") as process:
        read_until(process, "move 1: done")
        (ledger,) = tmp_path.glob("flocker-demo-*/cluster/n2/volumes/*/ledger")
        with ledger.open("r+b") as file:
            file.seek(3 * 64)
            file.write(b"9")
        output, _ = process.communicate(timeout=DEADLINE_SECONDS)

    assert process.returncode == 1, output
    assert output.splitlines()[-1].startswith("VERDICT: FAILED: where record 4 belongs there is no record")
    assert [path.name for path in tmp_path.glob("flocker-demo-logs-*/control/*")] != []
