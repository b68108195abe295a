"""
``flocker-agent`` and ``flocker-control`` with fault points: what tests run in their place.

The programs themselves know nothing of fault points. Here the calls between their parts are wrapped before they are
started: of the agent's storage, runtime and memory, of the two ends of a transfer, of control's store and its sessions.
A part that is no longer where it is looked for is an error at the start.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

from tests.faults.inside import FOLDER_VARIABLE, Arrivals

_FAILED_OVER = "failed-over"


def _wrapped(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    original = getattr(owner, name)
    setattr(owner, name, functools.wraps(original)(make(original)))


def agent() -> None:
    """
    ``flocker-agent``.
    """
    from flocker_agent import main as program
    from flocker_agent import memory
    from flocker_agent.transfer.outgoing import OutgoingStream
    from flocker_agent.transfer.progress import Progress
    from flocker_agent.transfer.reception import Reception
    from flocker_agent.transfer.send import SendSession

    arrivals = Arrivals(Path(os.environ[FOLDER_VARIABLE]))
    incoming = _Kinds()
    _wrapped(program, "opened_storage", lambda opened: lambda *a, **k: _Storage(opened(*a, **k), arrivals, incoming))
    _wrapped(program, "opened_runtime", lambda opened: lambda *a, **k: _Runtime(opened(*a, **k), arrivals))
    _wrapped(memory, "remember", lambda remember: _Remember(remember, arrivals))
    _wrap_sending(arrivals, SendSession, OutgoingStream, Progress)
    _wrap_receiving(arrivals, incoming, Reception)
    program.main()


def control() -> None:
    """
    ``flocker-control``.
    """
    from flocker_control import main as program
    from flocker_control import ownership, service
    from flocker_control.agents import AgentSession
    from flocker_control.sqlite_store import SQLiteStore

    arrivals = Arrivals(Path(os.environ[FOLDER_VARIABLE]))
    _wrap_control(arrivals, service, ownership, SQLiteStore, AgentSession)
    program.main()


class _Around:
    """
    Something with some of its methods replaced.
    """

    def __init__(self, inner: Any, arrivals: Arrivals) -> None:
        self._inner = inner
        self._at = arrivals.at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Kinds:
    """
    Of which kind the stream is that comes in for each dataset now.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kinds: dict[object, str] = {}

    def set(self, dataset_id: object, kind: str) -> None:
        with self._lock:
            self._kinds[dataset_id] = kind

    def get(self, dataset_id: object) -> str:
        with self._lock:
            return self._kinds[dataset_id]


class _Storage(_Around):
    """
    A storage backend with points before and after what it changes.
    """

    _ROLES: Mapping[str, tuple[str, str]] = {
        "owner": ("taking", "taken"),
        "released": ("laying-down", "laid-down"),
        "replica": ("becoming-replica", "became-replica"),
    }

    def __init__(self, inner: Any, arrivals: Arrivals, incoming: _Kinds) -> None:
        super().__init__(inner, arrivals)
        self._incoming = incoming
        self._taken: dict[object, str] = {}

    # What is passed on is the protocol's affair: here only what the names of points depend on is looked at.

    def _around(self, name: str, before: str, after: str, dataset_id: object, *args: Any, **kwargs: Any) -> Any:
        self._at(before, dataset_id)
        result = getattr(self._inner, name)(dataset_id, *args, **kwargs)
        self._at(after, dataset_id)
        return result

    def create(self, *args: Any, **kwargs: Any) -> Any:
        return self._around("create", "creating", "created", *args, **kwargs)

    def destroy(self, *args: Any, **kwargs: Any) -> Any:
        return self._around("destroy", "removing", "removed", *args, **kwargs)

    def set_role(self, *args: Any, **kwargs: Any) -> Any:
        return self._around("set_role", *self._ROLES[kwargs["role"].value], *args, **kwargs)

    def mount(self, *args: Any, **kwargs: Any) -> Any:
        return self._around("mount", "mounting", "mounted", *args, **kwargs)

    def unmount(self, *args: Any, **kwargs: Any) -> Any:
        return self._around("unmount", "unmounting", "unmounted", *args, **kwargs)

    def snapshot(self, dataset_id: object, name: str, *args: Any, **kwargs: Any) -> Any:
        final = name.startswith("final-")
        self._taken[dataset_id] = "final.held" if final else "snapshot.held"
        points = ("final.taking", "final.taken") if final else ("snapshot.before", "snapshot.taken")
        return self._around("snapshot", *points, dataset_id, name, *args, **kwargs)

    def hold(self, dataset_id: object, *args: Any, **kwargs: Any) -> Any:
        result = self._inner.hold(dataset_id, *args, **kwargs)
        if dataset_id in self._taken:
            self._at(self._taken.pop(dataset_id), dataset_id)
        return result

    def release(self, *args: Any, **kwargs: Any) -> Any:
        return self._around("release", "cleaning", "cleaned.released", *args, **kwargs)

    def destroy_snapshots(self, dataset_id: object, *args: Any, **kwargs: Any) -> Any:
        result = self._inner.destroy_snapshots(dataset_id, *args, **kwargs)
        self._at("cleaned.destroyed", dataset_id)
        return result

    def abort_receive(self, *args: Any, **kwargs: Any) -> Any:
        return self._around("abort_receive", "aborting", "receive-aborted", *args, **kwargs)

    def receive(self, dataset_id: object, *args: Any, **kwargs: Any) -> Any:
        kind = self._incoming.get(dataset_id)
        return self._around("receive", f"{kind}.accepted", f"{kind}.received", dataset_id, *args, **kwargs)


