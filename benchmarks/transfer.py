"""
What the data plane costs: our transfer against a plain pipe and against the least that TLS between two processes takes.

All of it on one host, and the same stream each time, so only the ratios mean anything. With two cores or fewer the
processor is shared by both ends, and the sum of their costs decides.

    python -m benchmarks.transfer --size-mib 2048 --repeat 3
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, cast
from uuid import uuid4

from benchmarks.synthetic import SyntheticStorage
from flocker_agent.transfer.admission import Admitted
from flocker_agent.transfer.limits import TransferLimits
from flocker_agent.transfer.receive import ReceiveService
from flocker_agent.transfer.send import SendSession, SessionEnded
from flocker_py.assignment import SendTo
from flocker_py.credentials import Credential
from flocker_py.identity import NodeIdentity
from flocker_py.model import DatasetId, MoveId, NodeId, OverrunPolicy
from flocker_py.storage import Role, SendPlan, Storage
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from flocker_py.tls import transfer_client_context, transfer_server_context

MIB = 1 << 20
GIB = 1 << 30
# What a minimal pump uses: the largest pipe, and buffers that don't matter any more.
BUFFER_BYTES = 1 << 20
HEARTBEAT_SECONDS = 0.005
LEAST_BUFFER = TransferLimits(receive_buffer_bytes=2 * MIB)


@dataclass
class Run:
    """
    One way to carry the stream, once.

    :param processor_seconds: of both ends together.
    """

    seconds: float
    processor_seconds: float


def main() -> int:
    """
    Measure, print, and say by the exit status whether the aims are met.
    """
    parser = argparse.ArgumentParser(description="What the data plane costs, as ratios of one run.")
    parser.add_argument("--size-mib", type=int, default=2048, help="length of the stream (default 2048)")
    parser.add_argument("--repeat", type=int, default=3, help="rounds of all measurements; the median counts")
    parser.add_argument("--random", action="store_true", help="random bytes instead of zeros")
    parser.add_argument("--json", action="store_true", help="figures for programs")
    options = parser.parse_args()
    size_bytes = options.size_mib * MIB
    with tempfile.TemporaryDirectory() as folder:
        cluster = make_cluster(Path(folder))
        ways: dict[str, Callable[[], Run]] = {
            "plain pipe": lambda: plain_pipe(size_bytes, random=options.random),
            "minimal TLS pump": lambda: minimal_pump(cluster, size_bytes, random=options.random),
            "ours": lambda: ours(cluster, size_bytes, random=options.random),
            "ours, buffer of 2 MiB": lambda: ours(cluster, size_bytes, random=options.random, limits=LEAST_BUFFER),
        }
        runs: dict[str, list[Run]] = {name: [] for name in ways}
        # Round by round, so that a busy moment of the machine hits all ways alike.
        for _ in range(options.repeat):
            for name, way in ways.items():
                runs[name].append(way())
        gaps_seconds = longest_gaps(cluster, size_bytes, random=options.random)
    report(runs, gaps_seconds, size_bytes, as_json=options.json)
    return 0


def report(runs: dict[str, list[Run]], gaps_seconds: tuple[float, float], size_bytes: int, *, as_json: bool) -> None:
    """
    Print what was measured.
    """
    rates = {name: size_bytes / statistics.median(run.seconds for run in all_runs) for name, all_runs in runs.items()}
    pairs = list(zip(runs["minimal TLS pump"], runs["ours"], strict=True))
    ratio = statistics.median(pump.seconds / own.seconds for pump, own in pairs)
    processor_ratio = statistics.median(pump.processor_seconds / own.processor_seconds for pump, own in pairs)
    if as_json:
        figures = {
            "cores": os.cpu_count(),
            "size_bytes": size_bytes,
            "bytes_per_second": rates,
            "ours_by_minimal_pump": ratio,
            "ours_by_minimal_pump_in_processor_time": processor_ratio,
            "longest_heartbeat_gap_seconds": gaps_seconds[0],
            "longest_heartbeat_gap_seconds_while_another_process_sends": gaps_seconds[1],
        }
        print(json.dumps(figures, indent=2))
        return
    print(f"{size_bytes / GIB:.1f} GiB, {os.cpu_count()} cores, median of {len(runs['ours'])}")
    for name, all_runs in runs.items():
        processor = statistics.median(run.processor_seconds for run in all_runs) / (size_bytes / GIB)
        print(
            f"  {name:<22}{rates[name] / MIB:8.0f} MiB/s   {processor:5.2f} processor s/GiB"
            f"   {rates[name] / rates['plain pipe']:5.2f} of the pipe"
        )
    print(
        f"  ours / minimal TLS pump: {ratio:.2f} (aim: 0.90 or more), by processor time {processor_ratio:.2f}; "
        "each repetition's own ratio, median"
    )
    own_gap, other_gap = (seconds * 1000 for seconds in gaps_seconds)
    print(
        f"  longest gap between heartbeats of a reactor in the sender's process: {own_gap:.0f} ms (aim: < 50); "
        f"while another process sends: {other_gap:.0f} ms"
    )


def plain_pipe(size_bytes: int, *, random: bool) -> Run:
    """
    The stream through a pipe from one process to another.
    """

    def receive(read: int, done: Connection) -> None:
        target = SyntheticStorage()
        done.send(None)
        target.receive(DatasetId(uuid4()), read)
        done.send(time.process_time())

    reading, writing = os.pipe()
    enlarge(writing)
    source, dataset_id, plan = prepared(size_bytes, random=random)
    with Child(receive, reading, close=(writing,)) as child:
        os.close(reading)
        begin, processor = time.monotonic(), time.process_time()
        source.send(dataset_id, plan, writing)
        os.close(writing)
        child_seconds = child.answer()
        return Run(time.monotonic() - begin, time.process_time() - processor + child_seconds)


def minimal_pump(cluster: ClusterCertificates, size_bytes: int, *, random: bool) -> Run:
    """
    The stream from a pipe into a blocking TLS socket, and in another process out of one into a pipe.
    """

    def receive(listener: socket.socket, done: Connection) -> None:
        target = SyntheticStorage()
        reading, writing = os.pipe()
        enlarge(writing)
        backend = threading.Thread(target=target.receive, args=(DatasetId(uuid4()), reading))
        backend.start()
        done.send(None)
        plain, _ = listener.accept()
        with transfer_server_context(cluster.nodes[1]).wrap_socket(plain, server_side=True) as connection:
            buffer = memoryview(bytearray(BUFFER_BYTES))
            filled = 0
            while True:
                received = connection.recv_into(buffer[filled:])
                filled += received
                if not received or filled == len(buffer):
                    write_all(writing, buffer[:filled])
                    filled = 0
                if not received:
                    break
            os.close(writing)
            backend.join()
            done.send(time.process_time())

    source, dataset_id, plan = prepared(size_bytes, random=random)
    with socket.create_server(("127.0.0.1", 0)) as listener, Child(receive, listener) as child:
        begin, processor = time.monotonic(), time.process_time()
        plain = socket.create_connection(listener.getsockname())
        reading, writing = os.pipe()
        enlarge(writing)

        def send() -> None:
            source.send(dataset_id, plan, writing)
            os.close(writing)

        backend = threading.Thread(target=send)
        backend.start()
        with transfer_client_context(cluster.nodes[0]).wrap_socket(plain) as connection:
            buffer = memoryview(bytearray(BUFFER_BYTES))
            while read := os.readv(reading, [buffer]):
                connection.sendall(buffer[:read])
        os.close(reading)
        backend.join()
        child_seconds = child.answer()
        return Run(time.monotonic() - begin, time.process_time() - processor + child_seconds)


def ours(cluster: ClusterCertificates, size_bytes: int, *, random: bool, limits: TransferLimits | None = None) -> Run:
    """
    The stream from one agent's data plane to another's.
    """
    source, dataset_id, plan = prepared(size_bytes, random=random)
    with Receiver(cluster.nodes[1], limits) as receiver:
        begin, processor = time.monotonic(), time.process_time()
        ended = send_whole(cluster.nodes[0], source, dataset_id, plan, receiver.target)
        seconds = time.monotonic() - begin
        if ended.error is not None:
            raise ended.error
        return Run(seconds, time.process_time() - processor + receiver.processor_seconds())


def longest_gaps(cluster: ClusterCertificates, size_bytes: int, *, random: bool) -> tuple[float, float]:
    """
    The longest time between two calls of a reactor that wants one every few milliseconds: while its own process sends,
    and, to compare with, while another process does the same.
    """
    from twisted.internet import reactor as installed
    from twisted.internet.task import LoopingCall

    reactor: Any = installed
    beats: list[float] = []
    turns: list[float] = []

    def send_here(receiver: Receiver) -> None:
        source, dataset_id, plan = prepared(size_bytes, random=random)
        send_whole(cluster.nodes[0], source, dataset_id, plan, receiver.target)

    def send_elsewhere(receiver: Receiver, done: Connection) -> None:
        done.send(None)
        done.recv()
        send_here(receiver)
        done.send(None)

    with Receiver(cluster.nodes[1]) as receiver, Child(send_elsewhere, receiver) as other:

        def send() -> None:
            other.tell()
            other.answer()
            turns.append(time.monotonic())
            send_here(receiver)
            reactor.callFromThread(reactor.stop)

        sender = threading.Thread(target=send)
        reactor.callWhenRunning(sender.start)
        # Every beat: what a LoopingCall skips when it is late would be invisible.
        LoopingCall(lambda: beats.append(time.monotonic())).start(HEARTBEAT_SECONDS)
        reactor.run()
        sender.join()
    gaps = [(late, late - early) for early, late in pairwise(beats)]
    return max(gap for at, gap in gaps if at > turns[0]), max(gap for at, gap in gaps if at <= turns[0])


def prepared(size_bytes: int, *, random: bool) -> tuple[SyntheticStorage, DatasetId, SendPlan]:
    """
    A released dataset whose one snapshot's stream is so long.
    """
    storage = SyntheticStorage(random=random)
    dataset_id = DatasetId(uuid4())
    storage.create(dataset_id, role=Role.OWNER, epoch=1)
    storage.write(dataset_id, size_bytes)
    guid = storage.snapshot(dataset_id, "final").guid
    storage.set_role(dataset_id, role=Role.RELEASED, epoch=1)
    return storage, dataset_id, SendPlan(to_guid=guid)


def send_whole(
    credential: Credential, source: SyntheticStorage | Storage, dataset_id: DatasetId, plan: SendPlan, receiver: Target
) -> SessionEnded:
    """
    Send a released dataset, and say how it ended.
    """
    outcome: list[SessionEnded] = []
    session = SendSession(
        cast(Storage, source),
        dataset_id,
        send_to=SendTo(
            move_id=MoveId(uuid4()),
            target=receiver.node_id,
            address="127.0.0.1",
            port=receiver.port,
            max_downtime_seconds=2.0,
            on_overrun=OverrunPolicy.GIVE_UP,
        ),
        epoch=1,
        node_id=node_id(credential),
        credential=credential,
        on_change=lambda news: outcome.append(news) if isinstance(news, SessionEnded) else None,
        final_guid=plan.to_guid,
    )
    session.start()
    session.join()
    return outcome[0]


class Target(NamedTuple):
    """
    Where a receiver listens, and who it is.
    """

    node_id: NodeId
    port: int


def node_id(credential: Credential) -> NodeId:
    """
    Whose credential it is.
    """
    assert isinstance(credential.identity, NodeIdentity)
    return credential.identity.node_id


class Child:
    """
    A forked process that says when it is ready and then, with one number, when it is through.
    """

    def __init__(self, target: Callable[[Any, Connection], None], argument: Any, close: tuple[int, ...] = ()) -> None:
        self._here, there = Pipe()

        def run() -> None:
            for descriptor in close:
                os.close(descriptor)
            target(argument, there)

        self._process = get_context("fork").Process(target=run)
        self._process.start()
        there.close()
        self._here.recv()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.join()

    def tell(self) -> None:
        """
        Let it go on.
        """
        self._here.send(None)

    def answer(self) -> Any:
        """
        What it said next.
        """
        return self._here.recv()


class Receiver:
    """
    The transfer port of an agent, in a process of its own.
    """

    def __init__(self, credential: Credential, limits: TransferLimits | None = None) -> None:
        def serve(_: None, done: Connection) -> None:
            service = ReceiveService(
                cast(Storage, SyntheticStorage()),
                credential,
                admission=lambda *_: Admitted(),
                on_change=lambda _: None,
                limits=limits,
            )
            port = service.start("127.0.0.1", 0)
            begin = time.process_time()
            done.send(None)
            done.send(port)
            done.recv()
            done.send(time.process_time() - begin)
            service.stop()

        self.node_id = node_id(credential)
        self._child = Child(serve, None)
        self.port: int = self._child.answer()
        self._seconds = 0.0

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._seconds = self._end()
        self._child.__exit__()

    @property
    def target(self) -> Target:
        """
        For a sender.
        """
        return Target(self.node_id, self.port)

    def processor_seconds(self) -> float:
        """
        What it has spent; it ends with that.
        """
        self._seconds = self._end()
        return self._seconds

    def _end(self) -> float:
        if not self._seconds:
            self._child.tell()
            self._seconds = self._child.answer()
        return self._seconds


def enlarge(pipe: int) -> None:
    """
    Give a pipe all the room there is.
    """
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, BUFFER_BYTES)


def write_all(pipe: int, view: memoryview) -> None:
    """
    Write all of it.
    """
    while view:
        view = view[os.write(pipe, view) :]


if __name__ == "__main__":
    sys.exit(main())
