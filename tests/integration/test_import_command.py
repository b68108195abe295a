"""
``flocker-control import`` on files, and what the API shows of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from twisted.internet import reactor

from flocker_control.codec import loaded_state
from flocker_control.import_command import import_configuration
from flocker_control.sqlite_store import open_store
from flocker_control.state import State
from flocker_py.testing.certificates import make_cluster
from flocker_py.testing.reactor_thread import in_reactor
from tests.integration.rest import rest_cluster
from tests.old_configurations import DATA, GONE, NODE_1, NODE_2, SPARE, configuration, everything, manifestation, node


def write(folder: Path, data: Any) -> Path:
    path = folder / "current_configuration.json"
    path.write_text(json.dumps(data))
    return path


def flocker_import(data_path: Path, source: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-c", "from flocker_control.main import main; main()", "import"),
            *("--data-path", str(data_path), "--from", str(source), *arguments),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def stored(data_path: Path) -> State:
    store = in_reactor(lambda: open_store(reactor, data_path))
    loaded = in_reactor(store.load)
    in_reactor(store.close)
    return loaded_state(loaded)


def test_cluster_goes_on_under_its_ids(tmp_path: Path) -> None:
    """
    What is imported from a file of the oldest version is in the store, and clients of Flocker see their datasets; a
    second import is refused, for it could contradict what is there.
    """
    data = tmp_path / "data"
    source = write(tmp_path, everything(1))
    first = flocker_import(data, source)
    again = flocker_import(data, source)
    store = in_reactor(lambda: open_store(reactor, data))
    with rest_cluster(tmp_path, store=store, certificates=make_cluster(tmp_path)) as cluster:
        datasets = cluster.get("/v1/configuration/datasets").body
        containers = cluster.get("/v2/containers").body["containers"]

    assert (first.returncode, first.stdout.splitlines()[0], first.stdout.splitlines()[-3]) == (
        0,
        f"{source} is Flocker's configuration, version 1.",
        "Imported; the cluster is at revision 1.",
    )
    assert datasets == [
        {
            "dataset_id": DATA,
            "primary": NODE_1,
            "deleted": False,
            "metadata": {"name": "db", "owner": "me"},
            "maximum_size": 20 * 1024**3,
        },
        {"dataset_id": SPARE, "primary": NODE_2, "deleted": False, "metadata": {}},
        {"dataset_id": GONE, "primary": NODE_1, "deleted": True, "metadata": {"name": "db"}},
    ]
    assert [one["name"] for one in containers] == ["db", "web"]
    assert (again.returncode, again.stderr.startswith(f"flocker-control: {data}: 3 datasets and 2 containers.")) == (
        1,
        True,
    )


def test_dry_run_beside_a_store(tmp_path: Path) -> None:
    """
    A dry run says the same and changes nothing; what can't be taken is listed.
    """
    data = tmp_path / "data"
    source = write(tmp_path, everything(6, leases=[(DATA, NODE_1, 1)]))
    stored(data)
    ended = flocker_import(data, source, "--dry-run")

    assert (ended.returncode, ended.stdout.splitlines()[-1], stored(data).revision) == (
        0,
        "Nothing was changed: this was a dry run.",
        0,
    )
    assert "Not taken:\n  the lease of dataset" in ended.stdout


def test_dry_run_makes_no_store(tmp_path: Path) -> None:
    """
    Where there is no store, a dry run makes none.
    """
    source = write(tmp_path, configuration(3, [node(NODE_1, [manifestation(DATA, size=1)], [])]))
    result = CliRunner().invoke(
        import_configuration, ["--data-path", str(tmp_path / "data"), "--from", str(source), "--dry-run"]
    )

    assert (result.exit_code, result.output.splitlines(), (tmp_path / "data").exists()) == (
        0,
        [
            f"{source} is Flocker's configuration, version 3.",
            "Taken:",
            f"  node {NODE_1}",
            f"  dataset {DATA} on node {NODE_1}",
            "Not as it was:",
            f"  dataset {DATA} may hold 67108864 bytes, not 1: the next possible size",
            "Nothing was changed: this was a dry run.",
        ],
        False,
    )


def test_nothing_to_import(tmp_path: Path) -> None:
    """
    An empty configuration is no mistake.
    """
    source = write(tmp_path, configuration(6, []))
    ended = flocker_import(tmp_path / "data", source)

    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, "There is nothing to import.")


@pytest.mark.parametrize(
    ("content", "status", "text"),
    [
        (None, 2, "No such file or directory"),
        (b"\xff", 2, "it is no text in UTF-8"),
        (b'{"version": 9}', 1, "version: must be 2 to 6, the versions that Flocker 1.x wrote, not 9"),
    ],
)
def test_files_that_can_not_be_read(tmp_path: Path, content: bytes | None, status: int, text: str) -> None:
    """
    The reason and the file are told, and no store is made.
    """
    source = tmp_path / "file.json"
    if content is not None:
        source.write_bytes(content)
    result = CliRunner().invoke(import_configuration, ["--data-path", str(tmp_path / "data"), "--from", str(source)])

    assert (result.exit_code, text in result.stderr, (tmp_path / "data").exists()) == (status, True, False)
