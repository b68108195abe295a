"""
Flocker's two files as the control service gets them.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from flocker_control.composing import composed
from flocker_control.state import Changes, State, changed
from flocker_py.deployed import Deployment
from flocker_py.foreign import dataset_id_of
from flocker_py.model import Node, NodeId

ADDRESS, REMOVED = "192.0.2.1", "192.0.2.9"
STATE = changed(
    State(),
    Changes().put(
        Node(node_id=NodeId(UUID(int=1)), address=ADDRESS),
        Node(node_id=NodeId(UUID(int=2)), address=REMOVED, removed=True),
    ),
    revision=1,
)
VOLUME = {"mountpoint": "/data", "maximum_size": "100M"}


def files(**app: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        {"version": 1, "applications": {"db": {"image": "postgres", **app}}},
        {"version": 1, "nodes": {ADDRESS: ["db"]}},
    )


def deployment(applications: Any, places: Any) -> Deployment:
    found = composed(applications, places, STATE)
    assert isinstance(found, Deployment), found
    return found


def complaints(applications: Any, places: Any) -> list[tuple[str, str]]:
    found = composed(applications, places, STATE)
    assert isinstance(found, list)
    return [(".".join(map(str, one.pointer)), one.text) for one in found]


def test_application_with_a_volume() -> None:
    """
    An application runs where the deployment says, with the volume that has the id which Flocker made of its name.
    """
    found = deployment(*files(volume=VOLUME))
    app, volume = found.apps["db"], found.volumes["db"]

    assert (ADDRESS, "postgres", "/data", dataset_id_of("db"), 100 * 1024**2) == (
        app.node,
        app.image,
        app.mounts[0].path,
        volume.dataset_id,
        volume.maximum_size_bytes,
    )


def test_application_without_a_volume() -> None:
    """
    One that has no volume mounts none.
    """
    found = deployment(*files())

    assert ([], {}) == (list(found.apps["db"].mounts), dict(found.volumes))


def test_application_that_runs_nowhere() -> None:
    """
    One that is on no node runs no more; its volume is left alone.
    """
    applications, _ = files(volume=VOLUME)
    found = deployment(applications, {"version": 1, "nodes": {ADDRESS: []}})

    assert (True, {}) == (found.apps["db"].deleted, dict(found.volumes))


def test_fig() -> None:
    """
    What has neither a version nor applications is a file of fig.
    """
    found = deployment({"db": {"image": "postgres", "ports": ["80:8080"]}}, files()[1])

    assert [(8080, 80)] == [(port.internal, port.external) for port in found.apps["db"].ports]


@pytest.mark.parametrize("address", ["192.0.2.7", REMOVED])
def test_node_that_is_not_there(address: str) -> None:
    """
    An address that no node has is wrong, even if nothing is to run there.
    """
    assert [(f"deployment.nodes.{address}", f"there is no node with the address {address}")] == complaints(
        files()[0], {"version": 1, "nodes": {ADDRESS: ["db"], address: []}}
    )


def test_everything_that_is_wrong() -> None:
    """
    All that is wrong with both files is told, each with its place.
    """
    applications = {"version": 1, "applications": {"db": {"imge": "x"}}}

    assert ["applications.applications.db", "applications.applications.db.imge", "deployment.version"] == sorted(
        pointer for pointer, _ in complaints(applications, {"version": 2, "nodes": {}})
    )


def test_what_is_wrong_by_our_rules() -> None:
    """
    What only we don't take is told as well.
    """
    assert complaints(*files(volume={**VOLUME, "dataset_id": "x"}))


def test_no_file() -> None:
    """
    What isn't a mapping is no application file.
    """
    assert ("applications", "must be a mapping") in complaints([], files()[1])
