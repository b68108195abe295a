"""
The parts of the demonstration that decide its verdict: a check that could not fail would prove nothing.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from uuid import UUID

import pytest

from demo import ledger
from demo.cluster_file import deployment_text, with_node, without_ledger
from demo.evidence import Evidence, Group
from demo.ledger import BALLAST_FOLDER, LEDGER_FILE, RECORD_BYTES, LedgerDamaged, due_records, opened_ledger, record
from demo.ledger_check import check_volume, ledger_complaints
from demo.report import MoveFigures, Outcome, verdict
from demo.visitor import Visitor
from demo.witness import Witness
from flocker_admin.manifest import ManifestDeployment, deployment
from flocker_py.model import ContainerName

DEADLINE_SECONDS = 30.0


def records(first: int, last: int) -> bytes:
    """
    Sound records.
    """
    return b"".join(record(number, 1_700_000_000_000_000_000 + number, number) for number in range(first, last + 1))


def group(data: bytes, first: int, last: int) -> Group:
    """
    The acknowledgement of records that are in these bytes.
    """
    checksum = zlib.crc32(data[(first - 1) * RECORD_BYTES : last * RECORD_BYTES])
    return Group(writer=0, first=first, last=last, checksum=checksum, at_seconds=0.0)


WHOLE = records(1, 100)
ALL_GROUPS = [group(WHOLE, 1, 1), group(WHOLE, 2, 60), group(WHOLE, 61, 100)]


class TestCheck:
    """
    The comparison of a ledger with what was acknowledged.
    """

    def test_whole_ledger(self) -> None:
        """
        A ledger with all that was acknowledged is in order.
        """
        assert ledger_complaints(WHOLE, ALL_GROUPS) == []

    def test_unacknowledged_end(self) -> None:
        """
        Records beyond the last acknowledged one are in order, and so is half of one.
        """
        assert ledger_complaints(records(1, 105) + b"0000", ALL_GROUPS) == []

    def test_lost_end(self) -> None:
        """
        An acknowledged record that is missing at the end is noticed.
        """
        complaints = ledger_complaints(WHOLE[:-RECORD_BYTES], ALL_GROUPS)

        assert complaints == ["records 61 to 100: acknowledged, and not in the volume"]

    def test_half_of_acknowledged_record(self) -> None:
        """
        An acknowledged record of which one byte is missing is noticed.
        """
        complaints = ledger_complaints(WHOLE[:-1], ALL_GROUPS)

        assert complaints == ["records 61 to 100: acknowledged, and not in the volume"]

    def test_empty_ledger(self) -> None:
        """
        An empty ledger, where some were acknowledged, is noticed.
        """
        assert len(ledger_complaints(b"", ALL_GROUPS)) == len(ALL_GROUPS)

    def test_record_in_the_middle_missing(self) -> None:
        """
        A record that is missing in the middle is noticed.
        """
        complaints = ledger_complaints(records(1, 49) + records(51, 101), ALL_GROUPS)

        assert complaints[0] == "where record 50 belongs there is record 51"

    def test_record_twice(self) -> None:
        """
        A record that is there twice is noticed.
        """
        complaints = ledger_complaints(records(1, 50) + records(50, 100), ALL_GROUPS)

        assert complaints[0] == "where record 51 belongs there is record 50"

    def test_records_exchanged(self) -> None:
        """
        Two records in the wrong order are noticed.
        """
        data = records(1, 10) + records(12, 12) + records(11, 11) + records(13, 100)

        assert "where record 11 belongs there is record 12" in ledger_complaints(data, ALL_GROUPS)

    def test_written_again_under_the_same_numbers(self) -> None:
        """
        Records that were lost and then written anew under the same numbers are not what was acknowledged.
        """
        anew = b"".join(record(number, 1, 1) for number in range(61, 101))

        assert ledger_complaints(WHOLE[: 60 * RECORD_BYTES] + anew, ALL_GROUPS) == [
            "records 61 to 100: not what was acknowledged"
        ]

    @pytest.mark.parametrize("position", [0, 11, 30, 60, 63])
    def test_damaged_byte(self, position: int) -> None:
        """
        One wrong byte, wherever it is in a record, is noticed.
        """
        data = bytearray(WHOLE)
        data[10 * RECORD_BYTES + position] ^= 1

        complaints = ledger_complaints(bytes(data), ALL_GROUPS)

        assert complaints[0].startswith("where record 11 belongs there is no record")

    def test_many_complaints(self) -> None:
        """
        Of very many complaints only the first are told.
        """
        assert ledger_complaints(bytes(len(WHOLE)), ALL_GROUPS)[-1] == "and more"

    def test_volume_without_ledger(self, tmp_path: Path) -> None:
        """
        A volume without a ledger in it is noticed.
        """
        assert check_volume(tmp_path, []).complaints[0].startswith("the ledger can't be read")

    def test_ballast(self, tmp_path: Path) -> None:
        """
        A volume with the ballast that the ledger made is in order.
        """
        (tmp_path / LEDGER_FILE).write_bytes(WHOLE)
        ledger.make_ballast(str(tmp_path / BALLAST_FOLDER), 17)

        assert check_volume(tmp_path, ALL_GROUPS).complaints == []

    def test_damaged_ballast(self, tmp_path: Path) -> None:
        """
        Ballast of which one byte has changed is noticed.
        """
        (tmp_path / LEDGER_FILE).write_bytes(WHOLE)
        ledger.make_ballast(str(tmp_path / BALLAST_FOLDER), 1)
        with (tmp_path / BALLAST_FOLDER / "0000.bin").open("r+b") as file:
            first = file.read(1)
            file.seek(0)
            file.write(bytes([first[0] ^ 1]))

        assert check_volume(tmp_path, ALL_GROUPS).complaints == ["the content of ballast/0000.bin has changed"]

    def test_missing_ballast(self, tmp_path: Path) -> None:
        """
        Ballast of which a file is missing is noticed.
        """
        (tmp_path / LEDGER_FILE).write_bytes(WHOLE)
        ledger.make_ballast(str(tmp_path / BALLAST_FOLDER), 17)
        (tmp_path / BALLAST_FOLDER / "0001.bin").unlink()

        assert check_volume(tmp_path, ALL_GROUPS).complaints[0].startswith("the ballast can't be read")


@contextmanager
def counting(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """
    The web application, as it runs in its container.
    """
    environment = {**os.environ, "COUNTER_FOLDER": str(folder), "COUNTER_PORT": str(port), "COUNTER_BALLAST_MIB": "1"}
    command = [sys.executable, "-S", "-m", "demo.counter"]
    with subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[2]) as process:
        try:
            yield process
        finally:
            process.kill()


def counted(visitor: Visitor, last: int) -> bool:
    """
    Whether the count comes so far.
    """
    return visitor.wait(lambda evidence: evidence.last >= last, timeout_seconds=DEADLINE_SECONDS)


class TestCounter:
    """
    The web application, and the visitor that has it count.
    """

    def test_goes_on_after_a_kill(self, tmp_path: Path, free_port: int) -> None:
        """
        What was answered is there after a kill, the count goes on, and the time between is the pause.
        """
        with Visitor("127.0.0.1", free_port, 1000) as visitor:
            with counting(tmp_path, free_port):
                assert counted(visitor, 100)
            reached = visitor.last
            with counting(tmp_path, free_port) as second:
                assert counted(visitor, reached + 100)
                second.send_signal(signal.SIGTERM)
                assert second.wait(DEADLINE_SECONDS) == 0

        evidence = visitor.evidence()
        assert (evidence.complaints, evidence.writers, len(visitor.pauses())) == ([], 2, 1)
        assert check_volume(tmp_path, evidence.groups).complaints == []

    def test_lost_record_is_noticed(self, tmp_path: Path, free_port: int) -> None:
        """
        A volume that lacks what was answered is noticed at once.
        """
        with Visitor("127.0.0.1", free_port, 1000) as visitor:
            with counting(tmp_path, free_port):
                assert counted(visitor, 100)
            (tmp_path / LEDGER_FILE).unlink()
            with counting(tmp_path, free_port):
                assert visitor.wait(lambda evidence: evidence.writers == 2, timeout_seconds=DEADLINE_SECONDS)

        assert visitor.evidence().complaints[0].startswith("run 2 of the ledger found 0 records in its volume")

    def test_answers_without_sense(self, free_port: int) -> None:
        """
        Something else that answers at the port is a complaint.
        """
        with socket.create_server(("127.0.0.1", free_port)) as server, Visitor("127.0.0.1", free_port, 10) as visitor:
            for answer in (
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
                b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
            ):
                with server.accept()[0] as connection:
                    connection.recv(1000)
                    connection.sendall(answer)
            heard = visitor.wait(lambda evidence: len(evidence.complaints) == 2, timeout_seconds=DEADLINE_SECONDS)
            assert heard, visitor.evidence().complaints

    @pytest.mark.parametrize("asked", ["POST /add/0", "POST /add/501", "POST /add/-1", "POST /add/x", "GET /other"])
    def test_refuses(self, tmp_path: Path, free_port: int, asked: str) -> None:
        """
        What makes no sense is refused, and nothing is counted.
        """
        with Visitor("127.0.0.1", free_port, 10) as visitor, counting(tmp_path, free_port):
            assert counted(visitor, 1)
            connection = http.client.HTTPConnection("127.0.0.1", free_port, timeout=DEADLINE_SECONDS)
            method, path = asked.split()
            connection.request(method, path)
            assert connection.getresponse().status in (400, 404)
            connection.close()

        assert visitor.evidence().complaints == []

    def test_page(self, tmp_path: Path, free_port: int) -> None:
        """
        The page asks for the state, which says how far the count is.
        """
        with Visitor("127.0.0.1", free_port, 10) as visitor, counting(tmp_path, free_port):
            assert counted(visitor, 1)
            found = []
            for path in ("/", "/state"):
                connection = http.client.HTTPConnection("127.0.0.1", free_port, timeout=DEADLINE_SECONDS)
                connection.request("GET", path)
                found.append(connection.getresponse().read().decode())
                connection.close()

        assert 'fetch("/state"' in found[0]
        assert json.loads(found[1])["last"] >= 1


@pytest.fixture
def free_port() -> Iterator[int]:
    """
    Where nobody listens, until the test does: as long as it is held so, the system gives it to nobody else.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


