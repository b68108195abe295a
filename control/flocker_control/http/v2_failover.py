"""
``/v2``: the copies of a dataset, and going on from one of them without its owner.
"""

from __future__ import annotations

from uuid import UUID

from pyrsistent import pmap

from flocker_control import situation as facts
from flocker_control.absence import last_heard
from flocker_control.copies import (
    KnownCopy,
    is_candidate,
    known_copies,
    loss,
    loss_text,
    snapshot_text,
)
from flocker_control.failover import Adopt, Failover, RestoreStash, group
from flocker_control.http.answers import Answer, RequestRefused
from flocker_control.http.naming import found_dataset, known_dataset, known_node, uuid_of
from flocker_control.http.routes import Api, Call, Route, route
from flocker_control.http.v2_datasets import present_view
from flocker_control.http.views_v2 import View
from flocker_control.refusals import RefusalCode
from flocker_control.situation import Situation
from flocker_control.stash_wishes import DropStash, MountStash
from flocker_control.state import State, stash_key
from flocker_py.model import DatasetId, Guid, MoveId, NodeId
from flocker_py.observed import NodeObservation, StashObservation


def copy_view(s: Situation, copy: KnownCopy) -> View:
    """
    A copy of a dataset, and what it is known to lack.
    """
    heard, lost = copy.heard, loss(s, copy.heard.newest_guid)
    absence = s.absences.get(copy.node_id)
    return {
        "node_id": str(copy.node_id),
        "connected": copy.connected,
        "heard_until_seconds": None if copy.connected or absence is None else absence.since_seconds,
        "role": heard.role.value,
        "epoch": heard.epoch,
        "newest_guid": None if heard.newest_guid is None else str(heard.newest_guid),
        "newest_name": heard.newest_name,
        "newest_at_seconds": heard.newest_at_seconds,
        "used_bytes": heard.used_bytes,
        "candidate": is_candidate(s, copy),
        "missing_at_least_bytes": lost.at_least_bytes,
        "missing_nothing": lost.nothing,
        "text": f"{snapshot_text(s, heard)}: {loss_text(s, heard)}"
        if is_candidate(s, copy)
        else snapshot_text(s, heard),
    }


async def copies(api: Api, call: Call) -> Answer:
    """
    All that is known of a dataset's copies.
    """
    state = api.service.state
    dataset_id = known_dataset(state, call.path["dataset"])
    s = api.service.situation(dataset_id)
    owner = s.ownership.owner
    absence = s.absences.get(owner)
    return Answer(
        body={
            "dataset_id": str(dataset_id),
            "owner": str(owner),
            "epoch": s.ownership.epoch,
            "owner_connected": owner in s.nodes,
            "owner_away_since_seconds": None if owner in s.nodes or absence is None else absence.since_seconds,
            "owner_lease_left_seconds": _lease_left_seconds(s),
            "together": [str(member.dataset_id) for member in group(state, s.dataset)],
            "copies": [copy_view(s, copy) for copy in known_copies(s)],
        }
    )


def _lease_left_seconds(s: Situation) -> float | None:
    left_seconds = s.owner_lease_left_seconds
    if s.ownership.owner in s.nodes or left_seconds is None or not facts.goes_by_its_lease(s):
        return None
    return max(0.0, left_seconds)


async def fail_over(api: Api, call: Call) -> Answer:
    """
    Give a dataset to a node that has a copy of it.
    """
    state, body = api.service.state, call.body
    dataset_id = known_dataset(state, call.path["dataset"])
    command = Failover(
        dataset_id=dataset_id,
        target=known_node(state, body["target"]),
        guids=pmap({DatasetId(UUID(text)): Guid(int(guid)) for text, guid in body.get("guids", {}).items()}),
        owner_is_dead=body.get("owner_is_dead", False),
        move_id=MoveId(api.new_id()),
        at_seconds=api.service.now_seconds(),
    )
    await api.service.submit(command)
    return Answer(status=202, body=present_view(api, dataset_id))


