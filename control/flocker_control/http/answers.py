"""
What a route answers, or why it doesn't.
"""

from __future__ import annotations

from typing import Any

from pyrsistent import PMap, pmap

from flocker_py.errors import FlockerError
from flocker_py.records import Record, mapping, value


class Answer(Record):
    """
    An answer with a JSON body.

    :param body: any JSON value; not changed any more.
    """

    status: int = value(int, default=200)
    body: Any = value(object, default=None)
    headers: PMap[str, str] = mapping(str, str, default={})


class RequestRefused(FlockerError):
    """
    The request can't be answered as it was meant. Correct what the message names.

    :param status: of HTTP.
    :param code: stable, machine-readable.
    :param more: further members of the error's JSON object.
    :param headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        description: str,
        *,
        more: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(description)
        self.status = status
        self.code = code
        self.description = description
        self.more = more or {}
        self.headers = headers or {}

    def answer(self) -> Answer:
        """
        The error as an answer.
        """
        body = {"code": self.code, "description": self.description, **self.more}
        return Answer(status=self.status, body=body, headers=pmap(self.headers))
