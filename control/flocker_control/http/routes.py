"""
A route: what is asked, of what form, and who answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from pyrsistent import PMap, pmap

from flocker_control.backup_schedule import BackupReport
from flocker_control.http.answers import Answer
from flocker_control.http.request import HttpRequest
from flocker_control.service import ControlService
from flocker_py.clock import Clock
from flocker_py.records import Record, mapping, value


class Api:
    """
    What routes answer from.

    :param new_id: a random UUID at each call.
    :param mount_root: below which datasets are mounted on their nodes.
    :param backups: how it goes with the backups; None: none are made.
    """

    def __init__(
        self,
        service: ControlService,
        *,
        clock: Clock,
        new_id: Callable[[], UUID],
        mount_root: str,
        backups: Callable[[], BackupReport | None] = lambda: None,
    ) -> None:
        self.service = service
        self.clock = clock
        self.new_id = new_id
        self.mount_root = mount_root.rstrip("/")
        self.backups = backups


class Call:
    """
    One request.

    :param path: what the variable parts of the path are.
    :param body: valid by the route's schema; None where the route takes no body.
    """

    def __init__(self, request: HttpRequest, path: Mapping[str, str]) -> None:
        self.request = request
        self.path = path
        self.body: Any = None

    def header(self, name: str) -> list[str]:
        """
        All values of a header.
        """
        found = self.request.requestHeaders.getRawHeaders(name.encode("ascii")) or []
        return [text.decode("latin-1") for text in found]

    def query(self, name: str) -> str | None:
        """
        The first value of a parameter behind the question mark.
        """
        found = self.request.args.get(name.encode("ascii"))
        return None if found is None else found[0].decode("utf-8", "replace")


AnswerCall = Callable[[Api, Call], Awaitable[Answer | None]]


class Route(Record):
    """
    One method of one path.

    :param path: variable parts in angle brackets.
    :param name: unique; also the name of the eliot action.
    :param answer: answers the call; or None if it has written to the request itself.
    :param body: name of the schema of the request's body; None: a body is not looked at.
    :param answers: per status, the name of the schema of the answer's body; and ``errors``, what each error means.
    :param query: per parameter behind the question mark, what it means.
    :param headers: per header of requests that is looked at, what it means; and ``answer_headers``, per header of a
        good answer.
    :param check: looks at the call before its body is.
    :param content_type: of the answers.
    """

    method: str = value(str)
    path: str = value(str)
    name: str = value(str)
    summary: str = value(str)
    description: str = value(str, default="")
    answer: AnswerCall = value(object)
    body: str | None = value((str, type(None)), default=None)
    answers: PMap[int, str] = mapping(int, str, default={})
    errors: PMap[int, str] = mapping(int, str, default={})
    query: PMap[str, str] = mapping(str, str, default={})
    headers: PMap[str, str] = mapping(str, str, default={})
    answer_headers: PMap[str, str] = mapping(str, str, default={})
    check: Callable[[Api, Call], None] | None = value(object, default=None)
    content_type: str = value(str, default="application/json")


def route(
    method: str,
    path: str,
    answer: AnswerCall,
    answers: Mapping[int, str],
    *,
    summary: str,
    body: str | None = None,
    errors: Mapping[int, str] | None = None,
    description: str = "",
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    answer_headers: Mapping[str, str] | None = None,
    check: Callable[[Api, Call], None] | None = None,
    content_type: str = "application/json",
) -> Route:
    """
    A route, named as the function that answers it.
    """
    return Route(
        method=method,
        path=path,
        name=f"{path.split('/')[1]}-{getattr(answer, '__name__', 'answer').replace('_', '-')}",
        summary=summary,
        description=description,
        answer=answer,
        body=body,
        answers=pmap(answers),
        errors=pmap(errors or {}),
        query=pmap(query or {}),
        headers=pmap(headers or {}),
        answer_headers=pmap(answer_headers or {}),
        check=check,
        content_type=content_type,
    )
