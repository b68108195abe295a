"""
Storage contract: everything a file tree can have arrives.
"""

from __future__ import annotations

import os
import struct

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flocker_py.model import DatasetId
from flocker_py.storage import Role, SendPlan
from flocker_py.testing.storage_pools import (
    MEBIBYTE,
    NewPool,
    PoolFixtures,
    PoolUnderTest,
    carry,
    content_of,
    noise,
    owned,
)
from flocker_py.testing.trees import EntryKind, Tree, TreeEntry, difference, file

ODD_NAMES = [
    b"with space",
    b"with\nnewline",
    b"with\ttab",
    b"back\\slash",
    b"not UTF-8 \xff\xfe\x80",
    b"\xed\xb0\x80 looks like a surrogate",
    "snowman \N{SNOWMAN}".encode(),
    b"-rf",
    b"~",
    b"*?[",
    b"...",
    b"'\"`$(x)",
    b"\x01\x7f",
    b"x" * 255,
]


def _acl(*entries: tuple[int, int, int]) -> bytes:
    # system.posix_acl_*: version 2, then tag, permissions and id of each entry (acl(5), linux/posix_acl_xattr.h).
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


_NOBODY = 0xFFFFFFFF
ACCESS_LIST = _acl((1, 6, _NOBODY), (2, 4, 1234), (4, 4, _NOBODY), (16, 6, _NOBODY), (32, 4, _NOBODY))
DEFAULT_LIST = _acl((1, 7, _NOBODY), (2, 5, 1234), (4, 5, _NOBODY), (16, 7, _NOBODY), (32, 5, _NOBODY))
_SPARSE = b"\0" * (3 * MEBIBYTE) + noise(100_000) + b"\0" * (5 * MEBIBYTE)


def _directory(mode: int = 0o755, mtime_ns: int = 1_600_000_000_123_456_789, **more: object) -> TreeEntry:
    return TreeEntry(kind=EntryKind.DIRECTORY, mode=mode, mtime_ns=mtime_ns).set(**more)


def _symlink(target: bytes, **more: object) -> TreeEntry:
    return TreeEntry(kind=EntryKind.SYMLINK, mode=0o777, target=target).set(**more)


def _link(target: bytes) -> TreeEntry:
    return TreeEntry(kind=EntryKind.LINK, target=target)


TREES: dict[str, Tree] = {
    "modes": {b"%o" % mode: file(b"x", mode=mode) for mode in (0o600, 0o644, 0o755, 0o4755, 0o2711, 0o400)},
    "times": {
        b"nanoseconds": file(b"x", mtime_ns=1_234_567_890_987_654_321),
        b"1970": file(b"x", mtime_ns=1),
        b"2030": file(b"x", mtime_ns=1_900_000_000_000_000_001),
        b"folder": _directory(),
        b"folder/inside": file(b"x"),
        b"folder/deeper": _directory(mtime_ns=5_000_000_007),
        b"link": _symlink(b"nowhere", mtime_ns=1_111_111_111_000_000_002),
    },
    "links": {
        b"a first": file(b"shared"),
        b"b second": _link(b"a first"),
        b"folder": _directory(),
        b"folder/third": _link(b"a first"),
        b"symlink": _symlink(b"a first"),
        b"absolute": _symlink(b"/etc/passwd"),
        b"upwards": _symlink(b"../../../../etc"),
        b"dangling \xff": _symlink(b"no \xff\n where"),
        b"long": _symlink(b"y" * 1000),
    },
    "sparse": {
        b"holes": TreeEntry(kind=EntryKind.FILE, content=_SPARSE, sparse=True),
        b"all hole": TreeEntry(kind=EntryKind.FILE, content=b"\0" * (4 * MEBIBYTE), sparse=True),
        b"hole at the end": TreeEntry(kind=EntryKind.FILE, content=noise(5000) + b"\0" * (3 * MEBIBYTE), sparse=True),
    },
    "xattrs": {
        b"file": file(b"x").set(xattrs={"user.one": b"1", "user.empty": b"", "user.binary": bytes(range(256))}),
        b"folder": _directory().set(xattrs={"user.folder": b"x" * 1000}),
    },
    "access lists": {
        b"file": file(b"x", mode=0o664).set(xattrs={"system.posix_acl_access": ACCESS_LIST}),
        b"folder": _directory().set(xattrs={"system.posix_acl_default": DEFAULT_LIST}),
    },
    "names": {name: file(name) for name in ODD_NAMES},
    "names of folders": {
        **{name: _directory() for name in ODD_NAMES},
        **{name + b"/" + name: file(name) for name in ODD_NAMES},
    },
    "empty": {},
    "empty folders": {b"a": _directory(), b"a/b": _directory(mode=0o1777), b"a/b/c": _directory(mode=0o700)},
    "deep": {
        **{b"/".join([b"folder"] * depth): _directory() for depth in range(1, 60)},
        b"/".join([b"folder"] * 59) + b"/file": file(b"deep"),
    },
    "many": {b"%04d" % number: file(b"%d" % number) for number in range(600)},
    "specials": {
        b"fifo": TreeEntry(kind=EntryKind.FIFO, mode=0o620),
        b"socket": TreeEntry(kind=EntryKind.SOCKET, mode=0o755),
    },
}
TREES_OF_ROOT: dict[str, Tree] = {
    "owners": {
        b"file": file(b"x", mode=0o4755).set(uid=1234, gid=5678),
        b"folder": _directory(mode=0o2770, uid=1234, gid=4_000_000_000),
        b"link": _symlink(b"nowhere", uid=1, gid=2),
    },
    "closed": {b"file": file(b"x", mode=0), b"folder": _directory(mode=0), b"folder/file": file(b"y", mode=0)},
    "devices": {
        b"null": TreeEntry(kind=EntryKind.CHARACTER_DEVICE, mode=0o666, device=os.makedev(1, 3)),
        b"loop": TreeEntry(kind=EntryKind.BLOCK_DEVICE, mode=0o660, device=os.makedev(7, 250)),
    },
    "trusted xattrs": {b"file": file(b"x").set(xattrs={"trusted.one": b"1"})},
}

