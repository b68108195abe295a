"""
``/v2``: nodes.
"""

from __future__ import annotations

from pyrsistent import pvector

from flocker_control.commands import ApplyAll, Command, DrainNode, ReadmitNode, RemoveNode, UndrainNode
from flocker_control.http.answers import Answer
from flocker_control.http.naming import known_node
from flocker_control.http.routes import Api, Call, Route, route
from flocker_control.http.views_v2 import View, node_view
from flocker_control.placement import Evacuation, Group, evacuation
from flocker_control.state import State
from flocker_control.store import RevisionConflict
from flocker_py.model import NodeId

_DRAIN_TRIES = 5
"""What follows from earlier commands, such as a move that ends, is a change that a placement may depend on."""


async def nodes(api: Api, _call: Call) -> Answer:
    """
    All nodes that ever were part of the cluster.
    """
    state = api.service.state
    views = [_present_view(api, node_id) for node_id in sorted(state.nodes)]
    return Answer(body={"revision": state.revision, "nodes": views})


def _present_view(api: Api, node_id: NodeId) -> View:
    service = api.service
    left_seconds = service.lease_left_seconds(node_id) or 0.0
    return node_view(service.state, node_id, service.nodes.get(node_id), left_seconds)


async def drain_node(api: Api, call: Call) -> Answer:
    """
    Move everything off a node, as far as it finds a place.
    """
    node_id = known_node(api.service.state, call.path["node"])
    dry_run = bool(call.body.get("dry_run", False))
    tries_left = _DRAIN_TRIES
    while True:
        state = api.service.state
        found = evacuation(state, node_id, api.service.nodes)
        parts: list[Command] = [DrainNode(node_id=node_id), *(placement.command for placement in found.placed)]
        try:
            if not dry_run:
                await api.service.submit(ApplyAll(commands=pvector(parts)), if_revision=state.revision)
        except RevisionConflict:
            tries_left -= 1
            if not tries_left:
                raise
        else:
            return Answer(body=_evacuation_view(state, node_id, found, dry_run=dry_run))


def _evacuation_view(state: State, node_id: NodeId, found: Evacuation, *, dry_run: bool) -> View:
    return {
        "node_id": str(node_id),
        "dry_run": dry_run,
        "placed": [{"group": _group_view(state, it.group), "target": str(it.target)} for it in found.placed],
        "unplaced": [{"group": _group_view(state, it.group), "reasons": list(it.reasons)} for it in found.unplaced],
        "leaving": [_group_view(state, group) for group in found.leaving],
    }


def _group_view(state: State, group: Group) -> View:
    return {
        "container": group.container,
        "datasets": [{"dataset_id": str(i), "name": state.datasets[i].name} for i in group.dataset_ids],
    }


async def undrain_node(api: Api, call: Call) -> Answer:
    """
    Let a node be used again.
    """
    node_id = known_node(api.service.state, call.path["node"])
    await api.service.submit(UndrainNode(node_id=node_id))
    return Answer(body=_present_view(api, node_id))


async def remove_node(api: Api, call: Call) -> Answer:
    """
    Take a node that has nothing any more out of the cluster.
    """
    node_id = known_node(api.service.state, call.path["node"])
    await api.service.submit(RemoveNode(node_id=node_id, is_dead=call.query("is_dead") == "true"))
    return Answer(body=_present_view(api, node_id))


async def readmit_node(api: Api, call: Call) -> Answer:
    """
    Let a node that was removed in again.
    """
    node_id = known_node(api.service.state, call.path["node"], removed=True)
    await api.service.submit(ReadmitNode(node_id=node_id))
    return Answer(body=_present_view(api, node_id))


_MISSING = {404: "There is no such node."}

NODE_ROUTES: tuple[Route, ...] = (
    route("GET", "/v2/nodes", nodes, {200: "Nodes"}, summary="All nodes that ever were part of the cluster"),
    route(
        "POST",
        "/v2/nodes/<node>/drain",
        drain_node,
        {200: "Drained"},
        summary="Move everything off a node, as far as it finds a place, and put nothing new there",
        description="The moves have only begun when this is answered. What finds no place stays, with the reasons;"
        " ask again when there is room.",
        body="DrainNode",
        errors={400: "The body is refused.", 409: "The node was removed.", **_MISSING},
    ),
    route(
        "POST",
        "/v2/nodes/<node>/undrain",
        undrain_node,
        {200: "Node"},
        summary="Let a node be used again",
        errors={409: "The node was removed.", **_MISSING},
    ),
    route(
        "DELETE",
        "/v2/nodes/<node>",
        remove_node,
        {200: "Node"},
        summary="Take a node that has nothing any more out of the cluster: its agent is heard no more",
        query={
            "is_dead": "`true`: it never comes back, and nothing is waited for that it may still have of what"
            " belongs to others. Refused while it is connected"
        },
        errors={409: "It still has, or is to get, something: the text names everything.", **_MISSING},
    ),
    route(
        "POST",
        "/v2/nodes/<node>/readmit",
        readmit_node,
        {200: "Node"},
        summary="Let a node that was removed in again",
        errors=_MISSING,
    ),
)
