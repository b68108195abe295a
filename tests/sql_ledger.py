"""
What clients of a database see while it moves: every commit that was acknowledged to them is written down here.

One client writes numbered records, one by one, and finds the database again whenever it is gone. Beside it, pgbench
keeps the server busy. Nothing here knows of flocker_py.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

_DEADLINE_SECONDS = 200.0
_LOOK_SECONDS = 0.02
# Long enough to see it at once when it is back, short enough not to keep the machine from bringing it back.
_AGAIN_SECONDS = 0.1
_LOAD_SECONDS = 3
_PROCESSED = re.compile(r"number of transactions actually processed: (\d+)")
_MOST_COMPLAINTS = 20
_PLAIN = ("--no-psqlrc", "--quiet", "--no-align", "--tuples-only")
# What pgbench changes by the same amount in one transaction.
_SUMS = (
    "SELECT sum(abalance) FROM pgbench_accounts",
    "SELECT sum(bbalance) FROM pgbench_branches",
    "SELECT sum(tbalance) FROM pgbench_tellers",
    "SELECT sum(delta) FROM pgbench_history",
)


class Acknowledged(NamedTuple):
    """
    A commit that the database has confirmed.

    :ivar at_seconds: when; on a clock that no two of these disagree on.
    """

    number: int
    at_seconds: float


def content(number: int) -> str:
    """
    What a record says, so that one that says anything else is seen.
    """
    return hashlib.sha256(str(number).encode()).hexdigest()


def ledger_complaints(acknowledged: Iterable[int], sent: int, present: Sequence[tuple[int, str]]) -> list[str]:
    """
    What is wrong with the records of a ledger.

    :param acknowledged: the numbers of the records that must be there.
    :param sent: records up to this number may be there.
    :param present: number and content of those that are, in any order.
    """
    complaints = []
    seen: set[int] = set()
    for number, text in present:
        if number in seen:
            complaints.append(f"record {number} is there more than once")
        seen.add(number)
        if text != content(number):
            complaints.append(f"record {number} says {text!r}")
        if not 1 <= number <= sent:
            complaints.append(f"record {number} was never written")
    complaints += [f"record {number} was acknowledged, and is not there" for number in sorted(set(acknowledged) - seen)]
    more = len(complaints) - _MOST_COMPLAINTS
    return [*complaints[:_MOST_COMPLAINTS], f"and {more} more"] if more > 0 else complaints


def sums_complaints(sums: Mapping[str, int], transactions: int, acknowledged: int) -> list[str]:
    """
    What is wrong with pgbench's tables.

    :param sums: of all that was changed, by table: the same in each.
    :param transactions: are there.
    :param acknowledged: must at least be there.
    """
    complaints = []
    if len(set(sums.values())) > 1:
        told = ", ".join(f"{table} {total}" for table, total in sums.items())
        complaints.append(f"a transaction is there in part: the sums of the tables differ: {told}")
    if transactions < acknowledged:
        complaints.append(f"{acknowledged} transactions were acknowledged, and {transactions} are there")
    return complaints


def longest_pause_seconds(acknowledged: Sequence[Acknowledged], since_seconds: float) -> float:
    """
    The longest time between two acknowledged records, the later of which came after a moment; 0: none did.
    """
    pairs = itertools.pairwise(acknowledged)
    return max((b.at_seconds - a.at_seconds for a, b in pairs if b.at_seconds > since_seconds), default=0.0)


class Client:
    """
    Clients of one database, whichever of several hosts has it.

    :param programs: the folder with psql, pgbench and pg_amcheck.
    :param inside: what begins commands where the clients are.
    :param hosts: that may have it, all at the same port.
    """

    def __init__(self, programs: Path, inside: Sequence[str], hosts: Sequence[str], port: int) -> None:
        self._programs = programs
        self._inside = list(inside)
        places = ",".join(f"{host}:{port}" for host in hosts)
        # A host that has gone without a word is given up, too.
        limits = "connect_timeout=5&tcp_user_timeout=5000&keepalives_idle=2&keepalives_interval=1&keepalives_count=3"
        self._where = f"postgresql://postgres@{places}/postgres?{limits}"

    def command(self, program: str, *arguments: str) -> list[str]:
        """
        A command of PostgreSQL against the database.
        """
        return [*self._inside, str(self._programs / program), *arguments, self._where]

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """
        Run one to its end.
        """
        command = self.command(program, *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_DEADLINE_SECONDS)

    def query(self, statement: str) -> list[list[str]]:
        """
        The rows that a statement answers with.
        """
        ended = self.run("psql", *_PLAIN, "--command", statement)
        assert ended.returncode == 0, ended.stderr
        return [line.split("|") for line in ended.stdout.splitlines()]

    def wait(self) -> None:
        """
        Wait until the database answers.
        """
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while (ended := self.run("psql", *_PLAIN, "--command", "SELECT 1")).returncode != 0:
            assert time.monotonic() < deadline, ended.stderr
            time.sleep(_AGAIN_SECONDS)

    def prepare(self, scale: int) -> None:
        """
        Make the tables.
        """
        self.query("CREATE TABLE ledger (number bigint PRIMARY KEY, content text NOT NULL)")
        ended = self.run("pgbench", "--initialize", "--quiet", "--scale", str(scale))
        assert ended.returncode == 0, ended.stderr

    def load(self, clients: int, rate: int) -> int:
        """
        Some seconds of pgbench, or less if the database goes away: how many transactions were acknowledged.
        """
        amount = ["--client", str(clients), "--time", str(_LOAD_SECONDS), "--rate", str(rate)]
        ended = self.run("pgbench", "--no-vacuum", *amount)
        found = _PROCESSED.search(ended.stdout)
        return 0 if found is None else int(found[1])

    def corruption(self) -> str:
        """
        What pg_amcheck finds in all tables and indexes; empty: nothing.
        """
        self.query("CREATE EXTENSION IF NOT EXISTS amcheck")
        ended = self.run("pg_amcheck", "--heapallindexed", "--parent-check")
        return ended.stdout + ended.stderr if ended.returncode != 0 else ""


class SqlLedger:
    """
    Writes from when it is entered until it is left.
    """

    def __init__(self, client: Client, *, load_clients: int = 2, load_rate: int = 40) -> None:
        self._client = client
        self._load = (load_clients, load_rate)
        self._told_to_end = threading.Event()
        self._threads = [threading.Thread(target=self._write), threading.Thread(target=self._press)]
        self._sent = 0
        self._transactions = 0
        self._process: subprocess.Popen[str] | None = None
        self.acknowledged: list[Acknowledged] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._told_to_end.set()
        process = self._process
        if process is not None and error is not None:
            process.kill()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, count: int) -> None:
        """
        Wait until so many more records are acknowledged.
        """
        wanted = len(self.acknowledged) + count
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, f"{wanted - len(self.acknowledged)} records were not acknowledged"
            time.sleep(_LOOK_SECONDS)

    def complaints(self) -> list[str]:
        """
        What is wrong with what is in the database. Ask when nobody writes any more.
        """
        rows = self._client.query("SELECT number, content FROM ledger")
        present = [(int(number), text) for number, text in rows]
        sums = {statement.rpartition(" ")[2]: int(self._client.query(statement)[0][0] or 0) for statement in _SUMS}
        transactions = int(self._client.query("SELECT count(*) FROM pgbench_history")[0][0])
        return [
            *ledger_complaints((each.number for each in self.acknowledged), self._sent, present),
            *sums_complaints(sums, transactions, self._transactions),
        ]

    @property
    def transactions(self) -> int:
        """
        How many transactions of pgbench were acknowledged.
        """
        return self._transactions

    def _write(self) -> None:
        while not self._told_to_end.is_set():
            command = self._client.command("psql", *_PLAIN, "--set", "ON_ERROR_STOP=1")
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            # Closing its input flushes what it has not read.
            with suppress(BrokenPipeError), process:
                self._process = process
                self._converse(process)
                process.kill()
            process.wait()
            self._told_to_end.wait(_AGAIN_SECONDS)

    def _converse(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        while not self._told_to_end.is_set():
            # Also after one that nobody has answered: it may be there or not.
            self._sent += 1
            record = f"({self._sent}, '{content(self._sent)}')"
            statement = f"INSERT INTO ledger VALUES {record} RETURNING number;\n"  # noqa: S608  # we made all of it
            try:
                process.stdin.write(statement)
                process.stdin.flush()
            except BrokenPipeError:
                return
            answer = process.stdout.readline()
            if answer != f"{self._sent}\n":
                return
            self.acknowledged.append(Acknowledged(self._sent, time.monotonic()))

    def _press(self) -> None:
        while not self._told_to_end.is_set():
            self._transactions += self._client.load(*self._load)
            self._told_to_end.wait(_AGAIN_SECONDS)
