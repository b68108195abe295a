"""
The control service proper: it decides, makes durable, and only then announces.

One coroutine at a time changes anything. A user's command, or news from a node, leads to a set of changes; they are
committed together; then the nodes concerned, and whoever watches, are told. What a change costs depends on the
datasets it touches and the nodes these are on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol
from uuid import UUID

from eliot import log_message, start_action, write_traceback
from pyrsistent import PMap, pmap, pvector
from twisted.internet.defer import Deferred, DeferredLock
from twisted.python.failure import Failure

from flocker_control import codec, slices, standstill, starting
from flocker_control.absence import Absence, absence
from flocker_control.asked import AskedOfNodes, Look
from flocker_control.commands import Command
from flocker_control.dataset_leases import Moment, kept_up, left_seconds, look_again_seconds, served
from flocker_control.dead_links import link_warnings
from flocker_control.decisions import decide
from flocker_control.leases import Leases
from flocker_control.mounting import Mounting, containers_of, mounted_by
from flocker_control.news import News
from flocker_control.ownership import transition
from flocker_control.refusals import Refusal
from flocker_control.situation import KEEP_STASH_SECONDS, Situation
from flocker_control.state import Changes, State, changed, key_of
from flocker_control.store import RevisionConflict, Store, StoreError
from flocker_py.assignment import NodeAssignment
from flocker_py.clock import Clock, Timer
from flocker_py.errors import FlockerError, code, explanation
from flocker_py.leases import DEFAULT_LEASE_SECONDS
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    DatasetLease,
    MoveId,
    Node,
    NodeId,
    Ownership,
    StashWish,
)
from flocker_py.observed import NodeObservation, ReportedError
from flocker_py.records import Record, empty_mapping, value

NO_BOOT = UUID(int=0)
LONGEST_WAIT_SECONDS = 3600.0
"""Until leases of datasets are looked at again, however long they last: a reactor can't wait for ever."""

RETRY_SECONDS = 1.0
"""After a commit that failed: news from nodes wait so long for the next try."""


def write_failure(failure: Failure) -> None:
    """
    Log a failure that nobody waits for.
    """
    log_message(message_type="flocker:control:failure", reason=failure.getTraceback())


