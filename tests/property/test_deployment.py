"""
Whatever a document holds, it is understood or complained about.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from flocker_py.deployed import Deployment
from flocker_py.deployment import parse
from flocker_py.deployment_schema import DEPLOYMENT_SCHEMA
from flocker_py.testing.strategies import json_values

VALIDATOR = Draft202012Validator(DEPLOYMENT_SCHEMA)

DOCUMENT: dict[str, Any] = {
    "version": 2,
    "cluster": {"name": "prod", "control": {"host": "ctl.example", "api_port": 4523, "agent_port": 4524}},
    "defaults": {
        "size": "1G",
        "restart": "always",
        "max_downtime": "1s",
        "on_overrun": "give-up",
        "on_start_failure": "stay",
        "on_partition": "keep",
        "stop_grace": 5,
    },
    "nodes": {
        "n1": {"uuid": "11111111-1111-4111-8111-111111111111", "address": "192.0.2.1", "labels": {"a": "b"}},
        "n2": None,
    },
    "volumes": {
        "pg": {
            "size": "20G",
            "primary": "n1",
            "labels": {},
            "max_downtime": "1h30m",
            "on_overrun": "cut-over",
            "on_start_failure": "go-back",
            "on_partition": "fence",
        },
        "old": {"state": "deleted", "id": "dddddddd-dddd-4ddd-8ddd-dddddddddddd", "renamed_from": "older"},
    },
    "apps": {
        "db": {
            "image": "postgres:16",
            "pull_policy": "always",
            "node": "n1",
            "entrypoint": ["e"],
            "command": ["a", "b"],
            "env_file": "/etc/db.env",
            "env": {"A": "B"},
            "mounts": [{"volume": "pg", "path": "/data", "read_only": False}],
            "ports": [
                "15432:5432",
                "127.0.0.1:8080-8081:80-81",
                {"internal": 1, "external": 2, "protocol": "udp", "host_ip": "::1"},
            ],
            "links": [{"alias": "a", "local_port": 1, "remote_port": 2}],
            "restart": {"name": "on-failure", "maximum_retry_count": 2},
            "memory": "1G",
            "cpu_shares": 12,
            "cpus": 0.5,
            "pids_limit": 100,
            "swappiness": 0,
            "stop_signal": "SIGINT",
            "healthcheck": {
                "test": ["CMD", "true"],
                "interval": "5s",
                "timeout": 1,
                "start_period": 0,
                "retries": 3,
            },
            "logging": {"driver": "json-file", "options": {"max-size": "1m"}},
            "read_only": True,
            "user": "999:999",
            "cap_add": ["NET_ADMIN"],
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "stop_grace": "2s",
            "labels": {"x": "y"},
            "state": "running",
        },
        "web": {"command": "serve", "node": "192.0.2.7"},
    },
}

likely_values: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(
            None,
            True,
            0,
            1,
            2,
            2**40,
            -1,
            0.5,
            "",
            "n1",
            "n2",
            "pg",
            "old",
            "1G",
            "2s",
            "/",
            "80:80",
            "pg:/x:ro",
            "0.5",
        ),
        *("CMD", "[::]:1:1", "a b", [], {}, ["a"]),
    ]
)


def places(found: Any) -> list[tuple[Any, Any]]:
    """
    Every place of a JSON value in which another value can be put: the container and the key or index.
    """
    match found:
        case dict():
            return [(found, key) for key in found] + [place for item in found.values() for place in places(item)]
        case list():
            return [(found, index) for index in range(len(found))] + [place for item in found for place in places(item)]
        case _:
            return []


@given(document=json_values)
def test_arbitrary_json_is_complained_about(document: object) -> None:
    """
    A JSON value that is no deployment gives at least one complaint, and no exception.
    """
    found = parse(document)

    assert isinstance(found, list)
    assert found


@given(data=st.data())
def test_damaged_document(data: st.DataObject) -> None:
    """
    A document with some values replaced is understood or complained about; and what is understood has the form that the
    schema describes.
    """
    document = copy.deepcopy(DOCUMENT)
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(document)))
        container[key] = data.draw(likely_values | json_values)
    found = parse(document)

    assert (isinstance(found, list) and found) or (isinstance(found, Deployment) and VALIDATOR.is_valid(document))


@given(data=st.data())
def test_complaints_point_into_the_document(data: st.DataObject) -> None:
    """
    Every complaint points to a value that is there.
    """
    document = copy.deepcopy(DOCUMENT)
    container, key = data.draw(st.sampled_from(places(document)))
    container[key] = data.draw(likely_values)
    found = parse(document)
    for complaint in found if isinstance(found, list) else []:
        here: Any = document
        for step in complaint.pointer:
            here = here[step]
        assert complaint.text
