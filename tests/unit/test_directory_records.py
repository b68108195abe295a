"""
What the directory backend writes down and sends: manifests, steps, records.
"""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrsistent import pmap, pvector

from flocker_agent.storage.directory_manifest import (
    DIRECTORY,
    FILE,
    LINK,
    SYMLINK,
    Entry,
    Fingerprint,
    ManifestUnreadable,
    Piece,
    Segment,
    clipped,
    content_bytes,
    delta,
    joined,
    manifest_bytes,
    ordered,
    packs_of,
    parsed_manifest,
    pieces,
    same,
)
from flocker_agent.storage.directory_packs import data_parts
from flocker_agent.storage.directory_state import (
    BookmarkState,
    DatasetState,
    RecordUnreadable,
    SnapshotState,
    parsed_state,
    state_bytes,
)
from flocker_agent.storage.directory_steps import complaints, steps, taken
from flocker_py.model import DatasetId, Guid
from flocker_py.storage import Role, SnapshotMissing, StreamCorrupt

ROOT = Entry(b"", DIRECTORY, 0o755)
ODD = Entry(
    b"not UTF-8 \xff\n",
    FILE,
    0o4755,
    uid=1,
    gid=4_000_000_000,
    mtime_ns=-5,
    size=300,
    segments=(Segment(0, 100, 1, 4096), Segment(200, 100, 2, 0)),
    xattrs=(("user.a", b"\0\xff"),),
    print=Fingerprint(12, 34),
)
STATE = DatasetState(
    dataset_id=DatasetId(UUID(int=1)),
    role=Role.OWNER,
    epoch=7,
    maximum_size_bytes=5,
    properties=pmap({"a": "b"}),
    snapshots=pvector([SnapshotState(guid=Guid(2**64 - 1), name="x", age=3, packs=pvector([1]), holds=pvector(["t"]))]),
    bookmarks=pmap({"m": BookmarkState(guid=Guid(9), age=2)}),
    clean_guid=Guid(2**64 - 1),
    boot="b",
    live_bytes=12,
)


def tree(*entries: Entry) -> dict[bytes, Entry]:
    """
    A tree of a root and entries.
    """
    return ordered([ROOT, *entries])


def test_manifest() -> None:
    """
    A manifest is read as it was written, fingerprints and odd names included.
    """
    entries = tree(ODD, Entry(b"link", SYMLINK, 0o777, target=b"\xfe"), Entry(b"z", LINK, target=ODD.path))

    assert parsed_manifest(manifest_bytes(entries.values())) == entries


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        manifest_bytes([ROOT]).replace(b'"version": 1', b'"version": 2'),
        manifest_bytes([ROOT, ODD]).split(b"\n", 1)[1],
        manifest_bytes([ROOT]).replace(b"493", b'"a"'),
        manifest_bytes([ROOT]).replace(b'"d"', b"5"),
        manifest_bytes([ROOT]).replace(b'"d",', b""),
    ],
)
def test_unreadable_manifest(content: bytes) -> None:
    """
    A damaged or newer manifest is refused as a whole.
    """
    with pytest.raises(ManifestUnreadable):
        parsed_manifest(content)


def test_same() -> None:
    """
    Where an entry was seen is no part of what it is.
    """
    other = ODD._replace(print=None)

    assert (same(ODD, other), same(ODD, None), same(None, None), same(ODD, other._replace(mode=0))) == (
        True,
        False,
        True,
        False,
    )


def test_order() -> None:
    """
    A folder comes right before what is in it, whatever its neighbours are called.
    """
    entries = tree(Entry(b"a/b", FILE), Entry(b"a.b", FILE), Entry(b"a", DIRECTORY), Entry(b"a/b.c", FILE))

    assert list(entries) == [b"", b"a", b"a/b", b"a/b.c", b"a.b"]


def test_delta() -> None:
    """
    A delta names what is gone, the deepest first, and what is new or changed, folders first.
    """
    before = tree(Entry(b"a", DIRECTORY), Entry(b"a/b", FILE), Entry(b"c", FILE))
    after = tree(Entry(b"c", FILE, 0o600), Entry(b"d", DIRECTORY), Entry(b"d/e", FILE))

    way = delta(before, after)

    assert (way.removed, [entry.path for entry in way.changed]) == ([b"a/b", b"a"], [b"c", b"d", b"d/e"])


def test_packs_and_size() -> None:
    """
    A tree knows the packs it needs, and how much it holds.
    """
    assert (packs_of(tree(ODD)), content_bytes(tree(ODD))) == ({1, 2}, 200)


