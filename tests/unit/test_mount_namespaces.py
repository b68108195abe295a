"""
Reading what is mounted, and where in a file system something is that is seen in another mount namespace.
"""

from __future__ import annotations

import pytest

from flocker_agent.storage.mount_namespaces import Mounted, Place, View, mounts_in

MOUNTINFO = r"""22 1 0:20 / / rw,relatime shared:1 master:2 - overlay overlay rw,lowerdir=/
18 22 0:28 / /flocker/with\040space rw,relatime - zfs tank/flocker/id\134x rw,xattr,posixacl,casesensitive
19 18 0:29 / /flocker/x/.zfs/snapshot/a rw,relatime - zfs tank/flocker/id@a ro,xattr
23 22 0:5 / /proc rw - proc none rw
24 22 254:0 /srv/pool /host\x0bpool rw - ext4 /dev/vda rw
25 22 254:1 / /mnt rw - ext4 /dev/vdb rw
26 22 254:0 /srv/pool/datasets/1/mounted/data/sub /mnt rw - ext4 /dev/vda rw
""".replace("\\x0b", "\x0b")


def test_mountinfo() -> None:
    """
    Paths and sources are as they were before the kernel escaped them, whatever optional fields there are.
    """
    assert mounts_in(MOUNTINFO) == [
        Mounted(22, Place("0:20", "/"), path="/", kind="overlay", source="overlay"),
        Mounted(18, Place("0:28", "/"), path="/flocker/with space", kind="zfs", source="tank/flocker/id\\x"),
        Mounted(19, Place("0:29", "/"), path="/flocker/x/.zfs/snapshot/a", kind="zfs", source="tank/flocker/id@a"),
        Mounted(23, Place("0:5", "/"), path="/proc", kind="proc", source="none"),
        Mounted(24, Place("254:0", "/srv/pool"), path="/host\x0bpool", kind="ext4", source="/dev/vda"),
        Mounted(25, Place("254:1", "/"), path="/mnt", kind="ext4", source="/dev/vdb"),
        Mounted(
            26, Place("254:0", "/srv/pool/datasets/1/mounted/data/sub"), path="/mnt", kind="ext4", source="/dev/vda"
        ),
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/passwd", Place("0:20", "/etc/passwd")),
        ("/", Place("0:20", "/")),
        ("/host\x0bpool", Place("254:0", "/srv/pool")),
        ("/host\x0bpool/datasets/1", Place("254:0", "/srv/pool/datasets/1")),
        ("/host\x0bpool2", Place("0:20", "/host\x0bpool2")),
        ("/mnt/file", Place("254:0", "/srv/pool/datasets/1/mounted/data/sub/file")),
        ("socket:[4711]", None),
    ],
)
def test_place(path: str, expected: Place | None) -> None:
    """
    A path is where the last of the longest mounts above it leads.
    """
    assert View(mounts_in(MOUNTINFO), "/").place(path) == expected


def test_place_below_another_root() -> None:
    """
    A process with a root of its own lists what is mounted in that root's terms.
    """
    assert View(mounts_in(MOUNTINFO), "/jail").place("/jail/mnt/file") == Place(
        "254:0", "/srv/pool/datasets/1/mounted/data/sub/file"
    )


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (Place("254:0", "/srv/pool/datasets/1/mounted/data/sub"), True),
        (Place("254:0", "/srv/pool/datasets/1/mounted"), True),
        (Place("254:1", "/srv/pool/datasets/1/mounted"), False),
        (Place("254:0", "/srv/pool/datasets/1/mounted/data/sub/below"), False),
        (Place("254:0", "/srv/pool/datasets/1/mounted/dat"), False),
    ],
)
def test_shown(place: Place, expected: bool) -> None:
    """
    A mount of a folder, or of something in it, shows it; one of a folder above doesn't.
    """
    assert View(mounts_in(MOUNTINFO), "/").shows([place]) is expected