class TestLedger:
    """
    What the ledger does with what it finds.
    """

    def test_new(self, tmp_path: Path) -> None:
        """
        In an empty volume the ledger begins before the first record.
        """
        descriptor, last, torn_bytes = opened_ledger(str(tmp_path / LEDGER_FILE))
        os.close(descriptor)

        assert (last, torn_bytes) == (0, 0)

    def test_goes_on(self, tmp_path: Path) -> None:
        """
        What is appended to a ledger with records goes on behind them, without a seam.
        """
        path = tmp_path / LEDGER_FILE
        path.write_bytes(WHOLE)
        descriptor, last, _ = opened_ledger(str(path))

        ledger.append(descriptor, last + 1, 3)
        os.close(descriptor)

        assert (ledger_complaints(path.read_bytes(), ALL_GROUPS), path.stat().st_size) == ([], 103 * RECORD_BYTES)

    @pytest.mark.parametrize("torn_bytes", [1, 32, 63])
    def test_torn_record(self, tmp_path: Path, torn_bytes: int) -> None:
        """
        An incomplete last record is cut off, and nothing else is.
        """
        path = tmp_path / LEDGER_FILE
        path.write_bytes(WHOLE + records(101, 101)[:torn_bytes])

        descriptor, *found = opened_ledger(str(path))
        os.close(descriptor)

        assert (found, path.read_bytes()) == ([100, torn_bytes], WHOLE)

    @pytest.mark.parametrize("wrong", [WHOLE[:-1] + b"!", records(2, 100)], ids=["damaged", "first one missing"])
    def test_damaged(self, tmp_path: Path, wrong: bytes) -> None:
        """
        A ledger that is damaged is left as it is, and not gone on with.
        """
        path = tmp_path / LEDGER_FILE
        path.write_bytes(wrong)

        with pytest.raises(LedgerDamaged):
            opened_ledger(str(path))

        assert path.read_bytes() == wrong

    def test_ballast_is_made_once(self, tmp_path: Path) -> None:
        """
        A ledger that is started again leaves its ballast as it is.
        """
        ledger.make_ballast(str(tmp_path), 1)
        before = (tmp_path / "0000.bin").read_bytes()

        ledger.make_ballast(str(tmp_path), 1)

        assert (tmp_path / "0000.bin").read_bytes() == before

    @pytest.mark.parametrize(
        ("elapsed_seconds", "written", "expected"),
        [(0.0, 0, 1), (0.0005, 1, 0), (0.001, 1, 1), (0.1, 1, 100), (100.0, 1, 500)],
    )
    def test_due(self, elapsed_seconds: float, written: int, expected: int) -> None:
        """
        Records are due at an even rate; after a delay there are more, but never so many that a stop is far away.
        """
        assert due_records(elapsed_seconds, 1000.0, written) == expected


