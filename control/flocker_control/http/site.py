"""
The REST API as one site.

========================================  =========================
what comes in                             what goes out
========================================  =========================
unknown path                              404, ``PathUnknown``
known path, wrong method                  405, ``MethodNotAllowed``
OPTIONS                                   204 and ``Allow``
body of more than 1 MiB                   413, ``BodyTooLarge``
body that isn't JSON, or not as it ought  400
revision that isn't the present one       409, ``RevisionConflict``
store that can't be written               503, ``StoreFull`` or another
anything we didn't think of               500, with an ``incident``
========================================  =========================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from eliot import log_message
from klein import Klein
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from flocker_control.backup_schedule import BackupReport
from flocker_control.http.answers import Answer, RequestRefused
from flocker_control.http.events import EVENT_ROUTES
from flocker_control.http.openapi import document
from flocker_control.http.rendering import rendering, write_answer
from flocker_control.http.request import ApiSite, HttpRequest
from flocker_control.http.routes import Api, Call, Route, route
from flocker_control.http.schemas import ERROR
from flocker_control.http.schemas_v1 import V1_SCHEMAS
from flocker_control.http.schemas_v2 import V2_SCHEMAS
from flocker_control.http.v1 import V1_ROUTES
from flocker_control.http.v1_compose import V1_COMPOSE_ROUTES
from flocker_control.http.v1_containers import V1_CONTAINER_ROUTES
from flocker_control.http.v1_leases import V1_LEASE_ROUTES
from flocker_control.http.v2_containers import CONTAINER_ROUTES
from flocker_control.http.v2_datasets import DATASET_ROUTES
from flocker_control.http.v2_deployments import DEPLOYMENT_ROUTES
from flocker_control.http.v2_failover import FAILOVER_ROUTES
from flocker_control.http.v2_leases import LEASE_ROUTES
from flocker_control.http.v2_moves import MOVE_ROUTES
from flocker_control.http.v2_nodes import NODE_ROUTES
from flocker_control.http.v2_status import STATUS_ROUTES
from flocker_control.http.validation import Schemas
from flocker_control.service import ControlService
from flocker_py.clock import Clock

SCHEMAS = Schemas({"Error": ERROR, **V1_SCHEMAS, **V2_SCHEMAS})


async def openapi(_api: Api, _call: Call) -> Answer:
    """
    The description of all routes.
    """
    return Answer(body=document(ROUTES, SCHEMAS))


ROUTES: tuple[Route, ...] = (
    *V1_ROUTES,
    *V1_LEASE_ROUTES,
    *V1_CONTAINER_ROUTES,
    *V1_COMPOSE_ROUTES,
    *NODE_ROUTES,
    *DATASET_ROUTES,
    *CONTAINER_ROUTES,
    *MOVE_ROUTES,
    *LEASE_ROUTES,
    *FAILOVER_ROUTES,
    *DEPLOYMENT_ROUTES,
    *EVENT_ROUTES,
    *STATUS_ROUTES,
    route("GET", "/v2/openapi.json", openapi, {200: "OpenAPI"}, summary="This document"),
)


def api_site(
    service: ControlService,
    *,
    clock: Clock,
    uuid4: Callable[[], UUID],
    mount_root: str = "/flocker",
    backups: Callable[[], BackupReport | None] = lambda: None,
    validate_answers: bool = False,
) -> Site:
    """
    The site to listen with on the port of the REST API.

    :param clock: of time limits and heartbeats.
    :param uuid4: a random UUID at each call.
    :param mount_root: below which nodes mount datasets.
    :param backups: how it goes with the backups of the store; None: none are made.
    :param validate_answers: hold every answer against its schema; one that doesn't fit becomes a 500. For tests.
    """
    api = Api(service, clock=clock, new_id=uuid4, mount_root=mount_root, backups=backups)
    app: Any = Klein()
    for each in ROUTES:
        app.route(each.path, methods=[each.method], endpoint=each.name, strict_slashes=True)(
            rendering(api, each, SCHEMAS, validate_answers=validate_answers)
        )
    app.handle_errors(HTTPException)(_unroutable)
    app.handle_errors(Exception)(_failed)
    return ApiSite(_ApiResource(app.resource()), clock)


class _ApiResource(Resource):
    """
    Everything below the root.
    """

    isLeaf = True  # noqa: N815  # Twisted's name

    def __init__(self, routed: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._routed = routed

    def render(self, request: IRequest) -> Any:
        """
        Answer whatever comes, in JSON.
        """
        asked: Any = request
        try:
            b"/".join(asked.postpath).decode("utf-8")
            asked.method.decode("ascii")
            return self._routed.render(asked)
        except (UnicodeError, HTTPException):
            # Methods and host names that can't be, such as a Host header that is no name.
            refusal = RequestRefused(400, "RequestRefused", "The request's method, host or path can't be understood.")
            write_answer(asked, refusal.answer())
            asked.finish()
            return NOT_DONE_YET


def _failed(request: HttpRequest, failure: Failure) -> bytes:
    """
    The last resort: something went wrong in telling what went wrong.
    """
    log_message(message_type="flocker:api:failure", reason=failure.getTraceback())
    write_answer(request, RequestRefused(500, "InternalError", "Something went wrong. See the log.").answer())
    return b""


def _unroutable(request: HttpRequest, failure: Failure) -> bytes:
    error = failure.value
    path = request.path.decode("utf-8", "replace")
    if not isinstance(error, MethodNotAllowed):
        write_answer(request, RequestRefused(404, "PathUnknown", f"There is nothing at {path}.").answer())
        return b""
    allowed = ", ".join(sorted({*(error.valid_methods or ()), "OPTIONS"}))
    if request.method == b"OPTIONS":
        request.setResponseCode(204)
        request.setHeader(b"Allow", allowed.encode("ascii"))
        return b""
    refusal = RequestRefused(
        405,
        "MethodNotAllowed",
        f"{request.method.decode('ascii')} can't be done at {path}, only {allowed}.",
        headers={"Allow": allowed},
    )
    write_answer(request, refusal.answer())
    return b""
