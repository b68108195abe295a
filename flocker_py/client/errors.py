"""
What can go wrong with a request, one class for each thing that a caller would do differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from flocker_py.client.views import complaints
from flocker_py.documents import Complaint
from flocker_py.errors import FlockerError
from flocker_py.wire import WireError, json_value


class ControlUnreachable(FlockerError):
    """
    The control service can't be reached. Look whether it runs, and whether --control and the network are right.
    """

    def __init__(self, message: str, *, arrived: bool) -> None:
        """
        :param arrived: whether the request may have been done all the same.
        """
        super().__init__(message)
        self.arrived = arrived


class OutcomeUnknown(ControlUnreachable):
    """
    The control service can't be reached any more, and may have done what was asked. Ask again for the same, with the
    same id or name: it is found then, or made, and never made twice.
    """

    def __init__(self, message: str, key: str) -> None:
        """
        :param key: the id or name.
        """
        super().__init__(f"{message} ({key})", arrived=True)
        self.key = key


class ControlNotTrusted(FlockerError):
    """
    The control service and this program don't trust one another. Use certificates of the same cluster, made by
    flocker-ca, that have not expired: flocker-ca show FILE.
    """

    lasting = True

    def __init__(self, message: str, *, arrived: bool = False) -> None:
        """
        :param arrived: whether a request may have been done all the same: TLS broke after it was sent.
        """
        super().__init__(message)
        self.arrived = arrived


class RequestRefused(FlockerError):
    """
    The control service refused. Nothing was changed.
    """

    lasting = True

    def __init__(self, status: int, code: str, description: str, details: Mapping[str, Any] | None = None) -> None:
        """
        :param status: of HTTP.
        :param code: stable, machine-readable.
        :param details: all that the answer says.
        """
        super().__init__(description.rstrip("."))
        self.status = status
        self.code = code
        self.description = description
        self.details = dict(details or {})
        self.doubtful = False
        """Whether an earlier try of the same request, whose answer was lost, may have been carried out."""


class NotFound(RequestRefused):
    """
    There is no such thing in this cluster. flockerctl lists what there is.
    """


class RevisionChanged(RequestRefused):
    """
    The cluster has changed since this was planned. Look at the plan again.
    """

    lasting = False


class ConfigurationChanged(RequestRefused):
    """
    The datasets have changed since the tag was read. List them again, and decide anew.
    """

    lasting = False


class DeploymentRefused(RequestRefused):
    """
    The deployment can't be done as it is written. Nothing was changed.
    """

    def __init__(
        self,
        status: int,
        code: str,
        description: str,
        details: Mapping[str, Any] | None = None,
        *,
        found: list[Complaint],
    ) -> None:
        """
        :param found: with pointers into the document.
        """
        super().__init__(status, code, description, details)
        self.complaints = found


class EventsGone(RequestRefused):
    """
    Events as old as that are no longer kept. Follow from a newer revision, or from now on.
    """


class NameTaken(FlockerError):
    """
    There is a dataset of that name. Use it, or choose another name.
    """

    lasting = True

    def __init__(self, name: str, dataset: Any) -> None:
        """
        :param dataset: the one that has the name, as it is listed.
        """
        super().__init__(f"dataset {dataset.dataset_id} is called {name!r}")
        self.name = name
        self.dataset = dataset


class ControlFailed(FlockerError):
    """
    Something went wrong in the control service. Its log has the whole story under the incident's id.
    """

    arrived: ClassVar[bool] = True

    def __init__(self, status: int, code: str, description: str, incident: str | None) -> None:
        """
        :param incident: None where it didn't say.
        """
        super().__init__(f"{description.rstrip('.')} (status {status}{f', incident {incident}' if incident else ''})")
        self.status = status
        self.code = code
        self.description = description
        self.incident = incident


class AnswerUnreadable(FlockerError):
    """
    What answers there doesn't speak this API. Compare the versions, and look whether --control names the REST API's
    port, 4523 unless it was changed.
    """

    lasting = True
    arrived: ClassVar[bool] = True


def refusal(status: int, body: bytes) -> RequestRefused | ControlFailed | AnswerUnreadable:
    """
    What an answer with a status of 400 or more says.
    """
    try:
        data = json_of(body)
    except AnswerUnreadable:
        data = None
    if not isinstance(data, dict) or not isinstance(data.get("description"), str):
        if status >= 500:
            # The whole answer of Flocker's own control service is the id of the incident.
            incident = data if isinstance(data, str) else None
            return ControlFailed(status, str(status), "the control service failed without an explanation", incident)
        return AnswerUnreadable(f"status {status} without an explanation")
    description, code = data["description"], str(data.get("code", status))
    if status >= 500:
        incident = data.get("incident")
        return ControlFailed(status, code, description, None if incident is None else str(incident))
    found = complaints(data)
    if status == 422:
        return DeploymentRefused(status, code, description, data, found=found)
    texts = [complaint.text for complaint in found] or _texts(data.get("errors"))
    if status == 400 and texts:
        description = f"{description} {'; '.join(texts)}"
    kinds: Mapping[int, type[RequestRefused]] = {404: NotFound, 410: EventsGone, 412: ConfigurationChanged}
    kind = RevisionChanged if code == "RevisionConflict" else kinds.get(status, RequestRefused)
    return kind(status, code, description, data)


def json_of(body: bytes) -> Any:
    """
    The JSON value that an answer is.

    :raises AnswerUnreadable: it is none.
    """
    try:
        return json_value(body.decode("utf-8"))
    except (UnicodeDecodeError, WireError) as error:
        raise AnswerUnreadable(f"the answer is not JSON: {error}") from error


def _texts(errors: object) -> list[str]:
    return [each for each in errors if isinstance(each, str)] if isinstance(errors, list) else []