def test_joined() -> None:
    """
    Segments that follow one another in file and pack are one.
    """
    assert joined([Segment(0, 5, 1, 10), Segment(5, 5, 1, 15), Segment(10, 5, 1, 30), Segment(20, 5, 1, 35)]) == (
        Segment(0, 10, 1, 10),
        Segment(10, 5, 1, 30),
        Segment(20, 5, 1, 35),
    )


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 5, []),
        (0, 15, [Segment(10, 5, 1, 100)]),
        (12, 3, [Segment(12, 3, 1, 102)]),
        (15, 20, [Segment(15, 5, 1, 105), Segment(30, 5, 2, 0)]),
        (40, 5, []),
    ],
)
def test_clipped(offset: int, length: int, expected: list[Segment]) -> None:
    """
    A range of a file is where its segments say.
    """
    assert list(clipped((Segment(10, 10, 1, 100), Segment(30, 10, 2, 0)), offset, length)) == expected


def test_pieces() -> None:
    """
    What lies in the same place as before is as it was; all else is new.
    """
    before = Entry(b"a", FILE, size=40, segments=(Segment(0, 10, 1, 0), Segment(10, 10, 2, 0), Segment(30, 10, 1, 30)))
    after = Entry(b"a", FILE, size=60, segments=(Segment(0, 15, 1, 0), Segment(15, 5, 2, 5), Segment(25, 20, 1, 25)))

    assert pieces(before, after) == [
        Piece(0, 10, None),
        Piece(10, 5, Segment(10, 5, 1, 10)),
        Piece(15, 5, None),
        Piece(25, 5, Segment(25, 5, 1, 25)),
        Piece(30, 10, None),
        Piece(40, 5, Segment(40, 5, 1, 40)),
    ]


@pytest.mark.parametrize("before", [None, Entry(b"a", DIRECTORY)])
def test_pieces_of_what_is_new(before: Entry | None) -> None:
    """
    Of a file that was none, everything is new.
    """
    after = Entry(b"a", FILE, size=5, segments=(Segment(0, 5, 1, 0),))

    assert pieces(before, after) == [Piece(0, 5, Segment(0, 5, 1, 0))]


segments = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 2), st.integers(0, 9)), max_size=6)


def file_of(parts: list[tuple[int, int, int, int]]) -> Entry:
    """
    A file with segments after gaps.
    """
    result, offset = [], 0
    for gap, length, pack, pack_offset in parts:
        result.append(Segment(offset + gap, length, pack, pack_offset))
        offset += gap + length
    return Entry(b"a", FILE, size=offset, segments=tuple(result))


def bytes_of(entry: Entry, packs: dict[int, bytes]) -> bytes:
    """
    What a file holds.
    """
    content = bytearray(entry.size)
    for segment in entry.segments:
        content[segment.offset : segment.offset + segment.length] = packs[segment.pack][segment.pack_offset :][
            : segment.length
        ]
    return bytes(content)


@given(old=segments, new=segments)
def test_steps(old: list[tuple[int, int, int, int]], new: list[tuple[int, int, int, int]]) -> None:
    """
    From any file to any other: the steps and their data make the new one, out of another host's old one.
    """
    packs = {1: bytes(range(20)), 2: bytes(range(100, 120))}
    before, after = tree(file_of(old)), tree(file_of(new))
    content, data = steps(before, after)
    sent = b"".join(packs[part.pack][part.pack_offset :][: part.length] for part in data)
    # The other host has the same content in one pack of its own.
    theirs = {7: b"".join(bytes_of(before[b"a"], packs)[s.offset :][: s.length] for s in before[b"a"].segments)}
    at, there = 0, []
    for segment in before[b"a"].segments:
        there.append(Segment(segment.offset, segment.length, 7, at))
        at += segment.length
    their_before = tree(before[b"a"]._replace(segments=tuple(there)))

    their_after, places = taken(their_before, content, len(sent), 8)

    end = max((place.pack_offset + place.length for place in places), default=0)
    pack, at = bytearray(end), 0
    for place in places:
        pack[place.pack_offset : place.pack_offset + place.length] = sent[at : at + place.length]
        at += place.length
    theirs[8] = bytes(pack)
    assert bytes_of(their_after[b"a"], theirs) == bytes_of(after[b"a"], packs)


def row(path: str, kind: str = "f", **changes: object) -> list[object]:
    """
    The metadata of an entry as a stream has it.
    """
    fields: dict[str, object] = {
        "path": path,
        "kind": kind,
        "mode": 0o644,
        "uid": 0,
        "gid": 0,
        "mtime_ns": 0,
        "size": 10,
        "target": "",
        "device": 0,
        "xattrs": [],
    }
    return list({**fields, **changes}.values())


