"""
``/v2``: containers.
"""

from __future__ import annotations

from typing import Any

from pyrsistent import pmap, pvector

from flocker_control.commands import PutContainer, RemoveContainer
from flocker_control.http.answers import Answer, RequestRefused
from flocker_control.http.naming import known_dataset, known_node
from flocker_control.http.routes import Api, Call, Route, route
from flocker_control.http.v2_leases import LEASE_QUERY, under_lease
from flocker_control.http.views_v2 import View, container_view
from flocker_control.refusals import RefusalCode
from flocker_control.state import State
from flocker_py.model import Container, ContainerName, Link, Mount, Port, RestartName, RestartPolicy


def present_view(api: Api, container: Container) -> View:
    """
    A container as it is now.
    """
    return container_view(container, api.service.state, api.service.nodes, api.service.runs_on(container.name))


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
    state = api.service.state
    views = [present_view(api, container) for _, container in sorted(state.containers.items())]
    return Answer(body={"revision": state.revision, "containers": views})


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


def _definition(state: State, name: ContainerName, body: dict[str, Any]) -> Container:
    restart = body.get("restart", {"name": RestartName.NEVER.value})
    given = {field: body[field] for field in ("stop_grace_seconds",) if field in body}
    return Container(
        name=name,
        node_id=known_node(state, body["node"]),
        image=body.get("image"),
        command=pvector(body.get("command", ())),
        environment=pmap(body.get("environment", {})),
        mounts=pvector(
            Mount(dataset_id=known_dataset(state, mount["dataset"]), path=mount.get("path"))
            for mount in body.get("mounts", ())
        ),
        ports=pvector(Port(**port) for port in body.get("ports", ())),
        links=pvector(Link(**link) for link in body.get("links", ())),
        restart=RestartPolicy(
            name=RestartName(restart["name"]), maximum_retry_count=restart.get("maximum_retry_count")
        ),
        memory_bytes=body.get("memory_bytes"),
        cpu_shares=body.get("cpu_shares"),
        swappiness=body.get("swappiness"),
        labels=pmap(body.get("labels", {})),
        **given,
    )


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
