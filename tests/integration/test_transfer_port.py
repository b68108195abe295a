"""
What the transfer port makes of callers that are not what they should be.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from pyrsistent import pvector

from flocker_agent.transfer.channel import Channel
from flocker_agent.transfer.errors import PeerTrustless
from flocker_agent.transfer.limits import TransferLimits
from flocker_agent.transfer.wake import Wake
from flocker_py.credentials import Credential
from flocker_py.identity import NodeIdentity
from flocker_py.model import DatasetId, Guid, MoveId, NodeId
from flocker_py.storage import SendPlan, StreamCut
from flocker_py.streams import (
    DATA_LIMIT_BYTES,
    HEADER_BYTES,
    HELLO_LIMIT_BYTES,
    PROTOCOL,
    AbortPartial,
    Accept,
    Alive,
    End,
    Hello,
    Message,
    Offer,
    Refusal,
    Result,
    State,
    frame,
    header,
    message,
    write_data_header,
)
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from flocker_py.testing.storage_pools import receive_bytes, resume_token, stream_of
from flocker_py.tls import transfer_client_context
from tests.integration.transfer_nodes import (
    DEADLINE_SECONDS,
    EPOCH,
    IMPATIENT,
    MemoryPoolInUse,
    Sending,
    TransferNode,
    eventually,
    noise,
)

MIB = 1 << 20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    A cluster of three nodes.
    """
    return make_cluster(tmp_path_factory.mktemp("cluster"), node_ids=[uuid4() for _ in range(3)])


@pytest.fixture
def target(cluster: ClusterCertificates) -> Iterator[TransferNode]:
    """
    The node whose port it is.
    """
    node = TransferNode(MemoryPoolInUse(), cluster.nodes[1])
    yield node
    assert node.service.stop(DEADLINE_SECONDS)


@pytest.fixture
def impatient(cluster: ClusterCertificates) -> Iterator[TransferNode]:
    """
    Another, which bears no long silence, and few strangers.
    """
    node = TransferNode(MemoryPoolInUse(), cluster.nodes[2], limits=IMPATIENT.set(strangers=4))
    yield node
    assert node.service.stop(DEADLINE_SECONDS)


@pytest.fixture
def source(cluster: ClusterCertificates) -> Iterator[TransferNode]:
    """
    A node that does as it should.
    """
    node = TransferNode(MemoryPoolInUse(), cluster.nodes[0])
    yield node
    assert node.service.stop(DEADLINE_SECONDS)


class Caller:
    """
    A node that says what it likes.
    """

    def __init__(self, target: TransferNode, credential: Credential) -> None:
        assert isinstance(credential.identity, NodeIdentity)
        self.node_id: NodeId = credential.identity.node_id
        plain = socket.create_connection(("127.0.0.1", target.port), DEADLINE_SECONDS)
        self._connection = transfer_client_context(credential).wrap_socket(plain)

    def close(self) -> None:
        """
        Hang up.
        """
        self._connection.close()

    def raw(self, octets: bytes) -> None:
        """
        Send anything.
        """
        self._connection.sendall(octets)

    def say(self, *messages: Message) -> None:
        """
        Send messages.
        """
        self.raw(b"".join(frame(one) for one in messages))

    def data(self, stream: bytes) -> None:
        """
        Send pieces of a stream.
        """
        for begin in range(0, len(stream), 100_000):
            piece = stream[begin : begin + 100_000]
            octets = bytearray(HEADER_BYTES)
            write_data_header(octets, len(piece))
            self.raw(bytes(octets) + piece)

    def hello(self, dataset_id: DatasetId | None = None) -> Hello:
        """
        What a well-behaved sender says first.
        """
        return Hello(
            dataset_id=DatasetId(uuid4()) if dataset_id is None else dataset_id,
            epoch=EPOCH,
            move_id=MoveId(uuid4()),
            sender=self.node_id,
        )

    def hear(self) -> Message | None:
        """
        What the port says next, ``Alive`` left out; None: it hung up.
        """
        while True:
            try:
                _, size_bytes = header(self._exactly(HEADER_BYTES))
                heard = message(self._exactly(size_bytes))
            except (EOFError, ConnectionError, ssl.SSLError):
                return None
            if not isinstance(heard, Alive):
                return heard

    def _exactly(self, size_bytes: int) -> bytes:
        octets = b""
        while len(octets) < size_bytes:
            more = self._connection.recv(size_bytes - len(octets))
            if not more:
                raise EOFError
            octets += more
        return octets