@pytest.mark.parametrize(
    "line",
    [
        ["?"],
        ["-", "not there"],
        ["-", ""],
        ["-", 5],
        ["+", row("../out"), []],
        ["+", row("/out"), []],
        ["+", row("a/./b"), []],
        ["+", row("a\0b"), []],
        ["+", row("file/inside"), []],
        ["+", row("link/inside"), []],
        ["+", row("nowhere/inside"), []],
        ["+", row("a", "x"), []],
        ["+", row("", "f"), []],
        ["+", row("a", "h", target="nowhere"), []],
        ["+", row("a", "h", target="link"), []],
        ["+", row("a", "h", target="file"), []],
        ["+", row("a", "l"), []],
        ["+", row("a", mode=0o10000), []],
        ["+", row("a", uid=-1), []],
        ["+", row("a", uid=True), []],
        ["+", row("a", size=-1), []],
        ["+", row("a", mtime_ns=1 << 63), []],
        ["+", row("a", xattrs=[["", "00"]]), []],
        ["+", row("a", xattrs=[["user.a", "no hex"]]), []],
        ["+", row("a", xattrs=5), []],
        ["+", row("a")[:-1], []],
        ["+", row("\ud83d"), []],
        ["+", row("a"), [[0, 11, 1]]],
        ["+", row("a"), [[5, 2, 1], [0, 2, 1]]],
        ["+", row("a"), [[0, 0, 1]]],
        ["+", row("a"), [[0, 5, 0]]],
        ["+", row("file"), [[0, 10, 0]]],
        ["+", row("a"), [[0, 5, 1]]],
        ["+", row("a"), ["b"]],
    ],
)
def test_refused_steps(line: list[object]) -> None:
    """
    Steps that would make what can't be, lead out of the tree, or build on what isn't there are refused.
    """
    before = tree(
        Entry(b"file", FILE, size=5, segments=(Segment(0, 5, 1, 0),)), Entry(b"link", SYMLINK, target=b"/etc")
    )

    with pytest.raises(StreamCorrupt):
        taken(before, json.dumps(line).encode(), 0, 2)


def test_no_steps() -> None:
    """
    Without steps a tree stays what it is.
    """
    assert taken(tree(ODD), b"", 0, 1) == (tree(ODD), [])


def test_no_root() -> None:
    """
    A tree has a root.
    """
    assert list(complaints({})) == ["The tree has no root"]


@given(lengths=st.lists(st.integers(1, 9), max_size=6), skip=st.integers(0, 40), limit=st.integers(1, 7))
def test_data_parts(lengths: list[int], skip: int, limit: int) -> None:
    """
    Data is cut into parts of a size, all full but the last, and nothing is lost but what was skipped.
    """
    data, at = [], 0
    for length in lengths:
        data.append(Segment(0, length, 1, at))
        at += length

    parts = list(data_parts(data, skip, limit))

    positions = [part.pack_offset + n for group in parts for part in group for n in range(part.length)]
    assert positions == list(range(min(skip, at), at))
    assert all(sum(part.length for part in group) == limit for group in parts[:-1])


def test_state() -> None:
    """
    A record is read as it was written.
    """
    assert parsed_state(state_bytes(STATE), "here") == STATE


def test_record_of_before() -> None:
    """
    A record that does not say how large the live tree was is read all the same.
    """
    before = state_bytes(STATE).replace(b',\n "live_bytes": 12', b"")

    assert parsed_state(before, "here") == STATE.set(live_bytes=0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        state_bytes(STATE).replace(b'"version": 1', b'"version": 2'),
        state_bytes(STATE).replace(b'"owner"', b'"king"'),
        state_bytes(STATE).replace(b'"epoch"', b'"epoche"'),
        state_bytes(STATE).replace(b'"epoch": 7', b'"epoch": "7"'),
    ],
)
def test_unreadable_state(content: bytes) -> None:
    """
    A damaged or newer record is refused, and the message says where it is.
    """
    with pytest.raises(RecordUnreadable, match="here"):
        parsed_state(content, "here")


def test_snapshot_of_state() -> None:
    """
    A record knows its snapshots by GUID, and no others.
    """
    assert STATE.snapshot(Guid(2**64 - 1)).name == "x"
    with pytest.raises(SnapshotMissing, match="17"):
        STATE.snapshot(Guid(17))


def test_ages() -> None:
    """
    Bookmarks count among what has an age.
    """
    assert (STATE.ages, STATE.packs, STATE.newest) == ({2**64 - 1: 3, 9: 2}, {1}, STATE.snapshots[0])


def test_newest_of_none() -> None:
    """
    Without snapshots there is no newest.
    """
    assert STATE.set(snapshots=pvector()).newest is None
