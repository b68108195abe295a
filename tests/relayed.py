"""
A real cluster on this host, whose every connection goes through a relay that can fail.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster import AGENT_PORT, CONTROL, TRANSFER_PORT, Cluster
from tests.impatience import PROGRAM
from tests.relay import BOTH_WAYS, Relay, Way

NODES = ("n1", "n2")


class RelayedCluster(Cluster):
    """
    Control and two nodes with the backend ``directory``.

    :param addresses: of control and nodes, on loopback, which nobody else uses.
    :param transfer: more of that section of agent.yml.
    :param patient: whether the programs wait as long as users' do before they take the other side for dead.
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
    ) -> None:
        self._undo = ExitStack()
        self._patient = patient
        with ExitStack() as undo:
            self.links = {name: undo.enter_context(Relay(addresses[CONTROL], AGENT_PORT)) for name in NODES}
            self.ports = {name: undo.enter_context(Relay(addresses[name], TRANSFER_PORT)) for name in NODES}
            super().__init__(folder, self._dataset, addresses=addresses, transfer=transfer)
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

    def command(self, name: str) -> list[str]:
        """
        As in ``Cluster``.
        """
        python, option, program, *options = super().command(name)
        return [python, option, program if self._patient else PROGRAM + program, *options]

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
        From now on, everything is under way for so long, in each direction.
        """
        for relay in self.relays:
            relay.delay_seconds = seconds

    def part(self, one: str, other: str, *, only_from: str | None = None) -> None:
        """
        Nothing gets from one to the other any more, nor back.

        :param only_from: who alone isn't heard any more by the other.
        """
        if CONTROL in (one, other):
            node = other if one == CONTROL else one
            self.links[node].hold(_ways(only_from, {node: Way.THERE, CONTROL: Way.BACK}))
            return
        for caller, called in ((one, other), (other, one)):
            self.ports[called].hold(_ways(only_from, {caller: Way.THERE, called: Way.BACK}))

    def part_all(self) -> None:
        """
        Nothing gets anywhere any more.
        """
        for relay in self.relays:
            relay.hold()

    def heal(self) -> None:
        """
        Everything gets through again, at once and unharmed.
        """
        for relay in self.relays:
            relay.plan()
            relay.heal()

    def left_over(self, owner: str) -> list[str]:
        """
        What there is in the nodes' pools beside the datasets that one of them owns.
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
