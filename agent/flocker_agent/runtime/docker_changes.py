"""
What somebody has changed by hand of a container of Docker while it runs: what Docker has, against what was asked for.

Only what was asked for is compared, with the restart policy, and whether the container is in its network: what Docker
put there by itself is no change. Fields have the names that Docker has for them in ``HostConfig``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flocker_agent.runtime import docker_spec as spec

NETWORK = "NetworkMode"
"""Stands among changes for the network, if the container is no longer in it."""

RUNS = ("running", "paused", "restarting")
"""The statuses of what has not ended."""

_FIELDS = {
    "Memory": "memory_bytes",
    "CpuShares": "cpu_shares",
    "NanoCpus": "cpus",
    "PidsLimit": "pids_limit",
    "RestartPolicy": "restart",
    NETWORK: "network",
}


def changes(inspected: Mapping[str, Any]) -> dict[str, Any]:
    """
    What is otherwise now than it was asked for: as it should be. Nothing is, of what doesn't run.

    :param inspected: what Docker answers to GET /containers/ID/json.
    """
    if inspected["State"]["Status"] not in RUNS:
        return {}
    container, host = spec.definition_of(inspected["Config"]["Labels"]), inspected["HostConfig"]
    wanted = {**spec.limits(container), "RestartPolicy": spec.restart_policy(container.restart)}
    result = {name: value for name, value in wanted.items() if host.get(name) != value}
    if host[NETWORK] not in _networks(inspected):
        # That with which it was created, whatever is written in agent.yml by now.
        result[NETWORK] = host[NETWORK]
    return result


def update(changes: Mapping[str, Any]) -> dict[str, Any]:
    """
    What Docker is asked to put back by an update of the container; empty: nothing.

    :param changes: as the function ``changes`` answers.
    """
    limits = {name: value for name, value in changes.items() if name != NETWORK}
    # Docker refuses a limit of memory above that of memory and swap, which was made twice as large with the container.
    return {**limits, **({"MemorySwap": 2 * limits["Memory"]} if "Memory" in limits else {})}


def told(changes: Mapping[str, Any], inspected: Mapping[str, Any]) -> str:
    """
    The same for people: each field, what it is, and what was asked for.
    """
    found = {**inspected["HostConfig"], NETWORK: " and ".join(_networks(inspected)) or "none"}
    return "; ".join(
        f"{_FIELDS[name]} is {_told(name, found.get(name))}, and {_told(name, wanted)} was asked for"
        for name, wanted in sorted(changes.items())
    )


def _networks(inspected: Mapping[str, Any]) -> list[str]:
    return sorted(inspected["NetworkSettings"]["Networks"] or ())


def _told(name: str, value: Any) -> str:
    if name == "RestartPolicy":
        policy = value or {"Name": "no", "MaximumRetryCount": 0}
        count = policy["MaximumRetryCount"]
        return f"{policy['Name'] or 'no'}:{count}" if count else str(policy["Name"] or "no")
    if not value:
        return "without limit"
    return f"{value / spec.NANOSECONDS:g}" if name == "NanoCpus" else str(value)
