"""
What a plan says of a container that changes.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector

from flocker_control.differences import _WORDS, difference_texts
from flocker_py.model import (
    Container,
    ContainerName,
    HealthCheck,
    NodeId,
    Port,
    PullPolicy,
    RestartName,
    RestartPolicy,
)
from flocker_py.records import field_names

PRESENT = Container(
    name=ContainerName("db"),
    node_id=NodeId(UUID(int=1)),
    image="postgres:16",
    environment=pmap({"A": "old", "B": "kept", "C": "gone"}),
    ports=pvector([Port(internal=5432, external=15432), Port(internal=1, external=2)]),
)


def test_every_field_has_a_word() -> None:
    """
    No field of a container can change without being told.
    """
    assert set(_WORDS) == set(field_names(Container)) - {"name", "node_id"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"node_id": NodeId(UUID(int=2))}, []),
        ({"image": "postgres:17"}, ["image postgres:16 -> postgres:17"]),
        ({"image": None, "cpus": 0.5}, ["image postgres:16 -> default", "cpus default -> 0.5"]),
        ({"pull": PullPolicy.NEVER}, ["pull_policy missing -> never"]),
        ({"read_only": True}, ["read_only false -> true"]),
        ({"command": pvector(["serve", "--password=secret"])}, ["command changed"]),
        ({"health": HealthCheck(command=pvector(["true"]))}, ["healthcheck changed"]),
        ({"environment": pmap({"A": "new", "B": "kept", "D": "secret"})}, ["env +D -C ~A"]),
        ({"log_options": pmap({"token": "secret"})}, ["logging.options +token"]),
        ({"capabilities_drop": pvector(["ALL"])}, ["cap_drop +ALL"]),
        (
            {"ports": pvector([Port(internal=5432, external=15432, host_address="::1"), Port(internal=1, external=2)])},
            ["ports +[::1]:15432/tcp:5432 -15432/tcp:5432"],
        ),
        ({"ports": pvector(reversed(PRESENT.ports))}, ["ports in another order"]),
        ({"restart": RestartPolicy(name=RestartName.ALWAYS)}, ["restart never -> always"]),
        (
            {"restart": RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=3)},
            ["restart never -> on-failure:3"],
        ),
    ],
)
def test_difference(changes: dict[str, Any], expected: list[str]) -> None:
    """
    Each field that differs is told by its name in cluster.yml, without values that can be secrets.
    """
    assert difference_texts(PRESENT, PRESENT.set(**changes)) == expected
