"""
``/v2``: leases that users hold on datasets, and what is asked for in spite of them.
"""

from __future__ import annotations

from flocker_control.commands import Command, UnderLease
from flocker_control.dataset_leases import LeaseRule, Moment, ReleaseLease, is_held, left_seconds
from flocker_control.http.answers import Answer, RequestRefused
from flocker_control.http.naming import known_dataset, known_node
from flocker_control.http.routes import Api, Call, Route, route
from flocker_control.http.v1_leases import held
from flocker_control.http.views_v2 import View, lease_view
from flocker_control.refusals import RefusalCode
from flocker_control.state import State
from flocker_control.store import RevisionConflict
from flocker_py.model import DatasetLease, NodeId

LEASE_QUERY = {
    "when_released": "true: if the dataset is leased, do it when the lease ends",
    "force": "true: do it although the dataset is leased",
}
"""What routes that may meet a lease can be asked behind the question mark; in a body it may be said as well."""


def under_lease(call: Call, command: Command) -> Command:
    """
    A command, by the rule about leases that the request names.

    :raises RequestRefused: it names both.
    """
    body = call.body if isinstance(call.body, dict) else {}
    asked = {word for word in LEASE_QUERY if body.get(word) or call.query(word) == "true"}
    if len(asked) > 1:
        raise RequestRefused(400, "LeaseRuleRefused", "Ask either for when_released or for force.")
    if not asked:
        return command
    return UnderLease(command=command, rule=LeaseRule.FORCE if "force" in asked else LeaseRule.WAIT)


def _present_view(api: Api, lease: DatasetLease) -> View:
    return lease_view(lease, left_seconds(lease, api.service.moment()))


async def leases(api: Api, _call: Call) -> Answer:
    """
    The leases that are held.
    """
    state, now = api.service.state, api.service.moment()
    shown = [lease for _, lease in sorted(state.dataset_leases.items()) if is_held(lease, now)]
    return Answer(body={"revision": state.revision, "leases": [_present_view(api, lease) for lease in shown]})


async def put_lease(api: Api, call: Call) -> Answer:
    """
    Hold a dataset for a node, or go on holding it.
    """
    state = api.service.state
    dataset_id, node_id = known_dataset(state, call.path["dataset"]), known_node(state, call.body["node"])
    lease, renewed = await held(api, dataset_id, node_id, call.body.get("seconds"))
    return Answer(status=200 if renewed else 201, body=_present_view(api, lease))


async def delete_lease(api: Api, call: Call) -> Answer:
    """
    Hold a dataset no more.
    """
    holder = call.query("node")
    while True:
        state, now = api.service.state, api.service.moment()
        dataset_id = known_dataset(state, call.path["dataset"])
        if holder is not None:
            _refuse_another(state, state.dataset_leases.get(dataset_id), known_node(state, holder), now)
        try:
            await api.service.submit(ReleaseLease(dataset_id=dataset_id, now=now), if_revision=state.revision)
        except RevisionConflict:
            # Something was committed meanwhile, and it may have been this lease.
            continue
        return Answer(body={"dataset_id": str(dataset_id)})


def _refuse_another(state: State, lease: DatasetLease | None, node_id: NodeId, now: Moment) -> None:
    """
    Nothing, unless a lease is held for another node than this one.
    """
    if lease is not None and is_held(lease, now) and lease.node_id != node_id:
        called = state.nodes[lease.node_id].name if lease.node_id in state.nodes else None
        code = RefusalCode.LEASE_HELD
        raise RequestRefused(
            code.status, code.text, f"The lease is held for node {called or lease.node_id}, and stays as it is."
        )


LEASE_ROUTES: tuple[Route, ...] = (
    route("GET", "/v2/leases", leases, {200: "Leases"}, summary="The leases that users hold on datasets"),
    route(
        "PUT",
        "/v2/leases/<dataset>",
        put_lease,
        {200: "Lease", 201: "Lease"},
        summary="Hold a dataset for a node, or go on holding it",
        description="While it is held, the dataset is neither moved nor resized nor deleted, unless that is asked for"
        " with when_released or force. 201: it was held by nobody; 200: it was held for the same node.",
        body="PutLease",
        errors={
            400: "The body is refused.",
            404: "There is no such dataset or node.",
            409: "It is held for another node.",
        },
    ),
    route(
        "DELETE",
        "/v2/leases/<dataset>",
        delete_lease,
        {200: "LeaseReleased"},
        summary="Hold a dataset no more, whoever does; what waits for that is done",
        errors={
            404: "There is no such dataset or node, or nobody holds a lease of it.",
            409: "It is held for another node than the one that was named.",
        },
        query={"node": "release it only if it is held for this node, by id or name"},
    ),
)
