"""
Transfers over connections that fail at any byte: in the handshake, in a header, in the data, in the last answer.

Every session ends by itself, the next ones get to the end, and what was acknowledged is there, whole.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from flocker_py.errors import FlockerError
from flocker_py.model import DatasetId
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from tests.integration.transfer_nodes import (
    DEADLINE_SECONDS,
    IMPATIENT,
    DirectoryPoolInUse,
    MemoryPoolInUse,
    Pool,
    Sending,
    TransferNode,
    eventually,
    noise,
)
from tests.relay import Failing, Fault, Relay, Way, random_fault

# All of it is for `make test-faults`.
LONG = os.environ.get("FLOCKER_FAULTS") == "all"
SEEDS = range(1000 if LONG else 12)
# Between two offsets of the sweep; a prime, so that they don't fall on the same place of each record.
STRIDE = 1 if LONG else 211
# Noticed by their clocks alone, so they are tried side by side.
AT_ONCE = 24
# Longer than so many of them, in this one process, keep one waiting on a busy machine.
LIMITS = IMPATIENT.set(silence_seconds=6.0, handshake_seconds=6.0, receiving=AT_ONCE, strangers=2 * AT_ONCE)
MOST_SESSIONS = 8
# Signatures of a handshake are not always equally long, so one connection may end some bytes before another.
VARIATION_BYTES = 64
CONTENT = noise(2000, 7)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    Certificates of two nodes.
    """
    return make_cluster(tmp_path_factory.mktemp("cluster"), node_ids=[uuid4() for _ in range(2)])


class Pair:
    """
    Two nodes.
    """

    def __init__(self, cluster: ClusterCertificates, new_pool: Callable[[], Pool]) -> None:
        self.source = TransferNode(new_pool(), cluster.nodes[0], limits=LIMITS)
        self.target = TransferNode(new_pool(), cluster.nodes[1], limits=LIMITS)

    def relay(self, *faults: Fault) -> Relay:
        """
        A link from source to target, on which one connection after the other fails.
        """
        return Relay("127.0.0.1", self.target.port, faults=[[fault] for fault in faults])

    def carry(self, content: bytes, relay: Relay) -> list[Sending]:
        """
        Send a dataset over a link until the target has all of it.
        """
        source, target = self.source, self.target
        dataset_id = source.owned(content)
        final_guid = source.release(dataset_id)
        sessions: list[Sending] = []
        while not sessions or sessions[-1].outcome().error is not None:
            assert len(sessions) < MOST_SESSIONS, [one.outcome().error for one in sessions]
            sessions.append(Sending(source, dataset_id, target, port=relay.port, final_guid=final_guid))
            outcome = sessions[-1].outcome()
            error = outcome.error
            eventually(lambda: dataset_id not in target.service.active(), "the receiver noticed, too")

            assert error is None or (isinstance(error, FlockerError) and not error.lasting), error
            assert outcome.acknowledged_guid is None or outcome.acknowledged_guid in target.guids(dataset_id)
        self.check(dataset_id, content)
        return sessions

    def check(self, dataset_id: DatasetId, content: bytes) -> None:
        """
        The target has it all, and no part of anything else.
        """
        stored = self.target.pool.storage.dataset(dataset_id)

        assert (stored.partial, stored.resume_token, len(stored.snapshots)) == (False, None, 1)
        assert self.target.take_over(dataset_id) == {"0": content}
        self.target.pool.storage.unmount(dataset_id)

    def sizes(self, content: bytes) -> dict[Way, int]:
        """
        What a connection carries when nothing fails.
        """
        with self.relay() as relay:
            self.carry(content, relay)
            return dict(relay.carried[0].bytes)

    def stop(self) -> None:
        """
        Close the ports.
        """
        assert self.source.service.stop(DEADLINE_SECONDS)
        assert self.target.service.stop(DEADLINE_SECONDS)


@pytest.fixture(scope="module", params=["memory", "directory"] if LONG else ["memory"])
def pair(
    request: pytest.FixtureRequest, cluster: ClusterCertificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """
    Two nodes with pools of either kind.
    """

    def new_pool() -> Pool:
        folder: Path = tmp_path_factory.mktemp("pool")
        return MemoryPoolInUse() if request.param == "memory" else DirectoryPoolInUse(folder)

    pair = Pair(cluster, new_pool)
    yield pair
    pair.stop()


@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("failing", [Failing.RESET, Failing.CLOSED, Failing.TURNED])
@pytest.mark.parametrize("way", list(Way))
def test_one_fault_at_any_byte(pair: Pair, way: Way, failing: Failing) -> None:
    """
    Wherever one connection fails, the next one brings the rest.
    """
    size_bytes = pair.sizes(CONTENT)[way]
    for at_byte in range(0, size_bytes, STRIDE):
        with pair.relay(Fault(way, at_byte, failing, bit=at_byte % 8)) as relay:
            pair.carry(CONTENT, relay)

            assert relay.carried[0].failed or at_byte > size_bytes - VARIATION_BYTES, f"nothing failed at {at_byte}"


@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("way", list(Way))
def test_silence_at_any_byte(pair: Pair, way: Way) -> None:
    """
    A host that vanishes without a word, at whatever byte, is noticed by the other one.
    """

    def silent(at_byte: int) -> None:
        with pair.relay(Fault(way, at_byte, Failing.SILENT)) as relay:
            pair.carry(CONTENT, relay)

            assert relay.carried[0].failed or at_byte > size_bytes - VARIATION_BYTES, f"nothing failed at {at_byte}"

    size_bytes = pair.sizes(CONTENT)[way]
    with ThreadPoolExecutor(AT_ONCE) as side_by_side:
        list(side_by_side.map(silent, range(0, size_bytes, 7 if LONG else size_bytes // AT_ONCE)))


@pytest.mark.parametrize(
    ("failing", "told"),
    [(Failing.RESET, "PeerLost"), (Failing.CLOSED, "PeerLost"), (Failing.SILENT, "PeerSilent")],
)
@pytest.mark.parametrize("way", list(Way))
def test_a_broken_handshake_is_the_networks_fault(pair: Pair, way: Way, failing: Failing, told: str) -> None:
    """
    Where the network fails in the midst of the TLS handshake, nobody is sent to look at certificates.
    """
    with pair.relay(Fault(way, 300, failing)) as relay:
        sessions = pair.carry(CONTENT, relay)

    assert [session.error() for session in sessions] == [told, None]


@pytest.mark.parametrize("seed", SEEDS)
def test_many_faults(pair: Pair, seed: int) -> None:
    """
    One connection after the other fails somewhere, and the transfer gets to its end.
    """
    chance = random.Random(seed)
    content = chance.randbytes(chance.choice([100, 10_000, 300_000, 3_000_000]))
    sizes = {Way.THERE: len(content) + 6000, Way.BACK: 4000}
    failings = [Failing.RESET, Failing.CLOSED, Failing.TURNED]
    with pair.relay(*(random_fault(chance, sizes, failings) for _ in range(4))) as relay:
        pair.carry(content, relay)