@pytest.fixture
def caller(cluster: ClusterCertificates, target: TransferNode) -> Iterator[Caller]:
    """
    A node of the cluster that is connected to the port.
    """
    caller = Caller(target, cluster.nodes[0])
    yield caller
    caller.close()


@contextmanager
def plain_call(target: TransferNode) -> Iterator[socket.socket]:
    """
    A connection without TLS.
    """
    with socket.create_connection(("127.0.0.1", target.port), DEADLINE_SECONDS) as connection:
        yield connection


def hung_up(connection: socket.socket) -> bool:
    """
    Whether the other side closes the connection, after whatever it says.
    """
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass
    return True


def serves(source: TransferNode, target: TransferNode) -> bool:
    """
    Whether the port still does its work.
    """
    dataset_id = source.owned(b"content")
    final_guid = source.release(dataset_id)
    Sending(source, dataset_id, target, final_guid=final_guid).outcome()
    return target.guids(dataset_id) == [final_guid]


class TestStrangers:
    """
    Callers that are no nodes of the cluster.
    """

    @pytest.mark.parametrize(
        "octets",
        [
            pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="http"),
            pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="ssh"),
            pytest.param(b"\x16\x03\x01\xff\xff" + b"\x00" * 100_000, id="like tls"),
            pytest.param(noise(100_000, 1), id="noise"),
        ],
    )
    def test_garbage_is_hung_up_on(self, source: TransferNode, target: TransferNode, octets: bytes) -> None:
        """
        Whatever comes instead of TLS ends that connection, and no other.
        """
        with plain_call(target) as connection:
            try:
                connection.sendall(octets)
            except ConnectionError:
                pass
            closed = hung_up(connection)

        assert (closed, serves(source, target)) == (True, True)

    def test_silence_is_hung_up_on(self, source: TransferNode, impatient: TransferNode) -> None:
        """
        Who says nothing does not keep a place for long.
        """
        with plain_call(impatient) as connection:
            closed = hung_up(connection)

        assert (closed, serves(source, impatient)) == (True, True)

    def test_one_byte_at_a_time_is_hung_up_on(self, impatient: TransferNode) -> None:
        """
        The time for the handshake is for all of it, not for each byte.
        """
        with plain_call(impatient) as connection:
            connection.settimeout(0.05)
            sent = 0
            closed = False
            while not closed and sent < 2000:
                try:
                    connection.sendall(b"\x16\x03\x01\x20\x00"[sent : sent + 1] or b"\x00")
                    sent += 1
                    closed = connection.recv(4096) == b""
                except TimeoutError:
                    pass
                except ConnectionError:
                    closed = True

        assert closed

    def test_strangers_do_not_fill_the_port(self, source: TransferNode, impatient: TransferNode) -> None:
        """
        Beyond a number, strangers are hung up on at once; those that were silent make room in time.
        """
        connections = [socket.create_connection(("127.0.0.1", impatient.port)) for _ in range(20)]
        closed = [hung_up(connection) for connection in connections]
        for connection in connections:
            connection.close()

        assert (all(closed), serves(source, impatient)) == (True, True)

    def test_strangers_leave_nothing_open(self, impatient: TransferNode) -> None:
        """
        However many callers are hung up on, no descriptor is left behind.
        """
        with plain_call(impatient) as connection:
            hung_up(connection)
        before = len(list(Path("/proc/self/fd").iterdir()))
        connections = [socket.create_connection(("127.0.0.1", impatient.port)) for _ in range(20)]
        for connection in connections:
            hung_up(connection)
            connection.close()

        eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before, "all descriptors are closed")

    @pytest.mark.parametrize("who", ["user", "control", "nobody", "another cluster's node"])
    def test_other_certificates_get_nowhere(
        self,
        who: str,
        cluster: ClusterCertificates,
        source: TransferNode,
        target: TransferNode,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        """
        A user, the control service, a caller without a certificate and other clusters' nodes are turned away.
        """
        context = transfer_client_context(cluster.nodes[0])
        match who:
            case "user":
                context = transfer_client_context(cluster.user)
            case "control":
                context = transfer_client_context(cluster.control)
            case "nobody":
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            case _:
                foreign = make_cluster(tmp_path_factory.mktemp("foreign")).nodes[0]
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                context.load_cert_chain(foreign.certificate_path, foreign.key_path)
        heard = b""
        with plain_call(target) as plain:
            try:
                with context.wrap_socket(plain) as connection:
                    connection.sendall(frame(Hello(dataset_id=_id(), epoch=1, move_id=_move(), sender=source.node_id)))
                    heard = connection.recv(4096)
            except (ssl.SSLError, ConnectionError):
                pass

        assert (heard, serves(source, target)) == (b"", True)

    def test_a_sender_with_a_foreign_certificate_says_so(
        self, source: TransferNode, target: TransferNode, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """
        A node with another cluster's certificate hears of the certificate, not of a connection that broke.
        """
        foreign = make_cluster(tmp_path_factory.mktemp("foreign")).nodes[0]
        sending = Sending(source, source.owned(b"x"), target, credential=foreign)

        assert sending.error() == "PeerTrustless"

    def test_a_refused_certificate_is_told_from_a_broken_link(self, target: TransferNode) -> None:
        """
        A caller whose certificate the port refuses hears that it is the certificate.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        wake = Wake()
        with plain_call(target) as plain, context.wrap_socket(plain) as connection:
            channel = Channel(connection, wake=wake, check=lambda: None, silence_seconds=30.0, clock=time.monotonic)
            with pytest.raises(PeerTrustless):
                while channel.incoming() is None:
                    channel.wait(DEADLINE_SECONDS)
        wake.close()


class TestNodes:
    """
    Callers that are nodes, and say something wrong.
    """

    def test_a_node_speaks_for_itself_only(self, caller: Caller, target: TransferNode) -> None:
        """
        A sender that calls itself something else than its certificate does is refused.
        """
        caller.say(caller.hello().set(sender=target.node_id))
        heard = caller.hear()

        assert isinstance(heard, Refusal) and (heard.code, target.holds_nothing()) == ("ConversationBroken", True)

    def test_another_protocol_is_refused_by_name(self, caller: Caller) -> None:
        """
        A newer sender hears which protocol is spoken here.
        """
        caller.say(caller.hello().set(protocol=PROTOCOL + 1))
        heard = caller.hear()

        assert isinstance(heard, Refusal) and (heard.code, heard.lasting) == ("ProtocolUnknown", True)

    @pytest.mark.parametrize(
        "octets",
        [
            pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
            pytest.param(b"\x01FLK" + struct.pack("!I", HELLO_LIMIT_BYTES + 1), id="too large a hello"),
            pytest.param(b"\x02FLK" + struct.pack("!I", DATA_LIMIT_BYTES + 1), id="too large a piece"),
            pytest.param(b"\x02FLK" + struct.pack("!I", 5) + b"piece", id="data first"),
            pytest.param(b"\x01FLK" + struct.pack("!I", 2) + b"{}", id="no message"),
            pytest.param(frame(Accept()), id="out of turn"),
        ],
    )
    def test_wrong_first_words_are_refused(
        self, octets: bytes, caller: Caller, source: TransferNode, target: TransferNode
    ) -> None:
        """
        What is no Hello is answered with a refusal, and that was all.
        """
        caller.raw(octets)
        heard = caller.hear(), caller.hear()

        assert (isinstance(heard[0], Refusal), heard[1], serves(source, target)) == (True, None, True)

    def test_a_node_that_says_nothing_is_hung_up_on(
        self, cluster: ClusterCertificates, impatient: TransferNode
    ) -> None:
        """
        Knowing who somebody is does not keep him a place for long either.
        """
        caller = Caller(impatient, cluster.nodes[0])
        heard = caller.hear()
        caller.close()

        assert heard is None

    def test_data_without_an_offer_is_refused(self, caller: Caller) -> None:
        """
        Nothing is taken that was not offered.
        """
        caller.say(caller.hello())
        state = caller.hear()
        caller.data(b"surprise")
        heard = caller.hear()

        assert isinstance(state, State) and isinstance(heard, Refusal) and heard.code == "ConversationBroken"

    def test_answers_are_not_taken_for_offers(self, caller: Caller) -> None:
        """
        A message that belongs to the other side is refused.
        """
        caller.say(caller.hello())
        caller.hear()
        caller.say(Result(guid=Guid(1), newest_guid=Guid(1)))
        heard = caller.hear()

        assert isinstance(heard, Refusal) and heard.code == "ConversationBroken"

    def test_talk_in_the_middle_of_a_stream_is_refused(self, caller: Caller) -> None:
        """
        Between the pieces of a stream there is nothing to say.
        """
        offer = offer_of(Guid(1))
        caller.say(caller.hello(), offer)
        caller.hear()
        caller.hear()
        caller.say(offer)
        heard = caller.hear()

        assert isinstance(heard, Refusal) and heard.code == "ConversationBroken"

    def test_a_stream_that_is_none_is_refused(self, caller: Caller, source: TransferNode, target: TransferNode) -> None:
        """
        What the storage backend can't read is refused with its reason, and leaves nothing.
        """
        caller.say(caller.hello(), offer_of(Guid(1)))
        caller.hear()
        caller.hear()
        caller.data(noise(200_000, 3))
        caller.say(End(size_bytes=200_000))
        heard = caller.hear()

        assert isinstance(heard, Refusal) and (heard.code, serves(source, target)) == ("StreamCorrupt", True)

    def test_a_partial_that_no_stream_fits_is_not_kept(
        self, caller: Caller, source: TransferNode, target: TransferNode
    ) -> None:
        """
        Where going on with a partial receive fails for good, the next attempt begins anew instead of failing again.
        """
        dataset_id, guid, stream = whole_stream(source)
        with pytest.raises(StreamCut):
            receive_bytes(target.pool.storage, dataset_id, stream[: len(stream) // 2])
        caller.say(caller.hello(dataset_id))
        before = caller.hear()
        caller.say(offer_of(guid).set(resumed=True))
        caller.hear()
        caller.data(noise(1000, 4))
        caller.say(End(size_bytes=1000))
        heard = caller.hear()

        assert isinstance(before, State) and isinstance(heard, Refusal) and before.resume_token is not None
        assert (heard.code, resume_token(target.pool.storage, dataset_id)) == ("StreamCorrupt", None)

    def test_a_stream_that_ends_early_is_refused(self, caller: Caller, source: TransferNode) -> None:
        """
        An end marker does not make a whole of a part.
        """
        dataset_id, guid, stream = whole_stream(source)
        caller.say(caller.hello(dataset_id), offer_of(guid))
        caller.hear()
        caller.hear()
        caller.data(stream[: len(stream) // 2])
        caller.say(End(size_bytes=len(stream) // 2))
        heard = caller.hear()

        assert isinstance(heard, Refusal) and heard.code == "StreamCut"

    def test_a_wrong_count_is_refused(self, caller: Caller, source: TransferNode) -> None:
        """
        The end marker counts what came, or the stream is not confirmed.
        """
        dataset_id, guid, stream = whole_stream(source)
        caller.say(caller.hello(dataset_id), offer_of(guid))
        caller.hear()
        caller.hear()
        caller.data(stream)
        caller.say(End(size_bytes=len(stream) + 1))
        heard = caller.hear()

        assert isinstance(heard, Refusal) and heard.code == "StreamCorrupt"

    @pytest.mark.parametrize("more_bytes", [1, 3 * MIB])
    def test_more_than_a_stream_is_refused(self, more_bytes: int, caller: Caller, source: TransferNode) -> None:
        """
        What follows a whole stream is not ignored.
        """
        dataset_id, guid, stream = whole_stream(source)
        caller.say(caller.hello(dataset_id), offer_of(guid))
        caller.hear()
        caller.hear()
        caller.data(stream + bytes(more_bytes))
        caller.say(End(size_bytes=len(stream) + more_bytes))
        heard = caller.hear()

        assert isinstance(heard, Refusal) and heard.code == "StreamCorrupt"

    def test_a_whole_stream_is_confirmed(self, caller: Caller, source: TransferNode) -> None:
        """
        The same conversation without a mistake ends with the GUID re-read from the pool.
        """
        dataset_id, guid, stream = whole_stream(source)
        caller.say(caller.hello(dataset_id), offer_of(guid))
        caller.hear()
        caller.hear()
        caller.data(stream)
        caller.say(End(size_bytes=len(stream)))

        assert caller.hear() == Result(guid=guid, newest_guid=guid)

    def test_aborting_nothing_is_harmless(self, caller: Caller) -> None:
        """
        A sender that wants a partial receive thrown away hears the state again, whether there was one or not.
        """
        caller.say(caller.hello())
        before = caller.hear()
        caller.say(AbortPartial())
        after = caller.hear()

        assert isinstance(after, State) and (after.guids, after.resume_token, before) == (pvector(), None, after)

    def test_a_bad_log_id_is_harmless(self, caller: Caller) -> None:
        """
        Where another node's log goes on is not trusted to be anything in particular.
        """
        caller.say(caller.hello().set(task_id="../../etc/passwd\n{}"))

        assert isinstance(caller.hear(), State)


class TestStopping:
    """
    Closing the port.
    """

    def test_a_stopped_port_is_free(self, cluster: ClusterCertificates) -> None:
        """
        After stopping, another service can listen at the same port.
        """
        node = TransferNode(MemoryPoolInUse(), cluster.nodes[2])
        node.service.stop()
        with socket.create_server(("127.0.0.1", node.port)) as listener:
            found = listener.getsockname()[1]

        assert found == node.port

    def test_stopping_does_not_wait_for_the_silent(self, cluster: ClusterCertificates) -> None:
        """
        Neither callers in the handshake nor transfers keep the port from being closed.
        """
        node = TransferNode(MemoryPoolInUse(), cluster.nodes[2], limits=TransferLimits())
        with plain_call(node):
            caller = Caller(node, cluster.nodes[0])
            caller.say(caller.hello())
            caller.hear()
            stopped = node.service.stop(DEADLINE_SECONDS)
            caller.close()

        assert (stopped, node.service.active()) == (True, frozenset())


def whole_stream(source: TransferNode) -> tuple[DatasetId, Guid, bytes]:
    """
    A dataset, its snapshot, and its stream.
    """
    dataset_id = source.owned(noise(300_000, 5))
    guid = source.release(dataset_id)
    return dataset_id, guid, stream_of(source.pool.storage, dataset_id, SendPlan(to_guid=guid))


def offer_of(guid: Guid) -> Offer:
    """
    An offer of a whole dataset.
    """
    return Offer(to_guid=guid, name="one", estimate_bytes=1)


def _id() -> DatasetId:
    return DatasetId(uuid4())


def _move() -> MoveId:
    return MoveId(uuid4())