async def adopt(api: Api, call: Call) -> Answer:
    """
    Take what a node has for a dataset.
    """
    state, body, text = api.service.state, call.body, call.path["dataset"]
    dataset_id = found_dataset(state, text) or uuid_of(text)
    if dataset_id is None:
        code = RefusalCode.DATASET_UNKNOWN
        raise RequestRefused(
            code.status, code.text, f"There is no dataset {text!r}; one without a record is named by its id."
        )
    command = Adopt(
        dataset_id=DatasetId(dataset_id),
        node_id=known_node(state, body["node"]),
        epoch=body["epoch"],
        others_are_dead=body.get("others_are_dead", False),
        move_id=MoveId(api.new_id()),
        at_seconds=api.service.now_seconds(),
    )
    await api.service.submit(command)
    return Answer(status=202, body=present_view(api, DatasetId(dataset_id)))


async def unclaimed(api: Api, _call: Call) -> Answer:
    """
    What nodes have and the control service has no record of.
    """
    state = api.service.state
    found: dict[DatasetId, list[View]] = {}
    for node_id, node in sorted(api.service.nodes.items(), key=lambda item: str(item[0])):
        for dataset_id, seen in node.datasets.items():
            if dataset_id not in state.datasets:
                heard = last_heard(seen)
                found.setdefault(dataset_id, []).append(
                    {
                        "node_id": str(node_id),
                        "role": heard.role.value,
                        "epoch": heard.epoch,
                        "mounted": seen.mounted,
                        "newest_guid": None if heard.newest_guid is None else str(heard.newest_guid),
                        "newest_at_seconds": heard.newest_at_seconds,
                        "used_bytes": heard.used_bytes,
                    }
                )
    views = [{"dataset_id": str(d), "copies": found[d]} for d in sorted(found, key=str)]
    return Answer(body={"revision": state.revision, "unclaimed": views})


# -- stashes -----------------------------------------------------------------------------------------------------------


def stash_view(state: State, node: NodeObservation, stash: StashObservation) -> View:
    """
    What a node has put aside, and what is wanted of it.
    """
    dataset = state.datasets.get(stash.dataset_id)
    wish = state.stash_wishes.get(stash_key(node.node_id, stash.name))
    error = node.failures.get(stash.name)
    wanted = None if wish is None else "dropped" if wish.dropped else "mounted" if wish.mounted else "unmounted"
    return {
        "name": stash.name,
        "node_id": str(node.node_id),
        "dataset_id": str(stash.dataset_id),
        "dataset_name": None if dataset is None else dataset.name,
        "role": stash.role.value,
        "epoch": stash.epoch,
        "since_seconds": stash.since_seconds,
        "expires_at_seconds": stash.expires_at_seconds,
        "used_bytes": stash.used_bytes,
        "newest_guid": str(stash.guids[-1]) if stash.guids else None,
        "newest_at_seconds": stash.newest_at_seconds,
        "path": stash.path,
        "wanted": wanted,
        "last_error": None
        if error is None
        else {
            "code": error.code,
            "text": error.text,
            "at_seconds": error.at_seconds,
            "node_id": str(node.node_id),
        },
    }


async def stashes(api: Api, _call: Call) -> Answer:
    """
    What connected nodes have put aside; and which nodes can't be asked.
    """
    service = api.service
    views = [
        stash_view(service.state, node, stash)
        for _, node in sorted(service.nodes.items(), key=lambda item: str(item[0]))
        for _, stash in sorted(node.stashes.items())
    ]
    unknown = [n for n in service.state.nodes if n not in service.nodes or not service.nodes[n].storage_known]
    return Answer(
        body={
            "revision": service.state.revision,
            "stashes": views,
            "unknown_nodes": sorted(str(node_id) for node_id in unknown),
        }
    )


def _found(api: Api, call: Call) -> tuple[NodeId, StashObservation]:
    node_id, name = known_node(api.service.state, call.path["node"]), call.path["stash"]
    node = api.service.nodes.get(node_id)
    stash = None if node is None else node.stashes.get(name)
    if stash is None:
        code = RefusalCode.STASH_UNKNOWN
        raise RequestRefused(
            code.status,
            code.text,
            f"Node {call.path['node']} reports no stash {name!r}, or has no connection to the control service.",
        )
    return node_id, stash


def _present_stash(api: Api, call: Call) -> View:
    node_id, stash = _found(api, call)
    return stash_view(api.service.state, api.service.nodes[node_id], stash)


