"""
What must hold at every instant, checked whenever something durable changes: a pool, the store, or what runs.

The checker knows what was ever made durable by the control service (``granted``), and what was ever acknowledged to an
application (the ledgers). It believes nobody's reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyrsistent import pmap, pvector

from flocker_agent.storage.memory_pool import KeptDataset, PoolState
from flocker_agent.storage.memory_stream import Content
from flocker_control import codec
from flocker_control.store import Commit
from flocker_py.assignment import Destroy, NodeAssignment, Own, Receive, Release, Remove, Stash
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    Guid,
    MoveOutcome,
    MovePhase,
    NodeId,
    Origin,
    Ownership,
)
from flocker_py.storage import Role
from tests.simulation.application import FILE, Application, records, usable
from tests.simulation.broken import Broken

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode
    from tests.simulation.world import World

ORDER = (None, MovePhase.COPYING, MovePhase.RELEASING, MovePhase.FINAL, MovePhase.TAKING)
_LONGEST_LOOK_SECONDS = 25.0
"""After so many, an agent has read from its pool what has become of a dataset, also where that is slow."""


class Checker:
    """
    Watches one world.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.datasets: dict[DatasetId, Dataset] = {}
        self.ownerships: dict[DatasetId, Ownership] = {}
        self.containers: dict[ContainerName, Container] = {}
        self.granted: dict[tuple[DatasetId, int], NodeId] = {}
        self.running: dict[ContainerName, Application] = {}
        self._seen: dict[str, PoolState] = {}
        self._snapshots: dict[Guid, Content] = {}
        self._first_seen: dict[Guid, Origin] = {}
        self._told_to_drop: set[tuple[NodeId, DatasetId]] = set()
        """
        Nodes that were told not to have a dataset, and not to receive it again since.
        """
        self._went: dict[tuple[NodeId, DatasetId], float] = {}
        """
        When a node removed a copy the last time.
        """
        self._born: set[DatasetId] = set()
        self._served: dict[DatasetId, int] = {}
        self._prepared: set[tuple[NodeId, Container]] = set()
        self._ran: dict[tuple[ContainerName, DatasetId], tuple[NodeId, int]] = {}
        self._well: dict[tuple[ContainerName, DatasetId], tuple[NodeId, int]] = {}
        self._writing: DatasetId | None = None

    def _breaks(self, rule: str, text: str, dataset_id: DatasetId) -> None:
        called = self._world.called(dataset_id)
        self._world.breaks(Broken(rule, f"{called}: {text}", (called,)))

    # -- pools -----------------------------------------------------------------------------------------------------

    def look_at_all(self) -> None:
        """
        Whatever has changed, anywhere.
        """
        for node in self._world.nodes.values():
            if self._seen.get(node.name) is not node.pool.state:
                self.look_at(node)

    def written(self, node: SimulatedNode, dataset_id: DatasetId) -> None:
        """
        An application has written.
        """
        self._writing = dataset_id
        self.look_at(node)
        self._writing = None

    def look_at(self, node: SimulatedNode) -> None:
        """
        A node's pool may have changed.
        """
        before, after = self._seen.get(node.name, PoolState()), node.pool.state
        if before is after:
            return
        self._seen[node.name] = after
        if before.datasets is after.datasets:
            return
        for dataset_id in {**before.datasets, **after.datasets}:
            was, is_ = before.datasets.get(dataset_id), after.datasets.get(dataset_id)
            if was is is_:
                continue
            if is_ is None and was is not None:
                if not any(kept.dataset_id == dataset_id for kept in after.stashes.values()):
                    self._gone(node, was)
            elif is_ is not None:
                if was is None or was.snapshots is not is_.snapshots:
                    self._copied(node, is_)
                if was is None:
                    self._came(node, is_)
                else:
                    self._changed(node, was, is_)
                if is_.mounted and (was is None or not was.mounted):
                    self._mounted(node, is_)
            self._is_somewhere(dataset_id)

    def _copied(self, node: SimulatedNode, kept: KeptDataset) -> None:
        # GUIDs that are equal must mean data that is equal: that is what a commit goes by.
        for snapshot in kept.snapshots:
            self._first_seen.setdefault(snapshot.guid, Origin(dataset_id=kept.dataset_id, snapshot=snapshot.name))
            first = self._snapshots.setdefault(snapshot.guid, snapshot.content)
            if first is not snapshot.content and first != snapshot.content:
                self._breaks(
                    "another content",
                    f"{node.name} has snapshot {snapshot.guid} otherwise than it was",
                    kept.dataset_id,
                )

    def _came(self, node: SimulatedNode, kept: KeptDataset) -> None:
        dataset_id = kept.dataset_id
        if kept.role is Role.REPLICA:
            return
        own = self.ownerships.get(dataset_id)
        if own is None or own.created or dataset_id in self._born:
            self._breaks("birth", f"made on {node.name}, although it was made before", dataset_id)
        elif own.owner != node.node_id or own.epoch != kept.epoch:
            self._breaks("birth", f"made on {node.name} under epoch {kept.epoch}, which was not granted", dataset_id)
        self._born.add(dataset_id)

    def _gone(self, node: SimulatedNode, was: KeptDataset) -> None:
        dataset_id = was.dataset_id
        self._went[node.node_id, dataset_id] = self._world.scheduler.now
        if self._is_deleted(dataset_id) or not was.whole:
            return
        if was.role is Role.OWNER:
            self._breaks("last copy", f"{node.name} destroyed what it owned", dataset_id)
        if was.role is Role.RELEASED or was.epoch:
            if was.role is Role.RELEASED and self._served.get(dataset_id, 0) <= was.epoch:
                self._breaks(
                    "removed too early",
                    f"{node.name} removed its copy of epoch {was.epoch}, and nobody has served under a later one",
                    dataset_id,
                )
            content = was.content.get(FILE, b"")
            if not any(held.startswith(content) for held in self._contents(dataset_id)):
                self._breaks(
                    "last copy", f"{node.name} removed {records(content)} records that are nowhere else", dataset_id
                )

    def _changed(self, node: SimulatedNode, was: KeptDataset, now: KeptDataset) -> None:
        dataset_id = now.dataset_id
        if now.epoch < was.epoch:
            self._breaks("epoch", f"on {node.name} from {was.epoch} down to {now.epoch}", dataset_id)
        if (now.role, now.epoch) != (was.role, was.epoch):
            self._role_changed(node, was, now)
        if now.content is not was.content and now.content.get(FILE) != was.content.get(FILE):
            if was.role is Role.OWNER and self._writing != dataset_id:
                self._breaks("overwritten", f"what {node.name} owns was changed by no application", dataset_id)
            if was.role is Role.RELEASED:
                self._breaks("overwritten", f"what {node.name} had laid down was changed", dataset_id)
        if now.snapshots is not was.snapshots:
            known = {snapshot.guid for snapshot in was.snapshots}
            for snapshot in now.snapshots:
                if snapshot.guid not in known and snapshot.name.startswith("final-") and now.role is not Role.REPLICA:
                    self._final_snapshot(node, now, snapshot.content.get(FILE, b""))

    def _role_changed(self, node: SimulatedNode, was: KeptDataset, now: KeptDataset) -> None:
        dataset_id = now.dataset_id
        if now.role is Role.OWNER:
            if self.granted.get((dataset_id, now.epoch)) != node.node_id:
                self._breaks("not granted", f"{node.name} took it under epoch {now.epoch}", dataset_id)
            if was.role is not Role.OWNER and now.epoch <= was.epoch:
                self._breaks("taken up again", f"{node.name}, under the same epoch {now.epoch}", dataset_id)
            if now.mounted:
                self._served[dataset_id] = max(now.epoch, self._served.get(dataset_id, 0))
            content = now.content.get(FILE, b"")
            origin = None if dataset_id in self._born else self.datasets[dataset_id].origin
            if origin is not None:
                self._made_from(origin, node, now)
            if not self._world.ledger(dataset_id).holds(content):
                self._breaks(
                    "lost write",
                    f"{node.name} takes it with {records(content)} of"
                    f" {records(self._world.ledger(dataset_id).acknowledged)} records",
                    dataset_id,
                )
        elif was.role is Role.OWNER and self._used(node, dataset_id):
            self._breaks("laid down in use", f"{node.name}, while an application runs with it", dataset_id)

    def _made_from(self, origin: Origin, node: SimulatedNode, now: KeptDataset) -> None:
        """
        A dataset begins as the snapshot that it was to be made from, and with all of it.
        """
        dataset_id, own = now.dataset_id, self.ownerships.get(now.dataset_id)
        if own is None or own.created:
            self._breaks("birth", f"copied on {node.name}, although it was made before", dataset_id)
        self._born.add(dataset_id)
        copied = now.snapshots[0] if len(now.snapshots) == 1 else None
        if copied is None or self._first_seen[copied.guid] != origin or now.content != copied.content:
            found = [str(self._first_seen[s.guid]) for s in now.snapshots]
            self._breaks("copy", f"{node.name} makes it from {found}, and not from {origin}", dataset_id)
        self._world.ledger(dataset_id).go_on_from(now.content.get(FILE, b""))
        self._world.figures.counts["datasets made from snapshots"] += 1

    def _final_snapshot(self, node: SimulatedNode, now: KeptDataset, content: bytes) -> None:
        dataset_id = now.dataset_id
        if now.role is not Role.RELEASED or now.mounted:
            self._breaks("final too early", f"{node.name} took it while it was {now.role.value}", dataset_id)
        own = self.ownerships.get(dataset_id)
        if own is not None and own.epoch > now.epoch:
            # It was failed over, and hears of it later: nobody goes on from this, and it is put aside.
            return
        if not self._world.ledger(dataset_id).holds(content):
            self._breaks("lost write", f"the final snapshot on {node.name} lacks records", dataset_id)

    def _mounted(self, node: SimulatedNode, now: KeptDataset) -> None:
        dataset_id = now.dataset_id
        for other in self._world.nodes.values():
            kept = other.pool.state.datasets.get(dataset_id)
            # What was fenced may still be mounted where the agent is dead; nothing that could write to it runs there.
            fenced = self._by_failover(dataset_id) and not self._used(other, dataset_id)
            if other is not node and kept is not None and kept.mounted and not fenced:
                self._breaks("two writers", f"can be written on {other.name} and on {node.name}", dataset_id)
        if now.role is not Role.OWNER:
            self._breaks("two writers", f"{node.name} mounts what is {now.role.value}", dataset_id)
        own = self.ownerships.get(dataset_id)
        if own is not None and own.owner != node.node_id and own.epoch > now.epoch:
            self._breaks("old epoch", f"{node.name} mounts it under epoch {now.epoch}", dataset_id)
        self._served[dataset_id] = max(now.epoch, self._served.get(dataset_id, 0))

    def _by_failover(self, dataset_id: DatasetId) -> bool:
        own = self.ownerships.get(dataset_id)
        return own is not None and bool(own.deposed)

    def _used(self, node: SimulatedNode, dataset_id: DatasetId) -> bool:
        return any(
            application.node is node and any(m.dataset_id == dataset_id for m in application.container.mounts)
            for application in self.running.values()
        )

    def _is_deleted(self, dataset_id: DatasetId) -> bool:
        dataset = self.datasets.get(dataset_id)
        return dataset is not None and dataset.deleted

    def _contents(self, dataset_id: DatasetId) -> list[bytes]:
        result = []
        for node in self._world.nodes.values():
            state = node.pool.state
            copies = [state.datasets[dataset_id]] if dataset_id in state.datasets else []
            copies += [kept for kept in state.stashes.values() if kept.dataset_id == dataset_id]
            result += [kept.content.get(FILE, b"") for kept in copies if kept.whole]
        return result

    def _is_somewhere(self, dataset_id: DatasetId) -> None:
        ledger = self._world.ledger(dataset_id)
        acknowledged = ledger.acknowledged
        if self._is_deleted(dataset_id):
            return
        for given_up in ledger.given_up:
            if not any(content.startswith(given_up) for content in self._contents(dataset_id)):
                self._breaks("stash", f"{records(given_up)} records that were given up are nowhere", dataset_id)
        if not acknowledged:
            return
        if not any(content.startswith(acknowledged) for content in self._contents(dataset_id)):
            self._breaks("last copy", f"{records(acknowledged)} acknowledged records are nowhere any more", dataset_id)

    # -- the store -------------------------------------------------------------------------------------------------

    def committed(self, puts: Mapping[str, str], deletes: Set[str]) -> None:
        """
        The control service has made something durable.
        """
        changes = codec.commit_changes(Commit(revision=1, puts=_persistent(puts), deletes=_vector(deletes)))
        for key in changes.deletes:
            self.containers.pop(ContainerName(key.partition("/")[2]), None)
        for record in changes.puts.values():
            match record:
                case Dataset():
                    before = self.datasets.get(record.dataset_id)
                    if before is not None and before.deleted and not record.deleted:
                        self._breaks("deleted", "is not deleted any more", record.dataset_id)
                    self.datasets[record.dataset_id] = record
                case Container():
                    self.containers[record.name] = record
                case _:
                    pass
        ownerships = dict(self.ownerships)
        for record in changes.puts.values():
            if isinstance(record, Ownership):
                self._released(ownerships, record)
        for record in changes.puts.values():
            if isinstance(record, Ownership):
                before_ownership = self.ownerships.get(record.dataset_id)
                self.ownerships[record.dataset_id] = record
                if before_ownership is not None:
                    self._owned(before_ownership, record)
                self._granted(record)
                self._world.chance.weight = max(map(_weight, self.ownerships.values()))

    def prepared(self, node: SimulatedNode, container: Container) -> None:
        """
        A host has all that a container needs. Whatever becomes of it, it keeps that.
        """
        self._prepared.add((node.node_id, container))

    def _released(self, before: Mapping[DatasetId, Ownership], now: Ownership) -> None:
        """
        An application that serves is not asked to stop while the host that it goes to still has to fetch what it needs.
        """
        was, move = before.get(now.dataset_id), now.move
        if was is None or was.move is None or move is None or was.move.phase is not MovePhase.COPYING:
            return
        if move.move_id != was.move.move_id or move.phase is MovePhase.COPYING:
            return
        for name in self.running:
            container = self.containers.get(name)
            mounts = () if container is None else container.mounts
            if container is None or all(m.dataset_id != now.dataset_id for m in mounts):
                continue
            others = [before[m.dataset_id] for m in mounts]
            serves = all(
                own.owner == was.owner and (own.move is None or own.move.phase is MovePhase.COPYING) for own in others
            )
            if serves and (move.target, container) not in self._prepared:
                target = self._world.nodes[move.target].name
                self._breaks("released unprepared", f"{target} can't start {name} at once", now.dataset_id)

    def _granted(self, now: Ownership) -> None:
        key = (now.dataset_id, now.epoch)
        if self.granted.setdefault(key, now.owner) != now.owner:
            self._breaks("epoch", f"epoch {now.epoch} is granted twice", now.dataset_id)

    def _owned(self, was: Ownership, now: Ownership) -> None:
        dataset_id = now.dataset_id
        if now.epoch < was.epoch:
            self._breaks("epoch", f"in the store from {was.epoch} down to {now.epoch}", dataset_id)
        if was.created and not now.created:
            self._breaks("birth", "the store forgets that it was made", dataset_id)
        if now.owner != was.owner:
            self._owner_changed(was, now)
        elif _has_caught_up(was, now):
            self._failed_over(was, now)
        if was.move is not None and (now.move is None or now.move.move_id != was.move.move_id):
            self._move_ended(was, now)
        elif ORDER.index(None if now.move is None else now.move.phase) < ORDER.index(
            None if was.move is None else was.move.phase
        ):
            self._breaks("phases", "a move went back", dataset_id)
        for node_id in was.handed_over:
            kept = self._world.nodes[node_id].pool.state.datasets.get(dataset_id)
            forgotten = node_id not in now.handed_over and now.owner != node_id and not now.destroyed
            if forgotten and node_id not in now.deposed and kept is not None and kept.role is not Role.REPLICA:
                self._breaks("settled too early", f"{self._world.nodes[node_id].name} has its copy", dataset_id)
        for node_id in was.deposed:
            kept = self._world.nodes[node_id].pool.state.datasets.get(dataset_id)
            forgotten = node_id not in now.deposed and now.owner != node_id and not now.destroyed
            if forgotten and kept is not None and kept.role is not Role.REPLICA:
                self._breaks("stash", f"{self._world.nodes[node_id].name} has not put it aside", dataset_id)
        if now.destroyed and not was.destroyed and was.created:
            for node in self._world.nodes.values():
                kept = node.pool.state.datasets.get(dataset_id)
                # What is left of a move that was aborted, on a node that is away, is destroyed when that comes back.
                if kept is not None and kept.role is not Role.REPLICA:
                    self._breaks("destroyed too early", f"{node.name} has it still", dataset_id)
        self._world.figures.transition(was, now)

    def _owner_changed(self, was: Ownership, now: Ownership) -> None:
        dataset_id, move = now.dataset_id, was.move
        if now.epoch <= was.epoch:
            self._breaks("epoch", "another owner under the same epoch", dataset_id)
        if _is_failover(was, now):
            self._failed_over(was, now)
            return
        if not was.created:
            if dataset_id in self._born:
                self._breaks("birth", "given to another node, after it was made", dataset_id)
            return
        if move is None or move.phase is not MovePhase.FINAL or move.target != now.owner:
            self._breaks("commit", "another owner without a final snapshot", dataset_id)
            return
        source, target = (self._world.nodes[n].pool.state.datasets.get(dataset_id) for n in (was.owner, now.owner))
        if source is None or source.role is not Role.RELEASED or source.epoch != was.epoch or source.mounted:
            self._breaks("commit", "the source has not laid it down", dataset_id)
        if target is None or not target.snapshots or target.snapshots[-1].guid != move.final_guid:
            self._breaks("commit", "the target lacks the final snapshot", dataset_id)
        elif not self._world.ledger(dataset_id).holds(target.snapshots[-1].content.get(FILE, b"")):
            self._breaks("lost write", "the target lacks acknowledged records at the commit", dataset_id)

    def _failed_over(self, was: Ownership, now: Ownership) -> None:
        dataset_id, owner = now.dataset_id, self._world.nodes[was.owner]
        if self._used(owner, dataset_id):
            self._breaks("failover", f"while its application runs on {owner.name}", dataset_id)
        if was.leased_epoch == was.epoch:
            self._world.figures.moves["failed over, after the lease"] += 1
        guid = None if now.move is None else now.move.final_guid
        pool = self._world.nodes[now.owner].pool.state
        # What it has just been told to put aside is found there.
        aside = sorted(
            (stash for stash in pool.stashes.values() if stash.dataset_id == dataset_id), key=lambda stash: -stash.epoch
        )
        copies = [pool.datasets[dataset_id]] if dataset_id in pool.datasets else aside
        kept = next((copy for copy in copies if any(snapshot.guid == guid for snapshot in copy.snapshots)), None)
        found = [] if kept is None else [snapshot for snapshot in kept.snapshots if snapshot.guid == guid]
        if kept is None or not found:
            if (now.owner, dataset_id) not in self._told_to_drop and self._was_told(now.owner, dataset_id):
                self._breaks("failover", "to a node that has no such snapshot", dataset_id)
            # What it removed since holds nothing that others lack.
            self._world.operators.decide_again(dataset_id)
            return
        # A former owner takes its copy up as it laid it down, with what was written there after its last snapshot.
        content = kept.content if kept.role is Role.RELEASED else found[0].content
        self._world.ledger(dataset_id).go_on_from(content.get(FILE, b""))

    def _was_told(self, node_id: NodeId, dataset_id: DatasetId) -> bool:
        """
        Whether the control service must know by now that a node has removed its copy.
        """
        node, went_at_seconds = self._world.nodes[node_id], self._went.get((node_id, dataset_id))
        if went_at_seconds is None:
            return True
        told_all = node.session is not None and node.session.told_all
        return told_all and self._world.scheduler.now > went_at_seconds + _LONGEST_LOOK_SECONDS

    def _move_ended(self, was: Ownership, now: Ownership) -> None:
        dataset_id, move, ended = now.dataset_id, was.move, now.last_move
        before = was.last_move
        if before is not None and ended is not None and ended.move_id == before.move_id and move and move.returns:
            # The way back is told as part of the move that it ends.
            return
        if move is None or ended is None or ended.move_id != move.move_id:
            self._breaks("phases", "a move was forgotten", dataset_id)
            return
        if ended.outcome is not MoveOutcome.DONE:
            if (now.move is not None and now.move.returns and now.owner == was.owner) or _is_failover(was, now):
                return
            if move.phase is MovePhase.TAKING:
                self._breaks("cancelled after the commit", f"the move was {ended.outcome.value}", dataset_id)
            elif now.epoch <= was.epoch:
                self._breaks("abort", "the move ended without a higher epoch", dataset_id)
            return
        if move.phase is not MovePhase.TAKING:
            self._breaks("phases", "a move was done before its commit", dataset_id)
            return
        if self._served.get(dataset_id, 0) < now.epoch:
            self._breaks("settled too early", "the target has not served yet", dataset_id)
        dataset = self.datasets[dataset_id]
        if dataset.primary != now.owner or dataset.deleted:
            return
        for container in self.containers.values():
            if any(m.dataset_id == dataset_id for m in container.mounts):
                node_id, epoch = self._ran.get((container.name, dataset_id), (None, 0))
                if node_id != now.owner or epoch < now.epoch:
                    self._breaks("settled too early", f"{container.name} has not run on the target yet", dataset_id)
                node_id, epoch = self._well.get((container.name, dataset_id), (None, 0))
                if container.health is not None and (node_id != now.owner or epoch < now.epoch):
                    self._breaks("settled unwell", f"{container.name} has never been well on the target", dataset_id)

    # -- what is announced -----------------------------------------------------------------------------------------

    def announced(self, node: SimulatedNode, assignment: NodeAssignment) -> None:
        """
        The control service tells a node what is asked of it.
        """
        for dataset_id, asked in assignment.datasets.items():
            own, dataset = self.ownerships.get(dataset_id), self.datasets.get(dataset_id)
            if isinstance(asked, Remove | Stash):
                self._told_to_drop.add((node.node_id, dataset_id))
            elif isinstance(asked, Receive):
                self._told_to_drop.discard((node.node_id, dataset_id))
            if own is None or dataset is None:
                self._breaks("announced", f"{node.name} is asked what nobody has decided", dataset_id)
                return
            move = own.move
            match asked:
                case Own():
                    fits = own.owner == node.node_id and asked.epoch == own.epoch
                    fits = fits and not (asked.may_create and own.created)
                case Release():
                    fits = own.owner == node.node_id and asked.epoch == own.epoch and move is not None
                    fits = fits and move is not None and move.phase in (MovePhase.RELEASING, MovePhase.FINAL)
                case Receive():
                    fits = move is not None and move.target == node.node_id and move.move_id == asked.move_id
                case Remove() | Stash():
                    fits = own.owner != node.node_id
                case Destroy():
                    fits = dataset.deleted
                case _:
                    fits = True
            if not fits:
                self._breaks(
                    "announced", f"{node.name} is told {type(asked).__name__}, which is not durable", dataset_id
                )

    # -- what runs -------------------------------------------------------------------------------------------------

    def starts(self, application: Application, node: SimulatedNode, paths: Mapping[DatasetId, Path]) -> None:
        """
        An application starts.
        """
        world, container = self._world, application.container
        name = container.name
        about = tuple(world.called(m.dataset_id) for m in container.mounts)
        if name in self.running:
            other = self.running[name].node.name
            world.breaks(Broken("runs twice", f"{name} starts on {node.name} while it runs on {other}", about))
        if set(paths) != {m.dataset_id for m in container.mounts}:
            world.breaks(Broken("not mounted", f"{name} starts on {node.name} without all of its datasets", about))
        for mount in container.mounts:
            try:
                kept = usable(node, name, mount.dataset_id)
            except Broken as broken:
                world.breaks(broken)
                return
            own = self.ownerships[mount.dataset_id]
            if own.owner != node.node_id and own.epoch > kept.epoch:
                self._breaks(
                    "old epoch", f"{name} starts on {node.name}, which has it of epoch {kept.epoch}", mount.dataset_id
                )
            content = kept.content.get(FILE, b"")
            if not world.ledger(mount.dataset_id).holds(content):
                self._breaks(
                    "lost write", f"{name} starts on {node.name} and finds {records(content)} records", mount.dataset_id
                )
            self._ran[name, mount.dataset_id] = (node.node_id, kept.epoch)
        self.running[name] = application
        world.tell(f"{name} starts on {node.name} ({', '.join(about)})")

    def well(self, application: Application, node: SimulatedNode) -> None:
        """
        The check of an application finds it well.
        """
        name = application.container.name
        for mount in application.container.mounts:
            kept = usable(node, name, mount.dataset_id)
            self._well[name, mount.dataset_id] = (node.node_id, kept.epoch)

    def ends(self, application: Application, node: SimulatedNode) -> None:
        """
        An application has ended.
        """
        if self.running.get(application.container.name) is application:
            del self.running[application.container.name]
            self._world.tell(f"{application.container.name} ends on {node.name}")


def _is_failover(was: Ownership, now: Ownership) -> bool:
    move = now.move
    return move is not None and move.failover and (was.move is None or was.move.move_id != move.move_id)


def _has_caught_up(was: Ownership, now: Ownership) -> bool:
    """
    Whether a failover goes on from more than was promoted, which had come in before its target was told.
    """
    before, move = was.move, now.move
    if before is None or move is None or move.move_id != before.move_id:
        return False
    return move.failover and move.final_guid != before.final_guid


def _weight(own: Ownership) -> float:
    """
    How much more often than usual things go wrong: where a fault is likeliest to find something.
    """
    if own.move is None:
        return 2.0 if own.handed_over or own.deposed else 0.4
    return 0.8 if own.move.phase is MovePhase.COPYING else 3.0


def _persistent(puts: Mapping[str, str]) -> Any:
    return pmap(puts)


def _vector(deletes: Set[str]) -> Any:
    return pvector(sorted(deletes))
