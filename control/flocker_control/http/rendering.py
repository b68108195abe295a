"""
From a request to its answer: body, condition, route, errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from eliot import Action, log_message, start_action, write_traceback
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from flocker_control.http.answers import Answer, RequestRefused
from flocker_control.http.body import BODY_LIMIT_BYTES, parsed
from flocker_control.http.request import HttpRequest
from flocker_control.http.routes import Api, Call, Route
from flocker_control.http.validation import Schemas
from flocker_control.refusals import Refusal
from flocker_control.service import CommandRefused
from flocker_control.store import HistoryGone, RevisionConflict, StoreError
from flocker_py import errors
from flocker_py.identity import CertificateRefused, UserIdentity
from flocker_py.tls import peer_identity
from flocker_py.wire import json_text


def rendering(api: Api, route: Route, schemas: Schemas, *, validate_answers: bool) -> Callable[..., Deferred[bytes]]:
    """
    What klein calls for a route.

    :param validate_answers: hold every answer against its schema; one that doesn't fit becomes a 500.
    """

    async def render(request: HttpRequest, variables: Mapping[str, str]) -> bytes:
        with _continued(request, route) as action:
            answer: Answer | None
            try:
                answer = await _answered(api, route, schemas, request, variables)
                if answer is not None and validate_answers:
                    _validate(route, schemas, answer)
            except CancelledError:
                # The client has gone; nobody is left to be answered.
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, the client gets an answer and the log the story
                answer = _error_answer(error, action)
            if answer is not None:
                action.add_success_fields(status=answer.status)
                write_answer(request, answer)
        return b""

    def begin(request: HttpRequest, **variables: str) -> Deferred[bytes]:
        return Deferred.fromCoroutine(render(request, variables))

    return begin


async def _answered(
    api: Api, route: Route, schemas: Schemas, request: HttpRequest, variables: Mapping[str, str]
) -> Answer | None:
    if getattr(request, "is_too_large", False):
        raise RequestRefused(413, "BodyTooLarge", f"The request body has more than {BODY_LIMIT_BYTES} bytes.")
    call = Call(request, variables)
    if route.check is not None:
        route.check(api, call)
    if route.body is not None:
        call.body = _body(route, route.body, schemas, request)
    answer: Answer | None = await shielded(route.answer(api, call))
    return answer


def shielded(coroutine: Any) -> Deferred[Any]:
    """
    Wait for something that goes on even if whoever waits goes away: a commit must not be cancelled half way.
    """
    result: Deferred[Any] = Deferred()

    def arrived(outcome: Any) -> None:
        if not result.called:
            result.callback(outcome)
        elif isinstance(outcome, Failure):
            log_message(message_type="flocker:api:unanswered", reason=outcome.getTraceback())

    Deferred.fromCoroutine(coroutine).addBoth(arrived)
    return result


def _body(route: Route, schema: str, schemas: Schemas, request: HttpRequest) -> Any:
    found = parsed(request.content.read())
    mistakes = schemas.mistakes(schema, found)
    if not mistakes:
        return found
    more: list[Any]
    if route.path.startswith("/v1/"):
        more = [mistake.text for mistake in mistakes]
    else:
        more = [{"pointer": list(mistake.pointer), "text": mistake.text} for mistake in mistakes]
    raise RequestRefused(
        400, "SchemaViolation", "The provided JSON doesn't match the required schema.", more={"errors": more}
    )


def _validate(route: Route, schemas: Schemas, answer: Answer) -> None:
    name = route.answers.get(answer.status)
    if name is None:
        raise AssertionError(f"{route.name} answers with the status {answer.status}, which it doesn't announce")
    mistakes = schemas.mistakes(name, answer.body)
    if mistakes:
        raise AssertionError(f"{route.name} answers with what is no {name}: {mistakes}")


def _error_answer(error: Exception, action: Action) -> Answer:
    match error:
        case RequestRefused():
            return error.answer()
        case CommandRefused():
            refusal = error.refusal
            return refused(refusal).answer()
        case RevisionConflict():
            return RequestRefused(409, errors.code(error), errors.explanation(error)).answer()
        case HistoryGone():
            return RequestRefused(410, errors.code(error), errors.explanation(error)).answer()
        case StoreError():
            write_traceback()
            return RequestRefused(503, errors.code(error), errors.explanation(error)).answer()
        case _:
            write_traceback()
            incident = action.serialize_task_id().decode("ascii")
            description = "Something went wrong that should not have. The control service's log has the whole story."
            return RequestRefused(500, "InternalError", description, more={"incident": incident}).answer()


def refused(refusal: Refusal) -> RequestRefused:
    """
    The refusal of a command as that of a request.
    """
    more = {} if refusal.holder is None else {"holder": str(refusal.holder)}
    return RequestRefused(refusal.code.status, refusal.code.text, f"{refusal.text}.", more=more)


def write_answer(request: HttpRequest, answer: Answer) -> None:
    """
    Write an answer; finishing the request is the caller's.
    """
    body = json_text(answer.body).encode("ascii") + b"\n"
    request.setResponseCode(answer.status)
    request.setHeader(b"Content-Type", b"application/json")
    request.setHeader(b"Content-Length", str(len(body)).encode("ascii"))
    for name, value in answer.headers.items():
        request.setHeader(name.encode("ascii"), value.encode("ascii"))
    request.write(body)


def _continued(request: HttpRequest, route: Route) -> Action:
    """
    The eliot action of a request; it goes on with the client's if that says which one it is.
    """
    fields = {"route": route.name, "path": request.path.decode("utf-8", "replace"), "user": _user(request)}
    task = (request.requestHeaders.getRawHeaders(b"X-Eliot-Task-Id") or [b""])[0]
    if task:
        try:
            action: Action = Action.continue_task(task_id=task, action_type="flocker:api:request", **fields)
            return action
        except ValueError:
            # Whatever this is, it names no task.
            pass
    return start_action(action_type="flocker:api:request", **fields)


def _user(request: HttpRequest) -> str | None:
    try:
        identity = peer_identity(request.transport)
    except (AttributeError, CertificateRefused):
        # Without TLS, as in tests of the routes alone, nobody has a name.
        return None
    return identity.name if isinstance(identity, UserIdentity) else None
