"""
How ``agent.yml`` chooses a runtime.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flocker_agent.runtime.runtimes import RuntimeSettingsWrong, opened_runtime


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"backend": "lxc"}, "runtime.backend: no runtime 'lxc'; there are: memory, process"),
        ({"backend": ["process"]}, "runtime.backend: no runtime"),
        ({"state_path": "relative"}, "runtime.state_path: must be an absolute path, not 'relative'"),
        ({"state_path": 7}, "runtime.state_path: must be an absolute path, not 7"),
        ({"log_bytes": 4095}, "runtime.log_bytes: must be a number from 4096 on, not 4095"),
        ({"log_bytes": "1MB"}, "runtime.log_bytes: must be a number"),
        ({"log_bytes": True}, "runtime.log_bytes: must be a number"),
        ({"statepath": "/s"}, "runtime.statepath: is unknown; there are: backend, state_path, log_bytes"),
        ({"backend": "memory", "state_path": "/s"}, "runtime.state_path: is unknown; there are: backend"),
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