_names = st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=3)
_contents = st.sampled_from([b"", b"small", b"other", noise(70_000), noise(70_000, 1), noise(200_000)])


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """
    Small trees of all kinds of entries, of few names, so that two of them have much in common.
    """
    tree: dict[bytes, TreeEntry] = {}
    paths: list[list[bytes]] = draw(st.lists(_names, max_size=8))
    for parts in paths:
        for depth in range(1, len(parts)):
            tree[b"/".join(parts[:depth])] = _directory()
        path = b"/".join(parts)
        match draw(st.sampled_from(["directory", "file", "file", "symlink", "fifo"])):
            case "directory":
                tree[path] = _directory(mode=draw(st.sampled_from([0o700, 0o755])))
            case "file":
                tree[path] = file(draw(_contents), mtime_ns=draw(st.sampled_from([10**18, 10**18 + 1])))
            case "symlink":
                tree[path] = _symlink(draw(st.sampled_from([b"a", b"../b"])))
            case _:
                tree[path] = TreeEntry(kind=EntryKind.FIFO, mode=0o644)
    folders = {path for path, entry in tree.items() if entry.kind is EntryKind.DIRECTORY}
    tree = {
        path: entry
        for path, entry in tree.items()
        if all(path[:cut] in folders for cut in range(len(path)) if path[cut : cut + 1] == b"/")
    }
    files = sorted(path for path, entry in tree.items() if entry.kind is EntryKind.FILE)
    is_linked = draw(st.booleans())
    if files and is_linked:
        # A name that sorts after all others: the first name of the file is the other one.
        tree[b"d"] = _link(draw(st.sampled_from(files)))
    return tree


