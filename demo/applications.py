"""
What the demonstration moves about, and how it is heard of: the ledger as a plain process, or the web application in a
container.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from demo import ledger
from demo.hearing import Hearing
from demo.image import counter_image
from demo.visitor import Visitor
from demo.witness import Witness

# unix(7): 108 bytes with the final zero, and a name of ours.
_LONGEST_SOCKET_FOLDER = 90
_ADDRESS = "127.0.0.1"
_VOLUME_PATH = "/data"


class Application(NamedTuple):
    """
    One that can be deployed.

    :ivar fields: of cluster.yml, but for node and mounts.
    :ivar path: of its volume; None: the process begins in it.
    :ivar page: where a browser can watch it; None: nowhere.
    """

    hearing: Hearing
    fields: Mapping[str, Any]
    path: str | None = None
    page: str | None = None


@contextmanager
def as_process(folder: Path, rate: int, ballast_mib: int) -> Iterator[Application]:
    """
    The ledger, which tells a witness.
    """
    with _socket_folder(folder) as socket_folder, Witness(socket_folder / "witness") as witness:
        environment = {
            "LEDGER_WITNESS": str(socket_folder / "witness"),
            "LEDGER_RATE": str(rate),
            "LEDGER_BALLAST_MIB": str(ballast_mib),
        }
        command = [sys.executable, "-I", "-S", str(Path(ledger.__file__).resolve())]
        yield Application(witness, {"command": command, "env": environment})


@contextmanager
def in_docker(engine: str, tag: str, rate: int, ballast_mib: int, *, keep: bool) -> Iterator[Application]:
    """
    The web application, which a visitor has count.

    :param engine: where Docker Engine listens.
    :param tag: of the image, for this demonstration alone.
    :param keep: leave the image there.
    """
    port = _free_port()
    with counter_image(engine, tag, keep=keep) as image, Visitor(_ADDRESS, port, rate) as visitor:
        fields = {
            "image": image,
            "pull_policy": "never",
            "env": {"COUNTER_FOLDER": _VOLUME_PATH, "COUNTER_BALLAST_MIB": str(ballast_mib)},
            "ports": [f"{_ADDRESS}:{port}:8000"],
        }
        yield Application(visitor, fields, _VOLUME_PATH, f"http://{_ADDRESS}:{port}/")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_ADDRESS, 0))
        return int(probe.getsockname()[1])


@contextmanager
def _socket_folder(folder: Path) -> Iterator[Path]:
    if len(bytes(folder)) <= _LONGEST_SOCKET_FOLDER:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="flocker-demo-", dir="/tmp") as short:  # as short as can be
        yield Path(short)
