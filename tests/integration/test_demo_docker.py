"""
The demonstration with a web application in containers of a real Docker Engine, which both nodes share.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Require
from tests.engines import BUSYBOX_IMAGE, Host, engines

DEMO = Path(__file__).parents[2] / "demo" / "demo.py"
DEADLINE_SECONDS = 240.0

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def host(require: Require) -> Iterator[Host]:
    """
    A machine with Docker.
    """
    require("docker")
    with tempfile.TemporaryDirectory(prefix="fpd") as folder, engines(["n1"], Path(folder)) as hosts:
        yield hosts["n1"]


def ended(host: Host, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """
    A demonstration there, which has ended.
    """
    return subprocess.run(
        [*host.inside, sys.executable, str(DEMO), "--backend=directory", *arguments],
        cwd="/",
        env={**os.environ, "TMPDIR": str(tmp_path), "DOCKER_HOST": host.socket},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def test_web_application_moves(host: Host, tmp_path: Path) -> None:
    """
    Where there is an engine, a web application moves there and back while it counts, and nothing is left of it.
    """
    figures = tmp_path / "figures.json"

    done = ended(host, tmp_path, "--moves=2", "--ballast-mb=8", f"--json={figures}")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "watch it count while it moves: http://127.0.0.1:" in done.stdout
    assert "2 moves on directory with Docker" in done.stdout.splitlines()[-1]
    told = json.loads(figures.read_text())
    assert [(move["source"], move["target"]) for move in told["moves"]] == [("n1", "n2"), ("n2", "n1")]
    assert told["records"] >= told["acknowledged"] > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
    assert host.docker("ps", "--all", "--quiet") == ""
    assert host.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split() == [BUSYBOX_IMAGE]
    assert "flocker" not in host.docker("network", "ls", "--format", "{{.Name}}")
    assert list(Path("/dev/shm").glob("flockerdev-*")) == []


def test_docker_is_missing(tmp_path: Path) -> None:
    """
    Docker that was asked for and is not there is a failure, and says what to do.
    """
    done = subprocess.run(
        [sys.executable, str(DEMO), "--runtime=docker"],
        env={**os.environ, "TMPDIR": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/none"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )

    assert done.returncode == 1
    assert "--runtime process" in done.stdout.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
