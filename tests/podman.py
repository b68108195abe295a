"""
Podman for the tests of volumes: one per node, each with its own containers, images and locks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster import DEADLINE_SECONDS
from tests.integration.tools import Ended
from tests.volume_engines import image_files, run

IMAGE = "localhost/flocker-test/volumes:1"
# What it asks for by default isn't there for everybody: to raise limits, systemd, and an own hierarchy of cgroups. The
# locks of all Podmans of a host are otherwise in one piece of shared memory.
_SETTINGS = """\
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:8192"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
# As the documentation has it.
volume_plugin_timeout = 120
[engine.volume_plugins]
flocker = "{plugin_socket}"
"""


def podman_missing() -> str | None:
    """
    Why Podman can't be used; None: it can.
    """
    if shutil.which("podman") is None:
        return "podman is not installed"
    if shutil.which("runc") is None:
        return "runc is not installed, by which podman runs containers here"
    with tempfile.TemporaryDirectory(prefix="fpp") as folder:
        ended = Podman(Path(folder) / "podman", Path(folder) / "none.sock", Path(folder) / "podman.sock")("info")
    return None if ended.status == 0 else f"podman doesn't run: {ended.err.strip()}"


class Podman:
    """
    Podman with the volume plugin of a node.

    :param folder: for all it has.
    :param socket_path: where it says which containers there are, as its unit ``podman.socket`` does.
    """

    def __init__(self, folder: Path, plugin_socket: Path, socket_path: Path) -> None:
        self.folder = folder
        self._socket_path = socket_path
        self._service: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        (folder / "containers.conf").write_text(_SETTINGS.format(plugin_socket=plugin_socket))

    def __call__(self, *arguments: str) -> Ended:
        """
        Run ``podman``.
        """
        return run(*self._command(*arguments), variables=self._variables())

    def _command(self, *arguments: str) -> list[str]:
        places = [word for name in ("root", "runroot", "tmpdir") for word in (f"--{name}", str(self.folder / name))]
        return ["podman", *places, *arguments]

    def _variables(self) -> dict[str, str]:
        return {"CONTAINERS_CONF": str(self.folder / "containers.conf")}

    def __enter__(self) -> Self:
        imported = self("import", str(image_files(self.folder)), IMAGE)
        assert imported.status == 0, imported.err
        with (self.folder / "service.out").open("wb") as out:
            self._service = subprocess.Popen(
                self._command("system", "service", "--time", "0", f"unix://{self._socket_path}"),
                env={**os.environ, **self._variables()},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._service is not None
        self._service.terminate()
        self._service.wait(DEADLINE_SECONDS)
        # The last one to use the store unmounts it.
        self("rm", "--all", "--force", "--time", "0")

    def volume(self, name: str) -> Any:
        """
        What ``podman volume inspect`` shows.
        """
        return json.loads(self("volume", "inspect", name).out)[0]

    def volumes(self) -> list[str]:
        """
        What ``podman volume ls`` shows.
        """
        return self("volume", "ls", "--quiet").out.split()

    def written(self, container: str) -> str:
        """
        What a container has in the file of its volume that these tests write; empty: nothing yet.
        """
        return self("exec", container, "cat", "/data/file").out

    def container(self, volume: str, command: str, *options: str) -> Ended:
        """
        ``podman run`` a command of the shell, with a volume at ``/data``.
        """
        options = ("--network", "none", "-v", f"{volume}:/data", *options)
        return self("run", *options, IMAGE, "/bin/sh", "-c", command)
