"""
How much of a stream is sent twice when its connection is cut, on real pools.

A stream is sent once as it is, then once for each cut: over a link that resets its connection after so many bytes, and
again over the next one. What the sessions of a cut stream sent together, less what the whole one took, was sent twice.

    python -m benchmarks.resume --size-mib 1024 --cuts 50,90,99
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from flocker_agent.storage.directory import DirectoryStorage
from flocker_agent.transfer.admission import Admitted
from flocker_agent.transfer.receive import ReceiveService
from flocker_agent.transfer.send import SendSession, SessionEnded
from flocker_py.assignment import SendTo
from flocker_py.credentials import Credential
from flocker_py.identity import NodeIdentity
from flocker_py.model import DatasetId, Guid, MoveId, NodeId, OverrunPolicy
from flocker_py.observed import SendProgress
from flocker_py.storage import Role, Storage
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from tests.relay import Failing, Fault, Relay, Way
from tests.zfs.pools import temporary_pool

MIB = 1 << 20
EPOCH = 1


@dataclass(frozen=True)
class Cut:
    """
    One stream that was cut.

    :ivar at: after which part of it.
    :ivar whole_bytes: what the stream takes if it isn't cut.
    :ivar sent_bytes: what it took.
    :ivar seconds: of both sessions, with what it took to notice.
    """

    at: float
    whole_bytes: int
    sent_bytes: int
    seconds: float

    @property
    def twice_bytes(self) -> int:
        """
        What was sent twice.
        """
        return max(0, self.sent_bytes - self.whole_bytes)


def main() -> int:
    """
    Measure, and print a table.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["directory", "zfs"], default="directory")
    parser.add_argument("--size-mib", type=int, default=1024, help="of the stream (default 1024)")
    parser.add_argument("--cuts", default="50,90,99", help="per cent of it (default 50,90,99)")
    parser.add_argument("--folder", type=Path, default=None, help="for the pools; default: a temporary one")
    parser.add_argument("--json", action="store_true", help="figures for programs")
    options = parser.parse_args()
    parts = [int(part) / 100 for part in options.cuts.split(",")]
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        with pools(options.backend, folder, options.size_mib) as (source, target):
            cuts = list(measured(make_cluster(folder / "certificates"), source, target, options.size_mib, parts))
    if options.json:
        json.dump([{**asdict(cut), "twice_bytes": cut.twice_bytes} for cut in cuts], sys.stdout, indent=2)
        return 0
    print(f"{options.backend}: a stream of {cuts[0].whole_bytes / MIB:.1f} MiB")
    for cut in cuts:
        print(
            f"  cut after {cut.at:4.0%}: {cut.twice_bytes / MIB:6.2f} MiB sent twice,"
            f" {cut.twice_bytes / cut.whole_bytes:.2%} of the whole ({cut.seconds:.1f} s)"
        )
    return 0


