"""
``/v2``: containers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pyrsistent import pmap, pvector

from flocker_control.commands import PutContainer, RemoveContainer
from flocker_control.http.answers import Answer, RequestRefused
from flocker_control.http.naming import known_dataset, known_node
from flocker_control.http.routes import Api, Call, Route, route
from flocker_control.http.v2_leases import LEASE_QUERY, under_lease
from flocker_control.http.views_v2 import View, container_view, leaving_views
from flocker_control.refusals import RefusalCode
from flocker_control.state import State
from flocker_py.container_values import ValueUnusable, capability, security_option, signal_name
from flocker_py.model import (
    Container,
    ContainerName,
    HealthCheck,
    Link,
    Mount,
    Port,
    PullPolicy,
    RestartName,
    RestartPolicy,
)
from flocker_py.published_ports import AddressUnreadable, host_address


def present_view(api: Api, container: Container) -> View:
    """
    A container as it is now.
    """
    return container_view(
        container,
        api.service.state,
        api.service.nodes,
        api.service.runs_on(container.name),
        api.service.warnings(container),
    )


def _known(api: Api, call: Call) -> Container:
    container = api.service.state.containers.get(ContainerName(call.path["name"]))
    if container is None:
        code = RefusalCode.CONTAINER_UNKNOWN
        raise RequestRefused(code.status, code.text, f"There is no container {call.path['name']!r}.")
    return container


async def containers(api: Api, _call: Call) -> Answer:
    """
    All containers.
    """
    state, nodes = api.service.state, api.service.nodes
    told = {node_id for node_id, node in nodes.items() if node.runtime_known}
    body = {
        "revision": state.revision,
        "containers": [present_view(api, container) for _, container in sorted(state.containers.items())],
        "leaving": leaving_views(state, nodes),
        "unknown_nodes": sorted(
            str(node.node_id) for node in state.nodes.values() if not node.removed and node.node_id not in told
        ),
    }
    return Answer(body=body)


async def container(api: Api, call: Call) -> Answer:
    """
    One container.
    """
    return Answer(body=present_view(api, _known(api, call)))


async def put_container(api: Api, call: Call) -> Answer:
    """
    Run a container, or run it as something else.
    """
    name = ContainerName(call.path["name"])
    wanted = _definition(api.service.state, name, call.body)
    status = 200 if name in api.service.state.containers else 201
    await api.service.submit(under_lease(call, PutContainer(container=wanted)))
    return Answer(status=status, body=present_view(api, wanted))


# Members of a body that say what the container's field of the same name holds.
_AS_THEY_ARE = (
    *("image", "memory_bytes", "cpu_shares", "swappiness", "stop_grace_seconds", "environment_file", "cpus"),
    *("pids_limit", "log_driver", "read_only", "user"),
)
_LISTS = ("command", "entrypoint")
_MAPPINGS = ("environment", "labels", "log_options")
# In other spellings, too: the first is the one that is kept.
_SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "capabilities_add": capability,
    "capabilities_drop": capability,
    "security_options": security_option,
}


def _definition(state: State, name: ContainerName, body: dict[str, Any]) -> Container:
    given: dict[str, Any] = {field: body[field] for field in _AS_THEY_ARE if field in body}
    given |= {field: pvector(body[field]) for field in _LISTS if field in body}
    given |= {field: pmap(body[field]) for field in _MAPPINGS if field in body}
    for field, spelling in _SPELLINGS.items():
        given[field] = pvector(_spelled(spelling, written, field) for written in body.get(field, ()))
    if body.get("stop_signal") is not None:
        given["stop_signal"] = _spelled(signal_name, body["stop_signal"], "stop_signal")
    check = body.get("healthcheck")
    if check is not None:
        given["health"] = HealthCheck(**{**check, "command": pvector(check["command"])})
    restart = body.get("restart", {"name": RestartName.NEVER.value})
    return Container(
        name=name,
        node_id=known_node(state, body["node"]),
        mounts=pvector(
            Mount(
                dataset_id=known_dataset(state, mount["dataset"]),
                path=mount.get("path"),
                read_only=mount.get("read_only", False),
            )
            for mount in body.get("mounts", ())
        ),
        ports=pvector(_port(port) for port in body.get("ports", ())),
        links=pvector(Link(**link) for link in body.get("links", ())),
        restart=RestartPolicy(
            name=RestartName(restart["name"]), maximum_retry_count=restart.get("maximum_retry_count")
        ),
        pull=PullPolicy(body.get("pull", PullPolicy.MISSING.value)),
        **given,
    )


def _port(body: dict[str, Any]) -> Port:
    address = body.get("host_address")
    return Port(**{**body, "host_address": None if address is None else _spelled(host_address, address, "ports")})


def _spelled(spelling: Callable[[str], str], written: str, field: str) -> str:
    try:
        return spelling(written)
    except (ValueUnusable, AddressUnreadable) as error:
        code = RefusalCode.VALUE_REFUSED
        raise RequestRefused(code.status, code.text, f"{field}: {error}") from error


async def remove_container(api: Api, call: Call) -> Answer:
    """
    Run a container no more.
    """
    before = _known(api, call)
    view = present_view(api, before)
    await api.service.submit(RemoveContainer(name=before.name))
    return Answer(body=view)


_MISSING = {404: "There is no such container."}

CONTAINER_ROUTES: tuple[Route, ...] = (
    route("GET", "/v2/containers", containers, {200: "Containers"}, summary="All containers"),
    route("GET", "/v2/containers/<name>", container, {200: "Container"}, summary="One container", errors=_MISSING),
    route(
        "PUT",
        "/v2/containers/<name>",
        put_container,
        {200: "Container", 201: "Container"},
        summary="Run a container, or run it as something else",
        description="If it changes its node, the datasets that it keeps move with it.",
        body="PutContainer",
        errors={
            400: "The body is refused.",
            404: "There is no such node or dataset.",
            409: "A dataset or port is in use, or elsewhere, or leased; or the node's runtime can't do it.",
        },
        query=LEASE_QUERY,
    ),
    route(
        "DELETE",
        "/v2/containers/<name>",
        remove_container,
        {200: "Container"},
        summary="Run a container no more; its datasets stay",
        errors=_MISSING,
    ),
)
