"""
What ``flocker-agent adopt`` refuses before it looks at a pool; the rest is in ``tests/zfs/test_zfs_adopt.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from flocker_agent.main import main
from flocker_py.testing.certificates import make_cluster


def test_other_backends_have_nothing_to_adopt(tmp_path: Path) -> None:
    """
    Where the agent keeps its datasets in folders, the command says so.
    """
    settings = tmp_path / "agent.yml"
    settings.write_text(
        "version: 1\ncontrol-service: {hostname: localhost}\ndataset: {backend: directory, root_path: /nowhere}\n"
    )
    result = CliRunner().invoke(main, ["adopt", "--agent-config", str(settings)])

    assert (result.exit_code, result.stderr.startswith(f"flocker-agent: {settings}: the backend is directory.")) == (
        1,
        True,
    )


def test_settings_that_are_not_there(tmp_path: Path) -> None:
    """
    Without agent.yml nothing is known of the pool.
    """
    result = CliRunner().invoke(main, ["adopt", "--agent-config", str(tmp_path / "agent.yml")])

    assert (result.exit_code, str(tmp_path / "agent.yml") in result.stderr) == (1, True)


def test_certificate_says_which_node_it_is(tmp_path: Path) -> None:
    """
    Without the node's certificate it isn't known which datasets were its own.
    """
    settings = tmp_path / "agent.yml"
    settings.write_text("version: 1\ncontrol-service: {hostname: localhost}\ndataset: {backend: zfs, pool: tank}\n")
    (tmp_path / "cluster.crt").write_bytes(make_cluster(tmp_path).user.ca_path.read_bytes())
    result = CliRunner().invoke(main, ["adopt", "--agent-config", str(settings)])

    assert (result.exit_code, "node.crt: No such file" in result.stderr) == (1, True)


@pytest.mark.parametrize("option", ["--agent-config", "--log-file"])
def test_options_before_the_command_are_the_agents(option: str) -> None:
    """
    An option that would have no effect is refused.
    """
    result = CliRunner().invoke(main, [option, "x", "adopt"])

    assert (result.exit_code, f"{option} before a command is an option of the service" in result.stderr) == (2, True)
