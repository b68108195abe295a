"""
Flocker's records, as the client has them.
"""

from __future__ import annotations

from uuid import UUID

import pytest

from flocker_py.client.views import view
from flocker_py.client.views_v1 import (
    V1Container,
    V1Dataset,
    V1Datasets,
    V1Link,
    V1Port,
    V1RestartPolicy,
    V1Volume,
    body_of,
    is_as_wanted,
    with_all_fields,
)
from flocker_py.wire import WireError

ID, NODE = UUID(int=1), UUID(int=2)
WANTED = V1Container(
    node_uuid=NODE,
    name="/db",
    image="postgres",
    ports=[V1Port(internal=2, external=20), V1Port(internal=1, external=10)],
    links=[V1Link(alias="B", local_port=2, remote_port=2), V1Link(alias="a", local_port=1, remote_port=1)],
    environment={"A": ""},
    volumes=[V1Volume(dataset_id=ID, mountpoint="/data")],
)
LISTED = {
    "node_uuid": str(NODE),
    "name": "db",
    "image": "postgres:latest",
    "restart_policy": {"name": "never"},
    "ports": [{"internal": 1, "external": 10}, {"internal": 2, "external": 20}],
    "links": [
        {"alias": "a", "local_port": 1, "remote_port": 1},
        {"alias": "b", "local_port": 2, "remote_port": 2},
    ],
    "environment": {"A": ""},
    "volumes": [{"dataset_id": str(ID), "mountpoint": "/data"}],
}


def listed(data: dict[str, object]) -> V1Container:
    return view(V1Container, with_all_fields(data))


def test_body() -> None:
    """
    A record is sent without what it doesn't say.
    """
    assert body_of(WANTED) == {
        "node_uuid": str(NODE),
        "name": "/db",
        "image": "postgres",
        "ports": [{"internal": 2, "external": 20}, {"internal": 1, "external": 10}],
        "links": [
            {"alias": "B", "local_port": 2, "remote_port": 2},
            {"alias": "a", "local_port": 1, "remote_port": 1},
        ],
        "environment": {"A": ""},
        "volumes": [{"dataset_id": str(ID), "mountpoint": "/data"}],
    }


def test_container_that_was_made() -> None:
    """
    A container is known again in the form that it is listed in.
    """
    assert is_as_wanted(listed(LISTED), WANTED)


@pytest.mark.parametrize(
    "different",
    [
        {"node_uuid": str(ID)},
        {"image": "postgres:16"},
        {"restart_policy": {"name": "always"}},
        {"environment": {"A": "b"}},
        {"ports": []},
    ],
)
def test_another_container(different: dict[str, object]) -> None:
    """
    One that differs in anything is another.
    """
    assert not is_as_wanted(listed({**LISTED, **different}), WANTED)


def test_container_with_all_said() -> None:
    """
    What needs no default is compared as it is.
    """
    wanted = WANTED.set(image="postgres:16", restart_policy=V1RestartPolicy(name="on-failure", maximum_retry_count=3))
    found = {
        **LISTED,
        "image": "postgres:16",
        "restart_policy": {"name": "on-failure", "maximum_retry_count": 3},
    }

    assert is_as_wanted(listed(found), wanted)


def test_datasets_are_found() -> None:
    """
    A dataset is found by its name unless it is deleted, and by its id in any case.
    """
    there = V1Dataset(dataset_id=ID, primary=NODE, deleted=False, metadata={"name": "db"})
    gone = V1Dataset(dataset_id=NODE, primary=NODE, deleted=True, metadata={"name": "old"})
    all_of_them = V1Datasets(tag="0", datasets=[gone, there])

    assert (all_of_them.named("db"), all_of_them.named("old"), all_of_them.identified(NODE)) == (there, None, gone)
    assert all_of_them.identified(UUID(int=3)) is None


def test_what_is_no_container() -> None:
    """
    What is no container stays none.
    """
    with pytest.raises(WireError):
        view(V1Container, with_all_fields([]))