class _Runtime(_Around):
    """
    A runtime with points before and after what it changes.
    """

    def start(self, *args: Any, **kwargs: Any) -> Any:
        self._at("container.starting")
        result = self._inner.start(*args, **kwargs)
        self._at("container.started")
        return result

    def stop(self, *args: Any, **kwargs: Any) -> Any:
        self._at("container.stopping")
        result = self._inner.stop(*args, **kwargs)
        self._at("container.stopped")
        return result

    def remove(self, *args: Any, **kwargs: Any) -> Any:
        result = self._inner.remove(*args, **kwargs)
        self._at("container.removed")
        return result


class _Remember:
    """
    The agent's memory of what was asked, with points before and after each dataset's part changes its role.
    """

    def __init__(self, remember: Callable[..., None], arrivals: Arrivals) -> None:
        self._remember = remember
        self._at = arrivals.at
        self._roles: dict[object, str] = {}

    def __call__(self, path: Path, assignment: Any, *args: Any, **kwargs: Any) -> None:
        before, self._roles = self._roles, {d: type(a).__name__.lower() for d, a in assignment.datasets.items()}
        news = {d: role for d, role in self._roles.items() if before.get(d) != role}
        for dataset_id, role in news.items():
            self._at(f"remembering.{role}", dataset_id)
        self._remember(path, assignment, *args, **kwargs)
        for dataset_id, role in news.items():
            self._at(f"remembered.{role}", dataset_id)


def _wrap_sending(arrivals: Arrivals, session: Any, outgoing: Any, progress: Any) -> None:
    # The figures of a session go with it from its thread into each of its streams.
    streams: dict[int, tuple[str, object]] = {}

    def send(inner: Callable[..., int]) -> Callable[..., int]:
        def around(self: Any, conversation: Any, stored: Any, plan: Any) -> int:
            kind = "final" if plan.to_guid == self._final_guid else "full" if plan.from_guid is None else "delta"
            streams[id(self._progress)] = (kind, self._dataset_id)
            return inner(self, conversation, stored, plan)

        return around

    def offer(inner: Callable[..., None]) -> Callable[..., None]:
        def around(self: Any, *args: Any) -> None:
            inner(self, *args)
            kind, dataset_id = streams[id(self._progress)]
            arrivals.at(f"{kind}.accepted", dataset_id)
            self._progress.first_piece = True

        return around

    def sent(inner: Callable[..., None]) -> Callable[..., None]:
        def around(self: Any, *args: Any) -> None:
            inner(self, *args)
            if self.__dict__.pop("first_piece", False):
                kind, dataset_id = streams[id(self)]
                arrivals.at(f"{kind}.begun", dataset_id)

        return around

    def sent_whole(inner: Callable[..., int]) -> Callable[..., int]:
        def around(self: Any) -> int:
            sent_bytes = inner(self)
            kind, dataset_id = streams[id(self._progress)]
            arrivals.at(f"{kind}.sent", dataset_id)
            return sent_bytes

        return around

    def acknowledged(inner: Callable[..., None]) -> Callable[..., None]:
        def around(self: Any, *args: Any) -> None:
            if id(self) in streams:
                kind, dataset_id = streams.pop(id(self))
                arrivals.at(f"{kind}.acknowledged", dataset_id)
            inner(self, *args)

        return around

    _wrapped(session, "_send", send)
    _wrapped(outgoing, "_offer", offer)
    _wrapped(outgoing, "send", sent_whole)
    _wrapped(progress, "sent", sent)
    _wrapped(progress, "acknowledged", acknowledged)