class TestEvidence:
    """
    What is wrong with the acknowledgements alone.
    """

    def test_pause(self) -> None:
        """
        The downtime of the application is the time between the last record of one run and the first of the next.
        """
        evidence = Evidence()
        first = evidence.hello(0, 0)
        evidence.acknowledge(first, 1, 10, 0, 1.0)
        evidence.acknowledge(first, 11, 20, 0, 2.0)
        second = evidence.hello(20, 0)
        evidence.acknowledge(second, 21, 21, 0, 2.5)
        evidence.acknowledge(second, 22, 22, 0, 9.0)

        assert [(pause.last_before, pause.first_after, pause.seconds) for pause in evidence.pauses] == [(20, 21, 0.5)]

    def test_unacknowledged_records_are_no_loss(self) -> None:
        """
        A run that finds more than was acknowledged goes on behind that.
        """
        evidence = Evidence()
        evidence.acknowledge(evidence.hello(0, 0), 1, 10, 0, 1.0)
        evidence.acknowledge(evidence.hello(12, 30), 13, 13, 0, 2.0)

        assert (evidence.complaints, evidence.last) == ([], 13)

    def test_lost_records(self) -> None:
        """
        A run that finds fewer records than were acknowledged is noticed, even if it would write them again.
        """
        evidence = Evidence()
        evidence.acknowledge(evidence.hello(0, 0), 1, 10, 0, 1.0)
        evidence.hello(9, 0)

        assert evidence.complaints == [
            "run 2 of the ledger found 9 records in its volume, but 10 had been acknowledged"
        ]

    def test_two_writers(self) -> None:
        """
        A run that goes on after the next has begun is noticed.
        """
        evidence = Evidence()
        first = evidence.hello(0, 0)
        evidence.acknowledge(first, 1, 10, 0, 1.0)
        evidence.hello(10, 0)
        evidence.acknowledge(first, 11, 11, 0, 1.0)

        assert evidence.complaints == ["run 1 of the ledger wrote record 11 when run 2 had begun: two writers"]

    @pytest.mark.parametrize(("first", "expected"), [(10, "again"), (12, "right after record 10")])
    def test_order(self, first: int, expected: str) -> None:
        """
        A record that is acknowledged twice or left out is noticed.
        """
        evidence = Evidence()
        writer = evidence.hello(0, 0)
        evidence.acknowledge(writer, 1, 10, 0, 1.0)
        evidence.acknowledge(writer, first, 20, 0, 2.0)

        assert expected in evidence.complaints[0]


