"""
Docker Compose on the nodes of the tests of volumes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import DEADLINE_SECONDS
from tests.integration.tools import Ended
from tests.volume_engines import IMAGE, Engine, run

# No image from a registry, no network of the host's; what is written says how often it was started.
_HERE = f"""\
services:
  db:
    image: {IMAGE}
    network_mode: none
    command: [sh, -c, "echo started >> /var/lib/postgresql/data/file; exec sleep 1000000"]
"""


def compose_command() -> Sequence[str] | None:
    """
    What starts Compose: version 1 is a program of its own, later ones mostly a part of ``docker``. None: nothing does.
    """
    if shutil.which("docker-compose") is not None:
        return ("docker-compose",)
    plugin = ("docker", "compose")
    return plugin if shutil.which("docker") and run(*plugin, "version").status == 0 else None


def compose_missing() -> str | None:
    """
    Why Compose can't be used; None: it can.
    """
    return None if compose_command() else "neither docker-compose nor docker compose is installed"


def compose_version() -> int:
    """
    The first number of its version.
    """
    command = compose_command()
    assert command is not None
    ended = run(*command, "version", "--short")
    found = re.search(r"(\d+)\.", ended.out)
    assert found is not None, ended
    return int(found[1])


class Project:
    """
    A project of Compose on one node: a file as it is, in a folder of that name, and beside it what makes it run here.

    :param folder: of the node; projects of other nodes are elsewhere.
    """

    def __init__(self, engine: Engine, folder: Path, name: str, text: str) -> None:
        self._engine = engine
        self._folder = folder / name
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "docker-compose.yml").write_text(text)
        (self._folder / "docker-compose.override.yml").write_text(_HERE)

    def __call__(self, *arguments: str) -> Ended:
        """
        Run ``docker-compose`` there.
        """
        command = compose_command()
        assert command is not None
        ended = subprocess.run(
            [*command, *arguments],
            cwd=self._folder,
            env={**os.environ, "DOCKER_HOST": f"unix://{self._engine.socket_path}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        return Ended(status=ended.returncode, out=ended.stdout, err=ended.stderr)

    def up(self) -> Ended:
        """
        Start it.
        """
        return self("up", "--detach")

    def down(self, *options: str) -> Ended:
        """
        Stop it, at once.
        """
        return self("down", "--timeout", "0", *options)

    def written(self) -> str:
        """
        What its container has in its volume.
        """
        of_project = f"label=com.docker.compose.project={self._folder.name}"
        (container,) = self._engine.docker("ps", "--quiet", "--filter", of_project).out.split()
        return self._engine.docker("exec", container, "cat", "/var/lib/postgresql/data/file").out
