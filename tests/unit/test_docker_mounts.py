"""
Whether a container has the file systems that it was to have.
"""

from __future__ import annotations

import pytest

from flocker_agent.runtime.docker_mounts import unseen

OURS = """\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:50 / /flocker/one rw,relatime shared:1 - zfs tank/one rw
3 1 0:51 / /flocker/two\\040words rw - zfs tank/two rw
4 1 0:52 / /flocker/covered rw - zfs tank/three rw
5 4 0:53 / /flocker/covered rw - tmpfs tmpfs rw
"""
THEIRS = """\
9 0 0:70 / / rw - overlay overlay rw
10 9 8:1 /etc/hosts /etc/hosts rw - ext4 /dev/sda1 rw
11 9 {device} / /data rw - zfs tank/one rw
"""


@pytest.mark.parametrize(
    ("path", "device"),
    [
        ("/flocker/one", "0:50"),
        ("/flocker/one/below", "0:50"),
        ("/flocker/two words", "0:51"),
        ("/flocker/covered", "0:53"),
        ("/flocker/on-the-disk", "8:1"),
    ],
)
def test_seen(path: str, device: str) -> None:
    """
    A file system that the container has, wherever, is seen.
    """
    assert unseen([path], OURS, THEIRS.format(device=device)) == []


def test_unseen() -> None:
    """
    Where the container has what is below instead, the path is told.
    """
    seen = unseen(["/flocker/on-the-disk", "/flocker/one", "/flocker/covered"], OURS, THEIRS.format(device="0:52"))

    assert seen == ["/flocker/one", "/flocker/covered"]
