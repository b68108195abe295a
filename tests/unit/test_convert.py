"""
``flocker-deploy convert``, and what ``flocker-deploy`` with Flocker's arguments refuses before it calls anybody.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flocker_admin import deploy
from flocker_admin.exits import Exit
from flocker_admin.manifest import ManifestDeployment, deployment

DEPLOYMENT = "version: 1\nnodes:\n  192.0.2.1: [db]\n"
APPLICATION = "version: 1\napplications:\n  db: {image: postgres, volume: {mountpoint: /data, maximum_size: 1G}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    The current folder, with Flocker's two files.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLOCKER_CONTROL", raising=False)
    monkeypatch.delenv("FLOCKER_CERTIFICATES", raising=False)
    (tmp_path / "d.yml").write_text(DEPLOYMENT)
    (tmp_path / "a.yml").write_text(APPLICATION)
    return tmp_path


def flocker_deploy(*arguments: str) -> Result:
    return CliRunner().invoke(deploy.main, arguments)


def test_converted_file_is_good() -> None:
    """
    What is written is a cluster.yml with the control service, the volume and the app.
    """
    read = deployment(
        flocker_deploy("convert", "--control", "ctl.example:4600", "--name", "prod", "d.yml", "a.yml").stdout
    )

    assert isinstance(read, ManifestDeployment)
    control = read.deployment.control
    assert control is not None
    assert (read.deployment.cluster_name, control.host, control.api_port, set(read.deployment.apps)) == (
        "prod",
        "ctl.example",
        4600,
        {"db"},
    )


def test_file_is_written(folder: Path) -> None:
    """
    With --output a new file has what would be printed.
    """
    printed = flocker_deploy("convert", "d.yml", "a.yml").stdout
    result = flocker_deploy("convert", "d.yml", "a.yml", "-o", "cluster.yml")

    assert (result.exit_code, result.output, (folder / "cluster.yml").read_text()) == (Exit.DONE, "", printed)


def test_no_file_is_overwritten(folder: Path) -> None:
    """
    A file that is there stays as it is.
    """
    (folder / "cluster.yml").write_text("mine")
    result = flocker_deploy("convert", "d.yml", "a.yml", "-o", "cluster.yml")

    assert (result.exit_code, (folder / "cluster.yml").read_text(), result.stderr) == (
        Exit.FAILED,
        "mine",
        "Error: cluster.yml: File exists. Nothing there was changed; name a new file.\n",
    )


def test_warnings_are_told(folder: Path) -> None:
    """
    What is not as it was under Flocker is on standard error too.
    """
    (folder / "a.yml").write_text("db: {image: x, links: [web]}\nweb: {image: x}\n")
    result = flocker_deploy("convert", "d.yml", "a.yml")

    assert result.stderr == "Warning: the link to web tells db nothing: web has no ports.\n"


@pytest.mark.parametrize("arguments", [("convert",), ("localhost",)])
def test_mistakes_in_both_files(folder: Path, arguments: tuple[str, ...]) -> None:
    """
    All mistakes are told with file, line and column.
    """
    (folder / "d.yml").write_text(DEPLOYMENT.replace("db", "dbb"))
    (folder / "a.yml").write_text(APPLICATION.replace("1G", "1X"))
    result = flocker_deploy(*arguments, "d.yml", "a.yml")

    assert (result.exit_code, [line.split(": ")[0] for line in result.stderr.splitlines()]) == (
        Exit.USAGE,
        ["d.yml:3:15", "a.yml:3:53", "2 mistakes; nothing was changed."],
    )


def test_mistakes_as_json(folder: Path) -> None:
    """
    As JSON each mistake has its file.
    """
    (folder / "d.yml").write_text(DEPLOYMENT.replace("db", "dbb"))
    told = json.loads(flocker_deploy("localhost", "d.yml", "a.yml", "--json").stdout)

    assert [(one["file"], one["line"], one["column"], one["path"]) for one in told["mistakes"]] == [
        ("d.yml", 3, 15, "nodes.192.0.2.1[0]")
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("convert", "a.yml"), "is no cluster.yml of the unofficial Flocker tools"),
        (("convert", "d.yml", "a.yml", "b.yml"), "Give DEPLOYMENT.YML and APPLICATION.YML"),
        (("convert", "d.yml", "c.yml"), "c.yml: No such file or directory"),
        (("convert", "d.yml", "a.yml", "--name", "a b"), "cluster.name must be 1 to 63 letters"),
        (("convert", "d.yml", "a.yml", "--control", "a_b"), "cluster.control.host must be a host's name"),
        (("d.yml", "a.yml"), "Give CLUSTER.YML; or CONTROL DEPLOYMENT.YML APPLICATION.YML"),
        (("localhost", "d.yml", "a.yml", "--control", "ctl"), "Give CONTROL or --control, not both"),
        (("localhost:1", "d.yml", "a.yml", "--port", "2"), "CONTROL says port 1, and --port says 2"),
        (("a.yml", "--port", "2"), "--port belongs to CONTROL"),
        (("localhost/", "d.yml", "a.yml"), "'localhost/' is not HOST or HOST:PORT"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], text: str) -> None:
    """
    Arguments that mean nothing are refused.
    """
    result = flocker_deploy(*arguments)

    assert (result.exit_code, text in result.stderr) == (Exit.USAGE, True)


@pytest.mark.parametrize("arguments", [("localhost:1",), ("localhost", "--port", "1"), ("localhost:1", "--port", "1")])
def test_certificates_come_after_the_files(arguments: tuple[str, ...]) -> None:
    """
    Where the files are good, certificates are looked for, in the current folder.
    """
    result = flocker_deploy(arguments[0], "d.yml", "a.yml", *arguments[1:])

    assert (result.exit_code, "cluster.crt: No such file" in result.stderr) == (Exit.USAGE, True)


def test_unofficial_file_that_is_not_yaml(folder: Path) -> None:
    """
    It is told where it is not YAML.
    """
    (folder / "a.yml").write_text("a: [")
    result = flocker_deploy("convert", "a.yml")

    assert (result.exit_code, result.stderr.splitlines()[0].split(": ")[0]) == (Exit.USAGE, "a.yml:2:1")
