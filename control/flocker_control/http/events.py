"""
``/v2/events``: what happens in the cluster, as server-sent events.

Whoever reads more slowly than things happen is paused first: of each node only the newest report is kept. Who falls
further behind is cut off, and reads on from the last revision that arrived.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from flocker_control.codec import commit_changes
from flocker_control.http.answers import Answer, RequestRefused
from flocker_control.http.request import HttpRequest
from flocker_control.http.routes import Api, Call, Route, route
from flocker_control.http.views_events import committed_view
from flocker_control.service import Committed, Event, Observed
from flocker_control.store import Commit
from flocker_py.clock import Timer
from flocker_py.model import NodeId
from flocker_py.wire import json_text

HEARTBEAT_SECONDS = 15.0
WAITING_EVENTS = 1000
"""How many commits wait for a reader that is paused, before it is cut off."""


class EventStream:
    """
    One reader of the feed.

    :param begun_at: the last revision that the reader has.
    """

    def __init__(self, api: Api, request: HttpRequest, begun_at: int) -> None:
        self._api = api
        self._request = request
        self._sent_revision = begun_at
        self._paused = False
        self._live = False
        self._commits: deque[Committed | Commit] = deque()
        self._reports: dict[NodeId, Observed] = {}
        self._heartbeat: Timer | None = None
        self._gone: Deferred[None] = Deferred()
        self._stop_watching = api.service.watch(self.happened)
        request.notifyFinish().addBoth(self._ended)

    async def run(self) -> None:
        """
        Tell everything since the beginning, and then whatever happens, until the reader goes.

        :raises HistoryGone: not everything since the beginning is remembered.
        """
        try:
            commits = await self._api.service.store.commits_after(self._sent_revision)
        except BaseException:
            self._stop_watching()
            raise
        if self._gone.called:
            return
        self._begin()
        self._commits.extendleft(reversed(commits))
        self._live = True
        self._request.registerProducer(self, True)
        self._beat()
        self._send()
        await self._gone

    def _begin(self) -> None:
        self._request.setHeader(b"Content-Type", b"text/event-stream")
        self._request.setHeader(b"Cache-Control", b"no-store")
        # Something has to be written for the headers to go out.
        self._request.write(b": events of the cluster\n\n")

    def happened(self, event: Event) -> None:
        """
        Something was committed or observed.
        """
        match event:
            case Committed():
                self._commits.append(event)
            case Observed():
                self._reports[event.node_id] = event
        if self._live and self._paused and len(self._commits) > WAITING_EVENTS:
            self._request.transport.abortConnection()
        elif self._live:
            self._send()

    def _send(self) -> None:
        state = self._api.service.state
        while self._commits and not self._paused:
            commit = self._commits.popleft()
            # The history and the feed overlap by what was committed while the history was read.
            if commit.revision <= self._sent_revision:
                continue
            self._sent_revision = commit.revision
            # Of a long history, only what goes out at once is read at once.
            changes = commit.changes if isinstance(commit, Committed) else commit_changes(commit)
            view = committed_view(state, commit.revision, changes)
            self._write(f"id: {commit.revision}\nevent: committed\ndata: {json_text(view)}\n\n")
        while self._reports and not self._paused:
            node_id, report = next(iter(self._reports.items()))
            del self._reports[node_id]
            view = {"node_id": str(node_id), "connected": report.node is not None}
            self._write(f"event: observed\ndata: {json_text(view)}\n\n")

    def _write(self, text: str) -> None:
        self._request.write(text.encode("ascii"))

    def _beat(self) -> None:
        if not self._paused:
            self._write(": heartbeat\n\n")
        self._heartbeat = self._api.clock.callLater(HEARTBEAT_SECONDS, self._beat)

    def _ended(self, _reason: Failure | None) -> None:
        self._stop_watching()
        self._live = False
        if self._heartbeat is not None and self._heartbeat.active():
            self._heartbeat.cancel()
        if not self._gone.called:
            self._gone.callback(None)

    def pauseProducing(self) -> None:  # noqa: N802  # Twisted's name
        """
        The reader can't keep up.
        """
        self._paused = True

    def resumeProducing(self) -> None:  # noqa: N802  # Twisted's name
        """
        The reader has caught up.
        """
        self._paused = False
        if self._live:
            self._send()

    def stopProducing(self) -> None:  # noqa: N802  # Twisted's name
        """
        The connection is lost; ``_ended`` hears of it as well.
        """
        self._paused = True


async def events(api: Api, call: Call) -> Answer | None:
    """
    Follow what happens.
    """
    revision = _begun_at(api, call)
    if call.request.method == b"HEAD":
        call.request.setHeader(b"Content-Type", b"text/event-stream")
        return None
    await EventStream(api, call.request, revision).run()
    return None


def _begun_at(api: Api, call: Call) -> int:
    last_seen = call.header("Last-Event-ID")
    text: Any = last_seen[0] if last_seen else call.query("from")
    if text is None:
        return api.service.state.revision
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise RequestRefused(400, "RevisionRefused", "from (or Last-Event-ID) must be a revision: digits only.")
    return int(text)


EVENT_ROUTES: tuple[Route, ...] = (
    route(
        "GET",
        "/v2/events",
        events,
        {200: "EventStream"},
        summary="Follow what happens, from a revision on",
        description="Server-sent events. `committed` has the revision as its id, and as data an object with `revision`"
        " and `changes`, each with `kind`, `id`, `name`, `deleted` and `text`. `observed` has no id, and as data"
        " `node_id` and `connected`: the node reported something, or came, or went; of many reports in a row some may"
        " be left out. A comment is sent every 15 seconds. A reader that falls too far behind is cut off and goes on"
        " with the header Last-Event-ID.",
        query={"from": "the last revision that is known already; without it, only what happens from now on"},
        errors={400: "That is no revision.", 410: "Changes as old as that are not remembered: read everything anew."},
        content_type="text/event-stream",
    ),
)
