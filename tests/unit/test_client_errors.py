"""
What the client makes of answers that are errors.
"""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from flocker_py.client.errors import (
    AnswerUnreadable,
    ConfigurationChanged,
    ControlFailed,
    ControlNotTrusted,
    ControlUnreachable,
    DeploymentRefused,
    EventsGone,
    NameTaken,
    NotFound,
    OutcomeUnknown,
    RequestRefused,
    RevisionChanged,
    json_of,
    refusal,
)
from flocker_py.client.views_v1 import V1Dataset
from flocker_py.documents import Complaint


def answer(**fields: object) -> bytes:
    return json.dumps({"code": "Some", "description": "So.", **fields}).encode("ascii")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRefused),
        (404, NotFound),
        (405, RequestRefused),
        (409, RequestRefused),
        (410, EventsGone),
        (412, ConfigurationChanged),
        (422, DeploymentRefused),
        (500, ControlFailed),
        (503, ControlFailed),
    ],
)
def test_kinds(status: int, kind: type[Exception]) -> None:
    """
    Each error for which a caller would do something else is a class; status, code and text are the server's.
    """
    error = refusal(status, answer())

    assert not isinstance(error, AnswerUnreadable)
    assert (type(error), error.status, error.code, error.description) == (kind, status, "Some", "So.")


def test_revision() -> None:
    """
    A plan for another revision is told by its code.
    """
    assert type(refusal(409, answer(code="RevisionConflict"))) is RevisionChanged


def test_details() -> None:
    """
    Whatever else the server says is kept.
    """
    error = refusal(409, answer(holder="n1"))

    assert isinstance(error, RequestRefused)
    assert error.details["holder"] == "n1"


def test_no_code() -> None:
    """
    Flocker's own control service has no codes: then it is the status.
    """
    error = refusal(409, b'{"description": "Lease already held."}')

    assert isinstance(error, RequestRefused)
    assert (error.code, str(error)) == ("409", "Lease already held")


@pytest.mark.parametrize(
    ("errors", "text"),
    [
        ([{"pointer": ["a"], "text": "too long"}], "So. too long"),
        (["too long", "too short"], "So. too long; too short"),
        ([1], "So"),
        ("too long", "So"),
    ],
)
def test_errors_of_a_body(errors: object, text: str) -> None:
    """
    What is wrong with a body is part of the text, as API v1 and v2 say it.
    """
    assert str(refusal(400, answer(errors=errors))) == text


def test_complaints() -> None:
    """
    What is wrong with a deployment is told with pointers into it.
    """
    error = refusal(422, answer(errors=[{"pointer": ["a"], "text": "too long"}]))

    assert isinstance(error, DeploymentRefused)
    assert error.complaints == [Complaint(pointer=("a",), text="too long")]


@pytest.mark.parametrize(
    ("body", "incident"),
    [
        (answer(incident="task@1"), "task@1"),
        (answer(), None),
        (b'"task@1"', "task@1"),
        (b"<html>", None),
        (b"[]", None),
    ],
)
def test_incident(body: bytes, incident: str | None) -> None:
    """
    Of a failure of the control service, the incident is told; Flocker's own answers with nothing else.
    """
    error = refusal(500, body)

    assert isinstance(error, ControlFailed)
    assert error.incident == incident


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"description": 1}'])
def test_no_explanation(body: bytes) -> None:
    """
    A refusal without an explanation is none of this API.
    """
    assert isinstance(refusal(404, body), AnswerUnreadable)


@pytest.mark.parametrize("body", [b"{", b"\xff", b""])
def test_no_json(body: bytes) -> None:
    """
    What is no JSON is told as that.
    """
    with pytest.raises(AnswerUnreadable, match="the answer is not JSON"):
        json_of(body)


def test_what_may_have_been_done() -> None:
    """
    Errors say whether the request may have been done all the same.
    """
    found = [
        ControlUnreachable("", arrived=False),
        ControlNotTrusted(""),
        OutcomeUnknown("", "db"),
        AnswerUnreadable(""),
        ControlFailed(500, "", "", None),
    ]

    assert [error.arrived for error in found] == [False, False, True, True, True]


def test_name_taken() -> None:
    """
    Who asked for a name is told what has it.
    """
    dataset = V1Dataset(dataset_id=UUID(int=1), primary=UUID(int=2), deleted=False)
    error = NameTaken("db", dataset)

    assert (error.name, error.dataset, str(error)) == ("db", dataset, f"dataset {UUID(int=1)} is called 'db'")
