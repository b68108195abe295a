"""
Reading what is mounted.
"""

from __future__ import annotations

from flocker_agent.storage.zfs_mounts import Mounted, mounts_in

MOUNTINFO = r"""22 1 0:20 / / rw,relatime shared:1 master:2 - overlay overlay rw,lowerdir=/
18 22 0:28 / /flocker/with\040space rw,relatime - zfs tank/flocker/id\134x rw,xattr,posixacl,casesensitive
19 18 0:29 / /flocker/x/.zfs/snapshot/a rw,relatime - zfs tank/flocker/id@a ro,xattr
23 22 0:5 / /proc rw - proc none rw
"""


def test_mountinfo() -> None:
    """
    Paths and sources are as they were before the kernel escaped them, whatever optional fields there are.
    """
    assert mounts_in(MOUNTINFO) == [
        Mounted(path="/", kind="overlay", source="overlay"),
        Mounted(path="/flocker/with space", kind="zfs", source="tank/flocker/id\\x"),
        Mounted(path="/flocker/x/.zfs/snapshot/a", kind="zfs", source="tank/flocker/id@a"),
        Mounted(path="/proc", kind="proc", source="none"),
    ]