class TreeContract(PoolFixtures):
    """
    Full streams and increments of all kinds of file trees.
    """

    def test_full(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        Whatever is in a dataset arrives as it was: modes, owners, times, links, holes, attributes, access lists, names.
        """
        for name, tree in available_trees().items():
            dataset_id = owned(pool)
            pool.files.write(dataset_id, tree)
            guid = pool.storage.snapshot(dataset_id, "one").guid
            carry(pool.storage, dataset_id, SendPlan(to_guid=guid), other_pool.storage)

            assert (name, difference(tree, self.owned_content(other_pool, dataset_id))) == (name, [])

    def test_increment(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        The same in increments, each tree making way for the next.
        """
        dataset_id = owned(pool)
        base = pool.storage.snapshot(dataset_id, "base").guid
        carry(pool.storage, dataset_id, SendPlan(to_guid=base), other_pool.storage)
        for number, (name, tree) in enumerate(available_trees().items()):
            self.replace(pool, dataset_id, tree)
            guid = pool.storage.snapshot(dataset_id, f"s{number}").guid
            carry(pool.storage, dataset_id, SendPlan(to_guid=guid, from_guid=base), other_pool.storage)
            base = guid

            assert (name, difference(tree, content_of(other_pool, dataset_id, guid))) == (name, [])
        last = pool.files.read(dataset_id)
        assert difference(last, self.owned_content(other_pool, dataset_id)) == []

    def test_changes_of_metadata(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        Changes of mode, time, attributes and access lists alone are carried by an increment, and hardly anything else.
        """
        dataset_id = owned(pool)
        content = noise(2 * MEBIBYTE)
        pool.files.write(
            dataset_id,
            {
                b"a": file(content, mtime_ns=10**18).set(xattrs={"user.gone": b"1", "user.kept": b"2"}),
                b"d": _directory(),
            },
        )
        base = pool.storage.snapshot(dataset_id, "base").guid
        carry(pool.storage, dataset_id, SendPlan(to_guid=base), other_pool.storage)
        tree = {
            b"a": file(content, mode=0o664, mtime_ns=10**18 + 1).set(
                xattrs={"user.kept": b"3", "user.new": b"4", "system.posix_acl_access": ACCESS_LIST}
            ),
            b"d": _directory(mode=0o700, mtime_ns=7),
        }
        self.replace(pool, dataset_id, tree)
        last = pool.storage.snapshot(dataset_id, "last").guid

        carry(pool.storage, dataset_id, SendPlan(to_guid=last, from_guid=base), other_pool.storage)

        assert difference(tree, self.owned_content(other_pool, dataset_id)) == []

    def test_changes_of_large_files(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        Files that were changed in place, appended to, cut off, moved or punched arrive as they are.
        """
        dataset_id = owned(pool)
        content = noise(3 * MEBIBYTE + 1000)
        pool.files.write(dataset_id, {name: file(content) for name in (b"patched", b"grown", b"shrunk", b"moved")})
        base = pool.storage.snapshot(dataset_id, "base").guid
        carry(pool.storage, dataset_id, SendPlan(to_guid=base), other_pool.storage)
        for offset in (0, 65_535, 1_500_000, 3 * MEBIBYTE + 990):
            pool.files.write_at(dataset_id, b"patched", offset, b"patched!")
        pool.files.write_at(dataset_id, b"grown", len(content), noise(100_000, 1))
        pool.files.write(dataset_id, {b"shrunk": file(content[:70_001]), b"moved away": file(content)})
        pool.files.remove(dataset_id, b"moved")
        expected = pool.files.read(dataset_id)
        last = pool.storage.snapshot(dataset_id, "last").guid

        carry(pool.storage, dataset_id, SendPlan(to_guid=last, from_guid=base), other_pool.storage)

        assert difference(expected, self.owned_content(other_pool, dataset_id)) == []

    def test_links_made_and_broken(self, pool: PoolUnderTest, other_pool: PoolUnderTest) -> None:
        """
        Which names are one file is carried by increments, and writing to one after the move does not reach the other.
        """
        dataset_id = owned(pool)
        pool.files.write(dataset_id, {b"a": file(b"1"), b"b": _link(b"a"), b"c": file(b"2"), b"d": file(b"3")})
        base = pool.storage.snapshot(dataset_id, "base").guid
        carry(pool.storage, dataset_id, SendPlan(to_guid=base), other_pool.storage)
        tree = {b"a": file(b"1"), b"b": file(b"x"), b"c": file(b"2"), b"d": _link(b"c")}
        pool.files.write(dataset_id, {b"b": tree[b"b"], b"d": tree[b"d"]})
        last = pool.storage.snapshot(dataset_id, "last").guid

        carry(pool.storage, dataset_id, SendPlan(to_guid=last, from_guid=base), other_pool.storage)

        assert difference(tree, self.owned_content(other_pool, dataset_id)) == []

    def test_any_trees(self, new_pool: NewPool) -> None:
        """
        From any tree to any other: the full stream brings the one, the increment the other; the base stays as it was.
        """
        pool, other_pool = new_pool(), new_pool()

        @settings(
            max_examples=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        @given(first=trees(), second=trees())
        def carried(first: Tree, second: Tree) -> None:
            dataset_id = owned(pool)
            pool.files.write(dataset_id, first)
            base = pool.storage.snapshot(dataset_id, "base").guid
            carry(pool.storage, dataset_id, SendPlan(to_guid=base), other_pool.storage)
            self.replace(pool, dataset_id, second)
            last = pool.storage.snapshot(dataset_id, "last").guid
            carry(pool.storage, dataset_id, SendPlan(to_guid=last, from_guid=base), other_pool.storage)

            assert difference(first, content_of(other_pool, dataset_id, base)) == []
            assert difference(second, self.owned_content(other_pool, dataset_id)) == []
            for each in (pool, other_pool):
                each.storage.unmount(dataset_id)
                each.storage.destroy(dataset_id)

        carried()

    @staticmethod
    def owned_content(pool: PoolUnderTest, dataset_id: DatasetId) -> dict[bytes, TreeEntry]:
        """
        What a replica holds once it is owned and mounted.
        """
        pool.storage.set_role(dataset_id, role=Role.OWNER, epoch=9)
        pool.storage.mount(dataset_id)
        return pool.files.read(dataset_id)

    @staticmethod
    def replace(pool: PoolUnderTest, dataset_id: DatasetId, tree: Tree) -> None:
        """
        Make a tree all that a mounted dataset holds; what has not changed is left alone.
        """
        present = pool.files.read(dataset_id)
        for path in sorted(present, reverse=True):
            if path not in tree:
                pool.files.remove(dataset_id, path)
        pool.files.write(
            dataset_id,
            {path: entry for path, entry in tree.items() if entry != present.get(path) or entry.kind is EntryKind.LINK},
        )


def available_trees() -> dict[str, Tree]:
    """
    The trees that whoever runs the tests can make.
    """
    return {**TREES, **TREES_OF_ROOT} if os.geteuid() == 0 else TREES