@contextmanager
def pools(backend: str, folder: Path, size_mib: int) -> Iterator[tuple[Storage, Storage]]:
    """
    Two empty pools with room for a dataset.
    """
    if backend == "directory":
        for name in ("a", "b"):
            (folder / name).mkdir()
        yield (
            DirectoryStorage(folder / "a" / "pool", folder / "a" / "flocker"),
            DirectoryStorage(folder / "b" / "pool", folder / "b" / "flocker"),
        )
        return
    # Only here: its library is not on every host.
    from flocker_agent.storage.zfs import ZfsStorage

    # Of a pool on so small a disk, ZFS keeps a part for itself.
    room_bytes = (size_mib * 5 // 4 + 256) * MIB
    with ExitStack() as undo:
        names = [undo.enter_context(temporary_pool(room_bytes, folder=folder)).name for _ in range(2)]
        yield ZfsStorage(names[0], folder / "a"), ZfsStorage(names[1], folder / "b")


def measured(
    certificates: ClusterCertificates, source: Storage, target: Storage, size_mib: int, parts: list[float]
) -> Iterator[Cut]:
    """
    Send one dataset again and again, cut after each of some parts of it.
    """
    dataset_id, guid = released(source, size_mib)
    receiver = ReceiveService(target, certificates.nodes[1], admission=lambda *_: Admitted(), on_change=lambda _: None)
    port = receiver.start("127.0.0.1", 0)

    def sent(relay: Relay) -> SessionSent:
        ended = session(certificates, source, dataset_id, guid, relay.port)
        # What had come is kept before the target takes another connection for the dataset.
        while receiver.active():
            time.sleep(0.01)
        return ended

    try:
        whole_bytes = 0
        for part in [1.0, *parts]:
            faults = [] if part == 1.0 else [[Fault(Way.THERE, int(part * whole_bytes), Failing.RESET)]]
            began = time.monotonic()
            with Relay("127.0.0.1", port, faults=faults) as relay:
                sessions = [sent(relay) for _ in range(1 + len(faults))]
            seconds = time.monotonic() - began
            if [one.acknowledged for one in sessions] != [False] * len(faults) + [True]:
                raise RuntimeError(f"cut at {part}, it went otherwise: {sessions}")
            sent_bytes = sum(one.sent_bytes for one in sessions)
            target.destroy(dataset_id)
            if faults:
                yield Cut(at=part, whole_bytes=whole_bytes, sent_bytes=sent_bytes, seconds=seconds)
            else:
                whole_bytes = sent_bytes
    finally:
        receiver.stop()


def released(source: Storage, size_mib: int) -> tuple[DatasetId, Guid]:
    """
    A dataset full of what can't be compressed, with its final snapshot.
    """
    dataset_id = DatasetId(uuid4())
    source.create(dataset_id, role=Role.OWNER, epoch=EPOCH)
    path = source.mount(dataset_id)
    # As databases do: some large files, and many small ones.
    for number in range(size_mib // 64 or 1):
        with (path / f"large-{number}").open("wb") as file:
            for _ in range(min(60, size_mib)):
                file.write(os.urandom(MIB))
        for small in range(64):
            (path / f"small-{number}-{small}").write_bytes(os.urandom(MIB // 16))
    source.unmount(dataset_id)
    source.set_role(dataset_id, role=Role.RELEASED, epoch=EPOCH)
    return dataset_id, source.snapshot(dataset_id, "final").guid


@dataclass(frozen=True)
class SessionSent:
    """
    How a session ended, and how much it had sent by then.
    """

    sent_bytes: int
    acknowledged: bool
    error: Exception | None


def session(
    certificates: ClusterCertificates, source: Storage, dataset_id: DatasetId, guid: Guid, port: int
) -> SessionSent:
    """
    One session, from its beginning to its end.
    """
    progress: list[SendProgress] = []
    ended: list[SessionEnded] = []

    def tell(news: SendProgress | SessionEnded) -> None:
        match news:
            case SendProgress():
                progress.append(news)
            case SessionEnded():
                ended.append(news)

    sending = SendSession(
        source,
        dataset_id,
        send_to=SendTo(
            move_id=MoveId(uuid4()),
            target=_node_id(certificates.nodes[1]),
            address="127.0.0.1",
            port=port,
            max_downtime_seconds=2.0,
            on_overrun=OverrunPolicy.GIVE_UP,
        ),
        epoch=EPOCH,
        node_id=_node_id(certificates.nodes[0]),
        credential=certificates.nodes[0],
        on_change=tell,
        final_guid=guid,
    )
    sending.start()
    sending.join()
    return SessionSent(
        sent_bytes=progress[-1].sent_bytes if progress else 0,
        acknowledged=ended[0].acknowledged_guid == guid,
        error=ended[0].error,
    )


def _node_id(credential: Credential) -> NodeId:
    assert isinstance(credential.identity, NodeIdentity)
    return credential.identity.node_id


if __name__ == "__main__":
    sys.exit(main())
