"""
How much is sent twice after a cut, in bytes.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.resume import MIB, measured, pools
from flocker_py.testing.certificates import make_cluster

SIZE_MIB = 64
# What is on its way when a connection breaks is lost: in the sender's kernel; in the relay and its sockets; a piece of
# up to 1 MiB that the sender has begun to write; and a frame of the backend's that didn't come whole, 1 MiB at most.
SENDERS_KERNEL_BYTES = int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])
MOST_TWICE_BYTES = SENDERS_KERNEL_BYTES + 3 * MIB


def test_little_is_sent_twice(tmp_path: Path) -> None:
    """
    Wherever a stream is cut, what is sent again is no more than what was on its way.
    """
    with pools("directory", tmp_path, SIZE_MIB) as (source, target):
        cuts = list(measured(make_cluster(tmp_path / "certificates"), source, target, SIZE_MIB, [0.1, 0.5, 0.9, 0.99]))

    assert [cut.at for cut in cuts if cut.twice_bytes > MOST_TWICE_BYTES] == []
    assert all(cut.whole_bytes >= SIZE_MIB * MIB for cut in cuts)