class CommandRefused(FlockerError):
    """
    The request was refused. Nothing was changed.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


class Committed(Record):
    """
    Something durable has changed.
    """

    revision: int = value(int)
    changes: Changes = value(Changes)


class Observed(Record):
    """
    A node has reported something new, or come, or gone.

    :param node: None: it has gone.
    """

    node_id: NodeId = value(UUID)
    node: NodeObservation | None = value((NodeObservation, type(None)), default=None)


Event = Committed | Observed


class Session(Protocol):
    """
    The way to one connected node.
    """

    def assign(self, assignment: NodeAssignment) -> None:
        """
        Tell the node all that is asked of it now. Returns at once; what is overtaken may be left out.
        """
        ...

    def replaced(self) -> None:
        """
        It is over: another session of the same node has taken its place, or the node was removed. End it.
        """
        ...


class ControlService:
    """
    The state of the cluster, and everything that may happen to it.

    :param clock: of leases, moves and retries.
    :param new_id: a random UUID at each call.
    :param now_seconds: since the epoch of Unix; None: what the clock shows.
    :param lease_seconds: how long nodes serve on what is to be fenced without hearing from us.
    :param keep_stash_seconds: how long nodes keep what they put aside.
    :param boot_id: of the run of the host since which the clock has gone forward.
    """

    def __init__(
        self,
        store: Store,
        state: State,
        *,
        clock: Clock,
        new_id: Callable[[], UUID],
        now_seconds: Callable[[], float] | None = None,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
        keep_stash_seconds: float = KEEP_STASH_SECONDS,
        boot_id: UUID = NO_BOOT,
    ) -> None:
        self.store = store
        self.state = state
        self.nodes: PMap[NodeId, NodeObservation] = empty_mapping(UUID, NodeObservation)
        self.leases = Leases(started_at_seconds=clock.seconds(), lease_seconds=lease_seconds)
        self.store_error: ReportedError | None = None
        """Why the last commit failed, if it did."""
        self._clock = clock
        self._now_seconds = clock.seconds if now_seconds is None else now_seconds
        self._keep_stash_seconds = keep_stash_seconds
        self._started_at_seconds = self._now_seconds()
        self._boot_id = boot_id
        self._new_id = new_id
        self._lock = DeferredLock()
        self._sessions: dict[NodeId, Session] = {}
        self._watchers: list[Callable[[Event], None]] = []
        self._news = News()
        self._lease_timer: Timer | None = None
        self._pumping = False
        self._mounting = Mounting(state.containers)
        self._asked = AskedOfNodes()
        self._timers: dict[DatasetId, Timer] = {}
        self._reassign(state.datasets, state.containers, ())
        self._count_leases()

    # -- what users ask --------------------------------------------------------------------------------------------

    async def submit(self, command: Command, *, if_revision: int | None = None) -> State:
        """
        Carry out a command: the state in which it has been done, durably, with all that follows at once.

        :param if_revision: only if nothing was committed after it.
        :raises CommandRefused: it can't be done; the refusal says why.
        :raises RevisionConflict: there were later commits.
        :raises StoreError: it could not be made durable.
        """
        await self._lock.acquire()
        try:
            if if_revision is not None and if_revision != self.state.revision:
                raise RevisionConflict(
                    f"planned on revision {if_revision}, but the cluster is at {self.state.revision}"
                )
            # Only what is committed together with the command can fail it; what follows later is made up for.
            try:
                await self._commit_once(self._decided(command))
            except RevisionConflict:
                if if_revision is not None:
                    raise
                # Nobody but us commits: what was caught up with now had seemed to fail before.
                await self._commit_once(self._decided(command))
            return self.state
        finally:
            self._lock.release()
            self._pump()

    def _decided(self, command: Command) -> Changes:
        decision = decide(self.state, command, self.nodes, self._leases_left())
        if isinstance(decision, Refusal):
            raise CommandRefused(decision)
        return decision

    def watch(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """
        Be told of every commit and every report.

        :returns: call it to be told no more.
        """
        self._watchers.append(callback)

        def stop() -> None:
            if callback in self._watchers:
                self._watchers.remove(callback)

        return stop

    def situation(self, dataset_id: DatasetId, state: State | None = None) -> Situation:
        """
        All that decisions about a dataset depend on, as it is now.
        """
        state = self.state if state is None else state
        names = sorted(self._mounting.containers(dataset_id))
        containers = pvector(state.containers[name] for name in names if name in state.containers)
        others = mounted_by(*containers) - {dataset_id}
        wanted, lease = state.datasets[dataset_id], state.dataset_leases.get(dataset_id)
        return Situation(
            dataset=served(wanted, lease),
            wanted=wanted if lease is not None and lease.kept is not None else None,
            lease=lease,
            lease_left_seconds=None if lease is None else left_seconds(lease, self.moment()),
            ownership=state.ownerships[dataset_id],
            known_nodes=state.nodes,
            nodes=self.nodes,
            containers=containers,
            companions=pvector(state.ownerships[d] for d in sorted(others, key=str) if d in state.ownerships),
            companion_policies=pmap({d: state.datasets[d] for d in others if d in state.datasets}),
            absences=state.absences,
            keep_stash_seconds=self._keep_stash_seconds,
            started_at_seconds=self._started_at_seconds,
            now_seconds=self._now_seconds(),
            next_move_id=MoveId(self._new_id()),
            owner_lease_left_seconds=self.lease_left_seconds(state.ownerships[dataset_id].owner),
        )

    def lease_has_expired(self, node_id: NodeId) -> bool:
        """
        Whether a node has by now ended all that depends on its lease. One that never was recorded never had a lease.
        """
        node = self.state.nodes.get(node_id)
        return node is not None and self.leases.has_expired(node, self._clock.seconds())

    def lease_left_seconds(self, node_id: NodeId) -> float | None:
        """
        For how long a node's lease can't be taken as expired yet; negative: since when it can. None: no such node was
        recorded.
        """
        node = self.state.nodes.get(node_id)
        return None if node is None else self.leases.expires_at_seconds(node) - self._clock.seconds()

    def _leases_left(self) -> PMap[NodeId, float]:
        now_seconds = self._clock.seconds()
        away = (node for node in self.state.nodes.values() if node.node_id not in self.nodes)
        return pmap({node.node_id: self.leases.expires_at_seconds(node) - now_seconds for node in away})

    def now_seconds(self) -> float:
        """
        The time of day, since the epoch of Unix.
        """
        return self._now_seconds()

    def moment(self) -> Moment:
        """
        By what leases of datasets are counted.
        """
        return Moment(at_seconds=self._clock.seconds(), boot_id=self._boot_id)

    def _count_leases(self) -> None:
        """
        See to it that leases of datasets are looked at when the first of them is due.
        """
        if self._lease_timer is not None and self._lease_timer.active():
            self._lease_timer.cancel()
        now = self.moment()
        dues = [look_again_seconds(lease, now) for lease in self.state.dataset_leases.values()]
        soonest_seconds = min((due for due in dues if due is not None), default=None)
        self._lease_timer = None
        if soonest_seconds is not None:
            self._lease_timer = self._clock.callLater(min(soonest_seconds, LONGEST_WAIT_SECONDS), self._lease_is_due)

    def _lease_is_due(self) -> None:
        self._news.leases_due = True
        self._pump()

    def runs_on(self, name: ContainerName) -> NodeId | None:
        """
        The node that is asked to run a container now.
        """
        return self._asked.runs_on(name)

    def warnings(self, container: Container) -> list[str]:
        """
        What is probably not meant of a container, as things are.
        """
        node_id = self.runs_on(container.name) or container.node_id
        return list(link_warnings(container, node_id, self._asked.ports, self.state, self.nodes))

    # -- what nodes report -----------------------------------------------------------------------------------------

    def node_came(self, session: Session, node: NodeObservation) -> None:
        """
        A node has opened a session; one that it may have had before is over.
        """
        earlier = self._sessions.get(node.node_id)
        if earlier is not None:
            log_message(message_type="flocker:control:session-replaced", node_id=str(node.node_id))
            earlier.replaced()
        self._sessions[node.node_id] = session
        self._news.attendance[node.node_id] = None
        self._asked.came(node, self.state)
        self.node_reported(session, node)
        # A node that isn't recorded yet is told nothing: what it then does could never be asked about.
        if node.node_id in self.state.nodes:
            session.assign(self._asked.slice(node.node_id, self.state.revision))

    def node_reported(self, session: Session, node: NodeObservation) -> None:
        """
        A node has news. What comes from a session that was replaced is not heard.
        """
        if self._sessions.get(node.node_id) is not session:
            return
        before = self.nodes.get(node.node_id)
        self.nodes = self.nodes.set(node.node_id, node)
        known = self.state.nodes.get(node.node_id)
        if known is None or known.address != node.address:
            self._news.unrecorded.add(node.node_id)
        self._touch(before, node)
        if before is None or before.stashes != node.stashes or before.storage_known != node.storage_known:
            self._news.stashes.add(node.node_id)
        self._tell(Observed(node_id=node.node_id, node=node))
        self._pump()

    def node_went(self, session: Session, node_id: NodeId) -> None:
        """
        A session has ended: the node is unknown from now on.
        """
        if self._sessions.get(node_id) is not session:
            return
        del self._sessions[node_id]
        self._news.attendance[node_id] = absence(self.nodes[node_id], self._now_seconds())
        self.nodes = self.nodes.discard(node_id)
        self._news.datasets |= self._asked.concerning(node_id)
        self._tell(Observed(node_id=node_id))
        self._pump()

    def renew(self, session: Session, node_id: NodeId, *, heard: bool, up_to_date: bool) -> float:
        """
        A node asks for its next lease. Answers with its length in seconds; 0: it gets none now, and may ask again.

        :param heard: the node has taken in, in this session, what was asked of it when the session began.
        :param up_to_date: and all that was asked since.
        """
        node = self.state.nodes.get(node_id)
        if node is None or not heard or self._sessions.get(node_id) is not session:
            return 0.0
        now_seconds = self._clock.seconds()
        # Once it has expired, what it allowed may have been granted elsewhere, or is at this moment being committed.
        if self.leases.has_expired(node, now_seconds) and not (up_to_date and not self._lock.locked):
            return 0.0
        if self.leases.to_record(node, now_seconds) != node.lease_seconds:
            self._news.unrecorded.add(node_id)
            self._pump()
        granted_seconds = self.leases.granted_seconds(node)
        if granted_seconds:
            self.leases = self.leases.renewed(node, now_seconds)
        return granted_seconds

    def _touch(self, before: NodeObservation | None, node: NodeObservation) -> None:
        news = self._news
        if before is None or before.storage_known != node.storage_known or before.address != node.address:
            news.datasets |= self._asked.concerning(node.node_id)
            news.datasets |= {d for d in node.datasets if d in self.state.datasets}
            news.containers |= set(node.containers)
            if before is None:
                # What waited for the end of a copy there may have missed it while the node was away.
                news.containers |= {name for name in self.state.containers if self.runs_on(name) is None}
                return
        for dataset_id in {*before.datasets, *node.datasets}:
            if before.datasets.get(dataset_id) is not node.datasets.get(dataset_id):
                news.datasets.add(dataset_id)
        for name in {*before.containers, *node.containers}:
            if before.containers.get(name) != node.containers.get(name):
                news.containers.add(name)
                news.datasets |= self._mounting.datasets(name)
        for name in {*before.prepared, *node.prepared}:
            if before.prepared.get(name) != node.prepared.get(name):
                news.datasets |= self._mounting.datasets(name)
        for key in {*before.failures, *node.failures}:
            if before.failures.get(key) != node.failures.get(key):
                news.datasets |= self._mounting.datasets(ContainerName(key)) | self._concerned_by(key)

    def _concerned_by(self, key: str) -> set[DatasetId]:
        try:
            dataset_id = DatasetId(UUID(key))
        except ValueError:
            return set()
        return {dataset_id} & set(self.state.datasets)

    # -- decide, commit, announce ----------------------------------------------------------------------------------

    def _pump(self) -> None:
        if self._pumping or self._lock.locked or not self._news:
            return
        self._pumping = True
        Deferred.fromCoroutine(self._follow_news()).addErrback(write_failure)

    async def _follow_news(self) -> None:
        try:
            while self._news:
                # Anew for each: users who wait come in between, however much the nodes have to tell.
                await self._lock.acquire()
                try:
                    await self._commit_once(Changes())
                finally:
                    self._lock.release()
        except StoreError:
            # Nobody is waiting for this commit, and it can be made later from what the nodes report then.
            write_traceback()
            self._clock.callLater(RETRY_SECONDS, self._pump)
            return
        finally:
            self._pumping = False
        self._pump()

    def _nodes_to_record(self, node_ids: Iterable[NodeId]) -> Changes:
        changes = Changes()
        for node_id in node_ids:
            node, known = self.nodes.get(node_id), self.state.nodes.get(node_id)
            if node is not None:
                known = Node(node_id=node_id, lease_seconds=self.leases.lease_seconds) if known is None else known
                lease_seconds = self.leases.to_record(known, self._clock.seconds())
                changes = changes.put(known.set(address=node.address, lease_seconds=lease_seconds))
        return changes

    def _attendance_changes(self, attendance: Mapping[NodeId, Absence | None]) -> Changes:
        changes = Changes()
        for node_id, absent in attendance.items():
            if absent is not None:
                changes = changes.put(absent)
            elif node_id in self.state.absences:
                changes = changes.delete(f"absence/{node_id}")
        return changes

    def _fulfilled_wishes(self, node_ids: Iterable[NodeId]) -> Changes:
        wishes = self.state.stash_wishes.values()
        nodes = (self.nodes[n] for n in node_ids if n in self.nodes)
        return Changes().delete(*(key_of(wish) for node in nodes for wish in slices.fulfilled(node, wishes)))

    async def _commit_once(self, changes: Changes) -> None:
        """
        Commit the changes, with every transition that they and the news make possible, and announce them. What may
        follow from that in turn is left as news.
        """
        news, self._news = self._news, News()
        try:
            if news.leases_due:
                # Before what was asked for now, which may have renewed one of them.
                changes = kept_up(self.state.dataset_leases, self.moment()).then(changes)
            happened = self._nodes_to_record(news.unrecorded).then(self._attendance_changes(news.attendance))
            changes = happened.then(self._fulfilled_wishes(news.stashes)).then(changes)
            after = changed(self.state, changes, revision=self.state.revision)
            news.datasets |= self._touched_by(changes, after)
            news.datasets = {d for d in news.datasets | self._companions(news.datasets, after) if d in after.ownerships}
            changes = changes.then(self._transitions(news.datasets, after))
            if changes:
                await self._commit(changes)
        except BaseException:
            # What was looked at must be looked at again: the next try begins from here.
            self._news.give_back(news)
            raise
        # Their ports may lead to another address now.
        moved = (record.node_id for record in changes.puts.values() if isinstance(record, Node))
        containers = news.containers.union(
            containers_of(changes), self._mounting.containers(*news.datasets), *map(self._asked.publishing_on, moved)
        )
        wishes = {record.node_id for record in changes.puts.values() if isinstance(record, StashWish)}
        self._reassign(news.datasets, containers, news.stashes | wishes)
        if news.leases_due:
            self._count_leases()
        if changes:
            # A transition may make another possible.
            self._news.datasets |= news.datasets
        for dataset_id in news.datasets:
            self._look_in_time(dataset_id)

    def _look_in_time(self, dataset_id: DatasetId) -> None:
        """
        Look again at a dataset when an application has run, stood still, or not become well for long enough: nobody
        will report it.
        """
        situation = self.situation(dataset_id)
        left_seconds = starting.left_seconds(situation) or standstill.left_seconds(situation)
        timer = self._timers.pop(dataset_id, None)
        if timer is not None and timer.active():
            timer.cancel()
        if left_seconds:
            self._timers[dataset_id] = self._clock.callLater(left_seconds, self._time_has_come, dataset_id)

    def _time_has_come(self, dataset_id: DatasetId) -> None:
        self._news.datasets.add(dataset_id)
        self._pump()

    def _touched_by(self, changes: Changes, after: State) -> set[DatasetId]:
        result: set[DatasetId] = set()
        for record in changes.puts.values():
            match record:
                case Dataset() | Ownership() | DatasetLease():
                    result.add(record.dataset_id)
                case Container():
                    result |= mounted_by(record) | self._mounting.datasets(record.name)
                case Node():
                    result |= self._asked.concerning(record.node_id)
                case StashWish() | Absence():
                    pass
        for key in changes.deletes:
            kind, _, name = key.partition("/")
            if kind == "container":
                result |= self._mounting.datasets(ContainerName(name))
            if kind == "lease":
                result.add(DatasetId(UUID(name)))
        return {d for d in result if d in after.datasets}

    def _companions(self, touched: Iterable[DatasetId], state: State) -> frozenset[DatasetId]:
        names = self._mounting.containers(*touched)
        return mounted_by(*(state.containers[name] for name in names if name in state.containers))

    def _transitions(self, touched: Iterable[DatasetId], state: State) -> Changes:
        changes = Changes()
        for dataset_id in touched:
            found = transition(self.situation(dataset_id, state))
            if found is not None:
                name, ownership = found
                log_message(
                    message_type="flocker:control:transition",
                    dataset_id=str(dataset_id),
                    transition=name,
                    owner=str(ownership.owner),
                    epoch=ownership.epoch,
                )
                changes = changes.put(ownership)
        return changes

    async def _commit(self, changes: Changes) -> None:
        try:
            with start_action(action_type="flocker:control:commit", revision=self.state.revision + 1):
                puts, deletes = codec.texts(changes)
                revision = await self.store.commit(self.state.revision, puts, deletes)
        except RevisionConflict:
            await self._catch_up()
            raise
        except StoreError as error:
            self.store_error = ReportedError(
                code=code(error), text=explanation(error), at_seconds=self._now_seconds(), lasting=error.lasting
            )
            raise
        self.store_error = None
        self._committed(changes, revision)

    async def _catch_up(self) -> None:
        """
        Take over what is durable and not known here: commits that seemed to have failed when they were made.

        :raises StoreError: it can't be read.
        """
        for commit in await self.store.commits_after(self.state.revision):
            log_message(message_type="flocker:control:caught-up", revision=commit.revision)
            changes = codec.commit_changes(commit)
            after = changed(self.state, changes, revision=commit.revision)
            self._news.datasets |= self._touched_by(changes, after)
            self._news.containers |= containers_of(changes)
            self._committed(changes, commit.revision)

    def _committed(self, changes: Changes, revision: int) -> None:
        self._mounting.committed(changes)
        known_before = self.state.nodes
        self.state = changed(self.state, changes, revision=revision)
        if any(isinstance(record, DatasetLease) for record in changes.puts.values()):
            self._count_leases()
        self._tell(Committed(revision=revision, changes=changes))
        for record in changes.puts.values():
            if isinstance(record, Node) and record.node_id not in known_before:
                self._assign(record.node_id)
            if isinstance(record, Node) and record.removed:
                self._end_session(record.node_id)

    def _end_session(self, node_id: NodeId) -> None:
        session = self._sessions.get(node_id)
        if session is not None:
            self.node_went(session, node_id)
            session.replaced()

    def _tell(self, event: Event) -> None:
        for callback in tuple(self._watchers):
            callback(event)

    # -- the nodes' slices -----------------------------------------------------------------------------------------

    def _reassign(
        self, touched: Iterable[DatasetId], containers: Iterable[ContainerName], stashes: Iterable[NodeId]
    ) -> None:
        look = Look(state=self.state, nodes=self.nodes, situation=self.situation)
        for node_id in self._asked.keep_up(look, touched, containers, stashes):
            self._assign(node_id)

    def _assign(self, node_id: NodeId) -> None:
        session = self._sessions.get(node_id)
        if session is not None and node_id in self.state.nodes:
            session.assign(self._asked.slice(node_id, self.state.revision))


async def opened(
    store: Store,
    *,
    clock: Clock,
    new_id: Callable[[], UUID],
    now_seconds: Callable[[], float] | None = None,
    lease_seconds: float = DEFAULT_LEASE_SECONDS,
    keep_stash_seconds: float = KEEP_STASH_SECONDS,
    boot_id: UUID = NO_BOOT,
) -> ControlService:
    """
    A control service with what its store holds. The parameters are those of ``ControlService``.

    :raises StoreError: the store can't be read.
    """
    loaded = await store.load()
    return ControlService(
        store,
        codec.loaded_state(loaded),
        clock=clock,
        new_id=new_id,
        now_seconds=now_seconds,
        lease_seconds=lease_seconds,
        keep_stash_seconds=keep_stash_seconds,
        boot_id=boot_id,
    )
