"""
PostgreSQL in a container, moved back and forth by ``flocker-deploy`` while clients use it from outside.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from flocker_py.records import Record, value
from flocker_py.units import bytes_text, duration_text
from tests.docker_nodes import DockerNodes
from tests.images import DATA, POSTGRESQL_IMAGE, import_postgresql, postgresql_programs
from tests.plugins import Plugin
from tests.sql_ledger import Client, SqlLedger, longest_pause_seconds

VOLUME = "data"
APP = "db"
PORT = 5432
_NUMBER = (int, float)


class MoveSeen(Record):
    """
    A move, as those saw it whom it concerns.

    :param control_downtime_seconds: as the control service tells it; None: it doesn't know.
    :param client_downtime_seconds: the longest that the ledger waited for a commit.
    """

    target: str = value(str)
    sent_bytes: int = value(int)
    rounds: int = value(int)
    control_downtime_seconds: float | None = value((*_NUMBER, type(None)))
    client_downtime_seconds: float = value(_NUMBER)


class Database:
    """
    A database that clients use, on nodes with engines.
    """

    def __init__(self, nodes: DockerNodes) -> None:
        self.nodes = nodes
        self.cluster = nodes.cluster
        for host in nodes.hosts.values():
            import_postgresql(host)
        programs = postgresql_programs()
        assert programs is not None
        addresses = [host.address for host in nodes.hosts.values()]
        self.client = Client(programs, nodes.outside, addresses, PORT)

    @staticmethod
    def app(node: str) -> dict[str, Any]:
        """
        For the ``apps`` of a deployment.
        """
        return {
            "node": node,
            "image": POSTGRESQL_IMAGE,
            "ports": [f"{PORT}:{PORT}"],
            "mounts": [{"volume": VOLUME, "path": DATA}],
            "restart": "always",
            "stop_grace": "60s",
        }

    def start(self, node: str, *, scale: int = 1) -> None:
        """
        Deploy it, and make its tables.
        """
        ended = self.nodes.deploy({VOLUME: {"size": "1G"}}, {APP: self.app(node)})
        assert ended.status == 0, ended.out + ended.err
        self.client.wait()
        self.client.prepare(scale)

    def move(self, ledger: SqlLedger, node: str) -> MoveSeen:
        """
        Move it under load, until it serves its clients from there.
        """
        ledger.wait_for_more(30)
        since = time.monotonic()
        ended = self.nodes.deploy({VOLUME: {"size": "1G"}}, {APP: self.app(node)})
        assert ended.status == 0, ended.out + ended.err
        move = json.loads(ended.out.splitlines()[-1])["moves"][0]["move"]
        assert move["outcome"] == "done", move
        self.cluster.settled(VOLUME, node)
        ledger.wait_for_more(10)
        return MoveSeen(
            target=node,
            sent_bytes=move["sent_bytes"],
            rounds=move["round"],
            control_downtime_seconds=move["downtime_seconds"],
            client_downtime_seconds=longest_pause_seconds(ledger.acknowledged, since),
        )


def moved_back_and_forth(nodes: DockerNodes, targets: Sequence[str], *, load_rate: int = 40) -> tuple[list[str], str]:
    """
    A database on ``n1`` moves under load to one node after the other.

    :returns: what is wrong afterwards, and a table of what was seen, with a heading.
    """
    database = Database(nodes)
    database.start("n1")
    seen, complaints = [], []
    with SqlLedger(database.client, load_rate=load_rate) as ledger:
        for target in targets:
            seen.append(database.move(ledger, target))
            running = nodes.running(POSTGRESQL_IMAGE)
            if running != [target]:
                complaints.append(f"after the move to {target} it runs on {running}")
    complaints += ledger.complaints()
    damaged = database.client.corruption()
    if damaged:
        complaints.append(f"pg_amcheck: {damaged}")
    heading = (
        f"PostgreSQL moved under load: {len(ledger.acknowledged)} records and {ledger.transactions} transactions of"
        " pgbench acknowledged"
    )
    return complaints, f"{heading}\n{_table(seen)}"


def moved_by_docker_run(nodes: DockerNodes, targets: Sequence[str] = ("n2", "n1"), *, load_rate: int = 40) -> list[str]:
    """
    A database that ``docker run`` has started on ``n1``, and then on one node after the other, on a
    volume of the plugin.

    :returns: what is wrong afterwards.
    """
    database = Database(nodes)
    with ExitStack() as undo:
        for name, host in nodes.hosts.items():
            socket_path = host.folder / "rundocker" / "plugins" / "flocker.sock"
            socket_path.parent.mkdir(exist_ok=True)
            options = ["--engine", host.socket.removeprefix("unix://")]
            plugin = Plugin(nodes.cluster, name, socket_path=socket_path, inside=host.inside, options=options)
            undo.enter_context(plugin)
        nodes.hosts["n1"].docker("volume", "create", "--driver", "flocker", "--opt", "size=1G", VOLUME)
        _run_by_hand(nodes, "n1")
        database.client.wait()
        database.client.prepare(1)
        here = "n1"
        with SqlLedger(database.client, load_rate=load_rate) as ledger:
            for target in targets:
                ledger.wait_for_more(30)
                nodes.hosts[here].docker("stop", "--time", "60", APP)
                nodes.hosts[here].docker("rm", APP)
                _run_by_hand(nodes, target)
                here = target
            ledger.wait_for_more(30)
        complaints = ledger.complaints()
        damaged = database.client.corruption()
        if damaged:
            complaints.append(f"pg_amcheck: {damaged}")
        if nodes.cluster.dataset(VOLUME)["owner"] != str(nodes.cluster.node_ids[here]):
            complaints.append(f"the volume's owner is not {here}")
        nodes.hosts[here].docker("rm", "--force", APP)
    return complaints


def _run_by_hand(nodes: DockerNodes, node: str) -> None:
    options = ["--publish", f"{PORT}:{PORT}", "--volume", f"{VOLUME}:{DATA}", "--volume-driver", "flocker"]
    nodes.hosts[node].docker("run", "--detach", "--name", APP, *options, POSTGRESQL_IMAGE)


def _table(moves: Sequence[MoveSeen]) -> str:
    rows = [("move", "to", "sent", "rounds", "downtime told", "downtime for clients")]
    for number, move in enumerate(moves, start=1):
        told = move.control_downtime_seconds
        rows.append(
            (
                str(number),
                move.target,
                bytes_text(move.sent_bytes),
                str(move.rounds),
                "?" if told is None else duration_text(told),
                duration_text(move.client_downtime_seconds),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
