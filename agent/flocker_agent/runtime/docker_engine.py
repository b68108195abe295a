"""
Docker Engine, as the runtime calls it: the SDK behind the few calls that it needs, from any thread.
"""

from __future__ import annotations

import http
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import docker
import requests
import urllib3
from docker import errors, utils

from flocker_agent.runtime.docker_spec import IDENTITY_LABEL
from flocker_py.runtime import ContainerRuntimeError

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
OLDEST_API = (1, 40)
_ANSWER_SECONDS = 60
_NETWORK_LABEL = f"{IDENTITY_LABEL}.network"


class EngineAway(ContainerRuntimeError):
    """
    Docker Engine does not answer. Start it, or look at its log; the agent goes on once it answers.
    """


class EngineSilent(EngineAway):
    """
    Docker Engine has taken what it was asked, and says nothing. Look at its log.
    """


class EngineTooOld(ContainerRuntimeError):
    """
    Docker Engine is older than the runtime needs. Install version 19.03 or later.
    """


class EngineRefused(ContainerRuntimeError):
    """
    Docker Engine refused what it was asked.

    :param status: of HTTP.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class NotThere(EngineRefused):
    """
    Docker Engine does not have what was asked for.
    """


class _Client(docker.APIClient):
    """
    The SDK's client, which leaves no socket open where nobody answers, and doesn't wait for pulls longer than for all
    else.
    """

    def _retrieve_server_version(self) -> str:
        sdk: Any = super()  # whose stubs don't have it
        try:
            return str(sdk._retrieve_server_version())
        except BaseException:
            self.close()
            raise

    def _set_request_timeout(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self.timeout
        return kwargs


class Progress:
    """
    How far a pull is, by what Docker tells of it: some say again and again that they are where they were.

    :ivar at_seconds: when it last got further.
    """

    def __init__(self, now_seconds: float) -> None:
        self.at_seconds = now_seconds
        self._told: dict[object, tuple[object, object]] = {}

    def made(self, line: Mapping[str, Any], now_seconds: float) -> bool:
        """
        Whether what is told now is further than what was told before.
        """
        layer, told = line.get("id"), (line.get("status"), (line.get("progressDetail") or {}).get("current"))
        if self._told.get(layer) == told:
            return False
        self._told[layer], self.at_seconds = told, now_seconds
        return True


class DockerEngine:
    """
    :param address: where it listens, such as ``unix:///var/run/docker.sock``.
    :param credentials_path: a ``config.json`` of Docker with what private registries ask for; None: there is none.
    :param pull_silence_seconds: Docker tells of the progress of a pull, and waits for a registry for ever: when there
        has been none for so long, in any pull, we don't.
    """

    def __init__(
        self,
        address: str = DEFAULT_SOCKET,
        *,
        credentials_path: str | None = None,
        pull_silence_seconds: int = 300,
    ) -> None:
        self._socket = address
        self._credentials_path = credentials_path
        self._pull_silence_seconds = pull_silence_seconds
        self._pulled_at_seconds = 0.0
        # The SDK's client keeps a session of requests, which belongs to one thread.
        self._local = threading.local()
        self._making_network = threading.Lock()

    def containers(self, *labels: str) -> list[dict[str, Any]]:
        """
        All that have these labels, running or not, as Docker inspects them.
        """
        with self._asked() as client:
            listed = client.containers(all=True, filters={"label": list(labels)})
        found = []
        for each in listed:
            try:
                found.append(self.inspect(each["Id"]))
            except NotThere:
                # Removed in between.
                continue
        return found

    def inspect(self, container: str) -> dict[str, Any]:
        """
        A container by its name or id.

        :raises NotThere: there is none.
        """
        with self._asked() as client:
            return dict(client.inspect_container(container))

    def create(self, name: str, body: Mapping[str, Any]) -> tuple[str, list[str]]:
        """
        A container, not started yet: its id, and what Docker warns of.
        """
        with self._asked() as client:
            answer = client.create_container_from_config(dict(body), name)
        return str(answer["Id"]), [str(warning) for warning in answer.get("Warnings") or ()]

    def start(self, container: str) -> None:
        """
        Start it. Harmless if it runs.
        """
        with self._asked() as client:
            client.start(container)

    def stop(self, container: str, *, grace_seconds: int) -> None:
        """
        Ask it to end, wait, and kill it. Harmless if it has ended. What is paused can't end, so it goes on first.
        """
        with self._asked() as client:
            if client.inspect_container(container)["State"]["Paused"]:
                client.unpause(container)
            client.stop(container, timeout=grace_seconds)

    def remove(self, container: str) -> None:
        """
        Forget a container that has ended, with its anonymous volumes. Harmless if there is none.
        """
        with self._asked() as client:
            try:
                client.remove_container(container, v=True)
            except errors.NotFound:
                return

    def unpause(self, container: str) -> None:
        """
        Let it go on.
        """
        with self._asked() as client:
            client.unpause(container)

    def update(self, container: str, changes: Mapping[str, Any]) -> None:
        """
        Change limits, or the restart policy, of what runs.
        """
        with self._asked() as client:
            # The SDK's own call knows only some of the limits.
            url = client._url("/containers/{0}/update", container)
            client._result(client._post_json(url, data=dict(changes)), True)

    def connect(self, container: str, network: str, aliases: Sequence[str]) -> None:
        """
        Put what runs into a network, where it is found by these names.
        """
        with self._asked() as client:
            client.connect_container_to_network(container, network, aliases=list(aliases))

    def image(self, image: str) -> dict[str, Any] | None:
        """
        An image as Docker has it; None: it hasn't.
        """
        with self._asked() as client:
            try:
                return dict(client.inspect_image(image))
            except errors.NotFound:
                return None

    def pull(self, image: str, *, silence_seconds: int | None = None) -> None:
        """
        Fetch an image from its registry.

        :param silence_seconds: after how long without any progress it is given up; None: as for all others.
        :raises EngineRefused: with what Docker says of it; or there has been no progress for too long.
        """
        patience = self._pull_silence_seconds if silence_seconds is None else silence_seconds
        while not self._pulled(image, patience):
            # Docker fetches a few layers at a time, whosever they are: it may have been another's turn all the while.
            if time.monotonic() - self._pulled_at_seconds >= patience:
                raise EngineRefused(
                    f"there has been no progress for {patience} s: its registry may hang",
                    http.HTTPStatus.GATEWAY_TIMEOUT,
                )

    def _pulled(self, image: str, patience_seconds: int) -> bool:
        """
        Whether it came before there was no progress for too long.
        """
        repository, tag = utils.parse_repository_tag(image)
        progress = Progress(time.monotonic())
        client = self._made(timeout=_ANSWER_SECONDS)
        client.timeout = patience_seconds
        try:
            with self._translated():
                for line in client.pull(repository, tag or "latest", stream=True, decode=True):
                    if "error" in line:
                        raise EngineRefused(str(line["error"]), 500)
                    if progress.made(line, time.monotonic()):
                        self._pulled_at_seconds = progress.at_seconds
                    elif time.monotonic() - progress.at_seconds >= patience_seconds:
                        return False
        except EngineSilent:
            return False
        finally:
            client.close()
        return True

    def network_gateway(self, name: str) -> str:
        """
        The address of this host in a bridge network of that name, which is made if there is none.
        """
        # Docker makes two of one name if it is asked for them at once.
        with self._making_network, self._asked() as client:
            found = _networks(client, name)
            if not found:
                _make_network(client, name)
                found = _networks(client, name)
            for twin in found[1:]:
                _remove_twin(client, twin)
        if not found:
            raise EngineRefused(f"network {name} was removed while it was made", http.HTTPStatus.CONFLICT)
        for part in found[0]["IPAM"]["Config"] or ():
            if part.get("Gateway"):
                return str(part["Gateway"])
        raise EngineRefused(f"network {name} has no gateway: it is not a bridge network", 409)

    def network(self, name: str) -> dict[str, Any] | None:
        """
        A network as Docker has it; None: it hasn't.
        """
        with self._asked() as client:
            found = _networks(client, name)
        return found[0] if found else None

    def events(self, *labels: str) -> tuple[Iterator[dict[str, Any]], Callable[[], None]]:
        """
        What happens to containers that have these labels, from now on; and how to end that, from another thread.

        :raises EngineAway: at once, or while the events are gone through.
        """
        client = self._made(timeout=None)
        try:
            with self._translated():
                stream = client.events(filters={"type": "container", "label": list(labels)}, decode=True)
        except BaseException:
            client.close()
            raise

        def happening() -> Iterator[dict[str, Any]]:
            try:
                with self._translated():
                    yield from stream
            finally:
                client.close()

        def end() -> None:
            # Perhaps before anything was gone through.
            try:
                stream.close()
            finally:
                client.close()

        return happening(), end

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        with self._translated():
            self._knock()
            client = getattr(self._local, "client", None)
            if client is None:
                client = self._local.client = self._made(timeout=_ANSWER_SECONDS)
            yield client

    def _made(self, *, timeout: int | None) -> Any:
        # The stubs of the SDK don't know that None is for ever.
        lasting: Any = timeout
        with self._translated():
            self._knock()
            client = _Client(base_url=self._socket, version="auto", timeout=lasting)
            version = tuple(int(part) for part in client.api_version.split("."))
            if version < OLDEST_API:
                client.close()
                raise EngineTooOld(f"Docker Engine at {self._socket} speaks version {client.api_version} of its API")
            if self._credentials_path is not None:
                try:
                    client.reload_config(self._credentials_path)
                except BaseException:
                    client.close()
                    raise
            return client

    def _knock(self) -> None:
        # Where nobody listens, the SDK says so with a page of text, and leaves a socket open.
        scheme, _, path = self._socket.partition("://")
        if scheme != "unix":
            return
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except OSError as error:
                raise EngineAway(f"Docker Engine does not listen at {self._socket}: {error.strerror}") from error

    def _forget_client(self) -> None:
        client, self._local.client = getattr(self._local, "client", None), None
        if client is not None:
            client.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except errors.NotFound as error:
            raise NotThere(_explained(error), 404) from error
        except errors.APIError as error:
            raise EngineRefused(_explained(error), error.status_code or 500) from error
        except (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError) as error:
            self._forget_client()
            raise EngineSilent(f"Docker Engine at {self._socket} does not answer: {error}") from error
        except (errors.DockerException, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            self._forget_client()
            raise EngineAway(f"Docker Engine at {self._socket} does not answer: {error}") from error


def _networks(client: docker.APIClient, name: str) -> list[dict[str, Any]]:
    """
    Those of that very name, the oldest first.
    """
    found = [each for each in client.networks(names=[name]) if each["Name"] == name]
    return sorted(found, key=lambda each: (each["Created"], each["Id"]))


def _make_network(client: docker.APIClient, name: str) -> None:
    try:
        client.create_network(name, driver="bridge", check_duplicate=True, labels={_NETWORK_LABEL: name})
    except errors.APIError as error:
        # Another agent of this engine has made it meanwhile.
        if error.status_code != http.HTTPStatus.CONFLICT:
            raise


def _remove_twin(client: docker.APIClient, network: Mapping[str, Any]) -> None:
    # Of another agent of this engine, which asked at the same moment. Docker refuses every container of a name that is
    # two networks', and so none is in it.
    if _NETWORK_LABEL in (network["Labels"] or {}):
        with suppress(errors.APIError):
            client.remove_network(network["Id"])


def _explained(error: errors.APIError) -> str:
    return str(error.explanation or error).strip()
