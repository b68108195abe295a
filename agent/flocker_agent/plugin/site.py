"""
The volume protocol over HTTP.

Every request is answered in limited time, whatever becomes of the control service: ``CALL_SECONDS``, or for a mount,
which may have to wait for a move, ``mount_seconds`` and as much again. One whose sender has gone is given up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any
from uuid import uuid4

from eliot import start_action, write_traceback
from twisted.internet.defer import CancelledError, Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from flocker_agent.plugin.calls import ACTIVATED, CAPABILITIES, MEDIA_TYPE, NAMES, Call, answer, call, mistake
from flocker_agent.plugin.errors import VolumeRefused
from flocker_agent.plugin.options import options
from flocker_agent.plugin.volumes import Volumes
from flocker_py.client.errors import RequestRefused
from flocker_py.errors import FlockerError, explanation

CALL_SECONDS = 18.0
"""Docker's users wait for it at their terminals."""
IDLE_SECONDS = 60.0
BODY_BYTES = 1024 * 1024


class CallTooSlow(FlockerError):
    """
    The control service didn't answer in time. Look whether it runs and can be reached: flockerctl status.
    """


class _PluginRequest(Request):
    """
    A request whose body is limited in size, and isn't taken for a form.
    """

    def __init__(self, channel: Any, queued: Any = False, **_options: Any) -> None:
        super().__init__(channel, queued, parsePOSTFormSubmission=False)  # type: ignore[no-untyped-call]
        self._received_bytes = 0

    def gotLength(self, length: int | None) -> None:  # noqa: N802  # Twisted's name
        super().gotLength(0 if length is not None and length > BODY_BYTES else length)  # type: ignore[no-untyped-call]

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        self._received_bytes += len(data)
        if self._received_bytes > BODY_BYTES:
            transport: Any = self.transport
            transport.abortConnection()
        else:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]


class _PluginSite(Site):
    noisy = False

    def log(self, request: object) -> None:
        """
        Nothing: each request is an eliot action.
        """


class _Calls(Resource):
    isLeaf = True  # noqa: N815  # Twisted's name

    def __init__(self, reactor: Any, volumes: Volumes, mount_seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reactor = reactor
        self._volumes = volumes
        self._mount_seconds = mount_seconds

    def render(self, request: Any) -> Any:
        """
        Answer whatever comes.
        """
        name = request.path.decode("ascii", "replace").removeprefix("/")
        if name not in NAMES:
            _write(request, 404, mistake(f"there is no call {name[:80]!r}, only {', '.join(sorted(NAMES))}"))
        elif request.method != b"POST":
            _write(request, 405, mistake(f"{name} is a POST"))
        else:
            _Answering(self._reactor, request, self._answer(name, request.content.read()), self._seconds(name))
        return NOT_DONE_YET

    def _seconds(self, name: str) -> float:
        return CALL_SECONDS + (self._mount_seconds if name == "VolumeDriver.Mount" else 0.0)

    async def _answer(self, name: str, body: bytes) -> tuple[int, bytes]:
        incident = str(uuid4())
        try:
            asked = call(name, body)
            with start_action(action_type="flocker:plugin:call", call=name, volume=asked.volume, caller=asked.caller):
                return 200, answer(await _done(self._volumes, name, asked))
        except CancelledError:
            # Nobody waits for an answer any more.
            raise
        except (VolumeRefused, RequestRefused) as error:
            return 500, mistake(str(error))
        except FlockerError as error:
            return 500, mistake(explanation(error))
        except Exception:  # noqa: BLE001  # whatever it is, Docker gets an answer
            with start_action(action_type="flocker:plugin:failure", incident=incident, call=name):
                write_traceback()
            return 500, mistake(f"something went wrong in flocker-docker-plugin: its log has it as incident {incident}")


async def _done(volumes: Volumes, name: str, asked: Call) -> Mapping[str, Any]:
    match name:
        case "Plugin.Activate":
            return ACTIVATED
        case "VolumeDriver.Capabilities":
            return CAPABILITIES
        case "VolumeDriver.Create":
            await volumes.create(asked.volume, options(asked.options))
        case "VolumeDriver.Remove":
            await volumes.remove(asked.volume)
        case "VolumeDriver.Mount":
            return {"Mountpoint": await volumes.mount(asked.volume, asked.caller)}
        case "VolumeDriver.Unmount":
            await volumes.unmount(asked.volume, asked.caller)
        case "VolumeDriver.Path":
            return {"Mountpoint": await volumes.path(asked.volume)}
        case "VolumeDriver.Get":
            return {"Volume": await volumes.get(asked.volume)}
        case "VolumeDriver.List":
            return {"Volumes": await volumes.list()}
        case _:
            raise AssertionError(f"{name} is not among NAMES")
    return {}


class _Answering:
    """
    A request until it is answered, in time; or until its sender goes.
    """

    def __init__(self, reactor: Any, request: Any, working: Awaitable[tuple[int, bytes]], seconds: float) -> None:
        self._request = request
        self._answered = False
        self._work: Deferred[tuple[int, bytes]] = Deferred.fromCoroutine(working)  # type: ignore[arg-type]
        self._deadline = reactor.callLater(seconds, self._too_late)
        request.notifyFinish().addErrback(lambda _: self._end())
        self._work.addCallbacks(lambda found: self._tell(*found), lambda failure: failure.trap(CancelledError))

    def _tell(self, status: int, body: bytes) -> None:
        if not self._answered:
            self._end()
            _write(self._request, status, body)

    def _too_late(self) -> None:
        self._tell(500, mistake(explanation(CallTooSlow("no answer"))))
        self._work.cancel()

    def _end(self) -> None:
        gone, self._answered = not self._answered, True
        if self._deadline.active():
            self._deadline.cancel()
        if gone and not self._work.called:
            self._work.cancel()


def _write(request: Any, status: int, body: bytes) -> None:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", MEDIA_TYPE.encode("ascii"))
    request.setHeader(b"Content-Length", str(len(body)).encode("ascii"))
    request.write(body)
    request.finish()


def plugin_site(reactor: Any, volumes: Volumes, *, mount_seconds: float) -> Site:
    """
    The site to listen with on the plugin's socket.
    """
    root = _Calls(reactor, volumes, mount_seconds)
    return _PluginSite(root, _PluginRequest, timeout=IDLE_SECONDS, reactor=reactor)  # type: ignore[no-untyped-call]