async def stash(api: Api, call: Call) -> Answer:
    """
    One stash.
    """
    return Answer(body=_present_stash(api, call))


async def change_stash(api: Api, call: Call) -> Answer:
    """
    Make a stash readable, or unreadable again.
    """
    node_id, found = _found(api, call)
    await api.service.submit(MountStash(node_id=node_id, name=found.name, mounted=call.body["mounted"]))
    return Answer(status=202, body=_present_stash(api, call))


async def drop_stash(api: Api, call: Call) -> Answer:
    """
    Destroy a stash.
    """
    node_id, found = _found(api, call)
    await api.service.submit(DropStash(node_id=node_id, name=found.name, confirmed=call.body["confirm"]))
    return Answer(status=202, body=_present_stash(api, call))


async def restore_stash(api: Api, call: Call) -> Answer:
    """
    Make a stash the dataset again.
    """
    node_id, found = _found(api, call)
    command = RestoreStash(
        node_id=node_id,
        name=found.name,
        epoch=call.body["epoch"],
        owner_is_dead=call.body.get("owner_is_dead", False),
        move_id=MoveId(api.new_id()),
        at_seconds=api.service.now_seconds(),
    )
    await api.service.submit(command)
    return Answer(status=202, body=present_view(api, found.dataset_id))


_MISSING = {404: "There is no such dataset."}
_STASH_MISSING = {404: "There is no such node, or it reports no such stash, or has no connection."}
_STASH = "/v2/stashes/<node>/<stash>"

FAILOVER_ROUTES: tuple[Route, ...] = (
    route(
        "GET",
        "/v2/datasets/<dataset>/copies",
        copies,
        {200: "Copies"},
        summary="All that is known of a dataset's copies, and what each is known to lack",
        errors=_MISSING,
    ),
    route(
        "POST",
        "/v2/datasets/<dataset>/failover",
        fail_over,
        {202: "Dataset"},
        summary="Give a dataset whose owner is gone to a node that has a copy of it",
        description="With all datasets that the same container uses. guids repeats, per dataset, the newest snapshot"
        " there, as /copies says. What the old owner has is put aside when it returns.",
        body="Failover",
        errors={
            400: "The body is refused.",
            404: "There is no such dataset or node.",
            409: "The owner is connected or not known to be dead, or the copy is not what was confirmed.",
        },
    ),
    route(
        "POST",
        "/v2/datasets/<dataset>/adopt",
        adopt,
        {202: "Dataset"},
        summary="Take what a node has for a dataset, since the store's record of it is older, or there is none",
        body="Adopt",
        errors={
            400: "The body is refused.",
            404: "There is no such dataset or node.",
            409: "The record is not older, or another copy is of a later epoch, or a node can't be asked.",
        },
    ),
    route(
        "GET",
        "/v2/unclaimed",
        unclaimed,
        {200: "UnclaimedDatasets"},
        summary="Datasets that nodes have and the control service has no record of; they are left alone",
    ),
    route(
        "GET",
        "/v2/stashes",
        stashes,
        {200: "Stashes"},
        summary="What connected nodes have put aside, and the nodes that can't be asked",
    ),
    route("GET", _STASH, stash, {200: "Stash"}, summary="One stash", errors=_STASH_MISSING),
    route(
        "PATCH",
        _STASH,
        change_stash,
        {202: "Stash"},
        summary="Make a stash readable at a path of its node, or unreadable again",
        description="The path is in the answer once the node has done it.",
        body="ChangeStash",
        errors={400: "The body is refused.", 409: "It is being restored or destroyed.", **_STASH_MISSING},
    ),
    route(
        "POST",
        f"{_STASH}/drop",
        drop_stash,
        {202: "Stash"},
        summary="Destroy a stash, for good",
        body="DropStash",
        errors={400: "The body is refused.", 409: "It was not confirmed, or is being restored.", **_STASH_MISSING},
    ),
    route(
        "POST",
        f"{_STASH}/restore",
        restore_stash,
        {202: "Dataset"},
        summary="Make a stash the dataset again; what is the dataset now is put aside in turn",
        body="RestoreStash",
        errors={
            400: "The body is refused.",
            404: "There is no such stash, or its dataset is not known.",
            409: "It is in the way of something, or the dataset has changed since.",
        },
    ),
)
