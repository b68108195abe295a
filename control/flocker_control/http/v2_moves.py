"""
``/v2``: moves.
"""

from __future__ import annotations

from flocker_control.commands import CancelMove, StartMove
from flocker_control.http.answers import Answer, RequestRefused
from flocker_control.http.naming import known_dataset, known_node, uuid_of
from flocker_control.http.routes import Api, Call, Route, route
from flocker_control.http.v2_leases import LEASE_QUERY, under_lease
from flocker_control.http.views_v2 import View, finished_move_view, move_to_come_view, move_view
from flocker_control.refusals import RefusalCode
from flocker_py.model import DatasetId, MoveId


def _views(api: Api, dataset_id: DatasetId) -> list[View]:
    """
    The moves of a dataset that are remembered: the present one, and the one before.
    """
    ownership = api.service.state.ownerships[dataset_id]
    views = []
    if ownership.move is not None:
        views.append(move_view(api.service.situation(dataset_id), ownership.move))
    if ownership.last_move is not None:
        views.append(finished_move_view(dataset_id, ownership.last_move))
    return views


def _found(api: Api, text: str) -> View:
    move_id = uuid_of(text)
    for dataset_id, ownership in api.service.state.ownerships.items():
        known = [move.move_id for move in (ownership.move, ownership.last_move) if move is not None]
        if move_id in known:
            return next(view for view in _views(api, dataset_id) if view["move_id"] == str(move_id))
    code = RefusalCode.MOVE_UNKNOWN
    raise RequestRefused(
        code.status,
        code.text,
        f"There is no move {text!r}. Of each dataset the present move and the one before it are remembered.",
    )


async def moves(api: Api, _call: Call) -> Answer:
    """
    All moves that are remembered.
    """
    state = api.service.state
    views = [view for dataset_id in sorted(state.ownerships) for view in _views(api, dataset_id)]
    return Answer(body={"revision": state.revision, "moves": views})


async def move(api: Api, call: Call) -> Answer:
    """
    One move.
    """
    return Answer(body=_found(api, call.path["move_id"]))


async def start_move(api: Api, call: Call) -> Answer:
    """
    Move a dataset, with the container that uses it.
    """
    state = api.service.state
    dataset_id = known_dataset(state, call.body["dataset"])
    target = known_node(state, call.body["target"])
    state = await api.service.submit(under_lease(call, StartMove(dataset_id=dataset_id, target=target)))
    ownership = state.ownerships[dataset_id]
    situation = api.service.situation(dataset_id)
    if ownership.move is not None and ownership.move.target == target:
        return Answer(status=202, body=move_view(situation, ownership.move))
    if ownership.move is None and ownership.owner == target and ownership.last_move is not None:
        # Sent back before it had gone: what there is to see is the end of the move that led away.
        return Answer(status=202, body=finished_move_view(dataset_id, ownership.last_move))
    return Answer(status=202, body=move_to_come_view(situation))


async def cancel_move(api: Api, call: Call) -> Answer:
    """
    Let a dataset stay where it is.
    """
    move_id = uuid_of(call.path["move_id"])
    if move_id is not None:
        await api.service.submit(CancelMove(move_id=MoveId(move_id)))
    return Answer(body=_found(api, call.path["move_id"]))


_MISSING = {404: "There is no such move, or it is forgotten."}

MOVE_ROUTES: tuple[Route, ...] = (
    route(
        "GET",
        "/v2/moves",
        moves,
        {200: "Moves"},
        summary="The moves under way, and of each dataset the one that ended last",
    ),
    route("GET", "/v2/moves/<move_id>", move, {200: "Move"}, summary="One move", errors=_MISSING),
    route(
        "POST",
        "/v2/moves",
        start_move,
        {202: "Move"},
        summary="Move a dataset, with the container that uses it",
        description="Asking again for a move that is under way is answered with that one. An answer without a"
        " move_id is a move that begins later: it says what it waits for.",
        body="StartMove",
        errors={
            400: "The body is refused.",
            404: "There is no such dataset or node.",
            409: "It is there already, or deleted, or leased, or the container that uses it can't run there.",
        },
        query=LEASE_QUERY,
    ),
    route(
        "DELETE",
        "/v2/moves/<move_id>",
        cancel_move,
        {200: "Move"},
        summary="Cancel a move",
        errors={409: "It is past the commit point, or has ended.", **_MISSING},
    ),
)
