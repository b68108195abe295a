"""
What the container engines of this host say about who uses which volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eliot import log_message
from treq.client import HTTPClient
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from flocker_py.client.errors import AnswerUnreadable, json_of

ANSWER_SECONDS = 10.0


@implementer(IAgentEndpointFactory)
class _AtSocket:
    """
    Whatever the URL says, the socket is connected to.
    """

    def __init__(self, reactor: Any, path: Path) -> None:
        self._reactor = reactor
        self._path = path

    def endpointForURI(self, uri: object) -> Any:  # noqa: ARG002, N802  # Twisted's name
        return UNIXClientEndpoint(self._reactor, str(self._path), timeout=ANSWER_SECONDS)  # type: ignore[no-untyped-call]


class ContainerEngines:
    """
    The engines that listen at these sockets: Docker's, and Podman's, which answers as Docker does.
    """

    def __init__(self, reactor: Any, sockets: Sequence[Path]) -> None:
        self._reactor = reactor
        self._sockets = sockets

    async def used_volumes(self) -> frozenset[str] | None:
        """
        What running and paused containers have mounted, by name. None: an engine can't be asked.
        """
        used: set[str] = set()
        for path in self._sockets:
            try:
                used |= await self._used_at(path)
            except Exception as error:  # noqa: BLE001  # treq and Twisted raise many kinds; each means "no answer"
                log_message(message_type="flocker:plugin:engine-silent", socket=str(path), reason=str(error))
                return None
        return frozenset(used) if self._sockets else None

    async def _used_at(self, path: Path) -> set[str]:
        pool = HTTPConnectionPool(self._reactor, persistent=False)  # type: ignore[no-untyped-call]
        at_socket: Any = _AtSocket(self._reactor, path)
        http = HTTPClient(Agent.usingEndpointFactory(self._reactor, at_socket, pool))  # type: ignore[no-untyped-call]
        response: Any = await http.get("http://engine/containers/json", timeout=ANSWER_SECONDS)
        body = response.content().addTimeout(ANSWER_SECONDS, self._reactor)
        return _volumes(json_of(await body)) if response.code == 200 else _refused(response.code)


def _refused(status: int) -> set[str]:
    raise AnswerUnreadable(f"status {status}")


def _volumes(data: Any) -> set[str]:
    try:
        mounts = [mount for container in data for mount in container["Mounts"]]
        return {str(mount["Name"]) for mount in mounts if mount["Type"] == "volume"}
    except (TypeError, KeyError) as error:
        raise AnswerUnreadable("the answer is no list of containers") from error
