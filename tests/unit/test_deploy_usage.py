"""
What ``flocker-deploy`` and ``flockerctl`` refuse before they call anybody.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flocker_admin import ctl, deploy
from flocker_admin.exits import Exit, exit_for
from flocker_py.client.errors import ControlNotTrusted, ControlUnreachable, RequestRefused, RevisionChanged
from flocker_py.credentials import CredentialUnusable
from flocker_py.deployment_schema import DEPLOYMENT_SCHEMA
from flocker_py.testing.certificates import ClusterCertificates, make_cluster

FILE = """\
version: 2
cluster: {name: test}
nodes:
  alpha: {address: 192.0.2.1}
volumes:
  pg: {primary: alpha, size: 1G}
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    Certificates for all tests here.
    """
    return make_cluster(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    The current folder, with ``cluster.yml``.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLOCKER_CONTROL", raising=False)
    monkeypatch.delenv("FLOCKER_CERTIFICATES", raising=False)
    (tmp_path / "cluster.yml").write_text(FILE)
    return tmp_path


def flocker_deploy(*arguments: str) -> Result:
    return CliRunner().invoke(deploy.main, ["cluster.yml", *arguments])


def test_mistakes_in_the_file(folder: Path) -> None:
    """
    All mistakes are told with line and column, and their number.
    """
    (folder / "cluster.yml").write_text(FILE.replace("1G", "big").replace("primary: alpha", "primary: gamma"))
    result = flocker_deploy()

    assert (result.exit_code, [line.split(": ")[0] for line in result.stderr.splitlines()]) == (
        Exit.USAGE,
        ["cluster.yml:6:8", "cluster.yml:6:24", "2 mistakes; nothing was changed."],
    )


def test_mistakes_as_json(folder: Path) -> None:
    """
    With --json mistakes are an object.
    """
    (folder / "cluster.yml").write_text(FILE.replace("1G", "big"))
    told = json.loads(flocker_deploy("--json").stdout)

    assert (told["event"], told["mistakes"][0]["line"], told["mistakes"][0]["path"]) == (
        "mistakes",
        6,
        "volumes.pg.size",
    )


def test_file_that_is_not_there(folder: Path) -> None:
    """
    A missing file is wrong usage.
    """
    (folder / "cluster.yml").unlink()
    result = flocker_deploy()

    assert (result.exit_code, "cluster.yml: No such file or directory" in result.stderr) == (Exit.USAGE, True)


def test_file_that_is_not_text(folder: Path) -> None:
    """
    A file of other bytes than UTF-8 is told as what it is.
    """
    (folder / "cluster.yml").write_bytes(b"version: 2\n\xff\xfe\n")
    result = flocker_deploy()

    assert (result.exit_code, result.stderr.splitlines()[0]) == (
        Exit.USAGE,
        "cluster.yml:2:1: not YAML: the character U+DCFF must not be in a file",
    )


def test_nobody_says_where_control_is() -> None:
    """
    Without an address in the file or an option, the command asks for one.
    """
    result = flocker_deploy()

    assert (result.exit_code, "Give --control, or cluster.control.host in the file" in result.stderr) == (
        Exit.USAGE,
        True,
    )


def test_file_says_where_control_is(folder: Path) -> None:
    """
    The address in the file is enough; what is missing next are certificates.
    """
    (folder / "cluster.yml").write_text(FILE.replace("name: test", "name: test, control: {host: ctl.example}"))
    result = flocker_deploy()

    assert (result.exit_code, "cluster.crt: No such file or directory" in result.stderr) == (Exit.USAGE, True)


def test_certificate_of_a_node(certificates: ClusterCertificates) -> None:
    """
    A node's certificate isn't a user's.
    """
    node = certificates.nodes[0]
    files = ["--cacert", str(node.ca_path), "--cert", str(node.certificate_path), "--key", str(node.key_path)]
    result = flocker_deploy("--control", "127.0.0.1", *files)

    assert (result.exit_code, "a user's is needed here" in result.stderr) == (Exit.USAGE, True)


def test_missing_certificates_as_json() -> None:
    """
    With --json an error is an object with its code and the exit status.
    """
    told = json.loads(flocker_deploy("--control", "127.0.0.1", "--json").stdout)

    assert (told["event"], told["code"], told["exit_status"]) == ("error", "CredentialUnusable", Exit.USAGE)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--cacert", "a"], "belong together"),
        (["--cacert", "a", "--cert", "b", "--key", "c", "--user", "me"], "Give either"),
        (["--cacert", "a", "--cert", "b", "--key", "c", "--certificates-directory", "."], "Give either"),
        (["--user", "node"], "is not the name of a user's certificate"),
        (["--user", "../me"], "is not the name of a user's certificate"),
        (["--timeout", "soon"], "'soon' is not a duration"),
        (["--control", "a b"], "is not HOST or HOST:PORT"),
    ],
)
def test_wrong_usage(more: list[str], text: str) -> None:
    """
    Options that contradict one another or can't be read are refused before anything is done.
    """
    result = flocker_deploy(*(more if "--control" in more else ["--control", "127.0.0.1", *more]))

    assert (result.exit_code, text in result.stderr) == (Exit.USAGE, True)


def test_files_win_over_a_folder_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Certificates named one by one are used although the environment names a folder.
    """
    monkeypatch.setenv("FLOCKER_CERTIFICATES", "elsewhere")
    result = flocker_deploy("--control", "127.0.0.1", "--cacert", "a", "--cert", "b", "--key", "c")

    assert "a: No such file or directory" in result.stderr


def test_flockerctl_asks_where_control_is() -> None:
    """
    flockerctl needs an address too.
    """
    result = CliRunner().invoke(ctl.main, ["nodes"])

    assert (result.exit_code, "Give --control, or set FLOCKER_CONTROL" in result.stderr) == (Exit.USAGE, True)


def test_flockerctl_takes_both_from_the_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """
    The environment says where control is and where the certificates are.
    """
    monkeypatch.setenv("FLOCKER_CONTROL", "127.0.0.1")
    monkeypatch.setenv("FLOCKER_CERTIFICATES", str(folder / "mine"))
    result = CliRunner().invoke(ctl.main, ["nodes"])

    assert (result.exit_code, f"{folder}/mine/cluster.crt: No such file" in result.stderr) == (Exit.USAGE, True)


def test_schema_is_printed() -> None:
    """
    The form of the file is printed for editors, without a file or a cluster.
    """
    result = CliRunner().invoke(deploy.main, ["--schema"])

    assert (result.exit_code, json.loads(result.stdout)) == (Exit.DONE, DEPLOYMENT_SCHEMA)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ControlUnreachable("x", arrived=False), Exit.NO_CONTROL),
        (ControlNotTrusted("x"), Exit.NO_CONTROL),
        (RevisionChanged(409, "RevisionConflict", "x"), Exit.CONFLICT),
        (CredentialUnusable("x"), Exit.USAGE),
        (RequestRefused(409, "PortInUse", "x"), Exit.FAILED),
    ],
)
def test_exit_status_of_errors(error: Exception, status: Exit) -> None:
    """
    Scripts can tell what went wrong by the exit status.
    """
    assert exit_for(error) is status
