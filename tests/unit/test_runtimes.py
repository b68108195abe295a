"""
How ``agent.yml`` chooses a runtime.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from flocker_agent.runtime.docker_grants import in_memory
from flocker_agent.runtime.runtimes import RuntimeSettingsWrong, opened_runtime


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"backend": "lxc"}, "runtime.backend: no runtime 'lxc'; there are: docker, memory, process"),
        ({"backend": ["process"]}, "runtime.backend: no runtime"),
        ({"state_path": "relative"}, "runtime.state_path: must be an absolute path, not 'relative'"),
        ({"state_path": 7}, "runtime.state_path: must be an absolute path, not 7"),
        ({"log_bytes": 4095}, "runtime.log_bytes: must be a number from 4096 on, not 4095"),
        ({"log_bytes": "1MB"}, "runtime.log_bytes: must be a number"),
        ({"log_bytes": True}, "runtime.log_bytes: must be a number"),
        ({"statepath": "/s"}, "runtime.statepath: is unknown; there are: backend, state_path, log_bytes"),
        ({"backend": "memory", "state_path": "/s"}, "runtime.state_path: is unknown; there are: backend"),
        ({"backend": "docker", "socket": "/run/docker.sock"}, "runtime.socket: must be unix:// and an absolute path"),
        ({"backend": "docker", "socket": "tcp://192.0.2.1:2375"}, "runtime.socket: must be unix://"),
        ({"backend": "docker", "network": "two words"}, "runtime.network: must be the name of a network of Docker"),
        ({"backend": "docker", "grants_path": "relative"}, "runtime.grants_path: must be an absolute path"),
        (
            {"backend": "docker", "credentials": "/no/such/file"},
            "runtime.credentials: /no/such/file can't be read: No s",
        ),
        (
            {"backend": "docker", "log_bytes": 4096},
            "runtime.log_bytes: is unknown; there are: backend, state_path, soc",
        ),
        (
            {"backend": "docker", "changed_by_hand": "ignore"},
            "runtime.changed_by_hand: must be repair or show, not 'ignore'",
        ),
        ({"backend": "docker", "changed_by_hand": ["show"]}, "runtime.changed_by_hand: must be repair or show"),
        ({1: 2}, "runtime.1: is unknown"),
        (["process"], "runtime: must be a mapping"),
        ("process", "runtime: must be a mapping"),
    ],
)
def test_wrong_settings(settings: Any, complaint: str) -> None:
    """
    Wrong settings are refused with the key, what is wrong, and what it may be.
    """
    with pytest.raises(RuntimeSettingsWrong, match=complaint):
        opened_runtime(settings)


def test_process(tmp_path: Path) -> None:
    """
    The runtime ``process`` keeps its containers where the settings say.
    """
    runtime = opened_runtime({"backend": "process", "state_path": str(tmp_path / "state"), "log_bytes": 4096})

    assert ("process", True) == (runtime.capabilities.name, (tmp_path / "state" / "containers").is_dir())


def test_process_is_the_default(tmp_path: Path) -> None:
    """
    Without a backend, containers are plain processes.
    """
    assert "process" == opened_runtime({"state_path": str(tmp_path)}).capabilities.name


@pytest.mark.parametrize("also", [{}, {"changed_by_hand": "repair"}, {"changed_by_hand": "show"}])
def test_docker(tmp_path: Path, also: dict[str, str]) -> None:
    """
    The runtime ``docker`` is there before its engine is.
    """
    settings = {"backend": "docker", "socket": f"unix://{tmp_path}/none.sock", "grants_path": f"/dev/shm{tmp_path}"}
    runtime = opened_runtime({**settings, "state_path": str(tmp_path / "state"), **also})
    shutil.rmtree(f"/dev/shm{tmp_path}")

    assert "docker" == runtime.capabilities.name


def test_what_docker_may_start_is_not_kept_on_a_disk(tmp_path: Path) -> None:
    """
    A folder that is still there when the host has booted would let Docker start what must not run.
    """
    if in_memory(tmp_path):
        pytest.skip("temporary files are in memory here")
    with pytest.raises(RuntimeSettingsWrong, match=r"runtime\.grants_path: .* is on a disk"):
        opened_runtime({"backend": "docker", "state_path": str(tmp_path), "grants_path": str(tmp_path / "grants")})


def test_credentials_that_others_can_read(tmp_path: Path) -> None:
    """
    What opens private registries is for the agent alone.
    """
    path = tmp_path / "config.json"
    path.touch(mode=0o644)
    path.chmod(0o644)

    with pytest.raises(RuntimeSettingsWrong, match=f"can be read by others; chmod 600 {path}"):
        opened_runtime({"backend": "docker", "state_path": str(tmp_path), "credentials": str(path)})


def test_memory() -> None:
    """
    The runtime ``memory`` can be chosen.
    """
    assert "memory" == opened_runtime({"backend": "memory"}).capabilities.name


def test_nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Without any settings, containers are plain processes, kept at the default place.
    """
    monkeypatch.setattr("flocker_agent.runtime.runtimes.DEFAULT_STATE_PATH", str(tmp_path / "default"))

    assert ("process", True) == (opened_runtime(None).capabilities.name, (tmp_path / "default").is_dir())