def _wrap_receiving(arrivals: Arrivals, incoming: _Kinds, reception: Any) -> None:
    def take(inner: Callable[..., None]) -> Callable[..., None]:
        def around(self: Any, offer: Any) -> None:
            kind = "final" if offer.name.startswith("final-") else "full" if offer.from_guid is None else "delta"
            incoming.set(self._dataset_id, kind)
            inner(self, offer)
            arrivals.at(f"{kind}.told", self._dataset_id)

        return around

    def fill(inner: Callable[..., Any]) -> Callable[..., Any]:
        def around(self: Any, spool: Any, task: Any) -> Any:
            put = spool.put

            def first(piece: Any) -> None:
                spool.put = put
                put(piece)
                arrivals.at(f"{incoming.get(self._dataset_id)}.begun", self._dataset_id)

            spool.put = first
            return inner(self, spool, task)

        return around

    _wrapped(reception, "_take", take)
    _wrapped(reception, "_fill", fill)


def _wrap_control(arrivals: Arrivals, service: Any, ownership: Any, store: Any, session: Any) -> None:
    decided: dict[object, str] = {}
    persisted: dict[object, tuple[str, int]] = {}

    def transition(inner: Callable[..., Any]) -> Callable[..., Any]:
        def around(situation: Any) -> Any:
            found = inner(situation)
            if found is not None and decided.get(situation.dataset.dataset_id) != _FAILED_OVER:
                decided[situation.dataset.dataset_id] = found[0]
            return found

        return around

    def failed_over(inner: Callable[..., Any]) -> Callable[..., Any]:
        def around(situation: Any, *args: Any, **kwargs: Any) -> Any:
            # What follows from it is the same commit.
            decided[situation.dataset.dataset_id] = _FAILED_OVER
            return inner(situation, *args, **kwargs)

        return around

    def commit(inner: Callable[..., Any]) -> Callable[..., Any]:
        async def around(self: Any, revision: int, puts: Mapping[str, str], deletes: Set[str]) -> int:
            made = {d: decided.pop(d) for d in tuple(decided) if f"ownership/{d}" in puts}
            for dataset_id, name in made.items():
                await arrivals.at_async(self._reactor, f"{name}.before", dataset_id)
            result: int = await inner(self, revision, puts, deletes)
            for dataset_id, name in made.items():
                persisted[dataset_id] = (name, result)
                await arrivals.at_async(self._reactor, f"{name}.persisted", dataset_id)
            return result

        return around

    def told(inner: Callable[..., None]) -> Callable[..., None]:
        def around(self: Any, answer: Any, assignment: Any) -> None:
            for dataset_id in assignment.datasets:
                name, revision = persisted.get(dataset_id, ("", 0))
                if name and assignment.revision >= revision:
                    del persisted[dataset_id]
                    arrivals.at(f"{name}.told", dataset_id)
            inner(self, answer, assignment)

        return around

    _wrapped(service, "transition", transition)
    _wrapped(ownership, "failed_over", failed_over)
    _wrapped(store, "commit", commit)
    _wrapped(session, "_was_told", told)
