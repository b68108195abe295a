"""
Fault points as a test uses them: arm one in a program of a cluster, wait until it has arrived, let it go.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from tests.cluster import Cluster
from tests.faults.inside import STOP, Wanted

_NUMBER = itertools.count()


class Armed:
    """
    A point that is waited for in one program. Made by ``arm``.
    """

    def __init__(self, cluster: Cluster, program: str, path: Path) -> None:
        self._cluster = cluster
        self._path = path
        self.program = program

    @property
    def arrived(self) -> bool:
        """
        Whether the program is there.
        """
        return self._path.with_suffix(".arrived").exists()

    def wait(self, seconds: float | None = None) -> None:
        """
        Wait until it is.

        :raises AssertionError: it did not come in time.
        """
        if seconds is None:
            self._cluster.wait(lambda: self.arrived)
        else:
            self._cluster.wait(lambda: self.arrived, seconds)

    def let_go(self) -> None:
        """
        What is held goes on.
        """
        self._path.with_suffix(".go").touch()

    def disarm(self) -> None:
        """
        Wait for it no more.
        """
        self._path.unlink(missing_ok=True)


def arm(
    cluster: Cluster,
    program: str,
    point: str,
    *,
    mode: str = STOP,
    dataset_id: str | None = None,
    also: Iterable[str] = (),
) -> Armed:
    """
    From now on, wait for one arrival of a program at a point.

    :param program: name of a node, or ``control``.
    :param point: the half of its name that the program knows.
    :param also: programs that are stopped at the same instant.
    """
    folder = cluster.faults(program)
    path = folder / f"{next(_NUMBER)}.armed"
    wanted = Wanted(point, mode, dataset_id, tuple(cluster.pid(name) for name in also))
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(wanted._asdict()))
    unfinished.rename(path)
    return Armed(cluster, program, path)


def go_on(cluster: Cluster, program: str) -> None:
    """
    A program that was stopped goes on; one that wasn't is left alone.
    """
    os.kill(cluster.pid(program), signal.SIGCONT)
