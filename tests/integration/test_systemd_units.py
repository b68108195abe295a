"""
The systemd units name programs and options that exist.
"""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "packaging" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
BY_NAME = pytest.mark.parametrize("unit", UNITS, ids=[path.name for path in UNITS])

Require = Callable[..., None]


def started(unit: Path) -> list[str]:
    """
    The words of the command that a unit starts.
    """
    (line,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
    return shlex.split(line)


def test_all_services_have_a_unit() -> None:
    """
    There is a unit for each of the services.
    """
    assert [path.stem for path in UNITS] == ["flocker-agent", "flocker-control", "flocker-docker-plugin"]


@BY_NAME
def test_program_exists(unit: Path) -> None:
    """
    What a unit starts is a program that is installed, of the unit's name.
    """
    assert Path(started(unit)[0]).name == unit.stem
    assert unit.stem in SCRIPTS


@BY_NAME
def test_program_takes_the_options(unit: Path) -> None:
    """
    The program that a unit starts understands the options that it is started with.
    """
    module, _, function = SCRIPTS[unit.stem].partition(":")
    program: click.Command = getattr(importlib.import_module(module), function)
    known = {option for parameter in program.params for option in parameter.opts}

    assert {word.partition("=")[0] for word in started(unit)[1:]} <= known


@BY_NAME
def test_systemd_reads_it(unit: Path, tmp_path: Path, require: Require) -> None:
    """
    systemd finds nothing wrong with a unit.
    """
    require("systemd")
    copy = tmp_path / unit.name
    # A program that exists on every machine, and a user that does.
    text = unit.read_text().replace(started(unit)[0], sys.executable)
    copy.write_text(re.sub(r"^(User|Group)=.*$", r"\1=root", text, flags=re.MULTILINE))
    for other in FOLDER.glob("*.socket"):
        (tmp_path / other.name).write_text(other.read_text())

    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_containers_survive_the_agent() -> None:
    """
    systemd ends the agent alone, never the containers that it started.
    """
    assert "\nKillMode=process\n" in (FOLDER / "flocker-agent.service").read_text()


def test_plugin_listens_where_its_socket_is() -> None:
    """
    systemd listens for Docker where the plugin would by itself.
    """
    (path,) = re.findall(r"^ListenStream=(.*)$", (FOLDER / "flocker-docker-plugin.socket").read_text(), re.MULTILINE)
    program = importlib.import_module("flocker_agent.plugin.main").main
    (option,) = [parameter for parameter in program.params if "--socket" in parameter.opts]

    assert Path(path) == option.default


def test_nothing_that_docker_waits_for_waits_for_docker() -> None:
    """
    Docker starts containers before it is up, so neither agent nor plugin may be started after it.
    """
    texts = [(FOLDER / f"flocker-{name}.service").read_text() for name in ("agent", "docker-plugin")]

    assert [] == [
        line for text in texts for line in text.splitlines() if re.match("(After|Requires)=.*docker.service", line)
    ]
