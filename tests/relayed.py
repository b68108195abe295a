"""
A real cluster on this host, whose every connection goes through a relay that can fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster import AGENT_PORT, CONTROL, TRANSFER_PORT
from tests.relay import BOTH_WAYS, Relay, Way
from tests.worlds import MAXIMUM_RATE, NODES, NetworkedCluster, Worlds


class RelayedCluster(NetworkedCluster):
    """
    Control and two nodes with the backend ``directory``.

    :param addresses: of control and nodes, on loopback, which nobody else uses.
    :param transfer: more of that section of agent.yml.
    :param patient: whether the programs wait as long as users' do before they take the other side for dead.
    :param bytes_per_second: from node to node, each way; None: as fast as it goes.
    :param fault_points: as in ``Cluster``, as is ``lease_seconds``.
    :ivar links: the ways from each node to control.
    :ivar ports: the ways to each node's transfer port.
    """

    def __init__(
        self,
        folder: Path,
        *,
        addresses: Mapping[str, str],
        transfer: Mapping[str, Any] | None = None,
        patient: bool = False,
        bytes_per_second: int | None = None,
        fault_points: bool = False,
        lease_seconds: float | None = None,
    ) -> None:
        self._undo = ExitStack()
        with ExitStack() as undo:
            self.links = {name: undo.enter_context(Relay(addresses[CONTROL], AGENT_PORT)) for name in NODES}
            self.ports = {
                name: undo.enter_context(Relay(addresses[name], TRANSFER_PORT, bytes_per_second=bytes_per_second))
                for name in NODES
            }
            super().__init__(
                folder,
                self._dataset,
                addresses=addresses,
                transfer=transfer,
                impatient=not patient,
                fault_points=fault_points,
                lease_seconds=lease_seconds,
            )
            self._undo = undo.pop_all()
        for name in NODES:
            self._divert(name)

    @staticmethod
    def _pool(folder: Path, name: str) -> Path:
        return folder / name / "pool"

    def _dataset(self, name: str) -> dict[str, str]:
        return {
            "backend": "directory",
            "root_path": str(self._pool(self.folder, name)),
            "mount_root": str(self.folder / name / "flocker"),
        }

    def _divert(self, name: str) -> None:
        path = self.folder / name / "agent.yml"
        settings = json.loads(path.read_text())
        settings["control-service"] = {"hostname": "127.0.0.1", "port": self.links[name].port}
        settings["transfer"] |= {"advertised_address": "127.0.0.1", "advertised_port": self.ports[name].port}
        path.write_text(json.dumps(settings))

    def __enter__(self) -> Self:
        try:
            return super().__enter__()
        except BaseException:
            self._undo.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._undo:
            super().__exit__(kind, error, traceback)

    @property
    def relays(self) -> list[Relay]:
        """
        All there are.
        """
        return [*self.links.values(), *self.ports.values()]

    def delay(self, seconds: float) -> None:
        """
        As in ``NetworkedCluster``.
        """
        for relay in self.relays:
            relay.delay_seconds = seconds

    def part(self, one: str, other: str, *, only_from: str | None = None) -> None:
        """
        As in ``NetworkedCluster``.
        """
        if CONTROL in (one, other):
            node = other if one == CONTROL else one
            self.links[node].hold(_ways(only_from, {node: Way.THERE, CONTROL: Way.BACK}))
            return
        for caller, called in ((one, other), (other, one)):
            self.ports[called].hold(_ways(only_from, {caller: Way.THERE, called: Way.BACK}))

    def part_all(self) -> None:
        """
        As in ``NetworkedCluster``.
        """
        for relay in self.relays:
            relay.hold()

    def heal(self) -> None:
        """
        As in ``NetworkedCluster``.
        """
        for relay in self.relays:
            relay.plan()
            relay.heal()

    def left_over(self, owner: str) -> list[str]:
        """
        As in ``NetworkedCluster``.
        """
        found: list[str] = []
        for name in NODES:
            pool = self._pool(self.folder, name)
            datasets = list(pool.glob("datasets/*"))
            found += [str(path) for path in datasets if name != owner]
            parts = ["datasets/*/kept/manifests/*", "datasets/*/kept/receiving", "stashes/*", "temporary/*"]
            found += [str(path) for part in parts for path in pool.glob(part)]
        return found


def _ways(only_from: str | None, ways: Mapping[str, Way]) -> Iterable[Way]:
    return BOTH_WAYS if only_from is None else [ways[only_from]]


def relayed_worlds(new_folder: Callable[[], Path], new_addresses: Callable[[], Mapping[str, str]]) -> Worlds:
    """
    Worlds that have nothing to do with each other.
    """
    return Worlds(
        lambda: RelayedCluster(new_folder(), addresses=new_addresses(), transfer={"maximum_rate": MAXIMUM_RATE})
    )