def reached(number: int) -> Callable[[Evidence], bool]:
    """
    Whether a record has been acknowledged.
    """
    return lambda evidence: evidence.last >= number


@contextmanager
def running_ledger(volume: Path, socket_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """
    The ledger as the cluster starts it.
    """
    with subprocess.Popen(
        [sys.executable, "-I", "-S", ledger.__file__],
        cwd=volume,
        env={"LEDGER_WITNESS": str(socket_path), "LEDGER_RATE": "1000", "LEDGER_BALLAST_MIB": "1"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class TestTogether:
    """
    The ledger as a process, and the witness that hears it.
    """

    @pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
    def test_ended_and_started_again(self, tmp_path: Path, ending: signal.Signals) -> None:
        """
        Ended in good order or killed, and started again, the ledger has every record that the witness heard of.
        """
        volume = tmp_path / "volume"
        volume.mkdir()
        with Witness(tmp_path / "witness") as witness:
            for run in range(3):
                wanted = (run + 1) * 200
                with running_ledger(volume, tmp_path / "witness") as process:
                    assert witness.wait(reached(wanted), timeout_seconds=DEADLINE_SECONDS)
                    process.send_signal(ending)
                    process.wait(DEADLINE_SECONDS)
        finding = check_volume(volume, witness.evidence().groups)

        assert [*witness.evidence().complaints, *finding.complaints] == []

    def test_records_taken_away(self, tmp_path: Path) -> None:
        """
        When the volume goes back to an earlier state between two runs, it is noticed though the ledger writes on.
        """
        with Witness(tmp_path / "witness") as witness:
            for wanted in (100, 200):
                with running_ledger(tmp_path, tmp_path / "witness") as process:
                    assert witness.wait(reached(wanted), timeout_seconds=DEADLINE_SECONDS)
                    process.send_signal(signal.SIGTERM)
                    process.wait(DEADLINE_SECONDS)
                    os.truncate(tmp_path / LEDGER_FILE, 50 * RECORD_BYTES)

        assert "50 records in its volume" in witness.evidence().complaints[0]


class TestClusterFile:
    """
    The edits of cluster.yml.
    """

    NODES: ClassVar[dict[str, UUID]] = {"n1": UUID(int=1), "n2": UUID(int=2)}
    TEXT = deployment_text(NODES, "n1", {"command": ["python", "a b.py"], "env": {"A": "1", "B": 'x: "y"'}}, None)

    def test_first(self) -> None:
        """
        The file is a deployment with the ledger on the first node.
        """
        read = deployment(self.TEXT)

        assert isinstance(read, ManifestDeployment)
        assert read.deployment.apps[ContainerName("ledger")].node == "n1"

    def test_moved(self) -> None:
        """
        An edit of one line is a deployment with the ledger on the other node.
        """
        read = deployment(with_node(self.TEXT, "n2"))

        assert isinstance(read, ManifestDeployment)
        assert read.deployment.apps[ContainerName("ledger")].node == "n2"

    def test_stopped(self) -> None:
        """
        The last edit is a deployment without the application, that keeps its volume.
        """
        read = deployment(without_ledger(self.TEXT))

        assert isinstance(read, ManifestDeployment)
        assert (read.deployment.apps[ContainerName("ledger")].deleted, read.deployment.volumes["ledger"].deleted) == (
            True,
            False,
        )


class TestVerdict:
    """
    The last line.
    """

    MOVE = MoveFigures("n1", "n2", 1, 1, 1.0, 0.1, 0.1, 1)

    def test_good(self) -> None:
        """
        Without complaints no record was lost.
        """
        outcome = Outcome("zfs", [self.MOVE], 1234, 1235, [])

        assert verdict(outcome) == (
            "VERDICT: 1 moves on zfs, 1,234 records acknowledged, each there once and in order: no record lost"
        )

    def test_bad(self) -> None:
        """
        With any complaint the verdict is a failure, and says the first.
        """
        outcome = Outcome("zfs", [self.MOVE], 1234, 1235, ["record 7: lost", "record 8: lost"])

        assert verdict(outcome) == "VERDICT: FAILED: record 7: lost (and 1 more)"
