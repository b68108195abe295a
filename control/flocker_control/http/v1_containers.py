"""
``/v1``: containers, as Flocker's clients write and read them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from pyrsistent import pmap, pvector

from flocker_control.commands import PutContainer, RemoveContainer
from flocker_control.http.answers import Answer, RequestRefused
from flocker_control.http.routes import Api, Call, Route, route
from flocker_control.http.v1 import refused_v1
from flocker_control.http.views_v1 import container_states_view, container_view
from flocker_control.refusals import RefusalCode
from flocker_control.service import CommandRefused
from flocker_control.state import State
from flocker_control.store import RevisionConflict
from flocker_py.model import (
    Container,
    ContainerName,
    DatasetId,
    Link,
    Mount,
    NodeId,
    Port,
    RestartName,
    RestartPolicy,
)


async def containers(api: Api, _call: Call) -> Answer:
    """
    What is wanted of all containers.
    """
    present = sorted(api.service.state.containers.items())
    return Answer(body=[container_view(container, api.mount_root) for _, container in present])


async def container_states(api: Api, _call: Call) -> Answer:
    """
    Where containers are, and whether they run.
    """
    return Answer(body=container_states_view(api.service.state, api.service.nodes, api.mount_root))


async def create_container(api: Api, call: Call) -> Answer:
    """
    Run a new container.
    """
    wanted = _wanted(call.body)
    while True:
        state = api.service.state
        for refusal in _refusals(state, wanted):
            raise refusal
        try:
            await api.service.submit(_put(wanted), if_revision=state.revision)
        except RevisionConflict:
            continue
        except CommandRefused as error:
            raise refused_v1(error.refusal) from error
        return Answer(status=201, body=container_view(wanted, api.mount_root))


def _wanted(body: dict[str, Any]) -> Container:
    restart = body.get("restart_policy", {"name": RestartName.NEVER.value})
    return Container(
        # As Docker takes it: the slash is no part of the name, and nothing in a path could say it.
        name=ContainerName(body["name"].removeprefix("/")),
        node_id=NodeId(UUID(body["node_uuid"])),
        image=body["image"],
        command=pvector(body.get("command_line", ())),
        environment=pmap(body.get("environment", {})),
        mounts=pvector(
            Mount(dataset_id=DatasetId(UUID(volume["dataset_id"])), path=volume["mountpoint"])
            for volume in body.get("volumes", ())
        ),
        ports=pvector(Port(**port) for port in body.get("ports", ())),
        links=pvector(Link(**{**link, "alias": link["alias"].lower()}) for link in body.get("links", ())),
        restart=RestartPolicy(
            name=RestartName(restart["name"]), maximum_retry_count=restart.get("maximum_retry_count")
        ),
        memory_bytes=body.get("memory_limit"),
        cpu_shares=body.get("cpu_shares"),
        swappiness=body.get("swappiness"),
    )


def _put(wanted: Container) -> PutContainer:
    # Where Flocker took a node that it had never seen, so do we: it may come.
    return PutContainer(container=wanted, node_may_be_unknown=True)


def _refusals(state: State, wanted: Container) -> Iterator[RequestRefused]:
    """
    What Flocker's clients may compare with, in its order: name, volume, external ports, links.
    """
    if wanted.name in state.containers:
        yield RequestRefused(409, RefusalCode.NAME_IN_USE.text, "The container name already exists.")
    used = {mount.dataset_id: other.name for other in state.containers.values() for mount in other.mounts}
    for mount in wanted.mounts:
        dataset = state.datasets.get(mount.dataset_id)
        if dataset is None or dataset.deleted:
            yield RequestRefused(404, RefusalCode.DATASET_UNKNOWN.text, "Dataset not found.")
        elif dataset.primary != wanted.node_id:
            yield RequestRefused(409, RefusalCode.DATASET_ELSEWHERE.text, "The dataset is on another node.")
        elif mount.dataset_id in used:
            description = "The dataset is being used by another container."
            yield RequestRefused(409, RefusalCode.DATASET_IN_USE.text, description)
    # In Flocker an external port led to the container on every node.
    taken = {(p.external, p.protocol) for other in state.containers.values() for p in other.ports}
    if any((port.external, port.protocol) in taken for port in wanted.ports):
        yield RequestRefused(409, RefusalCode.PORT_IN_USE.text, "A specified external port is already in use.")
    if len({link.alias for link in wanted.links}) < len(wanted.links):
        yield RequestRefused(409, RefusalCode.NAME_IN_USE.text, "Link aliases must be unique.")
    if len({link.local_port for link in wanted.links}) < len(wanted.links):
        description = "The local ports in a container's links must be unique."
        yield RequestRefused(409, RefusalCode.PORT_IN_USE.text, description)


async def move_container(api: Api, call: Call) -> Answer:
    """
    Run a container elsewhere. Its dataset goes with it.
    """
    node_id = NodeId(UUID(call.body["node_uuid"]))
    while True:
        state = api.service.state
        wanted = _known(state, call).set(node_id=node_id)
        try:
            await api.service.submit(_put(wanted), if_revision=state.revision)
        except RevisionConflict:
            continue
        except CommandRefused as error:
            raise refused_v1(error.refusal) from error
        return Answer(body=container_view(wanted, api.mount_root))


async def remove_container(api: Api, call: Call) -> Answer:
    """
    Run a container no more. Its dataset stays.
    """
    name = _known(api.service.state, call).name
    try:
        await api.service.submit(RemoveContainer(name=name))
    except CommandRefused as error:
        raise refused_v1(error.refusal) from error
    return Answer(body=None)


def _known(state: State, call: Call) -> Container:
    container = state.containers.get(ContainerName(call.path["name"]))
    if container is None:
        raise RequestRefused(404, RefusalCode.CONTAINER_UNKNOWN.text, "Container not found.")
    return container


_MISSING = {404: "There is no such container."}
_BODY = {400: "The body is refused."}

V1_CONTAINER_ROUTES: tuple[Route, ...] = (
    route(
        "GET",
        "/v1/configuration/containers",
        containers,
        {200: "V1Containers"},
        summary="What is wanted of all containers",
    ),
    route(
        "GET",
        "/v1/state/containers",
        container_states,
        {200: "V1ContainerStates"},
        summary="Where containers are, and whether they run",
    ),
    route(
        "POST",
        "/v1/configuration/containers",
        create_container,
        {201: "V1Container"},
        summary="Run a new container",
        description="What the runtime of the node can't do is refused, with the reason. A slash that the name begins"
        " with is no part of it.",
        body="V1CreateContainer",
        errors={
            404: "There is no such dataset.",
            409: "The name, the dataset or an external port is in use, the dataset is elsewhere, or the runtime of the"
            " node can't do it.",
            **_BODY,
        },
    ),
    route(
        "POST",
        "/v1/configuration/containers/<name>",
        move_container,
        {200: "V1Container"},
        summary="Run a container elsewhere; its dataset moves with it",
        body="V1MoveContainer",
        errors={409: "Its dataset is leased, or the node can't take it.", **_MISSING, **_BODY},
    ),
    route(
        "DELETE",
        "/v1/configuration/containers/<name>",
        remove_container,
        {200: "V1Nothing"},
        summary="Run a container no more; its dataset stays",
        errors=_MISSING,
    ),
)
